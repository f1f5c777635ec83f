//! The guard against differences: what two answers tell together, and what the parts of one do.

use roaring::RoaringBitmap;

use super::cells::{Cells, Made, Set, Shown, Why};
use super::ledger::Cell;
use super::node::Sitting;
use super::units::people_of;

impl Cells {
    /// Holds cells against those of earlier answers, and of the same one: neither may differ from another by few people.
    pub(super) fn guard(&self, made: &Made<'_>, sitting: &Sitting, shown: &mut Shown) {
        for (table, protection) in self.protections.iter().enumerate() {
            let fewest = protection.fewest();
            sitting.ledger.published(&sitting.caller, &protection.dataset, |published| {
                // Of one grouping set no row is in two cells, so that they tell nothing of each other.
                let mut told: Vec<RoaringBitmap> = Vec::new();
                for (domain, column) in self.guarded(table) {
                    for rows in self.sets(made).values() {
                        let mut of_set = Vec::new();
                        for row in rows.iter().filter(|row| !made.is_empty(domain, **row)) {
                            if !self.shows(shown, domain, *row) {
                                continue;
                            }
                            let people = published.set(&made.cell(column, *row));
                            let is_near = |other: &RoaringBitmap| {
                                published.few(&people, other, fewest).is_some_and(|people| people > 0)
                            };
                            match published.differs_by_few(&people, fewest) || told.iter().any(is_near) {
                                true => self.hide(shown, domain, *row, Why::Difference),
                                false => of_set.push(people),
                            }
                        }
                        told.append(&mut of_set);
                    }
                }
            });
        }
    }

    /// All that is shown of a grouping set together is a cell as well: a total less these is what is not shown.
    pub(super) fn guard_whole(&self, made: &Made<'_>, sitting: &Sitting, shown: &mut Shown) {
        for (table, protection) in self.protections.iter().enumerate() {
            for (domain, column) in self.guarded(table) {
                for rows in self.sets(made).values() {
                    sitting.ledger.published(&sitting.caller, &protection.dataset, |published| {
                        while let Some((whole, least)) = self.visible(made, shown, domain, column, rows) {
                            let whole = published.set(&whole);
                            if !published.differs_by_few(&whole, protection.fewest()) {
                                published.add(whole);
                                break;
                            }
                            self.hide(shown, domain, least, Why::Complement);
                        }
                    });
                }
            }
        }
    }

    /// What is shown of rows together, and which of them has the fewest people; None where all is shown, or nothing.
    fn visible(
        &self,
        made: &Made<'_>,
        shown: &Shown,
        domain: usize,
        column: usize,
        rows: &[usize],
    ) -> Option<(Cell, usize)> {
        let (visible, hidden): (Vec<usize>, Vec<usize>) =
            rows.iter().filter(|row| !made.is_empty(domain, **row)).partition(|row| self.shows(shown, domain, **row));
        if hidden.is_empty() {
            return None;
        }
        let mut whole = Cell::new();
        for (person, has) in visible.iter().flat_map(|row| made.cell(column, *row)) {
            let sum = whole.entry(person).or_default();
            *sum = sum.wrapping_add(has);
        }
        let least = visible.into_iter().min_by_key(|row| people_of(made.bytes(column, *row)).len())?;
        Some((whole, least))
    }

    /// Remembers the cells that are shown, and those that would have told others.
    pub(super) fn publish(&self, made: &Made<'_>, sitting: &Sitting, shown: &Shown) {
        for (table, protection) in self.protections.iter().enumerate() {
            for (domain, column) in self.guarded(table) {
                sitting.ledger.published(&sitting.caller, &protection.dataset, |published| {
                    for row in (0..made.rows()).filter(|row| !made.is_empty(domain, *row)) {
                        let is_complement = self.of(domain).any(|at| shown.hidden[at][row] == Some(Why::Complement));
                        let is_shown = self.shows(shown, domain, row);
                        if is_shown || is_complement {
                            let people = published.set(&made.cell(column, row));
                            if is_shown { published.add(people) } else { published.withhold(people) }
                        }
                    }
                });
            }
        }
    }

    /// The domains of which all people of a table are known, with their columns.
    fn guarded(&self, table: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.domains.iter().enumerate().filter_map(move |(domain, of)| match of.people.get(table) {
            Some(Set::All(column)) => Some((domain, *column)),
            _ => None,
        })
    }
}

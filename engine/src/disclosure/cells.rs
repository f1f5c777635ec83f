//! The cells of an answer, each with what it is made of, and what of them is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter_record_batch, nullif};
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::common::{Result, ScalarValue};

use super::ledger::Cell;
use super::node::Sitting;
use super::rounding::{rounded, without_interval};
use super::units::{contributions_of, people_of, units_of};
use super::{Protection, complement, fingerprint};

/// The columns of a batch of cells: keys, then figures, then what they are made of.
#[derive(Debug)]
pub(super) struct Cells {
    pub(super) keys: usize,
    pub(super) values: Vec<Value>,
    /// The column that tells of which grouping set a row is.
    pub(super) grouping: Option<usize>,
    /// The first one is the whole group.
    pub(super) domains: Vec<Domain>,
    /// The columns with the rows of a group, as far as they may leave one by one: of each table, where there are groups.
    pub(super) rows: Vec<usize>,
    /// Of each table that the rows are from.
    pub(super) protections: Vec<Arc<Protection>>,
    /// A number for what was asked.
    pub(super) question: u64,
}

/// A column of the people of a table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Set {
    /// All of them, each with what it has.
    All(usize),
    /// So many that it can be told whether they are enough.
    Enough(usize),
    /// The domain is one of another table.
    Open,
}

/// A column that tells how many rows there are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Base {
    /// That does not matter.
    Open,
    Count(usize),
    /// Different ones, where one may stand in several.
    Different(usize),
}

/// A part of each group, with columns for each table.
#[derive(Debug, Default)]
pub(super) struct Domain {
    pub(super) people: Vec<Set>,
    pub(super) base: Vec<Base>,
}

/// A figure.
#[derive(Debug, Default)]
pub(super) struct Value {
    /// As it was asked for.
    pub(super) call: String,
    /// The parts of the group that it tells of, the one that it is over first.
    pub(super) domains: Vec<usize>,
    /// It says nothing of people.
    pub(super) is_open: bool,
    pub(super) is_total: bool,
    pub(super) is_survey: bool,
    /// Sets of people who have a value, for each table, and how many it takes where the figure is somebody's value.
    pub(super) ranks: Vec<(usize, u64)>,
    pub(super) raw: Option<Raw>,
    /// Sets of people of whom there is a value, each with the number of its table.
    pub(super) parts: Vec<(usize, usize)>,
    /// What each person adds.
    pub(super) contributions: Vec<(usize, usize)>,
}

/// A figure that is as good as a row.
#[derive(Debug)]
pub(super) enum Raw {
    /// One value.
    Value,
    /// All values of these rows.
    Rows(Vec<usize>),
}

/// Why something is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    Few,
    Dominated,
    Extreme,
    Complement,
    Difference,
    Raw,
}

impl Why {
    fn sentence(self, count: usize) -> String {
        let (figures, is) = if count == 1 { ("figure", "is") } else { ("figures", "are") };
        let why = match self {
            Why::Few => "few people or rows",
            Why::Dominated => "people of whom few make up most",
            Why::Extreme => "a place in the order that few people take",
            Why::Complement => "what would tell another one that is not shown",
            Why::Difference => "people who differ in few from those of an earlier answer",
            Why::Raw => "single rows, of which no more are shown today",
        };
        format!("{count} {figures} {is} not shown: of {why}.")
    }
}

/// What is shown of a batch of cells.
pub(super) struct Shown {
    /// By figure, then by row: why it is not.
    pub(super) hidden: Vec<Vec<Option<Why>>>,
    /// Rows that are left out.
    dropped: Vec<bool>,
}

impl Shown {
    pub(super) fn is(&self, value: usize, row: usize) -> bool {
        self.hidden[value][row].is_none()
    }

    pub(super) fn hide(&mut self, value: usize, row: usize, why: Why) {
        self.hidden[value][row].get_or_insert(why);
    }
}

/// A batch, and what it is made of.
pub(super) struct Made<'a> {
    pub(super) cells: &'a Cells,
    pub(super) batch: &'a RecordBatch,
}

impl Made<'_> {
    pub(super) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    pub(super) fn bytes(&self, column: usize, row: usize) -> &[u8] {
        self.batch.column(column).as_binary::<i64>().value(row)
    }

    fn units(&self, column: usize, row: usize) -> impl ExactSizeIterator<Item = u64> + '_ {
        units_of(self.bytes(column, row))
    }

    /// How many people of a table a domain has, as far as that matters.
    pub(super) fn people(&self, domain: usize, table: usize, row: usize) -> u64 {
        match self.cells.domains[domain].people[table] {
            Set::All(column) => people_of(self.bytes(column, row)).len() as u64,
            Set::Enough(column) => self.units(column, row).len() as u64,
            Set::Open => 0,
        }
    }

    /// How many of its rows; None where it does not matter.
    fn base(&self, domain: usize, table: usize, row: usize) -> Option<u64> {
        match self.cells.domains[domain].base[table] {
            Base::Open => None,
            Base::Different(column) => Some(self.units(column, row).len() as u64),
            Base::Count(column) => {
                let counts = self.batch.column(column).as_primitive::<Int64Type>();
                Some(if counts.is_valid(row) { counts.value(row).max(0).unsigned_abs() } else { 0 })
            }
        }
    }

    pub(super) fn is_empty(&self, domain: usize, row: usize) -> bool {
        (0..self.cells.protections.len()).all(|table| self.people(domain, table, row) == 0)
    }

    /// Nobody is few as well: who can tell the one from the other asks whether there is somebody.
    fn is_of_few(&self, domain: usize, row: usize) -> bool {
        let is_of = |table: &usize| !matches!(self.cells.domains[domain].people[*table], Set::Open);
        self.cells.protections.iter().enumerate().filter(|(table, _)| is_of(table)).any(|(table, protection)| {
            let people = self.people(domain, table, row);
            let fewest = if protection.is_strict() { protection.fewest() } else { 0 };
            people < fewest
                // One alone is a row, where nothing else is asked for.
                || (people == 1 && fewest < 2)
                || self.base(domain, table, row).is_some_and(|base| base < protection.min_base)
        })
    }

    fn hidden(&self, value: &Value, row: usize) -> Option<Why> {
        if value.is_open {
            return None;
        }
        let protections = &self.cells.protections;
        let is_small_part = |(table, column): &(usize, usize)| {
            let people = self.units(*column, row).len() as u64;
            people > 0 && people < protections[*table].fewest()
        };
        let is_of_few = self.is_of_few(0, row) || value.domains.iter().any(|domain| self.is_of_few(*domain, row));
        if is_of_few || value.parts.iter().any(is_small_part) {
            return Some(Why::Few);
        }
        if value.ranks.iter().any(|(column, wanted)| (self.units(*column, row).len() as u64) < *wanted) {
            return Some(Why::Extreme);
        }
        let is_dominated = |(table, column): &(usize, usize)| {
            is_dominated(&contributions_of(self.bytes(*column, row)), &protections[*table])
        };
        value.contributions.iter().any(is_dominated).then_some(Why::Dominated)
    }

    /// The people of a guarded table, each with what it has.
    pub(super) fn cell(&self, column: usize, row: usize) -> Cell {
        people_of(self.bytes(column, row)).collect()
    }
}

/// Whether few make up most of a total. `parts`: the whole, and then its largest parts.
fn is_dominated(parts: &[f64], protection: &Protection) -> bool {
    let Some((whole, largest)) = parts.split_first() else { return false };
    if *whole <= 0.0 {
        return false;
    }
    let by_share = protection.dominance.iter().any(|rule| {
        let top: f64 = largest.iter().take(rule.n).sum();
        top > whole * rule.percent / 100.0
    });
    let first = largest.first().copied().unwrap_or_default();
    let second = largest.get(1).copied().unwrap_or_default();
    let by_rest = protection.p_percent.is_some_and(|percent| whole - first - second < first * percent / 100.0);
    by_share || by_rest
}

impl Cells {
    /// What may be seen of a batch of cells.
    pub(super) fn judge(&self, batch: &RecordBatch, sitting: &Sitting, schema: &SchemaRef) -> Result<RecordBatch> {
        let made = Made { cells: self, batch };
        let rows = made.rows();
        let hidden = self.values.iter().map(|value| (0..rows).map(|row| made.hidden(value, row)).collect());
        let mut shown = Shown { hidden: hidden.collect(), dropped: vec![false; rows] };
        self.guard(&made, sitting, &mut shown);
        if let Some(grouping) = self.grouping {
            complement::within(&made, grouping, &mut shown)?;
        }
        self.guard_whole(&made, sitting, &mut shown);
        self.publish(&made, sitting, &shown);
        self.count_raw(&made, sitting, &mut shown)?;
        self.say(&shown, sitting);
        self.output(&made, &shown, schema)
    }

    /// The rows of each grouping set.
    pub(super) fn sets(&self, made: &Made<'_>) -> BTreeMap<i64, Vec<usize>> {
        let mut sets: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for row in 0..made.rows() {
            sets.entry(complement::set_of(made.batch, self.grouping, row)).or_default().push(row);
        }
        sets
    }

    /// The figures that tell of a domain.
    pub(super) fn of(&self, domain: usize) -> impl Iterator<Item = usize> + '_ {
        let values = self.values.iter().enumerate();
        values.filter(move |(_, value)| value.domains.contains(&domain)).map(|(at, _)| at)
    }

    pub(super) fn shows(&self, shown: &Shown, domain: usize, row: usize) -> bool {
        // Keys without figures are shown with their group.
        let has_no_figures = || domain == 0 && !self.values.iter().any(|value| !value.is_open);
        self.of(domain).any(|at| shown.is(at, row)) || has_no_figures()
    }

    pub(super) fn hide(&self, shown: &mut Shown, domain: usize, row: usize, why: Why) {
        self.of(domain).for_each(|at| shown.hide(at, row, why));
    }

    /// What is as good as a row, counts as one: a single value, and each row of a group of few people, since its keys tell of
    /// them.
    fn count_raw(&self, made: &Made<'_>, sitting: &Sitting, shown: &mut Shown) -> Result<()> {
        let Sitting { ledger, caller, .. } = sitting;
        for row in 0..made.rows() {
            let is_few = made.is_of_few(0, row);
            for (table, protection) in self.protections.iter().enumerate() {
                let (name, most) = (protection.full_name(), protection.raw_rows);
                if let Some(rows) = self.rows.get(table).filter(|_| is_few) {
                    let people = made.people(0, table, row);
                    // Of more than that it is not known who they are.
                    let is_known = people > 0 && people < protection.fewest();
                    let rows = made.units(*rows, row);
                    shown.dropped[row] |= !is_known || !ledger.admits(caller, &name, rows, most);
                    continue;
                }
                for (at, value) in self.values.iter().enumerate() {
                    if !shown.is(at, row) {
                        continue;
                    }
                    let is_admitted = match &value.raw {
                        None => true,
                        Some(Raw::Value) => {
                            let of = ScalarValue::try_from_array(made.batch.column(self.keys + at), row)?;
                            let asked = format!("{} {} {row} {of}", self.question, value.call);
                            let number = fingerprint::of_text(&asked, ledger.seed);
                            ledger.admits(caller, &name, std::iter::once(number), most)
                        }
                        Some(Raw::Rows(sets)) => ledger.admits(caller, &name, made.units(sets[table], row), most),
                    };
                    if !is_admitted {
                        shown.hide(at, row, Why::Raw);
                    }
                }
            }
        }
        Ok(())
    }

    fn say(&self, shown: &Shown, sitting: &Sitting) {
        let mut counts: BTreeMap<Why, usize> = BTreeMap::new();
        for why in shown.hidden.iter().flat_map(|rows| rows.iter().zip(&shown.dropped)) {
            if let (Some(why), false) = why {
                *counts.entry(*why).or_default() += 1;
            }
        }
        for (why, count) in &counts {
            sitting.notices.say(why.sentence(*count));
        }
        // Said always: where nothing is left out, nobody learns from that.
        if self.keys > 0 {
            sitting
                .notices
                .say("Groups of few people are left out, since their names would tell who they are.".to_owned());
        }
        for protection in self.protections.iter().filter(|protection| protection.is_strict()) {
            let rows = match protection.min_base {
                0 | 1 => String::new(),
                base => format!(" and {base} rows"),
            };
            sitting.notices.say(format!(
                "Figures of {} are of at least {} people{rows} ({}).",
                protection.full_name(),
                protection.fewest(),
                protection.names.join(", ")
            ));
        }
    }

    fn output(&self, made: &Made<'_>, shown: &Shown, schema: &SchemaRef) -> Result<RecordBatch> {
        let base = self.protections.iter().filter_map(|protection| protection.round_to).reduce(f64::max);
        let keys = made.batch.columns()[..self.keys].iter().map(|key| Ok(Arc::clone(key)));
        let values = self.values.iter().enumerate().map(|(at, value)| {
            let column = made.batch.column(self.keys + at);
            let column = match base {
                Some(base) => rounded(column, value, base)?,
                None => Arc::clone(column),
            };
            let column = match value.is_survey && !value.ranks.is_empty() {
                true => without_interval(&column)?,
                false => column,
            };
            let hidden: BooleanArray = shown.hidden[at].iter().map(|why| Some(why.is_some())).collect();
            Ok(nullif(&column, &hidden)?)
        });
        let columns = keys.chain(values).collect::<Result<Vec<_>>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(made.rows()));
        let all = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &rows)?;
        let kept: BooleanArray = shown.dropped.iter().map(|is_dropped| Some(!is_dropped)).collect();
        Ok(filter_record_batch(&all, &kept)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disclosure::Dominance;

    fn protection(dominance: Option<Dominance>, p_percent: Option<f64>) -> Protection {
        let mut protection =
            Protection::of(&[], &crate::Dataset { is_sensitive: true, ..crate::Dataset::default() }, "t").unwrap();
        protection.dominance.extend(dominance);
        protection.p_percent = p_percent;
        protection
    }

    #[test]
    fn few_who_make_up_most_dominate() {
        let rule = protection(Some(Dominance { n: 2, percent: 75.0 }), None);
        assert!(is_dominated(&[100.0, 50.0, 30.0], &rule));
        assert!(!is_dominated(&[100.0, 50.0, 25.0, 25.0], &rule));
        assert!(!is_dominated(&[0.0], &rule));
        assert!(!is_dominated(&[], &rule));
    }

    #[test]
    fn what_remains_must_hide_the_largest() {
        let rule = protection(None, Some(10.0));
        // The second largest knows the first to within 100 - 60 - 35 = 5, which is under 10% of 60.
        assert!(is_dominated(&[100.0, 60.0, 35.0], &rule));
        assert!(!is_dominated(&[100.0, 60.0, 30.0], &rule));
        assert!(is_dominated(&[60.0, 60.0], &rule));
    }
}

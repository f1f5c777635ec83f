//! Numbers for the pairs of a unit and a group that occur: by a table while most pairs do, else by a map.

use std::collections::HashMap;

use datafusion::common::hash_utils::RandomState;
use datafusion::common::{Result, resources_datafusion_err};

/// A table of so many slots is no burden, however few of them are used.
const SMALL: usize = 1 << 19;
/// Slots that a table may have for each pair, before a map takes less memory.
const MOST_PER_PAIR: usize = 8;
/// Slots for each pair at which a map gives way to a table again.
const FEW_PER_PAIR: usize = 4;

/// The number of a pair whose slot is empty.
const NEW: usize = u32::MAX as usize;

/// The pairs so far, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub(super) units: Vec<u32>,
    pub(super) groups: Vec<u32>,
    lookup: Lookup,
}

#[derive(Debug)]
enum Lookup {
    /// A slot for each pair there can be, with its number plus 1: of the unit's row, the group's column.
    Table {
        columns: usize,
        slots: Vec<u32>,
    },
    Map(HashMap<(u32, u32), u32, RandomState>),
}

impl Default for Lookup {
    fn default() -> Self {
        Lookup::Table { columns: 1, slots: Vec::new() }
    }
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.units.len()
    }

    pub(super) fn size(&self) -> usize {
        let pairs = self.units.capacity() + self.groups.capacity();
        let lookup = match &self.lookup {
            Lookup::Table { slots, .. } => slots.capacity(),
            // Two numbers of the pair, its own, and what the map needs beside them.
            Lookup::Map(map) => map.capacity() * 4,
        };
        (pairs + lookup) * size_of::<u32>()
    }

    /// The number of each row's pair, of the `all_units` and `all_groups` that there are so far.
    ///
    /// # Errors
    /// `out_of_memory` where there are more than four billion pairs.
    pub(super) fn number(
        &mut self,
        (units, all_units): (&[usize], usize),
        (groups, all_groups): (&[usize], usize),
        numbers: &mut Vec<usize>,
    ) -> Result<()> {
        self.fit(all_units, all_groups);
        numbers.clear();
        let (known_units, known_groups) = (&mut self.units, &mut self.groups);
        let mut add = |unit: usize, group: usize| {
            let (unit, group) = (u32::try_from(unit).ok()?, u32::try_from(group).ok()?);
            known_units.push(unit);
            known_groups.push(group);
            u32::try_from(known_units.len()).ok()
        };
        let too_many = || resources_datafusion_err!("there are too many pairs of a unit and a group to number them");
        match &mut self.lookup {
            Lookup::Table { columns, slots } => {
                // Without a branch for each row, so that none waits for the memory of another; then those that are new.
                let place = |(unit, group): (&usize, &usize)| unit * *columns + group;
                let number = |pair| slots.get(place(pair)).map_or(NEW, |slot| slot.wrapping_sub(1) as usize);
                let mut are_known = true;
                numbers.extend(units.iter().zip(groups).map(|pair| {
                    let number = number(pair);
                    are_known &= number != NEW;
                    number
                }));
                if are_known {
                    return Ok(());
                }
                for (row, number) in numbers.iter_mut().enumerate().filter(|(_, number)| **number == NEW) {
                    let slot = &mut slots[units[row] * *columns + groups[row]];
                    if *slot == 0 {
                        *slot = add(units[row], groups[row]).ok_or_else(too_many)?;
                    }
                    *number = *slot as usize - 1;
                }
            }
            Lookup::Map(map) => {
                numbers.reserve(units.len());
                for (unit, group) in units.iter().zip(groups) {
                    let pair =
                        (u32::try_from(*unit).map_err(|_| too_many())?, u32::try_from(*group).map_err(|_| too_many())?);
                    let number = match map.get(&pair) {
                        Some(number) => *number,
                        None => {
                            let number = add(*unit, *group).ok_or_else(too_many)?;
                            map.insert(pair, number);
                            number
                        }
                    };
                    numbers.push(number as usize - 1);
                }
            }
        }
        Ok(())
    }

    /// Makes room for the pairs of so many units and groups.
    fn fit(&mut self, units: usize, groups: usize) {
        let columns = match &self.lookup {
            Lookup::Table { columns, .. } if *columns >= groups => *columns,
            // A quarter more than before, so that a new group now and then does not make a new table each time.
            Lookup::Table { columns, .. } => groups.max(columns + columns / 4),
            Lookup::Map(_) => groups,
        };
        let wanted = units.saturating_mul(columns);
        let (most, few) = (SMALL.max(MOST_PER_PAIR * self.len()), SMALL.max(FEW_PER_PAIR * self.len()));
        match &mut self.lookup {
            Lookup::Table { columns: known, slots } if *known == columns && slots.len() >= wanted => {}
            Lookup::Table { columns: known, slots } if *known == columns && wanted <= most => {
                slots.resize(wanted.max((2 * slots.len()).min(most)), 0);
            }
            Lookup::Table { .. } if wanted > most => self.lookup = self.map(),
            Lookup::Map(_) if wanted > few => {}
            Lookup::Table { .. } | Lookup::Map(_) => self.lookup = self.table(units, columns),
        }
    }

    fn table(&self, units: usize, columns: usize) -> Lookup {
        let mut slots = vec![0; units * columns];
        for (number, (unit, group)) in (1..).zip(self.units.iter().zip(&self.groups)) {
            slots[*unit as usize * columns + *group as usize] = number;
        }
        Lookup::Table { columns, slots }
    }

    fn map(&self) -> Lookup {
        let pairs = self.units.iter().copied().zip(self.groups.iter().copied());
        Lookup::Map(pairs.zip(1..).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_pair_has_one_number(rows in proptest::collection::vec((0_usize..9_000, 0_usize..700), 1..3_000), batch in 1_usize..900) {
            let (mut cells, mut numbers) = (Cells::default(), Vec::new());
            let mut known: HashMap<(usize, usize), usize> = HashMap::new();
            let (mut most_units, mut most_groups) = (0, 0);
            for rows in rows.chunks(batch) {
                let (units, groups): (Vec<_>, Vec<_>) = rows.iter().copied().unzip();
                most_units = units.iter().map(|unit| unit + 1).max().unwrap_or_default().max(most_units);
                most_groups = groups.iter().map(|group| group + 1).max().unwrap_or_default().max(most_groups);
                cells.number((&units, most_units), (&groups, most_groups), &mut numbers).unwrap();
                for (row, number) in rows.iter().zip(&numbers) {
                    let next = known.len();
                    prop_assert_eq!(*known.entry(*row).or_insert(next), *number);
                }
            }
            prop_assert_eq!(cells.len(), known.len());
        }
    }

    #[test]
    fn a_map_gives_way_to_a_table_once_most_pairs_are_there() {
        let (mut cells, mut numbers) = (Cells::default(), Vec::new());
        let (units, groups) = (2_000, 1_000);
        cells.number((&[units - 1], units), (&[groups - 1], groups), &mut numbers).unwrap();
        assert!(matches!(cells.lookup, Lookup::Map(_)));
        for unit in 0..units {
            let all: Vec<usize> = (0..groups).collect();
            cells.number((&vec![unit; groups], units), (&all, groups), &mut numbers).unwrap();
        }
        assert!(matches!(cells.lookup, Lookup::Table { .. }));
        assert_eq!((cells.len(), numbers.last()), (units * groups, Some(&0)));
    }
}

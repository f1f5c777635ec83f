//! The cells of an answer, each with what it is made of, and what of them is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, RecordBatchOptions, StructArray,
};
use arrow::compute::{cast, filter_record_batch, nullif};
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef};
use datafusion::common::{Result, ScalarValue};
use roaring::RoaringBitmap;

use super::node::Sitting;
use super::units::{contributions_of, units_of};
use super::{Protection, complement, fingerprint};

/// The columns of a batch of cells: keys, then figures, then what they are made of.
#[derive(Debug)]
pub(super) struct Cells {
    pub(super) keys: usize,
    pub(super) key_names: Vec<String>,
    pub(super) values: Vec<Value>,
    /// The column that tells of which grouping set a row is.
    pub(super) grouping: Option<usize>,
    /// The first one is the whole group.
    pub(super) domains: Vec<Domain>,
    /// Of each table that the rows are from.
    pub(super) protections: Vec<Arc<Protection>>,
}

/// A column of sets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Set {
    pub(super) column: usize,
    /// Whether it has all, and not only enough of them.
    pub(super) is_whole: bool,
}

/// A part of each group, with columns for each table.
#[derive(Debug, Default)]
pub(super) struct Domain {
    pub(super) people: Vec<Set>,
    /// How many rows there are.
    pub(super) rows: Vec<usize>,
    /// Sets of different rows, where one may stand in several.
    pub(super) base: Vec<Option<usize>>,
}

/// A figure.
#[derive(Debug, Default)]
pub(super) struct Value {
    pub(super) domain: usize,
    /// It says nothing of people.
    pub(super) is_open: bool,
    pub(super) is_total: bool,
    pub(super) is_survey: bool,
    /// The share of people below it, where it is somebody's value.
    pub(super) rank: Option<f64>,
    pub(super) raw: Option<Raw>,
    /// Sets of people that its argument tells apart, each with the number of its table.
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

    fn units(&self, column: usize, row: usize) -> impl ExactSizeIterator<Item = u64> + '_ {
        units_of(self.batch.column(column).as_binary::<i32>().value(row))
    }

    /// How many people of a table a domain has, as far as that matters.
    pub(super) fn people(&self, domain: usize, table: usize, row: usize) -> u64 {
        self.units(self.cells.domains[domain].people[table].column, row).len() as u64
    }

    /// How many of its rows.
    fn count(&self, domain: usize, table: usize, row: usize) -> u64 {
        let counts = self.batch.column(self.cells.domains[domain].rows[table]).as_primitive::<Int64Type>();
        if counts.is_valid(row) { counts.value(row).max(0).unsigned_abs() } else { 0 }
    }

    pub(super) fn is_empty(&self, domain: usize, row: usize) -> bool {
        (0..self.cells.protections.len()).all(|table| self.count(domain, table, row) == 0)
    }

    fn is_of_few(&self, domain: usize, row: usize) -> bool {
        self.cells.protections.iter().enumerate().any(|(table, protection)| {
            let count = self.count(domain, table, row);
            let base = self.cells.domains[domain].base[table];
            let base = base.map_or(count, |column| self.units(column, row).len() as u64);
            count > 0 && (base < protection.min_base || self.people(domain, table, row) < protection.fewest())
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
        if self.is_of_few(0, row) || self.is_of_few(value.domain, row) || value.parts.iter().any(is_small_part) {
            return Some(Why::Few);
        }
        let is_extreme = |share: f64| {
            let side = share.min(1.0 - share);
            protections.iter().enumerate().any(|(table, protection)| {
                let fewest = protection.fewest();
                let count = self.count(value.domain, table, row);
                fewest > 1 && count > 0 && (count as f64) * side < fewest as f64
            })
        };
        if value.rank.is_some_and(is_extreme) {
            return Some(Why::Extreme);
        }
        let is_dominated = |(table, column): &(usize, usize)| {
            let parts = contributions_of(self.batch.column(*column).as_binary::<i32>().value(row));
            is_dominated(&parts, &protections[*table])
        };
        value.contributions.iter().any(is_dominated).then_some(Why::Dominated)
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
        self.count_raw(&made, sitting, &mut shown)?;
        self.say(&shown, sitting);
        self.output(&made, &shown, schema)
    }

    /// Holds cells against those of earlier answers, and of the same one: neither may differ from another by few people.
    fn guard(&self, made: &Made<'_>, sitting: &Sitting, shown: &mut Shown) {
        for (table, domain) in self.guarded() {
            let protection = &self.protections[table];
            sitting.ledger.published(&sitting.caller, &protection.dataset, |published| {
                for rows in self.sets(made).values() {
                    let mut told = Vec::new();
                    for row in rows {
                        let people = self.people(made, sitting, domain, table, *row);
                        if people.is_empty() || !self.shows(shown, domain, *row) {
                            continue;
                        }
                        match published.differs_by_few(&people, protection.fewest()) {
                            true => self.hide(shown, domain, *row, Why::Difference),
                            false => told.push(people),
                        }
                    }
                    told.into_iter().for_each(|people| published.add(people));
                }
            });
        }
    }

    /// All that is shown of a group set together is a cell as well: a total less these is what is not shown.
    fn guard_whole(&self, made: &Made<'_>, sitting: &Sitting, shown: &mut Shown) {
        for (table, domain) in self.guarded() {
            let protection = &self.protections[table];
            for rows in self.sets(made).values() {
                let people = |row: &usize| self.people(made, sitting, domain, table, *row);
                let is_all = |shown: &Shown| {
                    rows.iter().all(|row| made.is_empty(domain, *row) || self.shows(shown, domain, *row))
                };
                sitting.ledger.published(&sitting.caller, &protection.dataset, |published| {
                    while !is_all(shown) {
                        let visible: Vec<usize> =
                            rows.iter().copied().filter(|row| self.shows(shown, domain, *row)).collect();
                        let whole: RoaringBitmap =
                            visible.iter().map(&people).fold(RoaringBitmap::new(), |all, some| all | some);
                        if !published.differs_by_few(&whole, protection.fewest()) {
                            published.add(whole);
                            break;
                        }
                        let fewest = visible.into_iter().min_by_key(|row| made.people(domain, table, *row));
                        let Some(row) = fewest else { break };
                        self.hide(shown, domain, row, Why::Complement);
                    }
                });
            }
        }
    }

    /// The tables and domains whose sets of people are known whole.
    fn guarded(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.domains.len()).flat_map(|domain| {
            let sets = self.domains[domain].people.iter().enumerate();
            sets.filter(|(_, set)| set.is_whole).map(move |(table, _)| (table, domain))
        })
    }

    fn people(&self, made: &Made<'_>, sitting: &Sitting, domain: usize, table: usize, row: usize) -> RoaringBitmap {
        let column = self.domains[domain].people[table].column;
        sitting.ledger.set(&self.protections[table].dataset, made.units(column, row))
    }

    /// The rows of each grouping set.
    fn sets(&self, made: &Made<'_>) -> BTreeMap<i64, Vec<usize>> {
        let mut sets: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for row in 0..made.rows() {
            sets.entry(complement::set_of(made.batch, self.grouping, row)).or_default().push(row);
        }
        sets
    }

    fn shows(&self, shown: &Shown, domain: usize, row: usize) -> bool {
        let of = |value: &Value| !value.is_open && value.domain == domain;
        let is_any = self.values.iter().enumerate().any(|(at, value)| of(value) && shown.is(at, row));
        // Keys without figures are shown with their group.
        is_any || (domain == 0 && !self.values.iter().any(|value| !value.is_open))
    }

    fn hide(&self, shown: &mut Shown, domain: usize, row: usize, why: Why) {
        for (at, value) in self.values.iter().enumerate() {
            if !value.is_open && value.domain == domain {
                shown.hide(at, row, why);
            }
        }
    }

    /// What is as good as a row, counts as one: a cell of one person, a single value, and the keys of a cell of few.
    fn count_raw(&self, made: &Made<'_>, sitting: &Sitting, shown: &mut Shown) -> Result<()> {
        let Sitting { ledger, caller, .. } = sitting;
        for row in 0..made.rows() {
            let is_few = made.is_of_few(0, row);
            if is_few && self.keys > 0 {
                let keys = self.key_text(made, row)?;
                let number = fingerprint::of_text(&keys, ledger.seed);
                let admits = |protection: &Arc<Protection>| {
                    let table = format!("keys of {}", protection.full_name());
                    ledger.admits(caller, &table, std::iter::once(number), protection.raw_rows)
                };
                shown.dropped[row] = !self.protections.iter().all(admits);
                continue;
            }
            for (table, protection) in self.protections.iter().enumerate() {
                let name = protection.full_name();
                let one = match protection.fewest() < 2 && made.people(0, table, row) == 1 {
                    true => made.units(self.domains[0].people[table].column, row).next(),
                    false => None,
                };
                if let Some(person) = one
                    && !ledger.admits(caller, &name, std::iter::once(person), protection.raw_rows)
                {
                    shown.dropped[row] = self.keys > 0;
                    (0..self.values.len()).for_each(|value| shown.hide(value, row, Why::Raw));
                }
                for (at, value) in self.values.iter().enumerate() {
                    if !shown.is(at, row) || shown.dropped[row] {
                        continue;
                    }
                    let most = protection.raw_rows;
                    let is_admitted = match &value.raw {
                        None => true,
                        Some(Raw::Value) => {
                            let value = ScalarValue::try_from_array(made.batch.column(self.keys + at), row)?;
                            let number = fingerprint::of_text(&format!("value {value}"), ledger.seed);
                            value.is_null() || ledger.admits(caller, &name, std::iter::once(number), most)
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

    fn key_text(&self, made: &Made<'_>, row: usize) -> Result<String> {
        let keys = (0..self.keys).map(|key| {
            let value = ScalarValue::try_from_array(made.batch.column(key), row)?;
            Ok(format!("{}={value}", self.key_names[key]))
        });
        Ok(keys.collect::<Result<Vec<_>>>()?.join("\u{1f}"))
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
        if shown.dropped.contains(&true) {
            sitting
                .notices
                .say("Groups of few people are left out, since their names would tell who they are.".to_owned());
        }
        let is_any = !counts.is_empty() || shown.dropped.contains(&true);
        for protection in self.protections.iter().filter(|_| is_any) {
            let Protection { min_base, min_people, .. } = protection.as_ref();
            sitting.notices.say(format!(
                "Figures of {} are of at least {} people and {} rows ({}).",
                protection.full_name(),
                (*min_people).max(1),
                (*min_base).max(1),
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

/// Counts and totals to the nearest multiple of `base`; of an estimate also its numbers of cases.
fn rounded(column: &ArrayRef, value: &Value, base: f64) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Struct(fields) if value.is_survey => {
            let of = column.as_struct();
            let rounded = fields.iter().zip(of.columns()).map(|(field, part)| {
                let is_rounded = match field.name().as_str() {
                    "estimate" | "ci_low" | "ci_high" => value.is_total,
                    name => matches!(name, "n" | "n_people"),
                };
                if is_rounded { to_multiples(part, base) } else { Ok(Arc::clone(part)) }
            });
            let parts = rounded.collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), parts, of.nulls().cloned())?))
        }
        numeric if value.is_total && numeric.is_numeric() => to_multiples(column, base),
        _ => Ok(Arc::clone(column)),
    }
}

fn to_multiples(column: &ArrayRef, base: f64) -> Result<ArrayRef> {
    let numbers = cast(column, &DataType::Float64)?;
    let numbers = numbers.as_primitive::<Float64Type>();
    let rounded: Float64Array = numbers.iter().map(|number| Some((number? / base).round() * base)).collect();
    Ok(cast(&rounded, column.data_type())?)
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

    #[test]
    fn multiples_are_the_nearest_ones() {
        let column: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![Some(12), Some(13), None, Some(-3)]));
        let rounded = to_multiples(&column, 5.0).unwrap();
        let expected = arrow::array::Int64Array::from(vec![Some(10), Some(15), None, Some(-5)]);
        assert_eq!(rounded.as_primitive::<Int64Type>(), &expected);
    }
}

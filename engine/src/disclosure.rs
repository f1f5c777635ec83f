//! Disclosure control: what an answer may say of few people, however it was asked for.
//!
//! The plan is walked from its tables up. What is not yet an aggregate over people carries, unseen, whose row it is; at the
//! innermost aggregate over people each cell is judged, and what must not be shown becomes NULL there, so that HAVING, ORDER
//! BY and all that comes above never meet it. Rows that leave as they are, are counted.

mod aggregate;
mod arguments;
mod cells;
mod complement;
mod domains;
mod exec;
mod failures;
mod fingerprint;
mod guard;
mod joins;
mod ledger;
mod node;
mod rewrite;
mod rounding;
mod rows;
mod subquery;
mod unions;
mod unique;
mod units;
mod verify;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use crate::policy::Place;

pub(crate) use exec::DisclosurePlanner;
pub(crate) use failures::Failures;
pub(crate) use ledger::Ledger;
pub(crate) use rewrite::{Asked, protect};
pub(crate) use unique::UniquePlanner;
pub(crate) use verify::verify;

/// Rows that leave as they are, where nothing else is declared.
const RAW_ROWS: u64 = 5;

/// What answers may say of few people, as a policy file declares it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclosure {
    /// Its name, as receipts and notices show it.
    pub name: String,
    /// Datasets, and tables as `dataset.table` or `dataset.schema.table`.
    pub on: Vec<String>,
    /// Roles it binds; empty = everyone but admins.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// Roles whose holders it does not bind.
    #[serde(default)]
    pub except: BTreeSet<String>,
    /// The column that tells people apart; None = the unit of the declared weights, and without one each row is somebody.
    #[serde(default)]
    pub people: Option<String>,
    /// Rows that leave as they are, per answer, and different ones per caller, table and day; None = 5.
    #[serde(default)]
    pub raw_rows: Option<u64>,
    /// The fewest rows that a cell is made of.
    #[serde(default)]
    pub min_base: u64,
    /// The fewest people that a cell is made of.
    #[serde(default)]
    pub min_people: u64,
    /// Sums and means of which few people make up most are not shown.
    #[serde(default)]
    pub dominance: Option<Dominance>,
    /// Sums and means from which the second largest contributor could tell the largest to within so many percent are not shown.
    #[serde(default)]
    pub p_percent: Option<f64>,
    /// Counts and totals are rounded to multiples of it.
    #[serde(default)]
    pub round_to: Option<f64>,
    /// The columns whose single values say something; None = all of them.
    #[serde(default)]
    pub sensitive: Option<BTreeSet<String>>,
    /// Whether a cell that differs from an earlier one by fewer than `min_people` people is refused.
    #[serde(default = "yes")]
    pub differencing: bool,
    /// Where it stands.
    #[serde(skip)]
    pub place: Option<Place>,
}

/// The (n, k) rule.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dominance {
    /// So many of the largest contributors ..
    pub n: usize,
    /// .. must not make up more of a total than so many percent.
    pub percent: f64,
}

impl Disclosure {
    /// What of it makes no sense: the key, and why.
    pub fn faults(&self) -> Vec<(&'static str, &'static str)> {
        let is_share = |percent: f64| percent > 0.0 && percent <= 100.0;
        let checks = [
            ("on", self.on.is_empty(), "it names no dataset or table"),
            ("dominance.n", self.dominance.is_some_and(|rule| rule.n == 0 || rule.n > 32), "it is from 1 to 32"),
            ("dominance.percent", self.dominance.is_some_and(|rule| !is_share(rule.percent)), "it is from 0 to 100"),
            ("p_percent", self.p_percent.is_some_and(|percent| !is_share(percent)), "it is from 0 to 100"),
            ("round_to", self.round_to.is_some_and(|base| !(base.is_finite() && base > 0.0)), "it is over 0"),
        ];
        checks.into_iter().filter(|(_, is_wrong, _)| *is_wrong).map(|(key, _, why)| (key, why)).collect()
    }
}

fn yes() -> bool {
    true
}

/// All that binds a caller on one table: of several rules, the strictest of each kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Protection {
    /// The names of the rules.
    pub(crate) names: Vec<String>,
    pub(crate) dataset: String,
    /// The table, after `dataset.`.
    pub(crate) table: String,
    pub(crate) people: Option<String>,
    /// The same column, where its values are shown such that they tell people apart.
    pub(crate) key: Option<String>,
    pub(crate) raw_rows: u64,
    pub(crate) min_base: u64,
    pub(crate) min_people: u64,
    pub(crate) dominance: Vec<Dominance>,
    pub(crate) p_percent: Option<f64>,
    pub(crate) round_to: Option<f64>,
    pub(crate) sensitive: Option<BTreeSet<String>>,
    pub(crate) differencing: bool,
}

impl Protection {
    /// What `rules` say together; None where there are none and the dataset is not sensitive.
    pub(crate) fn of(rules: &[Arc<Disclosure>], dataset: &crate::Dataset, table: &str) -> Option<Self> {
        if rules.is_empty() && !dataset.is_sensitive {
            return None;
        }
        let most = |of: fn(&Disclosure) -> u64| rules.iter().map(|rule| of(rule)).max().unwrap_or_default();
        let unit = dataset.weights.as_ref().and_then(|weights| weights.unit.clone());
        let people = rules.iter().find_map(|rule| rule.people.clone()).or(unit);
        let of_dataset = dataset.is_sensitive.then_some(RAW_ROWS);
        let own = rules.iter().map(|rule| rule.raw_rows.unwrap_or(RAW_ROWS));
        let sensitive = rules.iter().map(|rule| rule.sensitive.as_ref()).collect::<Option<Vec<_>>>();
        Some(Self {
            names: match rules {
                [] => vec!["sensitive".to_owned()],
                rules => rules.iter().map(|rule| rule.name.clone()).collect(),
            },
            dataset: dataset.id.clone(),
            table: table.to_owned(),
            people: people.clone(),
            key: people,
            raw_rows: own.chain(of_dataset).min().unwrap_or(RAW_ROWS),
            min_base: most(|rule| rule.min_base),
            min_people: most(|rule| rule.min_people),
            dominance: rules.iter().filter_map(|rule| rule.dominance).collect(),
            p_percent: rules.iter().filter_map(|rule| rule.p_percent).reduce(f64::max),
            round_to: rules.iter().filter_map(|rule| rule.round_to).reduce(f64::max),
            sensitive: sensitive
                .filter(|lists| !lists.is_empty())
                .map(|lists| lists.into_iter().flatten().cloned().collect()),
            differencing: rules.iter().any(|rule| rule.differencing),
        })
    }

    /// The fewest people that a figure is of: one alone is as good as a row.
    fn fewest(&self) -> u64 {
        self.min_people.max(if self.people.is_none() { self.min_base } else { 0 }).max(2)
    }

    /// Whether figures are bound too, and not only rows.
    fn is_strict(&self) -> bool {
        self.min_people > 1 || self.min_base > 1 || self.limits_contributions()
    }

    /// Whether figures are held against those of earlier answers.
    fn is_guarded(&self) -> bool {
        self.is_strict() && self.differencing
    }

    /// What it says, for who asks what a policy does.
    pub(crate) fn words(&self) -> String {
        let people = match &self.people {
            Some(column) => format!("people by {column}"),
            None => "each row somebody".to_owned(),
        };
        let mut said = vec![format!("{} raw rows a day", self.raw_rows)];
        said.extend((self.min_people > 0).then(|| format!("figures of at least {} people", self.min_people)));
        said.extend((self.min_base > 0).then(|| format!("of at least {} rows", self.min_base)));
        said.extend(
            self.dominance
                .iter()
                .map(|rule| format!("no totals of which {} make up more than {}%", rule.n, rule.percent)),
        );
        said.extend(self.p_percent.map(|percent| format!("the largest contribution hidden to within {percent}%")));
        said.extend(self.round_to.map(|base| format!("counts and totals to multiples of {base}")));
        format!("{}: {} ({people})", self.names.join(" + "), said.join(", "))
    }

    fn limits_contributions(&self) -> bool {
        !self.dominance.is_empty() || self.p_percent.is_some()
    }

    fn is_sensitive(&self, column: &str) -> bool {
        self.sensitive.as_ref().is_none_or(|columns| columns.contains(column))
    }
}

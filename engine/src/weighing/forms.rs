//! What plain aggregates become where rows weigh: one line for each.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{AggregateUDF, Expr, lit};

use crate::weighted;
use crate::{Code, Error};

/// Aggregates that weights don't change.
const INDIFFERENT: &[&str] = &[
    "any_value",
    "array_agg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "first_value",
    "grouping",
    "last_value",
    "max",
    "min",
    "nth_value",
    "string_agg",
];

/// Aggregates of values, and their weighted forms.
const OF_VALUES: &[(&str, &str)] = &[
    ("approx_median", "weighted_median"),
    ("avg", "weighted_avg"),
    ("corr", "weighted_corr"),
    ("median", "weighted_median"),
    ("stddev", "weighted_stddev"),
    ("sum", "weighted_sum"),
    ("var", "weighted_variance"),
];

/// Aggregates that find the value at a share of the rows.
const OF_SHARES: &[&str] = &["approx_percentile_cont", "percentile_cont"];

/// A call of a plain aggregate.
#[derive(Debug)]
pub(super) struct Plain<'a> {
    pub(super) name: &'a str,
    pub(super) args: &'a [Expr],
    pub(super) is_distinct: bool,
    pub(super) filter: Option<&'a Expr>,
    pub(super) order_by: &'a [Sort],
}

/// Its weighted form.
pub(super) struct Weighted {
    pub(super) function: Arc<AggregateUDF>,
    pub(super) args: Vec<Expr>,
    pub(super) filter: Option<Expr>,
    /// Whose values count, to see whether a join multiplies them; none where units are counted, each once.
    pub(super) values: Option<Vec<Expr>>,
}

/// Whether weights would change what a function of this name says.
pub(super) fn is_plain(name: &str) -> bool {
    !INDIFFERENT.contains(&name) && !weighted::is_weighted(name)
}

impl Plain<'_> {
    /// What it becomes where rows weigh `weight`. `is_unit` tells what names a person. None where it stays as it is.
    ///
    /// # Errors
    /// `weight_required` where it has no weighted form.
    pub(super) fn weighted(
        &self,
        weight: &Expr,
        is_unit: impl Fn(&Expr) -> Result<bool, Error>,
    ) -> Result<Option<Weighted>, Error> {
        let of = |name: &str, own: &[Expr], filter: Option<Expr>, values: Option<Vec<Expr>>| {
            let function = weighted::function(name).ok_or_else(|| self.without_form())?;
            let args = own.iter().cloned().chain([weight.clone()]).collect();
            Ok(Some(Weighted { function, args, filter, values }))
        };
        let filter = self.filter.cloned();
        let form = OF_VALUES.iter().find(|(plain, _)| *plain == self.name).map(|(_, weighted)| *weighted);
        match (self.name, self.args) {
            // How many different values there are of anything but people is a fact of the sample.
            ("count", [unit]) if self.is_distinct => match is_unit(unit)? {
                true => of("reach", self.args, filter, None),
                false => Ok(None),
            },
            ("approx_distinct", [unit]) => match is_unit(unit)? {
                true => of("reach", self.args, filter, None),
                false => Ok(None),
            },
            ("count", _) if self.is_distinct => Ok(None),
            ("count", args) => {
                let is_number = |arg: &Expr| matches!(arg, Expr::Literal(value, _) if !value.is_null());
                let values: Vec<Expr> = args.iter().filter(|arg| !is_number(arg)).cloned().collect();
                let known = values.iter().map(|value| value.clone().is_not_null());
                let filter = filter.into_iter().chain(known).reduce(Expr::and);
                of("weighted_count", &[], filter, Some(values))
            }
            _ if self.is_distinct => Err(self.without_form()),
            (name, [value, share, ..]) if OF_SHARES.contains(&name) => {
                let is_descending = self.order_by.first().is_some_and(|order| !order.asc);
                let share = if is_descending { lit(1.0) - share.clone() } else { share.clone() };
                of("weighted_quantile", &[value.clone(), share], filter, Some(vec![value.clone()]))
            }
            (_, args) => match form {
                Some(weighted) => of(weighted, args, filter, Some(args.to_vec())),
                None => Err(self.without_form()),
            },
        }
    }

    /// The call, as an error names it.
    pub(super) fn written(&self) -> String {
        let distinct = if self.is_distinct { "DISTINCT " } else { "" };
        let is_all = self.name == "count" && self.args.iter().all(|arg| matches!(arg, Expr::Literal(..)));
        let args = if is_all {
            "*".to_owned()
        } else {
            self.args.iter().map(|arg| arg.schema_name().to_string()).collect::<Vec<_>>().join(", ")
        };
        format!("{}({distinct}{args})", self.name)
    }

    fn without_form(&self) -> Error {
        let message =
            format!("{} has no weighted form, and counts each row of a weighted sample once.", self.written());
        Error::new(Code::WeightRequired, message).hint(
            "The weighted functions (weighted_.., svy_..) are in the reference; or ask with apply_weights = false.",
        )
    }
}

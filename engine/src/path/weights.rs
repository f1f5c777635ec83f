//! A weighted sample is not counted plainly without anybody's knowing it: each person in it stands for many.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::{Code, Dataset, Error, Query, Weights, WeightsMode, weighted};

/// Plain aggregates that weights don't change.
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

/// Refuses a query whose plain aggregates would be wrong, or whose weights are not there.
///
/// # Errors
/// `weight_required`; `design_missing` and `unsupported_sql` where weights are asked for.
pub(super) fn check(plan: &LogicalPlan, datasets: &[Arc<Dataset>], query: &Query) -> Result<(), Error> {
    let declared = || datasets.iter().filter_map(|dataset| Some((dataset.id.as_str(), dataset.weights.as_ref()?)));
    let required = declared().find(|(_, weights)| weights.mode == WeightsMode::Required);
    if let (Some(false), Some((id, _))) = (query.apply_weights, required) {
        let message = format!("The weights of dataset \"{id}\" cannot be switched off.");
        return Err(Error::new(Code::WeightRequired, message).hint("Ask without apply_weights."));
    }
    if query.apply_weights == Some(true) && declared().next().is_none() {
        return Err(Error::new(Code::DesignMissing, "No dataset of this query declares weights to apply.").hint(
            "Write weighted_count(w), weighted_sum(x, w), weighted_avg(x, w) and their kin, with a column of weights.",
        ));
    }
    let wanted = declared().find(|(_, weights)| match query.apply_weights {
        Some(asked) => asked,
        None => weights.mode != WeightsMode::Offered,
    });
    let Some((id, weights)) = wanted else { return Ok(()) };
    match plain_aggregate(plan)? {
        Some(function) => Err(refusal(id, weights, &function)),
        None => Ok(()),
    }
}

/// A plain aggregate in a query that has no weighted one next to it.
fn plain_aggregate(plan: &LogicalPlan) -> Result<Option<String>, Error> {
    let weighted: Vec<String> = weighted::all().iter().map(|function| function.name().to_owned()).collect();
    let (mut plain, mut is_weighted) = (None, false);
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::AggregateFunction(function) = expr {
                    let name = function.func.name();
                    is_weighted |= weighted.iter().any(|weighted| weighted == name);
                    if !INDIFFERENT.contains(&name) {
                        plain.get_or_insert_with(|| name.to_owned());
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(plain.filter(|_| !is_weighted))
}

fn refusal(id: &str, weights: &Weights, function: &str) -> Error {
    let weight = &weights.weight;
    let mut hint = format!("Write weighted_count({weight}), weighted_sum(x, {weight}), weighted_avg(x, {weight})");
    if let Some(unit) = &weights.unit {
        hint.push_str(&format!(", reach({unit}, {weight})"));
    }
    hint.push_str(" or another weighted function");
    hint.push_str(match weights.mode {
        WeightsMode::Required => ".",
        WeightsMode::Default | WeightsMode::Offered => "; or ask with apply_weights = false for plain figures.",
    });
    let message = format!("Dataset \"{id}\" is a weighted sample, in which {function}() counts each row once.");
    Error::new(Code::WeightRequired, message).hint(hint)
}

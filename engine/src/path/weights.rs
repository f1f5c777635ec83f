//! A weighted sample is not counted plainly without anybody's knowing it: each person in it stands for many.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFunctionDefinition};

use crate::weighted::is_weighted;
use crate::{Code, Dataset, Error, Query, Weights, WeightsMode};

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

/// A plain aggregate over rows. One over weighted figures is fine, and so is a count next to a weighted figure: the
/// unweighted base.
fn plain_aggregate(plan: &LogicalPlan) -> Result<Option<String>, Error> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        let (weighted, plain) = functions(node)?;
        let refused = plain.into_iter().find(|name| name != "count" || weighted.is_empty());
        if let Some(name) = refused
            && !is_over_weighted(node)?
        {
            found = Some(name);
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The aggregates that a node itself makes, also as windows: weighted ones, and plain ones that weights would change.
fn functions(node: &LogicalPlan) -> Result<(Vec<String>, Vec<String>)> {
    let mut made = Vec::new();
    node.apply_expressions(|expr| {
        expr.apply(|expr| {
            match expr {
                Expr::AggregateFunction(function) => made.push(function.func.name().to_owned()),
                Expr::WindowFunction(function) => {
                    if let WindowFunctionDefinition::AggregateUDF(function) = &function.fun {
                        made.push(function.name().to_owned());
                    }
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    made.retain(|name| !INDIFFERENT.contains(&name.as_str()));
    Ok(made.into_iter().partition(|name| is_weighted(name)))
}

/// Whether what the node reads are weighted figures already.
fn is_over_weighted(node: &LogicalPlan) -> Result<bool> {
    let mut is_weighted = false;
    for input in node.inputs() {
        input.apply(|below| {
            is_weighted |= !functions(below)?.0.is_empty();
            Ok(if is_weighted { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
    }
    Ok(is_weighted)
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

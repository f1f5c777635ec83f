//! `label(column)` and `label_order(column)`: what a codebook says of a value, in SQL. They read it from the metadata of their
//! argument's field when a query is planned.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    self as datafusion_doc, ColumnarValue, Documentation, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;

use super::Meaning;
use super::lookup::{Lookup, Others, plain_type, read};

/// Every function, for a session to register.
pub(crate) fn all() -> impl Iterator<Item = Arc<ScalarUDF>> {
    [Says::Label, Says::Order].into_iter().map(|says| Label::of(says, &Meaning::default(), &DataType::Utf8))
}

/// What is said of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Says {
    Label,
    Order,
}

#[user_doc(
    doc_section(label = "Codes and labels"),
    description = "The label that the codebook of the dataset gives a value of the column; the value itself as text where it has none. NULL is NULL.",
    syntax_example = "label(column)",
    sql_example = "SELECT label(nccs), round(weighted_count(weight)) FROM panel.people GROUP BY nccs ORDER BY label_order(nccs)",
    argument(name = "column", description = "A column of a table, also through subqueries, joins and groups."),
    related_udf(name = "label_order")
)]
struct LabelPage;

#[user_doc(
    doc_section(label = "Codes and labels"),
    description = "The place of a value in the order that the codebook of the dataset gives the column, from 1. NULL where it has none.",
    syntax_example = "label_order(column)",
    sql_example = "SELECT label(nccs), round(weighted_count(weight)) FROM panel.people GROUP BY nccs ORDER BY label_order(nccs)",
    argument(name = "column", description = "A column of a table, or its label."),
    related_udf(name = "label")
)]
struct OrderPage;

/// One of the functions, for one column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Label {
    says: Says,
    lookup: Lookup,
    /// The labels in the order of their values.
    ordered: Vec<String>,
    signature: Signature,
}

impl Label {
    /// The function over a column of type `from` whose field says `meaning`.
    fn of(says: Says, meaning: &Meaning, from: &DataType) -> Arc<ScalarUDF> {
        let from = plain_type(from);
        let label = |value: &str| meaning.labels.get(value).and_then(|label| label.as_str());
        let (lookup, ordered) = match says {
            Says::Label => {
                let labels = meaning.labels.keys().filter_map(|value| Some((read(value, from)?, label(value)?.into())));
                let ordered = meaning.order.iter().map(|value| label(value).unwrap_or(value).to_owned()).collect();
                (Lookup { entries: labels.collect(), to: DataType::Utf8, others: Others::Stay }, ordered)
            }
            Says::Order => {
                let places = meaning.order.iter().zip(1_i64..);
                let places = places.filter_map(|(value, place)| Some((read(value, from)?, ScalarValue::from(place))));
                (Lookup { entries: places.collect(), to: DataType::Int64, others: Others::Null }, Vec::new())
            }
        };
        let signature = Signature::any(1, Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Self { says, lookup, ordered, signature }))
    }
}

impl ScalarUDFImpl for Label {
    fn name(&self) -> &str {
        match self.says {
            Says::Label => "label",
            Says::Order => "label_order",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.lookup.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let is_nullable = self.says == Says::Order || args.arg_fields.iter().any(|field| field.is_nullable());
        let meaning = Meaning { order: self.ordered.clone(), ..Meaning::default() };
        let field = Field::new(self.name(), self.lookup.to.clone(), is_nullable);
        Ok(Arc::new(field.with_metadata(meaning.metadata())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [column] => self.lookup.find(column),
            _ => internal_err!("a label is of one column"),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        match self.says {
            Says::Label => LabelPage.doc(),
            Says::Order => OrderPage.doc(),
        }
    }
}

/// `plan` with the labels of their columns in its calls, in subqueries too. Names and types of its columns stay.
///
/// # Errors
/// Those of walking a plan.
pub(crate) fn resolve(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !mentions_labels(&plan)? {
        return Ok(plan);
    }
    let resolved = plan.transform_up_with_subqueries(|node| {
        // Parents learn what the fields of their children say now.
        let node = node.recompute_schema()?;
        let schema = merge_schema(&node.inputs());
        let node = node.map_expressions(|expr| expr.transform_up(|expr| resolved(expr, &schema)))?;
        if node.transformed { node.map_data(LogicalPlan::recompute_schema) } else { Ok(node) }
    });
    resolved.data()
}

fn mentions_labels(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| Ok(label_call(expr).is_some()))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn label_call(expr: &Expr) -> Option<(&Label, &Expr)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    match call.args.as_slice() {
        [column] => Some((call.func.inner().downcast_ref::<Label>()?, column)),
        _ => None,
    }
}

fn resolved(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Some((label, column)) = label_call(&expr) else { return Ok(Transformed::no(expr)) };
    let (_, field) = column.to_field(schema)?;
    let function = Label::of(label.says, &Meaning::of(&field), field.data_type());
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![column.clone()]))))
}

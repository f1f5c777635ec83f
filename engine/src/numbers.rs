//! How numbers are written and divided: `0.1` is exact, `1e-1` is not, and a quotient of exact numbers has 16 decimals.
//!
//! SQL says so of literals, and a sum of money compared with `1234567.89` needs it. DataFusion would read every literal
//! with a point as a double, or, told otherwise, read no `1e300` and give `1.0 / 3` five decimals.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, cast};
use datafusion::optimizer::AnalyzerRule;
use datafusion::sql::sqlparser::ast::BinaryOperator;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// Reads numbers with an exponent as doubles, whatever their size: `1e300` becomes `DOUBLE '1e300'`.
pub(crate) fn approximate(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut read = Vec::with_capacity(tokens.len());
    for token in tokens {
        match token.token {
            Token::Number(number, _) if number.contains(['e', 'E']) => {
                let word = Word { value: "DOUBLE".to_owned(), quote_style: None, keyword: Keyword::DOUBLE };
                read.push(TokenWithSpan::new(Token::Word(word), token.span));
                read.push(TokenWithSpan::new(Token::SingleQuotedString(number), token.span));
            }
            other => read.push(TokenWithSpan::new(other, token.span)),
        }
    }
    read
}

/// Gives quotients of decimals as many decimals as PostgreSQL does, if they have room for them.
#[derive(Debug)]
pub(crate) struct Quotients;

/// Decimals of a quotient.
const DECIMALS: i16 = 16;
/// Decimals that Arrow's division adds to those of the dividend.
const ADDED: i16 = 4;

impl ExprPlanner for Quotients {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::Divide {
            return Ok(PlannerResult::Original(expr));
        }
        let sides = (expr.left.get_type(schema)?, expr.right.get_type(schema)?);
        Ok(match dividend(&sides.0, &sides.1) {
            Some(wider) => PlannerResult::Planned(cast(expr.left, wider) / expr.right),
            None => PlannerResult::Original(expr),
        })
    }
}

/// The type of a dividend of which the quotient has its decimals, and which no quotient overflows. None where it has
/// as many anyway, or is no decimal.
fn dividend(left: &DataType, right: &DataType) -> Option<DataType> {
    if !left.is_decimal() && !right.is_decimal() {
        return None;
    }
    let ((precision, scale), (_, divisor_scale)) = (digits(left)?, digits(right)?);
    // Before the point the quotient may have this many: by the smallest divisor, which is one unit of its scale.
    let before = precision - scale + divisor_scale;
    let wanted = DECIMALS.min(i16::from(DECIMAL128_MAX_PRECISION) - before) - ADDED;
    if wanted <= scale {
        None
    } else {
        Some(DataType::Decimal128(DECIMAL128_MAX_PRECISION, i8::try_from(wanted).ok()?))
    }
}

/// Precision and scale of an exact number that is held in 128 bits.
fn digits(kind: &DataType) -> Option<(i16, i16)> {
    match kind {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => Some((i16::from(*precision), i16::from(*scale))),
        DataType::Int8 | DataType::UInt8 => Some((3, 0)),
        DataType::Int16 | DataType::UInt16 => Some((5, 0)),
        DataType::Int32 | DataType::UInt32 => Some((10, 0)),
        DataType::Int64 | DataType::UInt64 => Some((20, 0)),
        _ => None,
    }
}

/// Reads a literal that meets a float as the float that its digits say. A decimal that is cast to a float later is divided
/// by a power of ten, and may miss it by the last bit.
#[derive(Debug)]
pub(crate) struct FloatLiterals;

impl AnalyzerRule for FloatLiterals {
    fn name(&self) -> &'static str {
        "float_literals"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|plan| {
            if !has_decimals(&plan)? {
                return Ok(Transformed::no(plan));
            }
            let schema = match &plan {
                LogicalPlan::TableScan(scan) => {
                    DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?
                }
                plan => merge_schema(&plan.inputs()),
            };
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_up(|expr| of_digits(expr, &schema))?.update_data(|expr| name.restore(expr)))
            })
        })?;
        Ok(plan.data)
    }
}

/// The same of one expression.
pub(crate) fn with_float_literals(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(expr.transform_up(|expr| of_digits(expr, schema))?.data)
}

/// Whether a literal is among the node's expressions that may be read as a float.
fn has_decimals(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found = expr.exists(|expr| Ok(as_double(expr).is_some()))?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn of_digits(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let is_float = |expr: &Expr| expr.get_type(schema).is_ok_and(|kind| kind.is_floating());
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (left, right) = match (as_double(&left), as_double(&right)) {
                (None, Some(double)) if is_float(&left) => (left, Box::new(double)),
                (Some(double), None) if is_float(&right) => (Box::new(double), right),
                _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            };
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        Expr::Between(between) if is_float(&between.expr) => {
            let [low, high] = [between.low, between.high].map(|end| as_double(&end).map_or(end, Box::new));
            Transformed::yes(Expr::Between(Between { low, high, ..between }))
        }
        Expr::InList(InList { expr, list, negated }) if is_float(&expr) => {
            let list = list.into_iter().map(|value| as_double(&value).unwrap_or(value)).collect();
            Transformed::yes(Expr::InList(InList { expr, list, negated }))
        }
        other => Transformed::no(other),
    })
}

/// A decimal literal as a double.
fn as_double(expr: &Expr) -> Option<Expr> {
    let Expr::Literal(value, metadata) = expr else { return None };
    if value.is_null() || !value.data_type().is_decimal() {
        return None;
    }
    let double = value.to_string().parse().ok()?;
    Some(Expr::Literal(ScalarValue::Float64(Some(double)), metadata.clone()))
}

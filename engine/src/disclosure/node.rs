//! The step of a plan at which cells or rows are judged. Nothing from above moves below it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use super::cells::Cells;
use super::ledger::{Caller, Ledger};
use super::rewrite::Asked;
use super::rows::Rows;
use crate::survey::Notices;

/// What is judged.
#[derive(Debug)]
pub(super) enum Judge {
    Cells(Cells),
    Rows(Rows),
}

/// A judge, with who asks and what it has been shown.
#[derive(Debug)]
pub(super) struct Sitting {
    pub(super) judge: Judge,
    pub(super) ledger: Arc<Ledger>,
    pub(super) caller: Caller,
    pub(super) notices: Arc<Notices>,
}

/// The step: its columns are the first ones of its input.
#[derive(Debug, Clone)]
pub(crate) struct Disclosed {
    input: LogicalPlan,
    schema: DFSchemaRef,
    pub(super) sitting: Arc<Sitting>,
}

impl Disclosed {
    pub(super) fn over(input: LogicalPlan, columns: &[Column], judge: Judge, asked: &Asked<'_>) -> Result<LogicalPlan> {
        // What is not shown is NULL.
        let fields = input.schema().iter().zip(columns).map(|((_, field), column)| {
            (column.relation.clone(), Arc::new(field.as_ref().clone().with_nullable(true)))
        });
        let schema = DFSchema::new_with_metadata(fields.collect(), input.schema().metadata().clone())?;
        let sitting = Sitting {
            judge,
            ledger: Arc::clone(&asked.ledger),
            caller: asked.caller(),
            notices: Arc::clone(&asked.notices),
        };
        let node = Self { input, schema: Arc::new(schema), sitting: Arc::new(sitting) };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }
}

impl PartialEq for Disclosed {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sitting, &other.sitting) && self.input == other.input
    }
}

impl Eq for Disclosed {}

impl PartialOrd for Disclosed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self == other { Some(Ordering::Equal) } else { None }
    }
}

impl Hash for Disclosed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.sitting).hash(state);
        self.input.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for Disclosed {
    fn name(&self) -> &str {
        "Disclosed"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sitting.judge {
            Judge::Cells(cells) => write!(f, "Disclosed: {} figures per cell", cells.values.len()),
            Judge::Rows(_) => write!(f, "Disclosed: rows"),
        }
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => {
                Ok(Self { input, schema: Arc::clone(&self.schema), sitting: Arc::clone(&self.sitting) })
            }
            _ => internal_err!("disclosure is controlled of one input"),
        }
    }
}

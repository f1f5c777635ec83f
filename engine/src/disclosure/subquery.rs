//! Queries inside expressions: what they read is protected like all else, and rows may only be asked for person by person.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Subquery};

use super::rewrite::{Seen, Walk, are_of_the_same, asks_about_few};

impl Walk<'_> {
    /// The expressions, their subqueries protected. `around` is what they are asked of.
    ///
    /// # Errors
    /// `disclosure_refused` where one asks for certain rows of a protected table.
    pub(super) fn with_subqueries(&mut self, exprs: Vec<Expr>, around: &Seen) -> Result<Vec<Expr>> {
        super::failures::check(&exprs, around, self.asked)?;
        let one = |expr: Expr, walk: &mut Self| {
            expr.transform_up(|part| {
                Ok(match part {
                    Expr::ScalarSubquery(subquery) => {
                        Transformed::yes(Expr::ScalarSubquery(walk.inner(subquery, |_| false)?))
                    }
                    Expr::Exists(Exists { subquery, negated }) => {
                        let subquery = walk.inner(subquery, |inner| is_of_people(inner, around))?;
                        Transformed::yes(Expr::Exists(Exists { subquery, negated }))
                    }
                    Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                        let subquery = walk.inner(subquery, |inner| names_people(&expr, inner, around))?;
                        Transformed::yes(Expr::InSubquery(InSubquery { expr, subquery, negated }))
                    }
                    Expr::SetComparison(mut comparison) => {
                        comparison.subquery = walk.inner(comparison.subquery, |_| false)?;
                        Transformed::yes(Expr::SetComparison(comparison))
                    }
                    part => Transformed::no(part),
                })
            })
            .data()
        };
        exprs.into_iter().map(|expr| one(expr, self)).collect()
    }

    fn inner(&mut self, subquery: Subquery, may_be_raw: impl FnOnce(&Seen) -> bool) -> Result<Subquery> {
        let columns = subquery.subquery.schema().columns();
        let inner = self.plan(Arc::unwrap_or_clone(subquery.subquery))?;
        if !inner.rows.is_empty() && !may_be_raw(&inner) {
            return Err(asks_about_few().into());
        }
        let plan = match inner.rows.is_empty() {
            true => inner.plan,
            false => {
                let shown = columns.into_iter().map(Expr::Column).collect();
                LogicalPlan::Projection(Projection::try_new(shown, Arc::new(inner.plan))?)
            }
        };
        Ok(Subquery { subquery: Arc::new(plan), ..subquery })
    }
}

/// `person IN (SELECT person ..)`.
fn names_people(expr: &Expr, inner: &Seen, around: &Seen) -> bool {
    let Some(outer) = expr.try_as_col() else { return false };
    let carried: HashSet<Column> = inner.carried().into_iter().collect();
    let own: Vec<Column> =
        inner.plan.schema().columns().into_iter().filter(|column| !carried.contains(column)).collect();
    let [own] = own.as_slice() else { return false };
    inner.rows.iter().all(|row| {
        row.is_key(own) && around.rows.iter().any(|other| other.is_key(outer) && are_of_the_same(row, other))
    })
}

/// `EXISTS (SELECT .. WHERE person = the person asked about)`.
fn is_of_people(inner: &Seen, around: &Seen) -> bool {
    inner.rows.iter().all(|row| {
        let is_theirs =
            |outer: &Column| around.rows.iter().any(|other| other.is_key(outer) && are_of_the_same(row, other));
        row.asked_of.iter().any(is_theirs)
    })
}

//! The expressions of a restricted table: which rows a principal sees, and what stands in place of values. They are the same for
//! each of its queries, and are kept, since finding their types takes longer than the rest of a small query's planning.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, ScalarValue, TableReference, plan_err};
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{Expr, ExprSchemable, lit};

use super::{Asker, Binding, Mask, Rule};
use crate::Principal;

/// So many are kept; then it begins anew.
const KEPT: usize = 4096;

/// What a principal sees of a table, as expressions over its scan.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The columns that it was made over: a table that has others by now has another shape.
    over: DFSchemaRef,
    /// The condition that each visible row meets; None = all rows are visible.
    pub(crate) rows: Option<Expr>,
    pub(crate) columns: Vec<Expr>,
    pub(crate) shown: DFSchemaRef,
    /// The columns whose values are not the source's.
    pub(crate) masked: BTreeSet<String>,
}

/// The shapes under one set of policies, by a digest of who asks for which table.
#[derive(Debug, Default)]
pub(crate) struct Shapes(Mutex<HashMap<[u8; 32], Arc<Shape>>>);

impl Shapes {
    /// What `asker` sees of the table called `name`, which has the columns `over`.
    ///
    /// # Errors
    /// Where a rule does not fit the table.
    pub(super) fn of(
        &self,
        binding: &Binding,
        name: &TableReference,
        over: &DFSchemaRef,
        asker: &Asker<'_>,
    ) -> Result<Arc<Shape>> {
        let digest = digest(binding, asker.principal, name);
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&digest).filter(|known| known.over == *over) {
            return Ok(Arc::clone(known));
        }
        let shape = Arc::new(Shape::new(binding, over, asker)?);
        let mut kept = lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(digest, Arc::clone(&shape));
        Ok(shape)
    }
}

/// A digest of a table's name, of what binds a principal there, and of all that rules may ask of it.
fn digest(binding: &Binding, principal: &Principal, name: &TableReference) -> [u8; 32] {
    let mut digest = Digest(blake3::Hasher::new());
    digest.text(&name.to_string());
    digest.texts(binding.rules.iter().map(|rule| rule.name.as_str()));
    digest.texts(binding.tenant.iter().map(String::as_str));
    digest.texts(binding.columns.iter().map(|_| "only"));
    digest.texts(binding.columns.iter().flatten().map(String::as_str));
    digest.text(principal.name());
    digest.texts(principal.tenant().into_iter());
    digest.texts(principal.roles().iter().map(String::as_str));
    digest.texts(principal.projects().iter().map(String::as_str));
    for (attribute, values) in principal.attributes() {
        digest.text(attribute);
        digest.texts(values.iter().map(String::as_str));
    }
    *digest.0.finalize().as_bytes()
}

/// What is said of different texts is different: each has its length before it, and each list the number of its texts after it.
struct Digest(blake3::Hasher);

impl Digest {
    fn text(&mut self, text: &str) {
        self.0.update(&text.len().to_le_bytes());
        self.0.update(text.as_bytes());
    }

    fn texts<'a>(&mut self, texts: impl Iterator<Item = &'a str>) {
        let count = texts.fold(0_usize, |count, text| {
            self.text(text);
            count + 1
        });
        // No text is so long.
        self.0.update(&usize::MAX.to_le_bytes());
        self.0.update(&count.to_le_bytes());
    }
}

impl Shape {
    fn new(binding: &Binding, over: &DFSchemaRef, asker: &Asker<'_>) -> Result<Self> {
        // Where several rules mask a column, the last one of the file does.
        let masks: BTreeMap<&str, &Mask> = binding
            .rules
            .iter()
            .flat_map(|rule| rule.masks.iter().map(|(column, mask)| (column.as_str(), mask)))
            .collect();
        let is_visible = |column: &str| binding.columns.as_ref().is_none_or(|columns| columns.contains(column));
        let named = masks.keys().copied().chain(binding.columns.iter().flatten().map(String::as_str));
        for column in named {
            if !over.has_column_with_unqualified_name(column) {
                return plan_err!("a policy names column {column}, which the table does not have");
            }
        }
        let (mut columns, mut fields) = (Vec::new(), Vec::new());
        for (qualifier, field) in over.iter().filter(|(_, field)| is_visible(field.name())) {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match masks.get(field.name().as_str()) {
                Some(mask) => {
                    columns.push(mask.of(&column, asker.principal, over, asker.state, asker.key)?);
                    fields.push((None, Arc::new(Field::new(field.name(), field.data_type().clone(), true))));
                }
                None => {
                    columns.push(column.alias(field.name()));
                    fields.push((None, Arc::clone(field)));
                }
            }
        }
        // What stands in place of a column has its type.
        let shown = Arc::new(DFSchema::new_with_metadata(fields, over.metadata().clone())?);
        let masked = masks.keys().filter(|column| is_visible(column)).map(|column| (*column).to_owned()).collect();
        Ok(Self { over: Arc::clone(over), rows: rows(binding, over, asker)?, columns, shown, masked })
    }
}

/// The condition that each visible row meets; None = all rows are visible.
fn rows(binding: &Binding, schema: &DFSchema, asker: &Asker<'_>) -> Result<Option<Expr>> {
    let of = |rule: &&Rule| match &rule.rows {
        // Who lacks an attribute meets no condition that speaks of it.
        Some(rows) => match rows.of(asker.principal, schema, asker.state)? {
            Some(rows) if rows.get_type(schema)? == DataType::Boolean => Ok(rows),
            Some(rows) => plan_err!("a condition is true or false, and `{rows}` is not"),
            None => Ok(lit(false)),
        },
        None => Ok(lit(true)),
    };
    let (all, any) = binding.rows();
    let all = all.iter().map(of).collect::<Result<Vec<_>>>()?;
    let any = any.iter().map(of).collect::<Result<Vec<_>>>()?;
    let tenant = binding.tenant.as_ref().map(|column| of_tenant(column, schema, asker.principal)).transpose()?;
    Ok(conjunction(tenant.into_iter().chain(all).chain(disjunction(any))))
}

/// The rows of the principal's tenant.
fn of_tenant(column: &str, schema: &DFSchema, principal: &Principal) -> Result<Expr> {
    let (qualifier, field) = schema.qualified_field_with_unqualified_name(column)?;
    let Some(tenant) = principal.tenant() else { return Ok(lit(false)) };
    match ScalarValue::from(tenant).cast_to(field.data_type()) {
        Ok(tenant) if !tenant.is_null() => {
            Ok(Expr::Column(Column::new(qualifier.cloned(), field.name())).eq(lit(tenant)))
        }
        // A tenant that no value of the column can be has no rows.
        _ => Ok(lit(false)),
    }
}

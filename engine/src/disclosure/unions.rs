//! UNION ALL of rows: what those of each branch carry goes on in columns of the whole.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Union, lit};

use super::arguments::{Made, Part};
use super::rewrite::{Occurrence, Seen, Walk, are_of_the_same};

pub(super) fn union(inputs: Vec<Seen>, schema: &DFSchemaRef, walk: &mut Walk<'_>) -> Result<Seen> {
    let whole = |inputs: Vec<Arc<LogicalPlan>>, schema: &DFSchemaRef| {
        LogicalPlan::Union(Union { inputs, schema: Arc::clone(schema) })
    };
    if inputs.iter().all(|input| input.rows.is_empty()) {
        let plans = inputs.into_iter().map(|input| Arc::new(input.plan)).collect();
        return Ok(Seen { plan: whole(plans, schema), rows: Vec::new(), made: HashMap::new() });
    }
    let own = schema.columns();
    let mut columns: Vec<Unseen> = Vec::new();
    let (mut rows, mut made) = (Vec::<Occurrence>::new(), HashMap::<Column, Made>::new());
    let shown: Vec<Vec<Column>> = inputs.iter().map(shown_of).collect();
    for (at, input) in inputs.iter().enumerate() {
        let place = |column: &Column| shown[at].iter().position(|own| own == column);
        let mut taken = Vec::new();
        for row in &input.rows {
            // The people of a dataset are the same ones in all branches.
            let known = (0..rows.len()).find(|known| {
                !taken.contains(known)
                    && are_of_the_same(&rows[*known], row)
                    && rows[*known].protection == row.protection
            });
            let names: HashMap<Column, String> = row
                .names
                .iter()
                .filter_map(|(column, name)| Some((own[place(column)?].clone(), name.clone())))
                .collect();
            let slot = match known {
                Some(slot) => {
                    let merged = &mut rows[slot];
                    merged.names.retain(|column, name| names.get(column) == Some(name));
                    merged.is_multiplied = true;
                    merged.is_optional |= row.is_optional;
                    slot
                }
                None => {
                    let (row_name, person) = (walk.name("row"), walk.name("person"));
                    columns.push(Unseen::new(&row_name, DataType::UInt64, inputs.len()));
                    columns.push(Unseen::new(&person, DataType::UInt64, inputs.len()));
                    rows.push(Occurrence {
                        protection: Arc::clone(&row.protection),
                        row: Column::new_unqualified(row_name),
                        person: Column::new_unqualified(person),
                        // A branch that has no such rows has others in these columns.
                        names: if at == 0 { names } else { HashMap::new() },
                        branches: Vec::new(),
                        is_optional: row.is_optional,
                        is_multiplied: row.is_multiplied,
                        asked_of: Vec::new(),
                    });
                    rows.len() - 1
                }
            };
            taken.push(slot);
            for branch in std::iter::once(None).chain(row.branches.iter().map(Some)) {
                let name = walk.name("branch");
                columns.push(Unseen {
                    is_here: branch.is_none().then_some(at),
                    ..Unseen::new(&name, DataType::Boolean, inputs.len())
                });
                if let (Some(branch), Some(unseen)) = (branch, columns.last_mut()) {
                    unseen.from[at] = Some(branch.clone());
                }
                rows[slot].branches.push(Column::new_unqualified(name));
            }
            let (row_column, person) = (rows[slot].row.clone(), rows[slot].person.clone());
            for (to, from) in [(&row_column, &row.row), (&person, &row.person)] {
                if let Some(unseen) = columns.iter_mut().find(|unseen| unseen.name == to.name) {
                    unseen.from[at] = Some(from.clone());
                }
            }
        }
        for row in rows.iter_mut().enumerate().filter(|(slot, _)| !taken.contains(slot)).map(|(_, row)| row) {
            row.names.clear();
        }
        for (column, known) in &input.made {
            let Some(place) = place(column) else { continue };
            let whole = made.entry(own[place].clone()).or_default();
            *whole = std::mem::take(whole).or(Made { parts: Vec::new(), ..known.clone() });
            for part in &known.parts {
                let name = walk.name("part");
                let mut unseen = Unseen::new(&name, DataType::Boolean, inputs.len());
                unseen.from[at] = Some(part.of.clone());
                columns.push(unseen);
                whole.parts.push(Part { of: Column::new_unqualified(name), is_condition: part.is_condition });
            }
        }
    }
    // What is of protected tables in all branches still is.
    let is_own = |(input, shown): (&Seen, &Vec<Column>), place: usize| {
        let column = shown.get(place);
        column.is_some_and(|column| {
            input.made.contains_key(column) || input.rows.iter().any(|row| row.names.contains_key(column))
        })
    };
    for (place, column) in own.iter().enumerate() {
        if inputs.iter().zip(&shown).all(|branch| is_own(branch, place)) {
            made.entry(column.clone()).or_default();
        }
    }
    let plans = inputs.into_iter().enumerate().map(|(at, input)| {
        let unseen = columns.iter().map(|column| column.of(at));
        let exprs = shown[at].iter().cloned().map(Expr::Column).map(Ok).chain(unseen).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input.plan))?)))
    });
    let fields = schema.iter().map(|(relation, field)| (relation.cloned(), Arc::clone(field)));
    let unseen =
        columns.iter().map(|column| (None, Arc::new(Field::new(&column.name, column.data_type.clone(), true))));
    let extended = DFSchema::new_with_metadata(fields.chain(unseen).collect(), schema.metadata().clone())?;
    let plan = whole(plans.collect::<Result<_>>()?, &Arc::new(extended));
    Ok(Seen { plan, rows, made })
}

fn shown_of(input: &Seen) -> Vec<Column> {
    let carried = input.carried();
    input.plan.schema().columns().into_iter().filter(|column| !carried.contains(column)).collect()
}

/// An unseen column of the whole, and where each branch has it from.
struct Unseen {
    name: String,
    data_type: DataType,
    from: Vec<Option<Column>>,
    /// It is true of the rows of this branch.
    is_here: Option<usize>,
}

impl Unseen {
    fn new(name: &str, data_type: DataType, branches: usize) -> Self {
        Self { name: name.to_owned(), data_type, from: vec![None; branches], is_here: None }
    }

    fn of(&self, branch: usize) -> Result<Expr> {
        Ok(match self.from.get(branch).and_then(Option::as_ref) {
            Some(column) => Expr::Column(column.clone()).alias(&self.name),
            None if self.is_here == Some(branch) => lit(true).alias(&self.name),
            None => lit(ScalarValue::try_from(&self.data_type)?).alias(&self.name),
        })
    }
}

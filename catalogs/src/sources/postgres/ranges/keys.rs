//! Ranges of a key, for a view, whose rows lie in no pages of its own.
//!
//! The plan of the view tells which of its columns are columns of a table, and the table's statistics where the values of a column
//! lie. A view whose rows hang together, by groups, an order or a limit, is read whole: a part of it would not be a part of
//! the same whole. So is one that calls functions, since not every function says the same in every transaction.

use std::sync::Arc;

use arrow::datatypes::DataType;
use engine::TableKind;

use super::super::link::Link;
use super::super::relations::Relation;
use super::super::{Question, quote};
use super::{FEWEST_ROWS, Part, steps};
use crate::sources::remote::RemoteColumn;

/// What a view may be made of: each row comes from rows of tables, whatever other rows there are. Not of partitions, which may be
/// attached between one part and the next.
const ROW_BY_ROW: [&str; 11] = [
    "Gather  ",
    "Hash  ",
    "Hash Full Join",
    "Hash Join",
    "Hash Left Join",
    "Hash Right Join",
    "Parallel Hash  ",
    "Parallel Hash Join",
    "Parallel Hash Left Join",
    "Parallel Seq Scan on",
    "Seq Scan on",
];
/// A column with fewer values does not part rows evenly.
const FEWEST_VALUES: usize = 64;

pub(super) fn split(
    link: &mut Link,
    question: &Question,
    relation: &Arc<Relation>,
    readers: u32,
) -> Result<Vec<Part>, postgres::Error> {
    if relation.kind != TableKind::View {
        return Ok(Vec::new());
    }
    let Some(name) = quote::literal(&question.from) else { return Ok(Vec::new()) };
    // The plan is that of all columns, so that the key may be one that the query does not want.
    let can = format!("SELECT NOT pg_is_in_recovery() AND has_table_privilege({name}::regclass, 'SELECT')");
    if !link.query_one(&can)?.try_get(0)? {
        return Ok(Vec::new());
    }
    let whole = Question::of_table(relation).with_conditions(question.conditions.clone());
    let plan = link.query(&format!("EXPLAIN (VERBOSE) {}", whole.sql()), &[])?;
    let lines = plan.iter().map(|line| line.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
    let origins = origins(&lines).filter(|origins| origins.len() == relation.columns.len());
    let Some(origins) = origins else { return Ok(Vec::new()) };
    for (column, origin) in relation.columns.iter().zip(&origins) {
        let Some(origin) = origin.as_ref().filter(|_| is_in_order(column.field().data_type())) else { continue };
        let values = link.query(
            "SELECT histogram_bounds::text::text[] FROM pg_catalog.pg_stats \
             WHERE schemaname = $1 AND tablename = $2 AND attname = $3 AND NOT inherited AND null_frac < 0.1 \
             AND histogram_bounds IS NOT NULL AND most_common_vals IS NULL",
            &[&origin.schema, &origin.table, &origin.column],
        )?;
        let Some(row) = values.first() else { continue };
        let bounds: Vec<String> = row.try_get(0)?;
        if bounds.len() >= FEWEST_VALUES {
            return Ok(conditions(&quote::identifier(column.field().name()), &bounds, readers).unwrap_or_default());
        }
    }
    Ok(Vec::new())
}

fn is_in_order(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Date32 | DataType::Timestamp(..))
}

/// A column of a table that a column of a view shows.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    schema: String,
    table: String,
    column: String,
}

/// Which table's column each column of a large view is, by its plan. None for a view that is small or not made row by row.
fn origins(lines: &[&str]) -> Option<Vec<Option<Origin>>> {
    let first = lines.first()?;
    let rows = first.split_once(" rows=")?.1.split(' ').next()?.parse::<u64>().ok()?;
    let is_row_by_row = steps(lines).all(|step| ROW_BY_ROW.iter().any(|name| step.starts_with(name)));
    if rows < FEWEST_ROWS || !is_row_by_row || lines.iter().any(|line| calls(line)) {
        return None;
    }
    let tables: Vec<(&str, &str, &str)> = steps(lines).filter_map(scanned).collect();
    let outputs = outputs(lines.get(1)?.trim_start().strip_prefix("Output: ")?);
    let origin = |output: &str| {
        let (alias, column) = output.split_once('.').map_or((None, output), |(alias, column)| (Some(alias), column));
        let mut of_alias = tables.iter().filter(|table| alias.is_none_or(|alias| table.2 == alias));
        let (schema, table, _) = of_alias.next().filter(|_| is_plain(column) && of_alias.next().is_none())?;
        Some(Origin { schema: (*schema).to_owned(), table: (*table).to_owned(), column: column.to_owned() })
    };
    Some(outputs.into_iter().map(origin).collect())
}

/// Whether a line of a plan calls a function, or asks for the time. What stands in brackets behind two blanks is the cost.
fn calls(line: &str) -> bool {
    let line = line.split("  (cost=").next().unwrap_or(line);
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '"';
    let is_call = |at: usize| {
        let before = line.get(..at).unwrap_or_default();
        let name = before.rsplit(|letter: char| !is_name(letter)).next().unwrap_or_default();
        !name.is_empty() && !matches!(name, "COALESCE" | "NULLIF" | "GREATEST" | "LEAST")
    };
    line.contains("CURRENT_") || line.contains("LOCALTIME") || line.match_indices('(').any(|(at, _)| is_call(at))
}

/// The expressions of a list: its commas are those outside of brackets and quotes.
fn outputs(list: &str) -> Vec<&str> {
    let (mut depth, mut quote) = (0, None);
    let is_comma = move |letter: char| {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(letter),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth -= 1,
            (None, ',') => return depth == 0,
            _ => {}
        }
        false
    };
    list.split(is_comma).map(str::trim).collect()
}

/// Schema, table and alias of a scan.
fn scanned(step: &str) -> Option<(&str, &str, &str)> {
    let name = step.split_once("Seq Scan on ")?.1.split_once("  ")?.0;
    let (table, alias) = name.split_once(' ').map_or((name, None), |(table, alias)| (table, Some(alias)));
    let (schema, table) = table.split_once('.')?;
    let alias = alias.unwrap_or(table);
    [schema, table, alias].into_iter().all(is_plain).then_some((schema, table, alias))
}

/// Whether a name stands for itself: one in quotes is left alone.
fn is_plain(name: &str) -> bool {
    name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}

/// A range for each reader, between `bounds` that part the values evenly. The first one has the rows without a value.
fn conditions(key: &str, bounds: &[String], readers: u32) -> Option<Vec<Part>> {
    let readers = readers as usize;
    let inner = (1..readers).filter_map(|at| bounds.get(at * bounds.len() / readers));
    let mut edges = inner.map(|bound| quote::literal(bound)).collect::<Option<Vec<_>>>()?;
    edges.dedup();
    let (first, last) = (edges.first()?, edges.last()?);
    let mut parts = vec![vec![format!("({key} < {first} OR {key} IS NULL)")]];
    parts.extend(edges.windows(2).filter_map(|pair| match pair {
        [from, to] => Some(vec![format!("({key} >= {from})"), format!("({key} < {to})")]),
        _ => None,
    }));
    parts.push(vec![format!("({key} >= {last})")]);
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_by_a_key_cover_every_value_once() {
        let bounds: Vec<String> = (0..=100).map(|value| (value * 10).to_string()).collect();
        assert_eq!(
            conditions("k", &bounds, 3).unwrap().concat(),
            ["(k < '330' OR k IS NULL)", "(k >= '330')", "(k < '670')", "(k >= '670')"]
        );
        assert_eq!(conditions("k", &bounds, 2).unwrap().len(), 2);
    }

    #[test]
    fn the_plan_of_a_view_tells_what_its_columns_are() {
        let joined = [
            "Hash Join  (cost=4.25..40.25 rows=1500000 width=12)",
            "  Output: o.id, COALESCE((o.price * 2), 'a, '::text), c.name, o.\"odd, name\"",
            "  Hash Cond: (o.customer = c.id)",
            "  ->  Seq Scan on public.orders o  (cost=0.00..31.00 rows=1500000 width=12)",
            "        Output: o.id, o.price",
            "  ->  Hash  (cost=3.00..3.00 rows=100 width=8)",
            "        ->  Seq Scan on shop.customers c  (cost=0.00..3.00 rows=100 width=8)",
        ];
        let of = |schema: &str, table: &str, column: &str| {
            Some(Origin { schema: schema.to_owned(), table: table.to_owned(), column: column.to_owned() })
        };
        let found = origins(&joined).unwrap();
        assert_eq!(found, [of("public", "orders", "id"), None, of("shop", "customers", "name"), None]);
        for step in ["Limit", "WindowAgg", "HashAggregate", "Unique", "Foreign Scan on x", "Sample Scan on x", "Sort"] {
            let mut other = joined;
            let line = format!("{step}  (cost=0.00..31.00 rows=1500000 width=12)");
            other[0] = &line;
            assert_eq!(origins(&other), None, "{step}");
        }
        for output in ["o.id, now(), 1, 2", "o.id, CURRENT_TIMESTAMP, 1, 2", "o.id, public.\"f g\"(o.id), 1, 2"] {
            let mut other = joined;
            let line = format!("  Output: {output}");
            other[1] = &line;
            assert_eq!(origins(&other), None, "{output}");
        }
    }
}

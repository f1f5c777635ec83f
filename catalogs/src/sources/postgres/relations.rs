//! The tables of a schema and their columns, read from `pg_catalog` by one query.

use std::sync::Arc;

use engine::TableKind;
use postgres::Row;

use super::columns::{Column, Described};
use super::failure::Failure;
use super::pool::{Pool, Session};
use crate::sources::remote::{self, LISTING_TIMEOUT, Values};

/// A table, view, or what else can be selected from.
pub(super) type Relation = remote::Relation<Column>;

/// Reads the relations of `schema`, sorted by name. It blocks.
pub(super) fn read(pool: &Arc<Pool>, schema: &str) -> Result<Vec<Arc<Relation>>, Failure> {
    let session =
        Session { application_name: "weft".to_owned(), statement_timeout: Some(LISTING_TIMEOUT), ..Session::default() };
    let place = pool.place();
    let mut lease = pool.begin(&session)?;
    let failed = |cause| place.failed(cause, session.statement_timeout);
    let link = lease.link()?;
    let rows = link.batch_execute(WITHOUT_JIT).and_then(|()| link.query(RELATIONS, &[&schema])).map_err(failed)?;
    lease.finish();
    relations(schema, &rows).map_err(failed)
}

/// To compile the question takes longer than to answer it. Servers before version 11 do not know the setting.
const WITHOUT_JIT: &str =
    "SELECT pg_catalog.set_config(name, 'off', true) FROM pg_catalog.pg_settings WHERE name = 'jit'";

/// Every column of every relation of the schema `$1`. Domains are followed to their base types.
/// A foreign table's NOT NULL is a claim that nobody checks. The system's schemas are not shown.
const RELATIONS: &str = "\
WITH RECURSIVE domains (oid, base, modifier) AS (
    SELECT t.oid, t.typbasetype, t.typtypmod FROM pg_catalog.pg_type t WHERE t.typtype = 'd'
    UNION ALL
    SELECT d.oid, t.typbasetype, t.typtypmod
    FROM domains d JOIN pg_catalog.pg_type t ON t.oid = d.base AND t.typtype = 'd'
), bases AS (
    SELECT d.oid, d.base, d.modifier
    FROM domains d JOIN pg_catalog.pg_type t ON t.oid = d.base AND t.typtype <> 'd'
)
SELECT c.relname::text AS name,
       c.relkind::text AS kind,
       pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
       CASE WHEN c.relkind = 'p' AND c.reltuples < 0 THEN (
           SELECT sum(greatest(leaf.reltuples, 0))::float8
           FROM pg_catalog.pg_partition_tree(c.oid) tree JOIN pg_catalog.pg_class leaf ON leaf.oid = tree.relid
           WHERE tree.isleaf
       ) ELSE c.reltuples::float8 END AS rows,
       a.attname::text AS column_name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_name,
       pg_catalog.col_description(c.oid, a.attnum) AS column_comment,
       NOT a.attnotnull OR c.relkind = 'f' AS nullable,
       b.oid AS base,
       b.typtype::text AS base_class,
       e.oid AS element,
       coalesce(bases.modifier, a.atttypmod) AS modifier,
       greatest(a.attndims, d.typndims)::int4 AS dimensions,
       coalesce(l.collisdeterministic, true) AS is_deterministic,
       pg_catalog.current_setting('server_encoding') = 'UTF8' AS is_utf8,
       s.n_distinct::float8 AS distinct,
       s.null_frac::float8 AS nulls
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_type d ON d.oid = a.atttypid
LEFT JOIN bases ON bases.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type b ON b.oid = coalesce(bases.base, a.atttypid)
LEFT JOIN pg_catalog.pg_type e ON e.oid = b.typelem AND b.typinput = 'pg_catalog.array_in'::pg_catalog.regproc
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_catalog.pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
    AND s.inherited = (c.relkind = 'p')
WHERE n.nspname = $1 AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
  AND left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema'
ORDER BY c.relname::text COLLATE \"C\", a.attnum";

fn relations(schema: &str, rows: &[Row]) -> Result<Vec<Arc<Relation>>, postgres::Error> {
    let mut relations = Vec::new();
    for group in rows.chunk_by(|a, b| a.try_get::<_, &str>("name").ok() == b.try_get::<_, &str>("name").ok()) {
        let Some(first) = group.first() else { continue };
        let rows: Option<f64> = first.try_get("rows")?;
        let mut columns = Vec::with_capacity(group.len());
        let mut values = Vec::with_capacity(group.len());
        for row in group {
            if let Some(described) = described(row)? {
                columns.push(Column::new(&described));
                values.push(known(row, rows)?);
            }
        }
        let kind: &str = first.try_get("kind")?;
        let is_view = matches!(kind, "v" | "m");
        relations.push(Arc::new(Relation {
            schema: schema.to_owned(),
            name: first.try_get("name")?,
            kind: if is_view { TableKind::View } else { TableKind::Table },
            comment: first.try_get("comment")?,
            is_paged: matches!(kind, "r" | "m" | "p"),
            row_estimate: rows.filter(|rows| *rows >= 0.0 && kind != "v").map(|rows| rows as u64),
            columns: columns.into(),
            values: values.into(),
        }));
    }
    relations.sort_by(|a: &Arc<Relation>, b| a.name.cmp(&b.name));
    Ok(relations)
}

/// What the server knows of the values of a column, in a table of `rows`.
fn known(row: &Row, rows: Option<f64>) -> Result<Values, postgres::Error> {
    let counted: Option<f64> = row.try_get("distinct")?;
    // Less than nothing is a share of the rows.
    let distinct = counted.and_then(|n| if n < 0.0 { rows.map(|rows| -n * rows) } else { Some(n) });
    Ok(Values { distinct: distinct.filter(|n| *n >= 1.0).map(|n| n as u64), nulls: row.try_get("nulls")? })
}

/// What a row says of a column. None for a relation without columns.
fn described(row: &Row) -> Result<Option<Described>, postgres::Error> {
    let Some(name) = row.try_get::<_, Option<String>>("column_name")? else { return Ok(None) };
    Ok(Some(Described {
        name,
        type_name: row.try_get("type_name")?,
        comment: row.try_get("column_comment")?,
        nullable: row.try_get("nullable")?,
        base: row.try_get("base")?,
        is_enumeration: row.try_get::<_, &str>("base_class")? == "e",
        element: row.try_get("element")?,
        modifier: row.try_get("modifier")?,
        dimensions: row.try_get("dimensions")?,
        is_deterministic: row.try_get("is_deterministic")?,
        is_utf8: row.try_get("is_utf8")?,
    }))
}

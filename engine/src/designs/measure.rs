//! What is measured of a design: a few aggregates over the columns that it names, whatever they are called there.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use futures::TryStreamExt;

use super::DesignFigures;
use super::columns::Columns;
use crate::names::quoted;
use crate::{Door, Engine, Error, Principal, Query, Weights};

/// What was measured, by name. What was not is 0.
#[derive(Debug, Default)]
pub(super) struct Measured {
    figures: HashMap<String, f64>,
    /// Of each column of replicate weights: its values in rows of the design, the least and the greatest.
    pub(super) replicates: Vec<[f64; 3]>,
}

impl Measured {
    /// A count, by its name in the queries below.
    pub(super) fn count(&self, name: &str) -> u64 {
        self.number(name).max(0.0) as u64
    }

    fn number(&self, name: &str) -> f64 {
        self.figures.get(name).copied().unwrap_or_default()
    }

    fn known(&self, name: &str) -> Option<u64> {
        self.figures.contains_key(name).then(|| self.count(name))
    }

    /// The figures that people read.
    pub(super) fn figures(&self, columns: &Columns) -> DesignFigures {
        DesignFigures {
            table: columns.table.clone(),
            rows: self.count("rows"),
            units: self.known("units"),
            psus: self.known("psus"),
            strata: self.known("strata"),
            replicates: (!columns.replicates.is_empty()).then_some(columns.replicates.len() as u64),
            periods: self.known("periods"),
            weights: [self.number("least_weights"), self.number("most_weights")],
            effective_n: self.figures.get("effective_n").copied(),
        }
    }
}

#[cfg(test)]
impl Measured {
    pub(super) fn of(figures: &[(&str, f64)]) -> Self {
        let figures = figures.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect();
        Self { figures, replicates: Vec::new() }
    }
}

/// Measures the design in a table.
///
/// # Errors
/// What the queries fail with.
pub(super) async fn measure(
    engine: &Engine,
    principal: &Principal,
    weights: &Weights,
    columns: &Columns,
) -> Result<Measured, Error> {
    let sql = Sql::of(weights, columns);
    let mut measured = Measured::default();
    for query in [Some(sql.rows()), Some(sql.periods()), sql.units(), sql.strata()].into_iter().flatten() {
        measured.figures.extend(ask(engine, principal, query).await?);
    }
    if !columns.replicates.is_empty() {
        let figures = ask(engine, principal, sql.replicates(columns.replicates.len())).await?;
        let of = |what: &str, at: usize| figures.get(&format!("{what}{at}")).copied().unwrap_or_default();
        measured.replicates =
            (0..columns.replicates.len()).map(|at| [of("known", at), of("least", at), of("most", at)]).collect();
    }
    Ok(measured)
}

/// The one row of a query whose columns are all floats; NULL is left out.
async fn ask(engine: &Engine, principal: &Principal, sql: String) -> Result<HashMap<String, f64>, Error> {
    let query = Query::new(sql).of_rows().from(Door::Library, "weft: check of a design".to_owned());
    let batches: Vec<RecordBatch> = engine.query(principal, query).await?.try_collect().await?;
    let mut figures = HashMap::new();
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let floats = column.as_primitive_opt::<Float64Type>().filter(|floats| floats.is_valid(0));
            figures.extend(floats.map(|floats| (field.name().clone(), floats.value(0))));
        }
    }
    Ok(figures)
}

/// A figure of a query: its name, and what it is.
fn named(name: &str, of: &str) -> String {
    format!("CAST({of} AS DOUBLE) AS {name}")
}

/// So many rows for which a condition holds.
fn rows_where(name: &str, condition: &str) -> String {
    named(name, &format!("count(*) FILTER (WHERE {condition})"))
}

/// The queries of one design. In them the weight is `w`, the unit `u`, the period `t`, the PSU `p`, the fpc `f`, the strata
/// `h0`, `h1` and so on, the replicates `r0`, `r1` and so on.
struct Sql {
    table: String,
    /// Stratum columns; one that is the same everywhere where there are none.
    strata: Vec<String>,
    has_unit: bool,
    has_psu: bool,
    has_own_psu: bool,
    has_fpc: bool,
    has_period: bool,
    has_variance_units: bool,
}

/// What infinity is in SQL.
const INFINITE: &str = "CAST('Infinity' AS DOUBLE)";

impl Sql {
    fn of(weights: &Weights, columns: &Columns) -> Self {
        let psu = weights.psu.as_ref().or(weights.unit.as_ref());
        let mut chosen = vec![format!("CAST({} AS DOUBLE) AS w", quoted(&weights.weight))];
        let mut choose = |name: &str, column: Option<&String>| {
            chosen.extend(column.map(|column| format!("{} AS {name}", quoted(column))));
        };
        choose("u", weights.unit.as_ref());
        choose("t", weights.period.as_ref());
        choose("p", psu);
        for (at, column) in weights.strata.iter().enumerate() {
            choose(&format!("h{at}"), Some(column));
        }
        chosen.extend(weights.fpc.as_ref().map(|fpc| format!("CAST({} AS DOUBLE) AS f", quoted(fpc))));
        if weights.strata.is_empty() {
            chosen.push("0 AS h0".to_owned());
        }
        let replicates = columns.replicates.iter().enumerate();
        chosen.extend(replicates.map(|(at, column)| format!("CAST({} AS DOUBLE) AS r{at}", quoted(column))));
        Self {
            table: format!("(SELECT {} FROM {}) AS d", chosen.join(", "), columns.sql),
            strata: (0..weights.strata.len().max(1)).map(|at| format!("h{at}")).collect(),
            has_unit: weights.unit.is_some(),
            has_psu: psu.is_some(),
            has_own_psu: weights.psu.is_some() && weights.psu != weights.unit,
            has_fpc: weights.fpc.is_some(),
            has_period: weights.period.is_some(),
            has_variance_units: weights.replicates.is_none() || psu.is_some() || !weights.strata.is_empty(),
        }
    }

    /// The columns without which a row is outside the design.
    fn keys(&self) -> Vec<&str> {
        let psu = self.has_psu.then_some("p");
        ["w"].into_iter().chain(self.strata.iter().map(String::as_str)).chain(psu).collect()
    }

    fn inside(&self) -> String {
        self.keys().iter().map(|key| format!("{key} IS NOT NULL")).collect::<Vec<_>>().join(" AND ")
    }

    /// The weight, where it is one and its row is of the design.
    fn weight(&self) -> String {
        format!("CASE WHEN {} AND w >= 0 AND w < {INFINITE} THEN w END", self.inside())
    }

    /// The grouping columns `columns`, and the period before them where there is one.
    fn by_period(&self, columns: &[&str]) -> String {
        let period = self.has_period.then_some("t");
        period.iter().chain(columns).copied().collect::<Vec<_>>().join(", ")
    }

    fn rows(&self) -> String {
        let mut figures = vec![
            named("rows", "count(*)"),
            named("weighted_rows", "count(w)"),
            rows_where("outside", &format!("NOT ({})", self.inside())),
            rows_where("no_weight", "w IS NULL"),
            rows_where("nan", "isnan(w)"),
            rows_where("infinite", &format!("w = {INFINITE}")),
            rows_where("negative", "w < 0 AND NOT isnan(w)"),
            rows_where("zero", "w = 0"),
            rows_where("positive", &format!("w > 0 AND w < {INFINITE}")),
            named("effective_n", &format!("effective_n({})", self.weight())),
        ];
        let strata = self.strata.iter().map(|key| format!("{key} IS NULL")).collect::<Vec<_>>().join(" OR ");
        figures.push(rows_where("no_stratum", &strata));
        if self.has_psu {
            figures.push(rows_where("no_psu", "p IS NULL"));
        }
        if self.has_unit {
            figures.push(rows_where("no_unit", "u IS NULL"));
        }
        if self.has_period {
            figures.push(rows_where("no_period", "t IS NULL"));
        }
        format!("SELECT {} FROM {}", figures.join(", "), self.table)
    }

    /// The sum of the weights, by period.
    fn periods(&self) -> String {
        let by = if self.has_period { "t" } else { "h" };
        let rows =
            if self.has_period { self.table.clone() } else { format!("(SELECT *, 0 AS h FROM {}) AS d", self.table) };
        let mut figures = vec![named("least_weights", "min(s)"), named("most_weights", "max(s)")];
        if self.has_period {
            figures.push(named("periods", "count(t)"));
        }
        let sums = format!("SELECT {by}, weighted_count({}) AS s FROM {rows} GROUP BY {by}", self.weight());
        format!("SELECT {} FROM ({sums}) AS by_period", figures.join(", "))
    }

    /// How often each unit is there, and with how many weights.
    fn units(&self) -> Option<String> {
        if !self.has_unit {
            return None;
        }
        let psus = if self.has_own_psu { ", min(p) < max(p) AS moves" } else { "" };
        let each = format!(
            "SELECT u, count(*) AS n, max(w) - min(w) > max(w) * 1e-9 AS differs{psus} FROM {} \
             WHERE u IS NOT NULL AND w >= 0 AND w < {INFINITE} GROUP BY {}",
            self.table,
            self.by_period(&["u"])
        );
        let moves = if self.has_own_psu { ", bool_or(moves) AS moves" } else { "" };
        let units = format!("SELECT u, max(n) AS n, bool_or(differs) AS differs{moves} FROM ({each}) AS e GROUP BY u");
        let mut figures =
            vec![named("units", "count(*)"), rows_where("repeated", "n > 1"), rows_where("differing", "differs")];
        if self.has_own_psu {
            figures.push(rows_where("moving", "moves"));
        }
        Some(format!("SELECT {} FROM ({units}) AS units", figures.join(", ")))
    }

    /// PSUs and strata of the frame. Strata are those of one period.
    fn strata(&self) -> Option<String> {
        if !self.has_variance_units {
            return None;
        }
        let strata: Vec<&str> = self.strata.iter().map(String::as_str).collect();
        let fpc = |least: &str, most: &str| match self.has_fpc {
            true => format!(", min({least}) AS lo, max({most}) AS hi"),
            false => String::new(),
        };
        let (table, inside) = (&self.table, self.inside());
        let by_stratum = self.by_period(&strata);
        let by_psu = self.by_period(&[strata.as_slice(), &["p"]].concat());
        let (psus, of_psus) = match self.has_psu {
            true => (
                format!("SELECT {by_psu}{} FROM {table} WHERE {inside} GROUP BY {by_psu}", fpc("f", "f")),
                fpc("lo", "hi"),
            ),
            false => (format!("SELECT * FROM {table} WHERE {inside}"), fpc("f", "f")),
        };
        let mut of_strata = vec![rows_where("lonely", "n = 1")];
        if self.has_fpc {
            of_strata.extend([
                rows_where("no_fpc", "lo IS NULL"),
                rows_where("varying_fpc", "lo <> hi"),
                rows_where("bad_fpc", "lo <= 0 OR isnan(hi)"),
                rows_where("small_fpc", "hi > 1 AND hi < n"),
            ]);
        }
        let names = strata.join(", ");
        let mut parts = vec![
            format!("(SELECT {} FROM strata) AS a", of_strata.join(", ")),
            format!("(SELECT {} FROM (SELECT DISTINCT {names} FROM strata) AS s) AS b", named("strata", "count(*)")),
        ];
        if self.has_psu {
            let crossing = format!("SELECT count(*) AS n FROM psus GROUP BY {}", self.by_period(&["p"]));
            parts.push(format!("(SELECT {} FROM ({crossing}) AS c) AS c", rows_where("crossing", "n > 1")));
            let distinct = format!("SELECT DISTINCT {names}, p FROM psus");
            parts.push(format!("(SELECT {} FROM ({distinct}) AS p) AS e", named("psus", "count(*)")));
        } else {
            parts.push(format!("(SELECT {} FROM psus) AS e", named("psus", "count(*)")));
        }
        Some(format!(
            "WITH psus AS ({psus}), strata AS (SELECT {by_stratum}, count(*) AS n{of_psus} FROM psus GROUP BY {by_stratum}) \
             SELECT * FROM {}",
            parts.join(" CROSS JOIN ")
        ))
    }

    fn replicates(&self, columns: usize) -> String {
        let figures = (0..columns).flat_map(|at| {
            ["count", "min", "max"]
                .into_iter()
                .zip(["known", "least", "most"])
                .map(move |(function, name)| named(&format!("{name}{at}"), &format!("{function}(r{at})")))
        });
        format!("SELECT {} FROM {} WHERE w IS NOT NULL", figures.collect::<Vec<_>>().join(", "), self.table)
    }
}

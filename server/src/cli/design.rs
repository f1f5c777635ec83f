//! A checked design in the terminal: the sample in figures, then what is wrong with it.

use std::io::{self, Write};

use super::terminal::Paint;
use crate::rest::{CheckedDesign, CheckedTable, DesignFinding};

/// Writes the design of a dataset, each line after `indent`.
pub(super) fn describe(
    dataset: &str,
    design: &CheckedDesign,
    indent: &str,
    paint: Paint,
    out: &mut impl Write,
) -> io::Result<()> {
    for table in &design.tables {
        writeln!(out, "{indent}{dataset}.{}: {}", table.table, sample(table))?;
    }
    for DesignFinding { severity, code, table, message, hint, .. } in &design.findings {
        let label = format!("{severity}[{code}]");
        let label = if severity == "error" { paint.red(&label) } else { paint.bold(&label) };
        let place = table.as_ref().map(|table| format!(".{table}")).unwrap_or_default();
        writeln!(out, "{indent}{dataset}{place}: {label}: {message}")?;
        if let Some(hint) = hint {
            writeln!(out, "{indent}  {}: {hint}", paint.bold("hint"))?;
        }
    }
    Ok(())
}

/// `9 rows, 9 units, 7 PSUs in 2 strata, weights sum to 148, effective n 7.7`.
fn sample(table: &CheckedTable) -> String {
    let counted = |count: Option<u64>, one: &str, more: &str| {
        count.map(|count| if count == 1 { format!("1 {one}") } else { format!("{count} {more}") })
    };
    let psus = counted(table.psus, "PSU", "PSUs");
    let psus = match (psus, counted(table.strata, "stratum", "strata")) {
        (Some(psus), Some(strata)) => Some(format!("{psus} in {strata}")),
        (psus, _) => psus,
    };
    let weights = match (table.periods, table.least_weights, table.most_weights) {
        (Some(_), least, most) if least != most => {
            format!("weights of a period sum to {} to {}", round(least), round(most))
        }
        (Some(_), least, _) => format!("weights of a period sum to {}", round(least)),
        (None, sum, _) => format!("weights sum to {}", round(sum)),
    };
    let parts = [
        counted(Some(table.rows), "row", "rows"),
        counted(table.units, "unit", "units"),
        counted(table.periods, "period", "periods"),
        psus,
        counted(table.replicates, "replicate", "replicates"),
        Some(weights),
        table.effective_n.map(|n| format!("effective n {}", round(n))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// To a tenth.
fn round(figure: f64) -> String {
    format!("{}", (figure * 10.0).round() / 10.0)
}

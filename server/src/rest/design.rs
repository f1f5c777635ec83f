//! What the declared design of a dataset turned out to be, as JSON: part of a refresh.

use engine::{DesignFigures, DesignReport, Finding, Severity};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the declared design of a dataset turned out to be.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CheckedDesign {
    /// The tables that have its columns.
    pub(crate) tables: Vec<CheckedTable>,
    /// What is wrong, or worth knowing; the worst first.
    pub(crate) findings: Vec<DesignFinding>,
}

/// The sample that a table holds.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CheckedTable {
    /// The table.
    pub(crate) table: String,
    /// Its rows.
    pub(crate) rows: u64,
    /// Different people, where the design says who is one.
    pub(crate) units: Option<u64>,
    /// Primary sampling units.
    pub(crate) psus: Option<u64>,
    /// Strata.
    pub(crate) strata: Option<u64>,
    /// Columns of replicate weights.
    pub(crate) replicates: Option<u64>,
    /// Periods, where weights are for one.
    pub(crate) periods: Option<u64>,
    /// The sum of the weights, of the period with the least.
    pub(crate) least_weights: f64,
    /// The sum of the weights, of the period with the greatest.
    pub(crate) most_weights: f64,
    /// Kish's effective sample size.
    pub(crate) effective_n: Option<f64>,
}

/// One thing that is wrong with a design, or worth knowing.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DesignFinding {
    /// How bad it is: `error`, `warning` or `note`.
    pub(crate) severity: String,
    /// What it is, in one word for programs.
    pub(crate) code: String,
    /// The table; none where it is of no one table.
    pub(crate) table: Option<String>,
    /// What it is, in one sentence.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// How many rows, units, strata or columns it is true of.
    pub(crate) count: Option<u64>,
}

impl CheckedDesign {
    /// Whether estimates by the design are refused, or would be wrong.
    pub(crate) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error.as_str())
    }
}

impl From<DesignReport> for CheckedDesign {
    fn from(report: DesignReport) -> Self {
        Self {
            tables: report.tables.into_iter().map(CheckedTable::from).collect(),
            findings: report.findings.into_iter().map(DesignFinding::from).collect(),
        }
    }
}

impl From<DesignFigures> for CheckedTable {
    fn from(figures: DesignFigures) -> Self {
        let DesignFigures { table, rows, units, psus, strata, replicates, periods, weights, effective_n } = figures;
        let [least_weights, most_weights] = weights;
        Self { table, rows, units, psus, strata, replicates, periods, least_weights, most_weights, effective_n }
    }
}

impl From<Finding> for DesignFinding {
    fn from(finding: Finding) -> Self {
        let Finding { severity, code, table, message, hint, count } = finding;
        Self { severity: severity.as_str().to_owned(), code: code.to_owned(), table, message, hint, count }
    }
}

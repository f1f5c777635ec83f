//! Declared designs against the data: what a sample turns out to be, and what is wrong with it.
//!
//! The figures are queries of whoever asks, on the one path, so that it works for every source. Row rules hold in them too, and
//! then they tell of the rows that the caller may see. Nothing here is needed to answer a query: an estimate that a fault would
//! make wrong is refused when it is made.

mod columns;
mod findings;
mod measure;

use std::sync::Arc;

use crate::path::visible_dataset;
use crate::{Dataset, Engine, Error, Principal, Weights};

/// What the declared design of a dataset turned out to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesignReport {
    /// The tables that have its columns.
    pub tables: Vec<DesignFigures>,
    /// What is wrong, or worth knowing; the worst first.
    pub findings: Vec<Finding>,
}

/// The sample that a table holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesignFigures {
    /// The table's name after `dataset.`.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// Different people, where the design says who is one.
    pub units: Option<u64>,
    /// Primary sampling units; None where replicates tell the variance.
    pub psus: Option<u64>,
    /// Strata; 1 where there are none.
    pub strata: Option<u64>,
    /// Columns of replicate weights.
    pub replicates: Option<u64>,
    /// Different periods, where weights are for one.
    pub periods: Option<u64>,
    /// The sum of the weights, which is the population that they stand for: of the period with the least and with the greatest.
    pub weights: [f64; 2],
    /// Kish's effective sample size.
    pub effective_n: Option<f64>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Estimates are refused, or would be wrong.
    Error,
    /// Probably not what was meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The severity as it is written on every door.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// One thing that is wrong with a design, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in one word for programs.
    pub code: &'static str,
    /// The table's name after `dataset.`; None where it is of no one table.
    pub table: Option<String>,
    /// What it is, in one sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// How many rows, units, strata or columns it is true of.
    pub count: Option<u64>,
}

impl Finding {
    fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        Self { severity, code, table: None, message: message.into(), hint: None, count: None }
    }

    fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = Some(text.into());
        self
    }

    fn of(mut self, table: &str) -> Self {
        self.table = Some(table.to_owned());
        self
    }
}

impl DesignReport {
    /// Whether estimates by the design are refused, or would be wrong.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The report of a design that nothing is known of.
    pub(crate) fn unknown(error: &Error) -> Self {
        let finding = Finding::new(Severity::Warning, "not_checked", format!("The design was not checked: {error}"));
        Self { tables: Vec::new(), findings: vec![finding] }
    }
}

impl Engine {
    /// Checks the design that a dataset declares against its data. It reads the columns of the design. None where the dataset
    /// declares no weights.
    ///
    /// # Errors
    /// `dataset_not_found` where `principal` sees no such dataset; what its source says; `deadline_exceeded`.
    pub async fn check_design(&self, principal: &Principal, dataset: &str) -> Result<Option<DesignReport>, Error> {
        let engine = self.present();
        let dataset = visible_dataset(&engine, principal, dataset)?;
        match &dataset.weights {
            Some(weights) => engine.checked(principal, &dataset, weights).await.map(Some),
            None => Ok(None),
        }
    }

    async fn checked(
        &self,
        principal: &Principal,
        dataset: &Arc<Dataset>,
        weights: &Weights,
    ) -> Result<DesignReport, Error> {
        let columns::Found { tables, mut findings } = columns::find(self, dataset, weights).await?;
        let mut figures = Vec::new();
        for columns in &tables {
            let measured = measure::measure(self, principal, weights, columns).await?;
            let found = findings::of(weights, columns, &measured).into_iter().map(|finding| finding.of(&columns.table));
            findings.extend(found);
            figures.push(measured.figures(columns));
        }
        findings.sort_by_key(|finding| finding.severity);
        Ok(DesignReport { tables: figures, findings })
    }
}

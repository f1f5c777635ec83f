//! What the figures of a design mean: each thing that is wrong with it, or worth knowing, in a sentence.

use super::columns::Columns;
use super::measure::Measured;
use super::{Finding, Severity};
use crate::Weights;

/// What there is to say of a design in a table.
pub(super) fn of(weights: &Weights, columns: &Columns, measured: &Measured) -> Vec<Finding> {
    let told = Told { weights, columns, measured };
    let kinds = [told.of_rows(), told.of_units(), told.of_strata(), told.of_replicates()];
    kinds.into_iter().flatten().collect()
}

struct Told<'a> {
    weights: &'a Weights,
    columns: &'a Columns,
    measured: &'a Measured,
}

/// `1 row`, `2 rows`.
fn counted(count: u64, what: &str) -> String {
    match (count, what) {
        (1, _) => format!("1 {what}"),
        (_, "stratum") => format!("{count} strata"),
        _ => format!("{count} {what}s"),
    }
}

/// A finding about `count` things; none where there are none.
fn some(count: u64, make: impl FnOnce(String) -> Finding, what: &str) -> Option<Finding> {
    (count > 0).then(|| Finding { count: Some(count), ..make(counted(count, what)) })
}

fn has(count: u64) -> &'static str {
    if count == 1 { "has" } else { "have" }
}

fn is(count: u64) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

impl Told<'_> {
    fn of_rows(&self) -> Vec<Finding> {
        let (weight, measured) = (&self.weights.weight, self.measured);
        let count = |name: &str| measured.count(name);
        let bad = |name: &str, code: &'static str, what: &str, hint: &str| {
            let rows = count(name);
            let text = |rows_of: String| format!("{rows_of} {} {what} \"{weight}\".", has(rows));
            some(rows, |rows| Finding::new(Severity::Error, code, text(rows)).hint(hint), "row")
        };
        let lacking: Vec<String> = [
            (weight.clone(), "no_weight"),
            (self.weights.strata.join("\" or \""), "no_stratum"),
            (self.weights.psu.as_ref().or(self.weights.unit.as_ref()).cloned().unwrap_or_default(), "no_psu"),
        ]
        .into_iter()
        .filter(|(_, figure)| count(figure) > 0)
        .map(|(columns, figure)| format!("{} without \"{columns}\"", count(figure)))
        .collect();
        let outside = some(
            count("outside"),
            |rows| {
                let message = format!("{rows} {} outside the design: {}.", is(count("outside")), lacking.join(", "));
                Finding::new(Severity::Warning, "outside_design", message)
                    .hint("No estimate counts them. Fill the columns, or leave the rows out of the table.")
            },
            "row",
        );
        let is_empty = count("rows") == 0;
        let empty = is_empty.then(|| {
            Finding::new(Severity::Warning, "no_rows", "The table has no rows, so there is nothing to estimate.")
        });
        let all_zero = (!is_empty && count("positive") == 0).then(|| {
            let message = format!("No row has a weight \"{weight}\" above 0, so there is nothing to estimate.");
            Finding::new(Severity::Error, "all_weights_zero", message)
                .hint("A weight is how many people a row stands for.")
        });
        let zero = some(
            count("zero").min(if all_zero.is_some() { 0 } else { u64::MAX }),
            |rows| {
                let message = format!(
                    "{rows} {} the weight 0: no estimate counts them, and their PSUs are of the design.",
                    has(count("zero"))
                );
                Finding::new(Severity::Note, "zero_weight", message)
            },
            "row",
        );
        let unknown = |name: &str, code: &'static str, column: Option<&String>, hint: &str| {
            let column = column.cloned().unwrap_or_default();
            let text = |rows_of: String| format!("{rows_of} {} no \"{column}\".", has(count(name)));
            some(count(name), |rows| Finding::new(Severity::Warning, code, text(rows)).hint(hint), "row")
        };
        let of_unit = self.weights.unit.as_ref().filter(|_| self.weights.psu.is_some());
        [
            bad(
                "negative",
                "negative_weight",
                "a negative weight",
                "No sample has one: estimates of these rows are refused.",
            ),
            bad("nan", "undefined_weight", "an undefined weight (NaN)", "Write NULL for a row outside the sample."),
            bad("infinite", "infinite_weight", "an infinite weight", "Estimates of these rows are refused."),
            all_zero,
            empty,
            outside,
            of_unit.and_then(|unit| {
                unknown("no_unit", "no_unit", Some(unit), "They are in estimates, and in no count of people.")
            }),
            unknown("no_period", "no_period", self.weights.period.as_ref(), "They are of no period."),
            zero,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn of_units(&self) -> Vec<Finding> {
        let Some(unit) = &self.weights.unit else { return Vec::new() };
        let count = |name: &str| self.measured.count(name);
        let (period, in_period) = match &self.weights.period {
            Some(period) => (Some(period), format!(" in one \"{period}\"")),
            None => (None, String::new()),
        };
        let differing = some(
            count("differing"),
            |units| {
                let message =
                    format!("{units} (\"{unit}\") {} two weights or more{in_period}.", has(count("differing")));
                let finding = Finding::new(Severity::Error, "several_weights", message);
                match period {
                    Some(_) => finding.hint("A unit has one weight in each period."),
                    None => {
                        finding.hint("If weights are by week or month, name that column: weights: {period: column}.")
                    }
                }
            },
            "unit",
        );
        let is_listed_once = self.weights.table.is_some();
        let repeated = some(
            if is_listed_once { count("repeated") } else { 0 },
            |units| {
                let message = format!("{units} (\"{unit}\") {} several rows{in_period}.", has(count("repeated")));
                let hint = match period {
                    Some(_) => {
                        "The table of the weights has one row for each unit and period: a join with it would count others twice."
                    }
                    None => {
                        "The table of the weights has one row for each unit: a join with it would count others twice. If \
                         they are of different weeks or months, name that column: weights: {period: column}."
                    }
                };
                Finding::new(Severity::Error, "repeated_unit", message).hint(hint)
            },
            "unit",
        );
        let moving = some(
            count("moving"),
            |units| {
                let message = format!("{units} (\"{unit}\") {} in several PSUs{in_period}.", is(count("moving")));
                Finding::new(Severity::Warning, "unit_in_several_psus", message)
                    .hint("n_people and svy_count(DISTINCT ..) count such a unit once in each of them.")
            },
            "unit",
        );
        [differing, repeated, moving].into_iter().flatten().collect()
    }

    fn of_strata(&self) -> Vec<Finding> {
        let count = |name: &str| self.measured.count(name);
        let fpc = self.weights.fpc.clone().unwrap_or_default();
        let of_fpc = |name: &str, code: &'static str, what: &str, hint: &str| {
            let text = |strata: String| format!("{strata} {} {}.", has(count(name)), what.replace("{fpc}", &fpc));
            some(count(name), |strata| Finding::new(Severity::Error, code, text(strata)).hint(hint), "stratum")
        };
        let meaning =
            "It is the number of PSUs in the population's stratum, or the fraction of them in the sample, up to 1.";
        let crossing = some(
            count("crossing"),
            |psus| match &self.weights.psu {
                Some(psu) => {
                    let message = format!(
                        "{psus} of \"{psu}\" {} in several strata, and {} separate PSUs there.",
                        is(count("crossing")),
                        is(count("crossing"))
                    );
                    Finding::new(Severity::Note, "cluster_in_several_strata", message)
                        .hint("That is right where numbers begin anew in each stratum.")
                }
                None => {
                    let message = format!("{psus} {} in several strata.", is(count("crossing")));
                    Finding::new(Severity::Warning, "unit_in_several_strata", message)
                        .hint("A unit is drawn in one stratum: each of its rows has the same.")
                }
            },
            if self.weights.psu.is_some() { "value" } else { "unit" },
        );
        let lonely = some(
            count("lonely"),
            |strata| {
                let message = format!("{strata} {} a single PSU, which shows no variance.", has(count("lonely")));
                Finding::new(Severity::Note, "single_psu", message)
                    .hint("Estimates over them must say lonely => 'remove', 'certainty', 'average' or 'adjust'.")
            },
            "stratum",
        );
        [
            of_fpc("no_fpc", "no_fpc", "no fpc \"{fpc}\"", "Each stratum needs it."),
            of_fpc(
                "varying_fpc",
                "varying_fpc",
                "several values of the fpc \"{fpc}\"",
                "It is the same in all rows of a stratum.",
            ),
            of_fpc("bad_fpc", "fpc_not_positive", "an fpc \"{fpc}\" that is not positive", meaning),
            of_fpc("small_fpc", "fpc_below_psus", "an fpc \"{fpc}\" below the PSUs that are there", meaning),
            crossing,
            lonely,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn of_replicates(&self) -> Vec<Finding> {
        let weighted = self.measured.count("weighted_rows");
        let columns = || self.columns.replicates.iter().zip(&self.measured.replicates);
        let finding =
            |severity: Severity, code: &'static str, what: &str, hint: &str, is_one: &dyn Fn(&[f64; 3]) -> bool| {
                let names: Vec<&str> = columns().filter(|(_, of)| is_one(of)).map(|(name, _)| name.as_str()).collect();
                let text = |columns: String| {
                    format!(
                        "{columns} of replicate weights {} {what}: {}.",
                        has(names.len() as u64),
                        crate::names::listing(names.iter().copied())
                    )
                };
                some(names.len() as u64, |columns| Finding::new(severity, code, text(columns)).hint(hint), "column")
            };
        let refused = "Each row with a weight needs all of its replicates: estimates of others are refused.";
        let is_infinite = |of: &[f64; 3]| !(of[1].is_finite() && of[2].is_finite());
        [
            finding(Severity::Error, "replicate_missing", "NULLs", refused, &|of| of[0] < weighted as f64),
            finding(Severity::Error, "replicate_not_finite", "NaN or infinite values", refused, &is_infinite),
            finding(
                Severity::Warning,
                "negative_replicate",
                "negative values",
                "Some ways of bootstrapping make such, most are mistakes.",
                &|of| of[1] < 0.0,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WeightsMode;

    fn codes(weights: &Weights, figures: &[(&str, f64)]) -> Vec<(Severity, &'static str)> {
        let columns = Columns { table: "people".to_owned(), sql: String::new(), replicates: Vec::new() };
        let found = of(weights, &columns, &Measured::of(figures));
        found.into_iter().map(|finding| (finding.severity, finding.code)).collect()
    }

    fn weights() -> Weights {
        Weights {
            table: Some("people".to_owned()),
            unit: Some("person".to_owned()),
            weight: "weight".to_owned(),
            period: None,
            strata: vec!["region".to_owned()],
            psu: Some("home".to_owned()),
            fpc: Some("homes".to_owned()),
            replicates: None,
            mode: WeightsMode::Offered,
        }
    }

    #[test]
    fn a_sound_design_has_no_findings() {
        assert_eq!(codes(&weights(), &[("rows", 9.0), ("positive", 9.0), ("units", 9.0), ("strata", 2.0)]), []);
    }

    #[test]
    fn each_figure_has_its_finding() {
        let sound = [("rows", 9.0), ("positive", 5.0)];
        let errors =
            ["negative", "nan", "infinite", "differing", "repeated", "no_fpc", "varying_fpc", "bad_fpc", "small_fpc"];
        for figure in errors {
            let found = codes(&weights(), &[sound[0], sound[1], (figure, 1.0)]);
            assert!(matches!(found.as_slice(), [(Severity::Error, _)]), "{figure}: {found:?}");
        }
        for figure in ["outside", "no_unit", "moving"] {
            let found = codes(&weights(), &[sound[0], sound[1], (figure, 2.0)]);
            assert!(matches!(found.as_slice(), [(Severity::Warning, _)]), "{figure}: {found:?}");
        }
        for figure in ["zero", "crossing", "lonely"] {
            let found = codes(&weights(), &[sound[0], sound[1], (figure, 2.0)]);
            assert!(matches!(found.as_slice(), [(Severity::Note, _)]), "{figure}: {found:?}");
        }
    }

    #[test]
    fn weights_of_zero_alone_are_an_error_and_said_once() {
        let found = codes(&weights(), &[("rows", 9.0), ("zero", 9.0)]);
        assert_eq!(found, [(Severity::Error, "all_weights_zero")]);
    }

    #[test]
    fn a_unit_may_have_several_rows_where_no_table_lists_units() {
        let of_events = Weights { table: None, ..weights() };
        assert_eq!(codes(&of_events, &[("rows", 9.0), ("positive", 9.0), ("repeated", 3.0)]), []);
    }
}

//! What the figures of a design mean: each thing that is wrong with it, or worth knowing, in a sentence.

use super::columns::Columns;
use super::measure::Measured;
use super::{Finding, Severity};
use crate::Weights;
use crate::names::listing;

/// A finding that a figure makes where it is not 0.
struct Kind {
    severity: Severity,
    code: &'static str,
    /// The figure, and what it counts.
    figure: &'static str,
    counted: &'static str,
    /// Which designs it is a finding of.
    of: fn(&Weights) -> bool,
    /// What they are or have. `{weight}` and its like stand for the columns of the design.
    text: &'static str,
    hint: Option<&'static str>,
}

const FPC_HINT: Option<&str> =
    Some("It is the number of PSUs in the population's stratum, or the fraction of them in the sample, up to 1.");

/// Every finding that one figure makes; the worst first.
const KINDS: &[Kind] = &[
    Kind {
        severity: Severity::Error,
        code: "negative_weight",
        figure: "negative",
        counted: "row",
        of: |_| true,
        text: "have a negative weight {weight}.",
        hint: Some("No sample has one: estimates of such rows are refused."),
    },
    Kind {
        severity: Severity::Error,
        code: "undefined_weight",
        figure: "nan",
        counted: "row",
        of: |_| true,
        text: "have an undefined weight {weight}: NaN.",
        hint: Some("Write NULL for a row outside the sample: estimates of such rows are refused."),
    },
    Kind {
        severity: Severity::Error,
        code: "infinite_weight",
        figure: "infinite",
        counted: "row",
        of: |_| true,
        text: "have an infinite weight {weight}.",
        hint: Some("Estimates of such rows are refused."),
    },
    Kind {
        severity: Severity::Error,
        code: "several_weights",
        figure: "differing",
        counted: "unit",
        of: |weights| weights.period.is_none(),
        text: "by {unit} have two weights or more.",
        hint: Some("If weights are by week or month, name that column: weights: {period: column}."),
    },
    Kind {
        severity: Severity::Error,
        code: "several_weights",
        figure: "differing",
        counted: "unit",
        of: |weights| weights.period.is_some(),
        text: "by {unit} have two weights or more in one {period}.",
        hint: None,
    },
    Kind {
        severity: Severity::Error,
        code: "repeated_unit",
        figure: "repeated",
        counted: "unit",
        of: |weights| weights.table.is_some() && weights.period.is_none(),
        text: "by {unit} have several rows, so a join with the table counts others twice.",
        hint: Some(
            "Keep one row of each; or, if they are of weeks or months, name that column: weights: {period: column}.",
        ),
    },
    Kind {
        severity: Severity::Error,
        code: "repeated_unit",
        figure: "repeated",
        counted: "unit",
        of: |weights| weights.table.is_some() && weights.period.is_some(),
        text: "by {unit} have several rows in one {period}, so a join with the table counts others twice.",
        hint: Some("Keep one row of each in a period."),
    },
    Kind {
        severity: Severity::Error,
        code: "no_fpc",
        figure: "no_fpc",
        counted: "stratum",
        of: |_| true,
        text: "have no fpc {fpc}.",
        hint: FPC_HINT,
    },
    Kind {
        severity: Severity::Error,
        code: "varying_fpc",
        figure: "varying_fpc",
        counted: "stratum",
        of: |_| true,
        text: "have several values of the fpc {fpc}.",
        hint: Some("It must be the same in all rows of a stratum."),
    },
    Kind {
        severity: Severity::Error,
        code: "fpc_not_positive",
        figure: "bad_fpc",
        counted: "stratum",
        of: |_| true,
        text: "have an fpc {fpc} that is not positive.",
        hint: FPC_HINT,
    },
    Kind {
        severity: Severity::Error,
        code: "fpc_below_psus",
        figure: "small_fpc",
        counted: "stratum",
        of: |_| true,
        text: "have an fpc {fpc} below the number of PSUs.",
        hint: FPC_HINT,
    },
    Kind {
        severity: Severity::Warning,
        code: "unit_in_several_psus",
        figure: "moving",
        counted: "unit",
        of: |_| true,
        text: "by {unit} are in several PSUs by {psu}.",
        hint: Some("n_people and svy_count(DISTINCT ..) count such a unit once in each of them."),
    },
    Kind {
        severity: Severity::Warning,
        code: "unit_in_several_strata",
        figure: "crossing",
        counted: "unit",
        of: |weights| weights.psu.is_none(),
        text: "by {unit} are in several strata.",
        hint: Some("A unit is drawn in one stratum: each of its rows has the same."),
    },
    Kind {
        severity: Severity::Warning,
        code: "no_unit",
        figure: "no_unit",
        counted: "row",
        of: |weights| weights.psu.is_some(),
        text: "have no {unit}.",
        hint: Some("They are in estimates, and in no count of people."),
    },
    Kind {
        severity: Severity::Warning,
        code: "no_period",
        figure: "no_period",
        counted: "row",
        of: |_| true,
        text: "have no {period}, and are of none.",
        hint: None,
    },
    Kind {
        severity: Severity::Note,
        code: "zero_weight",
        figure: "zero",
        counted: "row",
        of: |_| true,
        text: "have the weight 0: no estimate counts them, and their PSUs are of the design.",
        hint: None,
    },
    Kind {
        severity: Severity::Note,
        code: "cluster_in_several_strata",
        figure: "crossing",
        counted: "cluster",
        of: |weights| weights.psu.is_some(),
        text: "by {psu} are in several strata, and separate PSUs there.",
        hint: Some("That is right where numbers begin anew in each stratum."),
    },
    Kind {
        severity: Severity::Note,
        code: "single_psu",
        figure: "lonely",
        counted: "stratum",
        of: |_| true,
        text: "have a single PSU, which shows no variance.",
        hint: Some("Estimates over them must say lonely => 'remove', 'certainty', 'average' or 'adjust'."),
    },
];

/// What there is to say of a design in a table.
pub(super) fn of(weights: &Weights, columns: &Columns, measured: &Measured) -> Vec<Finding> {
    let nothing = nothing_to_weigh(weights, measured);
    let is_zero = nothing.is_some();
    let kinds = KINDS.iter().filter(|kind| (kind.of)(weights) && !(is_zero && kind.figure == "zero"));
    let kinds = kinds.filter_map(|kind| kind.finding(weights, measured.count(kind.figure)));
    nothing.into_iter().chain(outside(weights, measured)).chain(kinds).chain(of_replicates(columns, measured)).collect()
}

impl Kind {
    fn finding(&self, weights: &Weights, count: u64) -> Option<Finding> {
        let columns = [
            ("{weight}", Some(&weights.weight)),
            ("{unit}", weights.unit.as_ref()),
            ("{period}", weights.period.as_ref()),
            ("{psu}", weights.psu.as_ref()),
            ("{fpc}", weights.fpc.as_ref()),
        ];
        let named = |text: String, (place, column): &(&str, Option<&String>)| match column {
            Some(column) => text.replace(place, &format!("\"{column}\"")),
            None => text,
        };
        let text = columns.iter().fold(self.text.to_owned(), named);
        counted(count, self.counted, &text, |message| {
            let finding = Finding::new(self.severity, self.code, message);
            Finding { hint: self.hint.map(str::to_owned), ..finding }
        })
    }
}

/// A finding about so many things, of which `text` is said in the plural; none where there are none.
fn counted(count: u64, what: &str, text: &str, make: impl FnOnce(String) -> Finding) -> Option<Finding> {
    let message = match (count, what) {
        (0, _) => return None,
        (1, _) => format!("1 {what} {}", text.replacen("have ", "has ", 1).replacen("are ", "is ", 1)),
        (_, "stratum") => format!("{count} strata {text}"),
        _ => format!("{count} {what}s {text}"),
    };
    Some(Finding { count: Some(count), ..make(message) })
}

/// A table without a weight.
fn nothing_to_weigh(weights: &Weights, measured: &Measured) -> Option<Finding> {
    if measured.count("positive") > 0 {
        return None;
    }
    Some(match measured.count("rows") {
        0 => Finding::new(Severity::Warning, "no_rows", "The table has no rows, so there is nothing to estimate."),
        _ => {
            let message = format!("No row has a weight \"{}\" above 0: there is nothing to estimate.", weights.weight);
            Finding::new(Severity::Error, "all_weights_zero", message)
                .hint("A weight is how many people a row stands for.")
        }
    })
}

/// Rows that lack something without which they are outside the design.
fn outside(weights: &Weights, measured: &Measured) -> Option<Finding> {
    let psu = weights.psu.as_ref().or(weights.unit.as_ref()).cloned().unwrap_or_default();
    let lacking =
        [(weights.weight.clone(), "no_weight"), (weights.strata.join("\" or \""), "no_stratum"), (psu, "no_psu")];
    let lacking = lacking.into_iter().filter(|(_, figure)| measured.count(figure) > 0);
    let lacking = lacking.map(|(columns, figure)| format!("{} without \"{columns}\"", measured.count(figure)));
    let text = format!("are outside the design: {}.", lacking.collect::<Vec<_>>().join(", "));
    counted(measured.count("outside"), "row", &text, |message| {
        Finding::new(Severity::Warning, "outside_design", message)
            .hint("No estimate counts them. Fill the columns, or leave the rows out of the table.")
    })
}

fn of_replicates(columns: &Columns, measured: &Measured) -> Vec<Finding> {
    const REFUSED: &str = "Each row with a weight needs all of its replicates: estimates of others are refused.";
    let weighted = measured.count("weighted_rows") as f64;
    let finding = |severity, code, what: &str, hint, is_one: &dyn Fn(&[f64; 3]) -> bool| {
        let columns = columns.replicates.iter().zip(&measured.replicates);
        let names: Vec<&str> = columns.filter(|(_, of)| is_one(of)).map(|(name, _)| name.as_str()).collect();
        let text = format!("of replicate weights have {what}: {}.", listing(names.iter().copied()));
        counted(names.len() as u64, "column", &text, |message| Finding::new(severity, code, message).hint(hint))
    };
    let is_infinite = |of: &[f64; 3]| !(of[1].is_finite() && of[2].is_finite());
    let negative = "Some ways of bootstrapping make them; most are mistakes.";
    [
        finding(Severity::Error, "replicate_missing", "NULLs", REFUSED, &|of| of[0] < weighted),
        finding(Severity::Error, "replicate_not_finite", "NaN or infinite values", REFUSED, &is_infinite),
        finding(Severity::Warning, "negative_replicate", "negative values", negative, &|of| of[1] < 0.0),
    ]
    .into_iter()
    .flatten()
    .collect()
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

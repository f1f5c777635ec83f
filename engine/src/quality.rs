//! How far an estimate can be used: by its relative standard error, and by how many people it is of.
//!
//! The thresholds are those that statistics offices publish by: Statistics Canada marks estimates with a coefficient of variation
//! over 16.5% and holds back those over 33.3%; the National Center for Health Statistics (USA) holds back those of fewer than 30
//! people.

/// From where on an estimate is to be used with care.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// A relative standard error over this: use with caution.
    pub caution: f64,
    /// A relative standard error over this: suppress.
    pub suppress: f64,
    /// Of fewer people than these: suppress.
    pub min_n: u64,
}

impl Default for Quality {
    fn default() -> Self {
        Self { caution: 0.165, suppress: 0.333, min_n: 30 }
    }
}

/// What to do with an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grade {
    Reliable,
    Caution,
    Suppress,
}

impl Grade {
    /// The grade as SQL shows it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Grade::Reliable => "reliable",
            Grade::Caution => "use with caution",
            Grade::Suppress => "suppress",
        }
    }
}

/// What an estimate is judged by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Judged {
    pub(crate) estimate: Option<f64>,
    pub(crate) error: Option<f64>,
    /// The people that it is of, else the rows.
    pub(crate) people: f64,
    /// One that is near 0 by its nature, which a relative error says nothing about.
    pub(crate) is_difference: bool,
}

impl Judged {
    /// The standard error as a share of the estimate. None where the estimate is 0.
    pub(crate) fn relative_error(&self) -> Option<f64> {
        let estimate = self.estimate.filter(|estimate| *estimate != 0.0)?;
        Some(self.error? / estimate.abs())
    }
}

impl Quality {
    /// The grade of an estimate. None where there is no estimate, or its error is not known.
    pub(crate) fn grade(&self, judged: &Judged) -> Option<Grade> {
        let estimate = judged.estimate?;
        if judged.people < self.min_n as f64 {
            return Some(Grade::Suppress);
        }
        if judged.is_difference {
            return Some(Grade::Reliable);
        }
        let error = judged.error?;
        // Not a quotient: an estimate of 0 that has an error is as unsure as can be, and one that has none is sure.
        let is_over = |threshold: f64| error > threshold * estimate.abs();
        Some(if is_over(self.suppress) {
            Grade::Suppress
        } else if is_over(self.caution) {
            Grade::Caution
        } else {
            Grade::Reliable
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_graded_by_their_relative_error_and_their_people() {
        let quality = Quality::default();
        let of = |estimate: f64, error: f64, people: f64| Judged {
            estimate: Some(estimate),
            error: Some(error),
            people,
            is_difference: false,
        };
        let graded = [
            (of(100.0, 16.5, 30.0), Some(Grade::Reliable)),
            (of(-100.0, 16.6, 30.0), Some(Grade::Caution)),
            (of(-100.0, 33.4, 30.0), Some(Grade::Suppress)),
            (of(100.0, 1.0, 29.0), Some(Grade::Suppress)),
            (of(0.0, 0.0, 500.0), Some(Grade::Reliable)),
            (of(0.0, 0.1, 500.0), Some(Grade::Suppress)),
            (Judged { is_difference: true, ..of(0.1, 5.0, 500.0) }, Some(Grade::Reliable)),
            (Judged { is_difference: true, ..of(0.1, 5.0, 5.0) }, Some(Grade::Suppress)),
            (Judged { error: None, ..of(5.0, 0.0, 500.0) }, None),
            (Judged::default(), None),
        ];
        for (judged, expected) in graded {
            assert_eq!(quality.grade(&judged), expected, "{judged:?}");
        }
        assert_eq!(of(-50.0, 5.0, 1.0).relative_error(), Some(0.1));
        assert_eq!(of(0.0, 5.0, 1.0).relative_error(), None);
    }
}

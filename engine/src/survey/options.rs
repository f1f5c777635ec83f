//! What a call of a survey function may say besides its own arguments and the design.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

use crate::{Code, Error};

/// How an estimate is made and reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Options {
    /// The confidence of intervals, by its bits.
    level: u64,
    pub(super) effect: Effect,
    pub(super) lonely: Lonely,
    pub(super) interval: Interval,
    pub(super) among: Among,
}

/// Which people a mean per person is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Among {
    /// All of the frame; those without rows count 0.
    Frame,
    /// Those with rows.
    Present,
}

/// What a design is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Effect {
    /// A simple random sample without replacement: R's `deff = TRUE`.
    WithoutReplacement,
    /// One with replacement: R's `deff = "replace"`.
    WithReplacement,
}

/// What becomes of a stratum with one PSU, which shows no variance: R's `survey.lonely.psu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lonely {
    Fail,
    Remove,
    Certainty,
    Average,
    Adjust,
}

/// On which scale an interval is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Interval {
    Plain,
    Logit,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            level: 0.95_f64.to_bits(),
            effect: Effect::WithoutReplacement,
            lonely: Lonely::Fail,
            interval: Interval::Plain,
            among: Among::Frame,
        }
    }
}

impl Options {
    pub(super) fn level(self) -> f64 {
        f64::from_bits(self.level)
    }

    /// Reads an option that was given.
    ///
    /// # Errors
    /// `invalid_argument` for a value that the option does not have.
    pub(super) fn set(&mut self, function: &str, name: &str, value: &Expr) -> Result<(), Error> {
        let Expr::Literal(value, _) = value else {
            return Err(Error::new(Code::InvalidArgument, format!("{function}: {name} must be a literal.")));
        };
        let text = value.try_as_str().flatten().unwrap_or_default();
        match name {
            "level" => {
                let level = value.cast_to(&arrow::datatypes::DataType::Float64);
                match level {
                    Ok(ScalarValue::Float64(Some(level))) if level > 0.0 && level < 1.0 => self.level = level.to_bits(),
                    _ => return Err(refused(function, name, "a number between 0 and 1, such as 0.95")),
                }
            }
            "deff" => match text {
                "srs" => self.effect = Effect::WithoutReplacement,
                "replace" => self.effect = Effect::WithReplacement,
                _ => return Err(refused(function, name, "'srs' or 'replace'")),
            },
            "lonely" => match text {
                "fail" => self.lonely = Lonely::Fail,
                "remove" => self.lonely = Lonely::Remove,
                "certainty" => self.lonely = Lonely::Certainty,
                "average" => self.lonely = Lonely::Average,
                "adjust" => self.lonely = Lonely::Adjust,
                _ => return Err(refused(function, name, "'fail', 'remove', 'certainty', 'average' or 'adjust'")),
            },
            "among" => match text {
                "all" => self.among = Among::Frame,
                "present" => self.among = Among::Present,
                _ => return Err(refused(function, name, "'all' or 'present'")),
            },
            _ => match text {
                "mean" => self.interval = Interval::Plain,
                "logit" => self.interval = Interval::Logit,
                _ => return Err(refused(function, name, "'mean' or 'logit'")),
            },
        }
        Ok(())
    }
}

fn refused(function: &str, name: &str, wanted: &str) -> Error {
    Error::new(Code::InvalidArgument, format!("{function}: {name} must be {wanted}."))
}

//! The last level: strata to an estimate, with its standard error and interval.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, internal_datafusion_err};

use super::lists::{self, Lists};
use super::notices::Notice;
use super::options::Lonely;
use super::report::{self, Base, Reaches, Report, Row, quadratic};
use super::step::{Groups, Level};
use super::stratum::{Layout, PEOPLE, PSUS, ROWS, TERMS, WEIGHTS};
use super::sums::{Adder, SumGroups, Summed, wide};
use super::wide::Wide;
use crate::{Code, Error};

/// A sampling fraction so near to 1 leaves no variance: R's `onestrat`.
const NEARLY_ALL: f64 = 1e-7;

/// The estimate of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Estimate {
    pub(super) report: Report,
}

impl Estimate {
    fn layout(&self) -> Layout {
        Layout::of(self.report.estimator)
    }

    /// After the sums of strata: how many strata there are, and how many of them have one PSU and wait for the average of the
    /// others.
    fn strata(&self) -> usize {
        self.layout().width()
    }

    fn lonely(&self) -> usize {
        self.strata() + 1
    }
}

impl Level for Estimate {
    const NAME: &'static str = "svy_estimate";

    fn data_type(&self) -> DataType {
        report::data_type(self.report.estimator)
    }

    fn state(&self) -> Vec<DataType> {
        vec![lists::data_type(2 * self.width())]
    }

    fn groups(&self) -> Box<dyn Groups> {
        Box::new(SumGroups::new(self.clone()))
    }
}

/// What the frame says of a stratum.
struct Stratum {
    psus: f64,
    /// One minus the sampling fraction.
    rest: Wide,
}

impl Estimate {
    /// The stratum of a row, where it has PSUs of the domain.
    fn stratum(&self, psus_seen: f64, frame: &Frame<'_>, row: usize) -> Result<Stratum, Error> {
        let name = self.report.estimator.name();
        let psus = frame.psus.is_valid(row).then(|| frame.psus.value(row) as f64);
        let psus = psus.filter(|psus| *psus >= psus_seen).ok_or_else(|| {
            Error::new(
                Code::DataInvalid,
                format!("{name}: a stratum has {psus_seen} PSUs here, and {} in the frame.", psus.unwrap_or(0.0)),
            )
            .hint(
                "Each PSU of the rows must be in the frame: the table of the weights, or the one that frame => names.",
            )
        })?;
        let Some((least, most)) = &frame.correction else { return Ok(Stratum { psus, rest: Wide::ONE }) };
        if !least.is_valid(row) {
            return Err(Error::new(Code::DataInvalid, format!("{name}: a stratum has no fpc.")));
        }
        let (population, most) = (least.value(row), most.value(row));
        if population != most {
            let message = format!("{name}: the fpc of a stratum is {population} in one row and {most} in another.");
            return Err(Error::new(Code::DataInvalid, message).hint("It must be the same in all rows of a stratum."));
        }
        if population <= 0.0 || population.is_nan() || (population > 1.0 && population < psus) {
            let message = format!("{name}: the fpc of a stratum is {population}, which has {psus} PSUs in the frame.");
            return Err(Error::new(Code::DataInvalid, message)
                .hint("It is the number of PSUs in the population's stratum, or the fraction of them in the sample."));
        }
        let rest = if population <= 1.0 {
            Wide::ONE - population.into()
        } else if population.is_infinite() {
            Wide::ONE
        } else {
            (Wide::from(population) - psus.into()) / population.into()
        };
        Ok(Stratum { psus, rest })
    }

    /// Adds the variance of the totals within a stratum.
    fn add_variance(&self, stratum: &Stratum, of: &[Wide], sums: &mut [Wide]) -> Result<(), Error> {
        let layout = self.layout();
        if stratum.rest.value() < NEARLY_ALL {
            return Ok(());
        }
        let (between, totals) = (&of[layout.between()..layout.products()], &of[TERMS..layout.between()]);
        if stratum.psus > 1.0 {
            let scale = stratum.rest * stratum.psus.into() / (stratum.psus - 1.0).into();
            for ((at, (one, other)), product) in layout.each_pair().enumerate().zip(between) {
                let centred = *product - totals[one] * totals[other] / stratum.psus.into();
                sums[layout.between() + at] += scale * centred;
            }
            return Ok(());
        }
        match self.report.options.lonely {
            Lonely::Fail => {
                let name = self.report.estimator.name();
                return Err(Error::new(
                    Code::DataInvalid,
                    format!("{name}: a stratum has a single PSU, whose variance cannot be known."),
                )
                .hint(
                    "Say what becomes of it: lonely => 'remove', 'certainty', 'average' or 'adjust'; or merge strata.",
                ));
            }
            Lonely::Remove | Lonely::Certainty => {}
            Lonely::Average => sums[self.lonely()] += Wide::ONE,
            // Around nothing, also for totals: R's treatment.
            Lonely::Adjust => {
                for (at, product) in between.iter().enumerate() {
                    sums[layout.between() + at] += stratum.rest * *product;
                }
            }
        }
        Ok(())
    }

    /// The estimate of a group.
    fn row(&self, sums: &[Wide], reaches: &mut Reaches) -> Result<Row, Error> {
        let layout = self.layout();
        let (strata, lonely) = (sums[self.strata()].value(), sums[self.lonely()].value());
        if lonely > 0.0 {
            self.report.notices.note(Notice::Lonely);
        }
        let base = Base {
            rows: sums[ROWS].value(),
            people: sums[PEOPLE].value(),
            weights: sums[WEIGHTS],
            totals: &sums[TERMS..layout.between()],
            products: &sums[layout.products()..layout.width()],
        };
        self.report.row(base, sums[PSUS].value() - strata, reaches, |solved| {
            if lonely >= strata {
                self.report.notices.note(Notice::AllLonely);
                return None;
            }
            let within = quadratic(layout.terms, solved, &sums[layout.between()..layout.products()]);
            // Strata of one PSU vary as the others do.
            Some(within * strata.into() / (strata - lonely).into())
        })
    }
}

/// What comes with the sums of a stratum: its PSUs in the frame, and the least and the greatest fpc.
struct Frame<'a> {
    psus: &'a Int64Array,
    correction: Option<(&'a Float64Array, &'a Float64Array)>,
}

impl<'a> Frame<'a> {
    fn of(values: &'a [ArrayRef]) -> Result<Self> {
        let wrong = || internal_datafusion_err!("the frame of a survey estimate is of another type");
        let float = |column: &'a ArrayRef| column.as_primitive_opt::<Float64Type>().ok_or_else(wrong);
        let psus = values.first().and_then(|column| column.as_primitive_opt::<Int64Type>()).ok_or_else(wrong)?;
        let correction = match values {
            [_, least, most] => Some((float(least)?, float(most)?)),
            _ => None,
        };
        Ok(Self { psus, correction })
    }
}

impl Summed for Estimate {
    fn width(&self) -> usize {
        self.lonely() + 1
    }

    fn adder<'a>(&'a self, values: &'a [ArrayRef]) -> Result<Adder<'a>> {
        let (sums_of, frame) = values.split_first().ok_or_else(|| internal_datafusion_err!("no sums of strata"))?;
        let (strata, frame) = (Lists::of(sums_of)?, Frame::of(frame)?);
        let layout = self.layout();
        Ok(Box::new(move |row, sums| {
            let of: Vec<Wide> = wide(strata.row(row)).collect();
            if of[PSUS].is_zero() {
                return Ok(());
            }
            for at in (0..layout.between()).chain(layout.products()..layout.width()) {
                sums[at] += of[at];
            }
            sums[self.strata()] += Wide::ONE;
            let stratum = self.stratum(of[PSUS].value(), &frame, row)?;
            self.add_variance(&stratum, &of, sums)
        }))
    }

    fn values(&self, groups: &mut dyn Iterator<Item = &[Wide]>) -> Result<ArrayRef> {
        let mut reaches = Reaches::new();
        self.report.column(groups.map(|sums| self.row(sums, &mut reaches)))
    }
}

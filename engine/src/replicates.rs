//! Replicate weights as a dataset declares them.

use crate::{Code, Error};

/// Columns of replicate weights, and how the variance of an estimate follows from them.
#[derive(Debug, Clone, PartialEq)]
pub struct Replicates {
    /// Names, or patterns with one `*`, which are all columns that match, in their order in the table.
    pub columns: Vec<String>,
    /// How they were made.
    pub method: ReplicateMethod,
    /// What the sum of squares is multiplied with; None = what the method says.
    pub scale: Option<f64>,
    /// What each replicate's square is multiplied with; None = 1.
    pub rscales: Option<Vec<f64>>,
    /// Fay's factor.
    pub rho: Option<f64>,
    /// Whether distances are from the estimate, and not from the mean of the replicates.
    pub mse: bool,
    /// Whether the columns are weights, and not what the weight is multiplied with.
    pub combined: bool,
    /// Degrees of freedom; None = the rank of the weights less one.
    pub df: Option<f64>,
}

/// How replicate weights were made, by the names of R's `svrepdesign`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicateMethod {
    /// Jackknife without strata.
    Jk1,
    /// Jackknife with strata.
    Jkn,
    /// Paired jackknife.
    Jk2,
    /// Balanced half-samples.
    Brr,
    /// Balanced half-samples with Fay's factor.
    Fay,
    /// Bootstrap.
    Bootstrap,
    /// Successive differences, as in the American Community Survey.
    SuccessiveDifference,
    /// Another one, by its scales.
    Other,
}

impl Replicates {
    /// The names of the columns among those of a table.
    pub(crate) fn names<'a>(&self, table: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
        let matching = |pattern: &String| -> Vec<String> {
            match pattern.split_once('*') {
                Some((start, end)) => {
                    let fits = |name: &&str| {
                        name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
                    };
                    table.clone().filter(fits).map(str::to_owned).collect()
                }
                None => vec![pattern.clone()],
            }
        };
        self.columns.iter().flat_map(matching).collect()
    }

    /// The scale, and that of each of so many replicates, with the defaults of R's `svrepdesign`.
    ///
    /// # Errors
    /// `design_missing` where the design does not say enough.
    pub(crate) fn scales(&self, replicates: usize) -> Result<(f64, Vec<f64>), Error> {
        let refused = |text: String| Error::new(Code::DesignMissing, text);
        if replicates < 2 {
            return Err(refused(format!(
                "The design has {replicates} columns of replicate weights ({}), and needs two or more.",
                self.columns.join(", ")
            )));
        }
        match (self.method, self.rho) {
            (ReplicateMethod::Fay, Some(rho)) if !(0.0..1.0).contains(&rho) => {
                return Err(refused(format!("The rho of replicates is from 0 to below 1, and not {rho}.")));
            }
            (ReplicateMethod::Fay, _) | (_, None) => {}
            (_, Some(_)) => return Err(refused("Only replicates of type Fay have a rho.".to_owned())),
        }
        let count = replicates as f64;
        let scale = match self.method {
            ReplicateMethod::Brr => 1.0 / count,
            ReplicateMethod::Fay => {
                let rho = self.rho.ok_or_else(|| refused("Replicates of type Fay need rho.".to_owned()))?;
                1.0 / (count * (1.0 - rho).powi(2))
            }
            ReplicateMethod::SuccessiveDifference => 4.0 / count,
            ReplicateMethod::Jk2 => 1.0,
            ReplicateMethod::Bootstrap => self.scale.unwrap_or(1.0 / (count - 1.0)),
            ReplicateMethod::Jk1 => self.scale.unwrap_or((count - 1.0) / count),
            ReplicateMethod::Jkn | ReplicateMethod::Other => self.scale.unwrap_or(1.0),
        };
        let rscales = match (&self.rscales, self.method) {
            (None, ReplicateMethod::Jkn) => {
                return Err(refused("Replicates of type JKn need rscales: (n-1)/n of the stratum of each.".to_owned()));
            }
            (None, _) | (_, ReplicateMethod::SuccessiveDifference | ReplicateMethod::Jk2) => vec![1.0; replicates],
            (Some(one), _) if one.len() == 1 => vec![one[0]; replicates],
            (Some(each), _) if each.len() == replicates => each.clone(),
            (Some(each), _) => {
                let text = format!("The design has {} rscales for {replicates} replicates.", each.len());
                return Err(refused(text));
            }
        };
        Ok((scale, rscales))
    }
}

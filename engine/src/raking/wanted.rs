//! What is wanted of the weights, and whether it can be had: the checks before the first step.
//!
//! A margin that the rows cannot meet is an error with the names of the categories, and not a raking that goes nowhere.

use std::collections::HashSet;

use super::cells::Cells;
use super::fit::Bounds;
use super::{Category, Margin, Options, Sample};
use crate::names::listing;
use crate::{Code, Error};

/// Below this a tolerance asks for digits that rounding has taken.
const LEAST_TOLERANCE: f64 = 1e-12;

/// Published figures are rounded: sums that differ by less are taken to be the same.
const ROUNDED: f64 = 1e-4;

/// Published shares are rounded to fewer digits than counts.
const ROUNDED_SHARES: f64 = 5e-3;

/// Sums that differ by no more are equal, and not worth a notice.
const EQUAL: f64 = 1e-12;

/// What each category is to add up to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Targets {
    /// For each margin and category.
    pub(super) populations: Vec<Vec<f64>>,
    /// What each margin adds up to.
    pub(super) total: f64,
    /// What was done to the margins so that they agree.
    pub(super) notices: Vec<String>,
}

fn refused(text: String) -> Error {
    Error::new(Code::InvalidArgument, text)
}

/// Options that can be meant.
pub(super) fn check_options(options: &Options) -> Result<(), Error> {
    if !(LEAST_TOLERANCE..1.0).contains(&options.tolerance) {
        return Err(refused(format!("The tolerance {} is not between 1e-12 and 1.", options.tolerance))
            .hint("It is the share of a category by which it may miss what is wanted, such as 1e-9."));
    }
    if options.iterations == 0 {
        return Err(refused("Raking needs at least one iteration.".to_owned()));
    }
    if let Some(total) = options.total
        && !(total > 0.0 && total.is_finite())
    {
        return Err(refused(format!("The total {total} is not a number above 0.")));
    }
    match options.trim {
        Some(trim) if !((0.0..=1.0).contains(&trim.low) && trim.high >= 1.0) => {
            Err(refused(format!("Weights cannot be trimmed to between {} and {} of their mean.", trim.low, trim.high))
                .hint("The low bound is from 0 to 1, the high one 1 or more, as in 0.3 and 3."))
        }
        _ => Ok(()),
    }
}

impl Targets {
    /// From margins of counts that add up to the same, or of shares of `total`.
    pub(super) fn of(margins: &[Margin], total: Option<f64>) -> Result<Self, Error> {
        let sums = margins.iter().map(sum).collect::<Result<Vec<f64>, Error>>()?;
        let Some(first) = sums.first() else { return Err(refused("Raking needs at least one margin.".to_owned())) };
        let mut names = HashSet::new();
        if let Some(twice) = margins.iter().find(|margin| !names.insert(margin.variable.as_str())) {
            return Err(refused(format!("There are two margins of {}.", twice.variable)));
        }
        if total.is_none() && sums.iter().all(|sum| (sum - 1.0).abs() <= ROUNDED_SHARES) {
            return Err(refused("The margins add up to 1, so they are shares, and nothing says of what.".to_owned())
                .hint("Say the total that the weights are to add up to: of the population, or of the sample."));
        }
        let wanted = total.unwrap_or(*first);
        let mut notices = Vec::new();
        for (margin, sum) in margins.iter().zip(&sums) {
            let unit = match total {
                Some(_) => whole(margin, *sum, wanted)?,
                None => agreeing(margin, *sum, &margins[0], *first)?,
            };
            if (sum - unit).abs() > EQUAL * unit {
                notices.push(format!("The margin of {} adds up to {sum}, and was scaled to {unit}.", margin.variable));
            }
        }
        let scaled = |(margin, sum): (&Margin, &f64)| {
            margin.categories.iter().map(|category| category.population * (wanted / sum)).collect()
        };
        Ok(Self { populations: margins.iter().zip(&sums).map(scaled).collect(), total: wanted, notices })
    }
}

/// What a margin adds up to.
fn sum(margin: &Margin) -> Result<f64, Error> {
    let Margin { variable, categories } = margin;
    let mut names = HashSet::new();
    for Category { name, population } in categories {
        if !names.insert(name.as_str()) {
            return Err(refused(format!("The margin of {variable} has the category {name} twice.")));
        }
        if !(*population >= 0.0 && population.is_finite()) {
            return Err(refused(format!("The margin of {variable} has {population} for {name}."))
                .hint("A population is a number of 0 or more."));
        }
    }
    let sum: f64 = categories.iter().map(|category| category.population).sum();
    if sum > 0.0 && sum.is_finite() {
        Ok(sum)
    } else {
        Err(refused(format!("The margin of {variable} adds up to {sum}."))
            .hint("It must say how many people there are."))
    }
}

/// What shares add up to: 1 or 100. Counts add up to the total itself.
fn whole(margin: &Margin, sum: f64, total: f64) -> Result<f64, Error> {
    let is_near = |(unit, leeway): &(f64, f64)| (sum - unit).abs() <= leeway * unit;
    let wholes = [(total, ROUNDED), (1.0, ROUNDED_SHARES), (100.0, ROUNDED_SHARES)];
    wholes.into_iter().find(is_near).map(|(unit, _)| unit).ok_or_else(|| {
        refused(format!("The margin of {} adds up to {sum}, which is neither 1 nor 100 nor {total}.", margin.variable))
            .hint(
                "With a total, margins are shares that add up to 1 or 100 percent, or counts that add up to the total.",
            )
    })
}

/// The sum of the first margin, if this one has the same.
fn agreeing(margin: &Margin, sum: f64, first: &Margin, wanted: f64) -> Result<f64, Error> {
    if (sum - wanted).abs() <= ROUNDED * wanted {
        return Ok(wanted);
    }
    Err(refused(format!(
        "The margins are of different populations: that of {} adds up to {wanted}, that of {} to {sum}.",
        first.variable, margin.variable
    ))
    .hint("Take margins of one population; or give shares of each, and the total they are of."))
}

/// Rows that can be weighed. Gives how many of them will weigh something.
pub(super) fn check_sample(sample: Sample<'_>, margins: &[Margin], targets: &Targets) -> Result<usize, Error> {
    let rows = sample.base.len();
    check_base(sample.base)?;
    let fits = |(codes, margin): (&Vec<u32>, &Margin)| {
        codes.len() == rows && codes.iter().all(|code| (*code as usize) < margin.categories.len())
    };
    if sample.codes.len() != margins.len() || !sample.codes.iter().zip(margins).all(fits) {
        return Err(refused("The rows are not of the categories of the margins.".to_owned()));
    }
    let is_zero = |row: usize| {
        let mut populations = sample.codes.iter().zip(&targets.populations);
        sample.base[row] == 0.0 || populations.any(|(codes, populations)| populations[codes[row] as usize] == 0.0)
    };
    let is_zero: Vec<bool> = (0..rows).map(is_zero).collect();
    for ((margin, codes), populations) in margins.iter().zip(sample.codes).zip(&targets.populations) {
        let (mut present, mut weighing) = (vec![false; populations.len()], vec![false; populations.len()]);
        for (code, is_zero) in codes.iter().zip(&is_zero) {
            present[*code as usize] = true;
            weighing[*code as usize] |= !is_zero;
        }
        let lacking = |has: &[bool]| -> Vec<&str> {
            let categories = margin.categories.iter().zip(populations).zip(has);
            categories
                .filter(|((_, wanted), has)| **wanted > 0.0 && !**has)
                .map(|((c, _), _)| c.name.as_str())
                .collect()
        };
        check_filled(&margin.variable, &lacking(&present), &lacking(&weighing))?;
    }
    Ok(is_zero.iter().filter(|is_zero| !**is_zero).count())
}

fn check_base(base: &[f64]) -> Result<(), Error> {
    if base.is_empty() {
        return Err(Error::new(Code::DataInvalid, "There are no rows to weigh.")
            .hint("Look at the conditions of the query, and at what you may see."));
    }
    if u32::try_from(base.len()).is_err() {
        return Err(Error::new(Code::OutOfMemory, "Raking takes up to 4,294,967,295 rows."));
    }
    let is_bad = |weight: &f64| !(*weight >= 0.0 && weight.is_finite());
    if let Some(first) = base.iter().position(is_bad) {
        let count = base.iter().filter(|weight| is_bad(weight)).count();
        let weight = base[first];
        let row = first + 1;
        let message = format!("Base weights must be 0 or more: row {row} has {weight} ({count} such rows in all).");
        return Err(Error::new(Code::DataInvalid, message).hint("Leave such rows out, or take other base weights."));
    }
    let sum: f64 = base.iter().sum();
    if sum > 0.0 && sum.is_finite() {
        return Ok(());
    }
    Err(Error::new(Code::DataInvalid, format!("The base weights add up to {sum}.")).hint("Take other base weights."))
}

fn check_filled(variable: &str, absent: &[&str], weightless: &[&str]) -> Result<(), Error> {
    const HINT: &str = "Merge each with a category that has people, in the rows and in the margin.";
    if !absent.is_empty() {
        let names = listing(absent.iter().copied());
        return Err(refused(format!("No row has {variable} = {names}, of which the margin has people.")).hint(HINT));
    }
    if !weightless.is_empty() {
        let names = listing(weightless.iter().copied());
        return Err(refused(format!(
            "No row that weighs anything has {variable} = {names}, of which the margin has people."
        ))
        .hint(HINT));
    }
    Ok(())
}

/// Bounds within which each category can add up to what is wanted.
pub(super) fn check_bounds(cells: &Cells, margins: &[Margin], targets: &Targets, bounds: Bounds) -> Result<(), Error> {
    for ((margin, codes), populations) in margins.iter().zip(&cells.codes).zip(&targets.populations) {
        let mut rows = vec![0.0; populations.len()];
        for (code, of_cell) in codes.iter().zip(&cells.rows) {
            rows[*code as usize] += of_cell;
        }
        for ((category, wanted), rows) in margin.categories.iter().zip(populations).zip(rows) {
            let (least, most) = (rows * bounds.low, rows * bounds.high);
            let reached = if *wanted > most * (1.0 + EQUAL) {
                format!("at most {most}")
            } else if *wanted < least * (1.0 - EQUAL) {
                format!("no less than {least}")
            } else {
                continue;
            };
            let (variable, name) = (&margin.variable, &category.name);
            let message = format!(
                "Within the bounds {variable} = {name} cannot add up to {wanted}: weights of its {rows} rows add up to {reached}."
            );
            return Err(refused(message).hint("Trim less, or merge the category with another."));
        }
    }
    Ok(())
}

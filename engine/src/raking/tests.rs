//! Raking against what it promises, and against ten lines of the textbook. R's figures are in `tests/it/raking.rs`.

use proptest::prelude::*;

use super::*;
use crate::Code;

/// Margins named `0`, `1`, .. of categories named likewise.
fn margins(populations: &[&[f64]]) -> Vec<Margin> {
    let category = |(at, population): (usize, &f64)| Category { name: at.to_string(), population: *population };
    let margin = |(at, populations): (usize, &&[f64])| Margin {
        variable: at.to_string(),
        categories: populations.iter().enumerate().map(category).collect(),
    };
    populations.iter().enumerate().map(margin).collect()
}

fn raked(base: &[f64], codes: &[Vec<u32>], margins: &[Margin], options: &Options) -> Result<Raked, Error> {
    rake(Sample { base, codes }, margins, options, || false)
}

#[track_caller]
fn assert_refused(answer: Result<Raked, Error>, code: Code, said: &[&str]) {
    let error = answer.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    let text = format!("{error} {}", error.hint_text().unwrap_or_default());
    for said in said {
        assert!(text.contains(said), "{said:?} is not in: {text}");
    }
}

fn is_close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs())
}

/// A row: its base weight, its categories, and the weight that the margins are made of.
type Row = (f64, u32, u32, u32, f64);

const CATEGORIES: usize = 3;

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((0.1..10.0, 0..3u32, 0..3u32, 0..3u32, 0.5..2.0), 12..60)
}

/// Base weights, codes, and margins that the last weight of each row meets.
fn posed(rows: &[Row]) -> (Vec<f64>, Vec<Vec<u32>>, Vec<Margin>) {
    let base = rows.iter().map(|row| row.0).collect();
    let codes = vec![
        rows.iter().map(|row| row.1).collect(),
        rows.iter().map(|row| row.2).collect(),
        rows.iter().map(|row| row.3).collect::<Vec<u32>>(),
    ];
    let populations: Vec<Vec<f64>> = codes
        .iter()
        .map(|codes| {
            let mut sums = vec![0.0; CATEGORIES];
            codes.iter().zip(rows).for_each(|(code, row)| sums[*code as usize] += row.4);
            sums
        })
        .collect();
    let slices: Vec<&[f64]> = populations.iter().map(Vec::as_slice).collect();
    (base, codes, margins(&slices))
}

fn patient() -> Options {
    Options { tolerance: 1e-11, iterations: 200_000, ..Options::default() }
}

proptest! {
    #[test]
    fn margins_hold_and_each_weight_is_its_base_times_one_factor_for_each_category(rows in rows()) {
        let (base, codes, margins) = posed(&rows);
        let raked = raked(&base, &codes, &margins, &patient()).unwrap();
        prop_assert!(raked.is_converged);
        for category in raked.fitted.iter().flatten() {
            prop_assert!(is_close(category.after, category.target, 1e-10), "{category:?}");
        }
        // The textbook: every margin in turn, over the rows.
        let mut naive = base;
        for _ in 0..raked.iterations() {
            for (codes, margin) in codes.iter().zip(&margins) {
                let mut sums = [0.0; CATEGORIES];
                codes.iter().zip(&naive).for_each(|(code, weight)| sums[*code as usize] += weight);
                for (code, weight) in codes.iter().zip(&mut naive) {
                    *weight *= margin.categories[*code as usize].population / sums[*code as usize];
                }
            }
        }
        for (weight, naive) in raked.weights.iter().zip(naive) {
            prop_assert!(is_close(*weight, naive, 1e-8), "{weight} {naive}");
        }
    }

    #[test]
    fn scaling_the_base_weights_or_turning_the_margins_round_changes_nothing(rows in rows(), scale in 1e-6..1e6) {
        let (base, mut codes, mut margins) = posed(&rows);
        let trim = Some(Trim { low: 0.2, high: 4.5 });
        for options in [patient(), Options { trim, ..patient() }] {
            let first = raked(&base, &codes, &margins, &options).unwrap();
            let scaled: Vec<f64> = base.iter().map(|weight| weight * scale).collect();
            let second = raked(&scaled, &codes, &margins, &options).unwrap();
            codes.reverse();
            margins.reverse();
            let third = raked(&base, &codes, &margins, &options).unwrap();
            for ((a, b), c) in first.weights.iter().zip(&second.weights).zip(&third.weights) {
                prop_assert!(is_close(*a, *b, 1e-9) && is_close(*a, *c, 1e-6), "{a} {b} {c}");
            }
        }
    }

    #[test]
    fn one_margin_is_post_stratification_in_one_step(rows in rows()) {
        let (base, codes, margins) = posed(&rows);
        let raked = raked(&base, &codes[..1], &margins[..1], &Options::default()).unwrap();
        prop_assert_eq!(raked.iterations(), 1);
        for (row, weight) in raked.weights.iter().enumerate() {
            let fitted = raked.fitted[0][codes[0][row] as usize];
            prop_assert!(is_close(*weight, base[row] * fitted.target / fitted.before, 1e-12));
        }
    }

    #[test]
    fn trimmed_weights_meet_the_margins_within_the_bounds(rows in rows()) {
        let (base, codes, margins) = posed(&rows);
        // The weights behind the margins are within these bounds, so there is an answer.
        let options = Options { trim: Some(Trim { low: 0.24, high: 4.1 }), tolerance: 1e-9, ..patient() };
        let raked = raked(&base, &codes, &margins, &options).unwrap();
        prop_assert!(raked.is_converged, "{:?}", raked.deviations.last());
        let (low, high) = raked.bounds.unwrap();
        prop_assert!(raked.weights.iter().all(|weight| *weight >= low && *weight <= high));
        for category in raked.fitted.iter().flatten() {
            prop_assert!(is_close(category.after, category.target, 1e-8), "{category:?}");
        }
    }
}

#[test]
fn what_is_cut_from_some_is_given_to_others_of_their_categories() {
    let base = [1.0, 1.0, 1.0, 100.0, 1.0, 1.0];
    let codes = [vec![0, 0, 0, 0, 1, 1]];
    let margins = margins(&[&[8.0, 4.0]]);
    let options = Options { trim: Some(Trim { low: 0.0, high: 1.5 }), ..Options::default() };
    let raked = raked(&base, &codes, &margins, &options).unwrap();
    let wanted = [5.0 / 3.0, 5.0 / 3.0, 5.0 / 3.0, 3.0, 2.0, 2.0];
    assert!(raked.weights.iter().zip(wanted).all(|(a, b)| is_close(*a, b, 1e-12)), "{:?}", raked.weights);
    assert_eq!((raked.bounds, raked.at_bounds), (Some((0.0, 3.0)), (0, 1)));
}

#[test]
fn margins_that_contradict_each_other_are_not_met_and_say_where() {
    // Both variables are the same in every row, and the margins want them to differ.
    let codes = [vec![0, 0, 1, 1], vec![0, 0, 1, 1]];
    let margins = margins(&[&[60.0, 40.0], &[40.0, 60.0]]);
    let trim = Some(Trim { low: 0.1, high: 3.0 });
    for options in [Options::default(), Options { trim, ..Options::default() }] {
        let raked = raked(&[1.0; 4], &codes, &margins, &options).unwrap();
        assert!(!raked.is_converged);
        assert_eq!(raked.iterations(), 1000);
        assert!(is_close(raked.largest_deviation(), 0.5, 1e-9), "{}", raked.largest_deviation());
        assert_eq!(raked.worst(), Some((0, 1)));
        assert!(raked.weights.iter().all(|weight| weight.is_finite()));
    }
}

#[test]
fn a_category_that_nobody_is_in_gets_no_weight_and_rows_without_weight_get_none() {
    let base = [1.0, 1.0, 0.0, 1.0];
    let codes = [vec![0, 1, 1, 2], vec![0, 1, 0, 0]];
    let raked = raked(&base, &codes, &margins(&[&[3.0, 7.0, 0.0], &[3.0, 7.0]]), &Options::default()).unwrap();
    assert_eq!(raked.weights, [3.0, 7.0, 0.0, 0.0]);
    assert_eq!((raked.before.rows, raked.before.zeros), (3, 1));
    assert_eq!((raked.after.rows, raked.after.zeros), (2, 2));
}

#[test]
fn the_design_effect_is_that_of_kish_at_any_scale() {
    for scale in [1.0, 1e-200, 1e200] {
        let base: Vec<f64> = [1.0, 2.0, 3.0].iter().map(|weight| weight * scale).collect();
        let raked = raked(&base, &[vec![0; 3]], &margins(&[&[6.0]]), &Options::default()).unwrap();
        assert!(is_close(raked.before.design_effect, 3.0 * 14.0 / 36.0, 1e-12));
        assert!(is_close(raked.after.effective_n, 36.0 / 14.0, 1e-12));
    }
}

#[test]
fn shares_are_of_the_total_and_counts_may_be_off_by_their_rounding() {
    let codes = [vec![0, 1, 1, 0], vec![0, 0, 1, 1]];
    let of = |populations: &[&[f64]], total| {
        raked(&[1.0; 4], &codes, &margins(populations), &Options { total, ..Options::default() })
    };
    for populations in [[&[0.6, 0.4], &[30.0, 70.0]], [&[60.0, 40.0], &[300.0, 700.0]]] {
        let raked = of(&populations.map(|margin| margin as &[f64]), Some(1000.0)).unwrap();
        assert!(is_close(raked.weights[0], 180.0, 1e-9) && is_close(raked.after.sum, 1000.0, 1e-9));
        assert!(raked.notices.is_empty());
    }
    let rounded = of(&[&[600.0, 400.0], &[300.04, 700.0]], None).unwrap();
    assert_eq!(rounded.notices, ["The margin of 1 adds up to 1000.04, and was scaled to 1000."]);
    let bad = Code::InvalidArgument;
    assert_refused(of(&[&[0.6, 0.4], &[0.3, 0.7]], None), bad, &["add up to 1", "total"]);
    assert_refused(of(&[&[600.0, 400.0], &[300.0, 690.0]], None), bad, &["of 0 adds up to 1000, that of 1 to 990"]);
    assert_refused(
        of(&[&[0.6, 0.4], &[0.3, 0.6]], Some(10.0)),
        bad,
        &["0.8999999999999999", "neither 1 nor 100 nor 10"],
    );
}

#[test]
fn what_cannot_be_meant_is_refused_by_name() {
    let codes = [vec![0, 1, 1]];
    let of =
        |base: &[f64], populations: &[f64], options: Options| raked(base, &codes, &margins(&[populations]), &options);
    let ones = [1.0; 3];
    let (bad, data, plain) = (Code::InvalidArgument, Code::DataInvalid, Options::default());
    assert_refused(of(&ones, &[1.0, -2.0], plain), bad, &["has -2 for 1"]);
    assert_refused(of(&ones, &[1.0, f64::NAN], plain), bad, &["has NaN for 1"]);
    assert_refused(of(&ones, &[1.0, f64::INFINITY], plain), bad, &["has inf for 1"]);
    assert_refused(of(&ones, &[0.0, 0.0], plain), bad, &["adds up to 0"]);
    assert_refused(of(&ones, &[1.0, 2.0, 3.0], plain), bad, &["No row has 0 = 2"]);
    assert_refused(of(&[0.0, 1.0, 1.0], &[1.0, 2.0], plain), bad, &["No row that weighs anything has 0 = 0"]);
    assert_refused(of(&[1.0, -1.0, f64::NAN], &[1.0, 2.0], plain), data, &["row 2 has -1 (2 such rows in all)"]);
    assert_refused(of(&[0.0; 3], &[1.0, 2.0], plain), data, &["add up to 0"]);
    let trimmed = |low, high| Options { trim: Some(Trim { low, high }), ..plain };
    assert_refused(of(&ones, &[1.0, 9.0], trimmed(0.5, 2.0)), bad, &["0 = 0 cannot add up to 1", "no less than"]);
    assert_refused(of(&ones, &[9.0, 1.0], trimmed(0.0, 2.0)), bad, &["0 = 0 cannot add up to 9", "at most"]);
    assert_refused(of(&ones, &[1.0, 2.0], trimmed(2.0, 3.0)), bad, &["between 2 and 3"]);
    assert_refused(of(&ones, &[1.0, 2.0], Options { tolerance: 0.0, ..plain }), bad, &["tolerance"]);
    assert_refused(of(&ones, &[1.0, 2.0], Options { iterations: 0, ..plain }), bad, &["one iteration"]);
    assert_refused(raked(&[], &[vec![]], &margins(&[&[5.0]]), &plain), data, &["no rows"]);
    assert_refused(raked(&ones, &[], &[], &plain), bad, &["at least one margin"]);
    assert_refused(raked(&ones, &[vec![0]], &margins(&[&[5.0]]), &plain), bad, &["not of the categories"]);
    let mut twice = margins(&[&[1.0, 2.0]]);
    twice[0].categories[1].name = "0".to_owned();
    assert_refused(raked(&ones, &codes, &twice, &plain), bad, &["0 twice"]);
    let same = [margins(&[&[1.0, 2.0]]), margins(&[&[1.0, 2.0]])].concat();
    assert_refused(raked(&ones, &[codes[0].clone(), codes[0].clone()], &same, &plain), bad, &["two margins of 0"]);
    let stopped = rake(Sample { base: &ones, codes: &codes }, &margins(&[&[1.0, 2.0]]), &plain, || true);
    assert_refused(stopped, Code::Cancelled, &["cancelled"]);
}

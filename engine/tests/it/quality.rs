//! The quality of estimates: functions that tell it, and the notice that comes by itself.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;
use engine::{Engine, Quality};

use super::survey::{panel, panel_catalog, rows};

/// Few people, so that the thresholds are of errors alone.
fn lenient() -> Engine {
    let quality = Quality { caution: 0.15, suppress: 0.5, min_n: 0 };
    Engine::builder(panel_catalog()).quality(quality).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn estimates_tell_their_relative_error_and_quality() {
    let sql = "SELECT region, svy_rse(s) AS rse, s['se'] / abs(s['estimate']) AS by_hand, svy_quality(s) AS quality \
               FROM (SELECT region, svy_mean(person - 2) AS s FROM panel.people GROUP BY region) t ORDER BY region";
    let (batches, _) = rows(&lenient(), sql).await.unwrap();
    let [rse, by_hand] =
        ["rse", "by_hand"].map(|name| batches[0].column_by_name(name).unwrap().as_primitive::<Float64Type>().clone());
    assert_eq!(rse, by_hand);
    let quality = batches[0].column_by_name("quality").unwrap().as_string::<i32>();
    assert_eq!(quality.iter().flatten().collect::<Vec<_>>(), ["suppress", "use with caution"], "{rse:?}");
    // In one SELECT, and as a condition.
    let sql = "SELECT region, svy_rse(svy_mean(person - 2)) FROM panel.people GROUP BY region \
               HAVING svy_quality(svy_mean(person - 2)) <> 'suppress'";
    assert_eq!(rows(&lenient(), sql).await.unwrap().0.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
    let few = "SELECT svy_quality(s) AS q, svy_rse(d) AS r, svy_quality(d) AS d FROM (SELECT svy_mean(person) AS s, \
               svy_mean_diff(person, gender = 'F', gender = 'M') AS d FROM panel.people) t";
    let (batches, _) = rows(&panel(), few).await.unwrap();
    for column in ["q", "d"] {
        assert_eq!(batches[0].column_by_name(column).unwrap().as_string::<i32>().value(0), "suppress");
    }
    assert!(batches[0].column_by_name("r").unwrap().is_valid(0));
    for wrong in ["SELECT svy_rse(1)", "SELECT svy_quality(1.5, 2)", "SELECT svy_quality(struct(1))"] {
        let error = rows(&panel(), wrong).await.unwrap_err();
        assert!(error.message().contains("takes what a survey function gives"), "{wrong}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doubtful_estimates_are_told_of_without_being_asked() {
    let told = async |engine: &Engine, sql: &str| {
        let notices = rows(engine, sql).await.unwrap().1;
        notices.into_iter().find(|notice| notice.contains("svy_quality"))
    };
    let by_region = "SELECT region, svy_mean(person - 2) AS s FROM panel.people GROUP BY region";
    assert_eq!(
        told(&lenient(), by_region).await.unwrap(),
        "1 of 2 estimates is to be used with caution, and 1 should be suppressed (relative standard error over 15% / 50%); \
         svy_quality(..) says which."
    );
    assert_eq!(
        told(&panel(), "SELECT svy_median(weight) AS s FROM panel.people").await.unwrap(),
        "1 of 1 estimate should be suppressed (relative standard error over 16.5% / 33.3%, or fewer than 30 respondents); \
         svy_quality(..) says which."
    );
    // A quantile is judged, and not the share that its interval comes from; a difference is not judged by its error.
    for sure in [
        "SELECT svy_mean(weight) AS s, svy_median(weight) AS m FROM panel.people",
        "SELECT svy_mean_diff(weight, gender = 'F', gender = 'M') AS s FROM panel.people",
    ] {
        assert_eq!(told(&lenient(), sure).await, None, "{sure}");
    }
    let medians = "SELECT s['estimate'], s['se'] FROM (SELECT region, svy_quantile(person - 2, 0.3) AS s FROM panel.people \
                   GROUP BY region) t WHERE s['estimate'] < 1000";
    let notice = told(&lenient(), medians).await.unwrap_or_default();
    assert!(notice.is_empty() || notice.contains(" of 1 ") || notice.contains(" of 2 "), "{notice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_value_are_counted_once() {
    let sql = "SELECT gender, svy_mean(nullif(person, 1)) AS a, svy_total(nullif(person, 1)) AS b, \
               svy_share(nullif(person, 1) > nullif(person, 2)) AS c FROM panel.people GROUP BY ROLLUP (gender)";
    let notices = rows(&panel(), sql).await.unwrap().1;
    assert!(notices.iter().any(|notice| notice.starts_with("2 rows had no value")), "{notices:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_weight_are_told_of() {
    let sql = "SELECT svy_mean(person, weight => nullif(weight, 10)) AS s FROM panel.people";
    let notices = rows(&panel(), sql).await.unwrap().1;
    assert!(notices.contains(&"1 row has no weight, and is outside the design.".to_owned()), "{notices:?}");
}

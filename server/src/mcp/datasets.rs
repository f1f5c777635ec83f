//! Datasets in short, for tools that list them: as much of each as fits, and every one of them by name.

use engine::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{bytes, pay};
use super::call::Call;
use super::markdown;

/// A dataset in a listing is described in so many characters where room is short.
const SHORT_CHARS: usize = 100;

/// A dataset as `system.datasets` has it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Dataset {
    pub(super) dataset_id: String,
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) domain: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) weight_table: Option<String>,
    pub(super) weight_unit: Option<String>,
    pub(super) weight_column: Option<String>,
    pub(super) weights_mode: Option<String>,
}

/// A dataset in short.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(super) struct Brief {
    /// The name to write in SQL
    pub(super) dataset_id: String,
    /// The name for people
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// What it holds
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// The subject it belongs to
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) domain: Option<String>,
    /// What holds it, such as postgres or parquet
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    /// The mode of its weights, where it is a sample: required, default or offered
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) weights: Option<String>,
}

/// Datasets in short, as many as fit.
pub(super) struct Listing {
    pub(super) datasets: Vec<Brief>,
    pub(super) notices: Vec<String>,
    pub(super) truncated: bool,
}

/// Every dataset that the caller may see, by id. It opens none of them.
///
/// # Errors
/// Those of [`engine::Engine::query`].
pub(super) async fn all(call: &Call) -> Result<Vec<Dataset>, Error> {
    call.select(
        "SELECT dataset_id, name, description, domain, kind, weight_table, weight_unit, weight_column, \
         weights_mode FROM system.datasets ORDER BY dataset_id",
        &[],
    )
    .await
}

impl Dataset {
    /// The dataset in short.
    pub(super) fn brief(&self) -> Brief {
        let is_given = |text: &&String| !text.is_empty();
        Brief {
            dataset_id: self.dataset_id.clone(),
            name: self.name.as_ref().filter(is_given).filter(|name| **name != self.dataset_id).cloned(),
            description: self.description.as_ref().filter(is_given).cloned(),
            domain: self.domain.clone(),
            kind: self.kind.as_ref().filter(is_given).cloned(),
            weights: self.weights_mode.clone(),
        }
    }
}

impl Brief {
    fn short(mut self) -> Self {
        self.description = self.description.map(|text| match text.char_indices().nth(SHORT_CHARS) {
            Some((at, _)) => format!("{}…", text[..at].trim_end()),
            None => text,
        });
        self
    }

    fn without_description(self) -> Self {
        Self { description: None, ..self }
    }

    fn name_only(self) -> Self {
        Self { dataset_id: self.dataset_id, ..Self::default() }
    }
}

/// How much to say of a dataset, and the notice that tells what is left unsaid.
type Detail = (fn(Brief) -> Brief, Option<&'static str>);

/// The datasets within `budget` bytes: less is said of each before any is left out.
pub(super) fn listing(datasets: &[Dataset], budget: usize) -> Listing {
    let details: [Detail; 4] = [
        (|brief| brief, None),
        (Brief::short, Some("Long descriptions are shortened; describe_dataset has them in full.")),
        (Brief::without_description, Some("There is no room for descriptions; describe_dataset has them.")),
        (Brief::name_only, Some("There is room for names only; describe_dataset tells what each holds.")),
    ];
    let mut told = Vec::new();
    for (detail, notice) in details {
        told = datasets.iter().map(|dataset| detail(dataset.brief())).collect();
        if bytes(&told) <= budget {
            return Listing {
                datasets: told,
                notices: notice.map(str::to_owned).into_iter().collect(),
                truncated: false,
            };
        }
    }
    let mut left = budget;
    let fitting = told.iter().take_while(|brief| pay(&mut left, brief)).count();
    told.truncate(fitting);
    let last = told.last().map_or_else(String::new, |brief| format!(" after=\"{}\" lists on;", brief.dataset_id));
    let notice = format!(
        "Only the names of the first {fitting} of {} datasets fit:{last} search finds by words.",
        datasets.len()
    );
    Listing { datasets: told, notices: vec![notice], truncated: true }
}

impl Listing {
    /// The datasets in Markdown.
    pub(super) fn text(&self) -> String {
        if self.datasets.is_empty() {
            return "_No datasets_\n".to_owned();
        }
        let cell = |text: &Option<String>| text.clone().unwrap_or_default();
        markdown::table(
            &["dataset_id", "name", "description", "domain", "kind", "weights"],
            self.datasets.iter().map(|brief| {
                [
                    brief.dataset_id.clone(),
                    cell(&brief.name),
                    cell(&brief.description),
                    cell(&brief.domain),
                    cell(&brief.kind),
                    cell(&brief.weights),
                ]
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(count: usize) -> Vec<Dataset> {
        (0..count)
            .map(|at| Dataset {
                dataset_id: format!("dataset_{at:04}"),
                name: Some(format!("Dataset {at}")),
                description: Some("What it holds, at length. ".repeat(10)),
                domain: Some("sales".to_owned()),
                kind: Some("parquet".to_owned()),
                weight_table: None,
                weight_unit: None,
                weight_column: None,
                weights_mode: None,
            })
            .collect()
    }

    #[test]
    fn less_is_said_of_each_dataset_before_any_is_left_out() {
        let mut sizes = Vec::new();
        for (count, are_described) in [(10, true), (100, true), (300, false), (1_000, false)] {
            let listing = listing(&many(count), 32 * 1024);
            assert_eq!(listing.datasets.len(), count);
            assert!(!listing.truncated);
            assert_eq!(listing.datasets.iter().all(|brief| brief.description.is_some()), are_described, "{count}");
            assert!(bytes(&listing.datasets) <= 32 * 1024);
            sizes.push(listing.notices.len());
        }
        assert_eq!(sizes, [0, 1, 1, 1]);
    }

    #[test]
    fn a_listing_that_is_cut_says_where_to_go_on() {
        let listing = listing(&many(5_000), 32 * 1024);
        assert!(listing.truncated);
        assert!(bytes(&listing.datasets) <= 32 * 1024);
        let last = &listing.datasets[listing.datasets.len() - 1].dataset_id;
        assert!(listing.notices[0].contains(&format!("after=\"{last}\"")), "{:?}", listing.notices);
    }
}

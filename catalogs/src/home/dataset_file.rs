//! A dataset file, `datasets/**/*.yaml`: one dataset with its source, weights, access, and what people and models read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A dataset file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatasetFile {
    /// What the dataset is called.
    pub(crate) dataset: DatasetSection,
    /// Where its tables are. It may be left out where `summary.yaml` names the source.
    pub(crate) database: Option<DatabaseSection>,
    /// The tables it shows. Default: every table of the source.
    #[serde(default)]
    pub(crate) tables: Vec<TableSection>,
    /// How the sample weighs, where the dataset is a sample.
    pub(crate) weights: Option<WeightsSection>,
    /// What the codes of columns mean, by `table.column`; where one table is listed, the column suffices.
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, ColumnSection>,
    /// A file that says it too, as a path from the home folder. What `columns` says goes first. CSV has a row for each value,
    /// with some of the columns `table`, `column`, `question`, `value`, `label`, `recode`, `missing` and `order`; of a Stata
    /// file (`.dta`) the labels are read.
    pub(crate) codebook: Option<String>,
    /// The semantic schema.
    pub(crate) semantic: Option<SemanticSection>,
    /// Settings for language models.
    pub(crate) llm: Option<LlmSection>,
    /// Who may see it.
    pub(crate) access: Option<AccessSection>,
    /// How pages show it.
    pub(crate) ui: Option<UiSection>,
}

/// What the dataset is called.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatasetSection {
    /// Its name in SQL: lower-case letters, digits and underscores.
    pub(crate) id: String,
    /// Its name for people. Default: the id.
    pub(crate) name: Option<String>,
    /// What it holds.
    pub(crate) description: Option<String>,
    /// The subject it belongs to, such as `sales`.
    pub(crate) domain: Option<String>,
    /// Its version, as its owner counts.
    pub(crate) version: Option<String>,
}

/// Where the dataset's tables are: `type` and `connection`, or `source`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatabaseSection {
    /// The kind of source; the chapters on kinds list them.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// How to reach it; each kind has its own keys. `schema`, `schemas` and `table` may stand here too.
    #[serde(default)]
    #[expect(dead_code, reason = "read from the tree, with the kind's own schema; here it is for the reference page")]
    pub(crate) connection: Map<String, Value>,
    /// The id of a source in `datasources.yaml`, in place of `type` and `connection`.
    pub(crate) source: Option<String>,
    /// How many connections are held, for kinds that hold connections.
    pub(crate) pool: Option<PoolSection>,
    /// The schema of the source that holds the tables.
    pub(crate) schema: Option<String>,
    /// Schemas of the source; tables of the first need no schema in their name.
    #[serde(default)]
    pub(crate) schemas: Vec<String>,
    /// The one table that the dataset shows.
    pub(crate) table: Option<String>,
}

/// How many connections are held.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolSection {
    /// Connections that are kept.
    #[schemars(range(min = 1))]
    pub(crate) size: u32,
    /// Connections that may be opened beyond `size` while there is much to do.
    #[serde(default)]
    pub(crate) max_overflow: u32,
}

/// One table of a dataset.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableSection {
    /// Its name in SQL.
    pub(crate) name: String,
    /// Where it is: a file, a folder or a pattern. A relative path starts from `connection.path`, else from the home
    /// folder.
    pub(crate) path: Option<String>,
    /// Its name in the source, where that is another one.
    pub(crate) table: Option<String>,
    /// How the sample weighs, where this table is a sample.
    pub(crate) weights: Option<WeightsSection>,
    /// What the codes of its columns mean, by column.
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, ColumnSection>,
}

/// What the codes of a column mean. Codes are written as the column has them.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnSection {
    /// What was asked.
    pub(crate) question: Option<String>,
    /// Labels by value, in the order in which they are shown: `{1: Urban, 2: Rural}`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(crate) labels: Map<String, Value>,
    /// Categories that are made of several codes: `{A: [A, A1], C/D/E: [C, D, E]}`. Labels and order name the category.
    #[serde(default)]
    pub(crate) merge: BTreeMap<String, Vec<String>>,
    /// Values in their order. Default: that of the labels.
    #[serde(default)]
    pub(crate) order: Vec<String>,
    /// Codes that stand for no answer. They are NULL.
    #[serde(default)]
    pub(crate) missing: Vec<String>,
}

impl ColumnSection {
    /// The engine's word for it; what it leaves unsaid is as `known` has it.
    pub(crate) fn coding(self, known: engine::Coding) -> engine::Coding {
        let text = |label: Value| label.as_str().map_or_else(|| label.to_string(), str::to_owned);
        let labels: Vec<_> = self.labels.into_iter().map(|(value, label)| (value, text(label))).collect();
        let merge: Vec<_> = self.merge.into_iter().collect();
        engine::Coding {
            question: self.question.or(known.question),
            labels: if labels.is_empty() { known.labels } else { labels },
            merge: if merge.is_empty() { known.merge } else { merge },
            order: if self.order.is_empty() { known.order } else { self.order },
            missing: if self.missing.is_empty() { known.missing } else { self.missing },
        }
    }
}

/// How a sample weighs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WeightsSection {
    /// The table that holds unit and weight. Default: each table that has the columns.
    pub(crate) table: Option<String>,
    /// The column that names a person.
    pub(crate) unit: Option<String>,
    /// The column that holds the weight: how many people the person stands for.
    pub(crate) weight: String,
    /// The column that tells the period a weight is for: the table has a row for each unit and period.
    pub(crate) period: Option<String>,
    /// The column or columns of the strata.
    #[serde(default)]
    pub(crate) strata: Columns,
    /// The column of the primary sampling unit.
    pub(crate) psu: Option<String>,
    /// The column of the finite population correction.
    pub(crate) fpc: Option<String>,
    /// Replicate weights, which tell the variance in place of strata and PSUs.
    pub(crate) replicates: Option<ReplicatesSection>,
    /// Whether a plain COUNT, SUM or AVG becomes a weighted one: `required` always, `default` unless the query asks for plain
    /// figures, `offered` only when the query asks for weights.
    #[serde(default)]
    pub(crate) mode: Mode,
}

/// Replicate weights, as R's `svrepdesign` has them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplicatesSection {
    /// The columns, or patterns with one `*`, such as `repwt*`.
    pub(crate) columns: Columns,
    /// How they were made: `JK1`, `JKn`, `JK2`, `BRR`, `Fay`, `bootstrap`, `ACS`, `successive-difference` or `other`.
    #[serde(rename = "type")]
    pub(crate) method: Method,
    /// What the sum of squares is multiplied with. Default: as the type says.
    pub(crate) scale: Option<f64>,
    /// What the square of each replicate is multiplied with; `JKn` needs it. Default: 1.
    pub(crate) rscales: Option<Vec<f64>>,
    /// Fay's factor.
    pub(crate) rho: Option<f64>,
    /// Whether distances are from the estimate, and not from the mean of the replicates.
    #[serde(default)]
    pub(crate) mse: bool,
    /// Whether the columns are weights, and not what the weight is multiplied with.
    #[serde(default = "yes")]
    pub(crate) combined: bool,
    /// Degrees of freedom. Default: the rank of the weights less one.
    pub(crate) df: Option<f64>,
}

fn yes() -> bool {
    true
}

/// How replicate weights were made.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub(crate) enum Method {
    /// Jackknife without strata.
    #[serde(rename = "JK1", alias = "jk1")]
    Jk1,
    /// Jackknife with strata.
    #[serde(rename = "JKn", alias = "jkn")]
    Jkn,
    /// Paired jackknife.
    #[serde(rename = "JK2", alias = "jk2")]
    Jk2,
    /// Balanced half-samples.
    #[serde(rename = "BRR", alias = "brr")]
    Brr,
    /// Balanced half-samples with Fay's factor.
    #[serde(alias = "fay")]
    Fay,
    /// Bootstrap.
    #[serde(rename = "bootstrap")]
    Bootstrap,
    /// Successive differences.
    #[serde(rename = "successive-difference", alias = "ACS", alias = "acs")]
    SuccessiveDifference,
    /// Another one, by its scales.
    #[serde(rename = "other")]
    Other,
}

impl ReplicatesSection {
    fn replicates(self) -> engine::Replicates {
        engine::Replicates {
            columns: self.columns.into(),
            method: match self.method {
                Method::Jk1 => engine::ReplicateMethod::Jk1,
                Method::Jkn => engine::ReplicateMethod::Jkn,
                Method::Jk2 => engine::ReplicateMethod::Jk2,
                Method::Brr => engine::ReplicateMethod::Brr,
                Method::Fay => engine::ReplicateMethod::Fay,
                Method::Bootstrap => engine::ReplicateMethod::Bootstrap,
                Method::SuccessiveDifference => engine::ReplicateMethod::SuccessiveDifference,
                Method::Other => engine::ReplicateMethod::Other,
            },
            scale: self.scale,
            rscales: self.rscales,
            rho: self.rho,
            mse: self.mse,
            combined: self.combined,
            df: self.df,
        }
    }
}

/// One column, or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Columns {
    /// One column.
    One(String),
    /// Several columns.
    Many(Vec<String>),
}

impl Default for Columns {
    fn default() -> Self {
        Columns::Many(Vec::new())
    }
}

impl From<Columns> for Vec<String> {
    fn from(columns: Columns) -> Self {
        match columns {
            Columns::One(column) => vec![column],
            Columns::Many(columns) => columns,
        }
    }
}

/// Whether weights apply when a query does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Always; a query may not switch them off.
    Required,
    /// Unless the query switches them off.
    Default,
    /// Only when the query asks.
    #[default]
    Offered,
}

impl WeightsSection {
    /// The engine's word for it; `table` is the table whose section this is.
    pub(crate) fn weights(self, table: Option<String>) -> engine::Weights {
        engine::Weights {
            table: table.or(self.table),
            unit: self.unit,
            weight: self.weight,
            period: self.period,
            strata: self.strata.into(),
            psu: self.psu,
            fpc: self.fpc,
            replicates: self.replicates.map(ReplicatesSection::replicates),
            mode: match self.mode {
                Mode::Required => engine::WeightsMode::Required,
                Mode::Default => engine::WeightsMode::Default,
                Mode::Offered => engine::WeightsMode::Offered,
            },
        }
    }
}

/// The semantic schema.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "checked now; the semantic layer will read it")]
pub(crate) struct SemanticSection {
    /// The file that holds it, as a path from the home folder.
    pub(crate) schema_file: Option<String>,
    /// Its version.
    pub(crate) version: Option<u64>,
    /// Whether a changed file is read again without a restart.
    #[serde(default)]
    pub(crate) auto_reload: bool,
}

/// Settings for language models.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "checked now; chat will read it")]
pub(crate) struct LlmSection {
    /// Who runs the model.
    pub(crate) provider: Option<String>,
    /// The model's name.
    pub(crate) model: Option<String>,
    /// Prompt files.
    pub(crate) prompts: Option<PromptsSection>,
    /// The model's settings.
    pub(crate) settings: Option<ModelSettings>,
}

/// Prompt files.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromptsSection {
    /// The template of the system prompt, as a path from the home folder.
    pub(crate) system_template: Option<String>,
    /// Questions with their SQL, as a path from the home folder.
    pub(crate) examples_file: Option<String>,
}

/// The model's settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "checked now; chat will read it")]
pub(crate) struct ModelSettings {
    /// How freely it answers, from 0.
    pub(crate) temperature: Option<f64>,
    /// The longest answer.
    pub(crate) max_tokens: Option<u32>,
}

/// Who may see a dataset.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessSection {
    /// The role of a user who has no other one here.
    pub(crate) default_role: Option<String>,
    /// Roles, one of which a user must have. Empty = everyone.
    #[serde(default)]
    pub(crate) allowed_roles: Vec<String>,
    /// Projects, one of which a user must be in. Empty = all projects.
    #[serde(default)]
    pub(crate) projects: Vec<String>,
    /// The column that names the tenant of a row, where tenants share the dataset: each sees its own rows, whatever its roles.
    /// Every table has it, but the shared ones.
    pub(crate) tenant_column: Option<String>,
    /// Tables without that column, whose rows all tenants see.
    #[serde(default)]
    pub(crate) shared_tables: Vec<String>,
    /// Whether at most five different rows of a table leave as they are for each caller and day. `disclosure` of a policy file
    /// says more.
    #[serde(default)]
    pub(crate) sensitive: bool,
}

/// How pages show a dataset.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "checked now; pages will read it")]
pub(crate) struct UiSection {
    /// Its name on pages, and its name for people where `dataset.name` is missing.
    pub(crate) display_name: Option<String>,
    /// Its icon.
    pub(crate) icon: Option<String>,
    /// Its color, such as `#3B82F6`.
    pub(crate) color: Option<String>,
    /// Its place in lists.
    pub(crate) order: Option<i64>,
}

impl DatasetFile {
    /// Files that it names, with the key that names them.
    pub(crate) fn references(&self) -> Vec<(&'static str, &str)> {
        let prompts = self.llm.as_ref().and_then(|llm| llm.prompts.as_ref());
        [
            ("semantic.schema_file", self.semantic.as_ref().and_then(|semantic| semantic.schema_file.as_deref())),
            ("llm.prompts.system_template", prompts.and_then(|prompts| prompts.system_template.as_deref())),
            ("llm.prompts.examples_file", prompts.and_then(|prompts| prompts.examples_file.as_deref())),
        ]
        .into_iter()
        .filter_map(|(key, path)| Some((key, path?)))
        .collect()
    }
}

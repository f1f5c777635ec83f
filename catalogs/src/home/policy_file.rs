//! The shape of `policies/*.yaml`, for the check and the reference page; `engine::policy::Policies` reads the file.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;

/// A policy file.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct PolicyFile {
    /// Principals by name: who may sign in, and who `--as NAME` stands for.
    principals: Vec<PrincipalSection>,
    /// Roles that include others. A role needs no declaration otherwise.
    roles: Vec<RoleSection>,
    /// What may be seen. Once there are any, datasets that none of them names, and that do not list their own roles, are seen by
    /// administrators only.
    grants: Vec<GrantSection>,
    /// Rules on tables.
    rules: Vec<RuleSection>,
    /// What answers may say of few people.
    disclosure: Vec<DisclosureSection>,
}

/// A principal: who asks.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema only: the engine's own struct is what is read")]
struct PrincipalSection {
    /// Its name.
    name: String,
    /// Its roles. The role `admin` sees everything.
    #[serde(default)]
    roles: BTreeSet<String>,
    /// Its projects.
    #[serde(default)]
    projects: BTreeSet<String>,
    /// The tenant whose rows it may see where datasets are shared between tenants; rules speak of it as `@tenant`.
    #[serde(default)]
    tenant: Option<String>,
    /// Its attributes, each a value or a list of values; rules speak of them as `@name`.
    #[serde(default)]
    attributes: BTreeMap<String, serde_json::Value>,
    /// The hash of its password, as `weft users hash` prints it; without one it cannot sign in by a password.
    #[serde(default)]
    password: Option<String>,
    /// A name in the certificate that it signs in by: the common name, an e-mail address, a host name or a URI.
    #[serde(default)]
    certificate: Option<String>,
}

/// A role with the rights and the rules of others.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema only: the engine's own struct is what is read")]
struct RoleSection {
    /// Its name.
    name: String,
    /// Roles whose rights and rules it has as well.
    #[serde(default)]
    includes: BTreeSet<String>,
}

/// What the holders of some roles, in some projects, may see.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema only: the engine's own struct is what is read")]
struct GrantSection {
    /// Roles, one of which a principal must have. Empty = everyone.
    #[serde(default)]
    roles: BTreeSet<String>,
    /// Projects, one of which a principal must be in. Empty = whichever.
    #[serde(default)]
    projects: BTreeSet<String>,
    /// Datasets, and tables as `dataset.table` or `dataset.schema.table`; `*` = everything.
    on: Vec<String>,
    /// The columns of these tables that may be seen. Empty = all.
    #[serde(default)]
    columns: BTreeSet<String>,
}

/// What the holders of some roles see of a table.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema only: the engine's own struct is what is read")]
struct RuleSection {
    /// The rule's name, as receipts and EXPLAIN show it.
    name: String,
    /// The table, as `dataset.table` or `dataset.schema.table`.
    table: String,
    /// Roles it binds. Empty = everyone but admins.
    #[serde(default)]
    roles: BTreeSet<String>,
    /// Roles whose holders it does not bind.
    #[serde(default)]
    except: BTreeSet<String>,
    /// A condition that each visible row meets, in SQL over the table's columns. `@name` stands for an attribute of who asks,
    /// `@tenant`, `@user`, `@roles` and `@projects` for what their names say; who lacks one sees no row.
    #[serde(default)]
    rows: Option<String>,
    /// How the condition goes with those of other rules on the table.
    #[serde(default)]
    combine: CombineWord,
    /// What stands in place of a column's value, by column: an SQL expression such as `'hidden'`, or one of the ready-made
    /// masks.
    #[serde(default)]
    masks: BTreeMap<String, MaskSection>,
}

/// What answers may say of few people. Figures that say more are NULL, with a notice.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema only: the engine's own struct is what is read")]
struct DisclosureSection {
    /// Its name, as receipts and notices show it.
    name: String,
    /// Datasets, and tables as `dataset.table` or `dataset.schema.table`; `*` = everything.
    on: Vec<String>,
    /// Roles it binds. Empty = everyone but admins.
    #[serde(default)]
    roles: BTreeSet<String>,
    /// Roles whose holders it does not bind.
    #[serde(default)]
    except: BTreeSet<String>,
    /// The column that tells people apart. Default: the unit of the declared weights. In a table without it each row is
    /// somebody.
    people: Option<String>,
    /// Rows that leave as they are, for each caller, table and day; those that it has seen are free.
    #[serde(default = "raw_rows")]
    raw_rows: u64,
    /// The fewest rows that a figure is made of.
    #[serde(default)]
    min_base: u64,
    /// The fewest people that a figure is made of.
    #[serde(default)]
    min_people: u64,
    /// Sums and means of which few people make up most are not shown.
    dominance: Option<DominanceSection>,
    /// Sums and means from which the second largest contributor could tell the largest to within so many percent are not shown.
    p_percent: Option<f64>,
    /// Counts and totals are rounded to multiples of this number.
    round_to: Option<f64>,
    /// Columns whose single values say something, so that `min`, `max` and the like of them count as rows. Default: all.
    sensitive: Option<BTreeSet<String>>,
    /// Whether a figure is refused whose people differ from those of an earlier one by fewer than `min_people`.
    #[serde(default = "yes")]
    differencing: bool,
}

fn raw_rows() -> u64 {
    5
}

fn yes() -> bool {
    true
}

/// Of a total, `n` people must not make up more than `percent`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema only: the engine's own struct is what is read")]
struct DominanceSection {
    /// How many people.
    n: usize,
    /// Percent of the total.
    percent: f64,
}

#[derive(JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "a schema only: the engine's own struct is what is read")]
enum CombineWord {
    /// A row must meet this one.
    #[default]
    All,
    /// A row must meet one of those that are combined so.
    Any,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "a schema only: the engine's own struct is what is read")]
enum MaskSection {
    /// In SQL.
    Sql(String),
    /// A ready-made one.
    Kind(MaskKindSection),
}

/// A ready-made mask: one of these keys.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema only: the engine's own struct is what is read")]
struct MaskKindSection {
    /// The same value for all.
    constant: Option<serde_json::Value>,
    /// The first day of the date's `year`, `quarter`, `month` or `week`; of a timestamp also `day` or `hour`.
    date: Option<String>,
    /// `true`: a keyed hash, the same for the same value in every table.
    hash: Option<bool>,
    /// So many of a text's last characters, after `****`.
    partial: Option<u8>,
    /// Categories in place of values.
    recode: Option<RecodeSection>,
    /// The nearest multiple of this number.
    round: Option<f64>,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema only: the engine's own struct is what is read")]
struct RecodeSection {
    /// Categories by value.
    values: BTreeMap<String, String>,
    /// The category of all other values; NULL unless set.
    #[serde(default)]
    other: Option<String>,
}

//! `weft.yaml`: what the server listens on, where its state lives, what queries may use.
//!
//! Every key has a default, so the file may be missing. Environment variables override it: `WEFT_HTTP__LISTEN`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::journal::Redact;
use engine::{Limits, PerPrincipal, Quality};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::amount::{Size, Timespan};
use super::interpolate::{Env, join};
use super::oidc::{Oidc, OidcSection};
use super::shape::Shape;
use super::yaml::{Node, Scalar, Style};

/// What `weft.yaml` and the environment say, with defaults filled in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// The folder that holds state; None = nothing is kept beyond the process.
    pub data_dir: Option<PathBuf>,
    /// What is written down of queries.
    pub audit: Audit,
    /// Who may come in.
    pub auth: Auth,
    /// The HTTP door: REST, MCP, pages.
    pub http: Http,
    /// The Flight SQL door.
    pub flight: Flight,
    /// The dataset in which bare table names are looked up first.
    pub default_dataset: Option<String>,
    /// Bounds on queries.
    pub limits: Limits,
    /// From where on survey estimates are to be used with care.
    pub quality: Quality,
    /// Logs.
    pub telemetry: Telemetry,
    /// TLS on both doors; None = in the clear.
    pub tls: Option<Tls>,
}

/// What the server listens on, where state lives, what queries may use.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WeftFile {
    /// The folder that holds state: spilled data, the query journal. A relative path starts from the home folder.
    /// Without it nothing is kept beyond the process.
    data_dir: Option<String>,
    /// What is written down of queries, in `audit/` of the `data_dir`.
    audit: AuditSection,
    /// Who may come in.
    auth: AuthSection,
    /// The HTTP door: REST, MCP, pages.
    http: Http,
    /// The Flight SQL door.
    flight: Flight,
    /// The dataset in which bare table names are looked up first.
    default_dataset: Option<String>,
    /// Bounds on queries.
    limits: LimitsSection,
    /// From where on survey estimates are to be used with care.
    quality: QualitySection,
    /// Logs.
    telemetry: Telemetry,
    /// TLS on both doors. Without it they speak in the clear.
    tls: Option<Tls>,
}

/// What is written down of queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Whether anything is.
    pub enabled: bool,
    /// What of a query's text.
    pub redact: Redact,
    /// Lines older than this are deleted.
    pub keep_for: Duration,
    /// With more bytes than these, the oldest are deleted.
    pub keep_bytes: u64,
}

impl Default for Audit {
    fn default() -> Self {
        AuditSection::default().into()
    }
}

/// The audit log: who asked what, through which client, under which policies, and how it ended.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuditSection {
    /// Whether it is kept.
    enabled: bool,
    /// What of a query's text is left out: `nothing`, `literals` (the values in it), or `sql` (all of it).
    redact: RedactWord,
    /// Lines older than this are deleted, such as `365d`. Default: 365d.
    keep_for: Option<Timespan>,
    /// With more than this on disk, the oldest lines are deleted. Default: 10GiB.
    keep_bytes: Option<Size>,
}

impl Default for AuditSection {
    fn default() -> Self {
        Self { enabled: true, redact: RedactWord::Nothing, keep_for: None, keep_bytes: None }
    }
}

/// What of a query's text is left out of the audit log.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RedactWord {
    /// Nothing.
    Nothing,
    /// The values in it.
    Literals,
    /// All of it.
    Sql,
}

impl From<AuditSection> for Audit {
    fn from(section: AuditSection) -> Self {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        const BYTES: u64 = 10 << 30;
        Self {
            enabled: section.enabled,
            redact: match section.redact {
                RedactWord::Nothing => Redact::Nothing,
                RedactWord::Literals => Redact::Literals,
                RedactWord::Sql => Redact::Sql,
            },
            keep_for: section.keep_for.map_or(YEAR, |time| time.0),
            keep_bytes: section.keep_bytes.map_or(BYTES, |size| size.0),
        }
    }
}

/// Who may come in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// Whether callers must sign in.
    pub required: bool,
    /// Who vouches for callers besides this server.
    pub oidc: Option<Oidc>,
}

/// Who may come in.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Auth")]
pub(crate) struct AuthSection {
    /// Whether callers must sign in: with an API key (`weft keys create`), or with the name and password of a principal of the
    /// policy files. It needs a `data_dir`. Without it the server listens on this machine only, and everybody there has all
    /// rights.
    required: bool,
    /// An identity provider whose tokens are accepted as well.
    oidc: OidcSection,
}

/// The HTTP door.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// The address it listens on, as `host:port`. Port 0 takes any free port.
    #[schemars(extend("format" = "address"))]
    pub listen: String,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8080".to_owned() }
    }
}

/// The Flight SQL door.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Flight {
    /// The address it listens on, as `host:port`. Port 0 takes any free port.
    #[schemars(extend("format" = "address"))]
    pub listen: String,
}

impl Default for Flight {
    fn default() -> Self {
        Self { listen: "127.0.0.1:31337".to_owned() }
    }
}

/// Bounds on queries, as they are written.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsSection {
    /// A query that runs longer is stopped. Default: 5m.
    query_timeout: Option<Timespan>,
    /// A result with more rows is refused. Default: no bound.
    max_rows: Option<u64>,
    /// A query that would fetch more rows than this from databases is refused; one that does is stopped. Default: no bound.
    max_source_rows: Option<u64>,
    /// The same in bytes, such as `2GiB`.
    max_source_bytes: Option<Size>,
    /// Memory of all queries together. Default: half of the machine's memory.
    memory: Option<Size>,
    /// Memory of one query; beyond it the query spills to disk. Default: half of `memory`.
    query_memory: Option<Size>,
    /// Disk space for what queries spill, all together. Default: 32GiB.
    spill: Option<Size>,
    /// Into how many parts the work of one query is divided, at most. Default: one for each processor.
    #[schemars(range(min = 1))]
    query_parallelism: Option<u32>,
    /// Queries that run at once; more wait their turn. Default: 64.
    #[schemars(range(min = 1))]
    concurrent_queries: Option<u32>,
    /// Bounds on what one principal may use, so that none keeps the others from theirs. Where queries wait, each principal's next one
    /// has its turn.
    per_principal: PerPrincipalSection,
    /// Bounds in their place for principals of a role, by its name. Of several roles the most generous holds, each bound by itself; what
    /// none of them says is as for everybody.
    per_role: BTreeMap<String, PerPrincipalSection>,
}

/// Bounds on one principal. Beyond them the answer is `rate_limited`, with the time to ask again.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PerPrincipalSection {
    /// Queries that run at once; more wait their turn. Default: as many as of all together.
    #[schemars(range(min = 1))]
    concurrent_queries: Option<u32>,
    /// Queries in a minute. Default: no bound.
    #[schemars(range(min = 1))]
    queries_per_minute: Option<u32>,
    /// Rows of answers in a day, by UTC. Default: no bound.
    rows_per_day: Option<u64>,
    /// Bytes fetched from databases in a day, such as `10GiB`. Default: no bound.
    source_bytes_per_day: Option<Size>,
    /// A query of its that runs longer is stopped. Default: `limits.query_timeout`, which holds all the same.
    query_timeout: Option<Timespan>,
    /// Memory of one of its queries; beyond it the query spills to disk. Default: `limits.query_memory`, which holds all the same.
    query_memory: Option<Size>,
}

impl From<PerPrincipalSection> for PerPrincipal {
    fn from(section: PerPrincipalSection) -> Self {
        PerPrincipal {
            concurrent_queries: count(section.concurrent_queries),
            queries_per_minute: section.queries_per_minute,
            rows_per_day: section.rows_per_day,
            source_bytes_per_day: section.source_bytes_per_day.map(|size| size.0),
            query_timeout: section.query_timeout.map(|time| time.0),
            query_memory: section.query_memory.map(|size| size.0),
        }
    }
}

fn count(number: Option<u32>) -> Option<usize> {
    usize::try_from(number?).ok()
}

impl From<LimitsSection> for Limits {
    fn from(section: LimitsSection) -> Self {
        let defaults = Limits::default();
        let memory = section.memory.map_or(defaults.memory, |size| size.0);
        Limits {
            query_timeout: section.query_timeout.map_or(defaults.query_timeout, |time| time.0),
            max_rows: section.max_rows.or(defaults.max_rows),
            max_source_rows: section.max_source_rows.or(defaults.max_source_rows),
            max_source_bytes: section.max_source_bytes.map(|size| size.0).or(defaults.max_source_bytes),
            memory,
            query_memory: section.query_memory.map_or(memory / 2, |size| size.0),
            spill: section.spill.map_or(defaults.spill, |size| size.0),
            query_parallelism: count(section.query_parallelism).unwrap_or(defaults.query_parallelism),
            concurrent_queries: count(section.concurrent_queries).unwrap_or(defaults.concurrent_queries),
            per_principal: section.per_principal.into(),
            per_role: section.per_role.into_iter().map(|(role, bounds)| (role, bounds.into())).collect(),
        }
    }
}

/// From where on survey estimates are to be used with care: `svy_quality` and a notice say so.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QualitySection {
    /// An estimate with a relative standard error over this is to be used with caution.
    caution: f64,
    /// One with a relative standard error over this should be suppressed.
    suppress: f64,
    /// One of fewer people than these should be suppressed. 0 switches it off.
    min_n: u64,
}

impl Default for QualitySection {
    fn default() -> Self {
        let Quality { caution, suppress, min_n } = Quality::default();
        Self { caution, suppress, min_n }
    }
}

impl From<QualitySection> for Quality {
    fn from(QualitySection { caution, suppress, min_n }: QualitySection) -> Self {
        Quality { caution, suppress, min_n }
    }
}

/// TLS on both doors. The files are PEM, and are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The server's certificate, with those that lead to its authority behind it. A relative path starts from the home folder.
    pub cert_file: PathBuf,
    /// The key of the certificate.
    pub key_file: PathBuf,
    /// The authorities of clients. A client that shows a certificate of theirs signs in by it, as the principal whose
    /// `certificate` is a name in it.
    pub client_ca_file: Option<PathBuf>,
}

impl Tls {
    fn within(self, root: &Path) -> Self {
        Self {
            cert_file: root.join(self.cert_file),
            key_file: root.join(self.key_file),
            client_ca_file: self.client_ca_file.map(|path| root.join(path)),
        }
    }
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,engine=debug`.
    pub log: String,
    /// How log lines are written.
    pub format: LogFormat,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: "info".to_owned(), format: LogFormat::default() }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl WeftFile {
    /// What is wrong with settings that only make sense together, and where.
    pub(crate) fn fault(&self) -> Option<(&'static str, &'static str)> {
        if self.auth.required && self.data_dir.is_none() {
            return Some(("auth.required", "it needs a data_dir, in which the keys are kept"));
        }
        if let Some(fault) = self.auth.oidc.fault() {
            return Some(fault);
        }
        if self.auth.oidc.issuer.is_some() && !self.auth.required {
            return Some(("auth.required", "it must be true for auth.oidc to matter"));
        }
        let QualitySection { caution, suppress, .. } = self.quality;
        if caution < 0.0 {
            return Some(("quality.caution", "expected a number from 0, such as 0.165"));
        }
        (suppress < caution).then_some(("quality.suppress", "expected no less than quality.caution"))
    }

    /// The settings of the home in `root`.
    pub(crate) fn settings(self, root: &Path) -> Settings {
        Settings {
            data_dir: self.data_dir.map(|path| root.join(path)),
            audit: self.audit.into(),
            auth: Auth { required: self.auth.required, oidc: self.auth.oidc.read() },
            http: self.http,
            flight: self.flight,
            default_dataset: self.default_dataset,
            limits: self.limits.into(),
            quality: self.quality.into(),
            telemetry: self.telemetry,
            tls: self.tls.map(|tls| tls.within(root)),
        }
    }
}

/// Puts values of `WEFT_..` variables in the place of what the file says. Empty variables are left out, as most
/// process managers cannot unset one. Returns the key paths that were replaced, with their variables.
pub(crate) fn override_from(node: &mut Node, shape: &Shape, env: Env<'_>) -> Vec<(String, String)> {
    let mut replaced = Vec::new();
    replace(node, shape.schema(), shape, "", env, &mut replaced);
    replaced
}

fn replace(node: &mut Node, schema: &Value, shape: &Shape, at: &str, env: Env<'_>, out: &mut Vec<(String, String)>) {
    let Some(known) = shape.resolve(schema).get("properties").and_then(Value::as_object) else { return };
    for (key, schema) in known {
        let path = join(at, key);
        if shape.resolve(schema).get("properties").is_some() {
            let mut below = match node.take(key) {
                Some(below @ Node::Map(_)) => below,
                Some(other) if !other.is_null() => {
                    node.put(key, other);
                    continue;
                }
                _ => Node::Map(Vec::new()),
            };
            replace(&mut below, schema, shape, &path, env, out);
            node.put(key, below);
            continue;
        }
        let name = format!("WEFT_{}", path.replace('.', "__").to_ascii_uppercase());
        if let Some(text) = env(&name).filter(|text| !text.is_empty()) {
            node.take(key);
            node.put(key, Node::Scalar(Scalar { text, style: Style::Substituted }));
            out.push((path, name));
        }
    }
}

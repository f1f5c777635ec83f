//! The `connection:` options of a PostgreSQL source: what may be written, and what it means once checked.
//!
//! Messages name the option and never repeat its value, since it may be a password.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::{Code, Error, names};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;

use super::tls::TlsMode;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_POOL_SIZE: u32 = 10;

/// What `connection:` of a PostgreSQL source may hold. An option written next to `url` wins over the URL's part.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Options {
    /// Seconds to wait for a free connection and for the server to answer, or text such as `500ms`, `10s`, `1m`; 15 s
    /// unless set.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Option<Amount>")]
    connect_timeout: Option<Duration>,
    /// The database; the user's name unless set.
    #[serde(deserialize_with = "text")]
    #[schemars(with = "Option<String>")]
    database: Option<String>,
    /// How rows are read: `copy` (the wire's binary COPY, decoded here), `connectorx` (its own parser), or `auto` (the
    /// default): the faster one.
    driver: Option<Driver>,
    /// The server's name or address; `localhost` unless set. A path is the folder of a Unix socket.
    #[serde(deserialize_with = "text")]
    #[schemars(with = "Option<String>")]
    host: Option<String>,
    /// The most connections that are open at once; 10 unless set. One read takes one connection.
    #[serde(deserialize_with = "count")]
    #[schemars(with = "Option<Amount>")]
    max_pool_size: Option<u32>,
    /// Connections that the first use opens at once; 0 unless set.
    #[serde(deserialize_with = "count")]
    #[schemars(with = "Option<Amount>")]
    min_pool_size: Option<u32>,
    /// The most connections that read one large table at the same time, each a part of it in one snapshot; the number of
    /// processors, at most 4, unless set.
    #[serde(deserialize_with = "count")]
    #[schemars(with = "Option<Amount>")]
    parallel_reads: Option<u32>,
    /// The password.
    #[serde(deserialize_with = "text")]
    #[schemars(with = "Option<String>")]
    password: Option<String>,
    /// The server's port; 5432 unless set.
    #[serde(deserialize_with = "count")]
    #[schemars(with = "Option<Amount>")]
    port: Option<u32>,
    /// The schema that is read where a dataset names none; `public` unless set.
    #[serde(deserialize_with = "text")]
    #[schemars(with = "Option<String>")]
    schema: Option<String>,
    /// How the connection is protected: `disable`, `prefer` (the default: encrypted if the server can, the server is not
    /// verified), `require` (encrypted; the certificate is verified only where `sslrootcert` is set, the name never),
    /// `verify-ca` (the certificate is verified), `verify-full` (the certificate and the server's name are verified).
    sslmode: Option<TlsMode>,
    /// A PEM file of the authorities that may vouch for the server, or `system`; the system's own unless set.
    #[serde(deserialize_with = "text")]
    #[schemars(with = "Option<String>")]
    sslrootcert: Option<String>,
    /// Seconds after which the server stops a statement, or text such as `500ms`, `10s`, `1m`; the server's own setting
    /// unless set.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Option<Amount>")]
    statement_timeout: Option<Duration>,
    /// The table that is read where a dataset names none; every table of the schema unless set.
    #[serde(deserialize_with = "text")]
    #[schemars(with = "Option<String>")]
    table: Option<String>,
    /// All of it in one line: `postgres://user:password@host:port/database?sslmode=require`.
    #[serde(deserialize_with = "text")]
    #[schemars(with = "Option<String>")]
    url: Option<String>,
    /// The user; `postgres` unless set.
    #[serde(deserialize_with = "text")]
    #[schemars(with = "Option<String>")]
    user: Option<String>,
}

/// How rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Driver {
    #[default]
    Auto,
    Connectorx,
    Copy,
}

/// A number, or text that holds one: a value that came through `${VAR}` may be either.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it only describes the option in the JSON Schema")]
enum Amount {
    Number(f64),
    Text(String),
}

/// The options of a source, checked.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) driver: Driver,
    pub(super) parallel_reads: u32,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) schema: String,
    pub(super) table: Option<String>,
    pub(super) tls: TlsMode,
    pub(super) authorities: Option<PathBuf>,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Option<Duration>,
    pub(super) min_pool_size: u32,
    pub(super) max_pool_size: u32,
}

impl Settings {
    /// The settings that `options` mean; a relative `sslrootcert` starts from `root`.
    ///
    /// # Errors
    /// `invalid_argument` that names the option.
    pub(super) fn parse(options: &Value, root: &Path) -> Result<Self, Error> {
        let written = read(options)?;
        let of_url = written.url.as_deref().map(of_url).transpose()?.unwrap_or_default();
        let options = written.or(of_url);
        let port = match options.port {
            None => 5432,
            Some(port) => u16::try_from(port).ok().filter(|port| *port > 0).ok_or_else(|| malformed("port"))?,
        };
        let max_pool_size =
            options.max_pool_size.unwrap_or_else(|| MAX_POOL_SIZE.max(options.min_pool_size.unwrap_or(0)));
        let min_pool_size = options.min_pool_size.unwrap_or(0);
        if max_pool_size == 0 {
            return Err(invalid("Option \"max_pool_size\" must be at least 1."));
        }
        if min_pool_size > max_pool_size {
            return Err(invalid("Option \"min_pool_size\" is greater than \"max_pool_size\"."));
        }
        let user = options.user.unwrap_or_else(|| "postgres".to_owned());
        Ok(Self {
            host: options.host.filter(|host| !host.is_empty()).unwrap_or_else(|| "localhost".to_owned()),
            port,
            database: options.database.filter(|name| !name.is_empty()).unwrap_or_else(|| user.clone()),
            user,
            password: options.password.filter(|password| !password.is_empty()),
            schema: options.schema.unwrap_or_else(|| "public".to_owned()),
            table: options.table,
            driver: options.driver.unwrap_or_default(),
            parallel_reads: options.parallel_reads.unwrap_or_else(processors).max(1),
            tls: options.sslmode.unwrap_or_default(),
            authorities: options.sslrootcert.filter(|path| path != "system").map(|path| root.join(path)),
            connect_timeout: options.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            statement_timeout: options.statement_timeout,
            min_pool_size,
            max_pool_size,
        })
    }

    /// Where the server is, without credentials and without a path of this machine.
    pub(super) fn location(&self) -> String {
        let host = if self.is_local_socket() { "socket" } else { self.host.as_str() };
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        format!("{host}:{}/{}", self.port, self.database)
    }

    /// Whether the host is the folder of a Unix socket.
    pub(super) fn is_local_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("location", &self.location())
            .field("user", &self.user)
            .field("tls", &self.tls)
            .field("max_pool_size", &self.max_pool_size)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// These options, and those of `other` where these say nothing.
    fn or(self, other: Self) -> Self {
        Self {
            connect_timeout: self.connect_timeout.or(other.connect_timeout),
            database: self.database.or(other.database),
            driver: self.driver.or(other.driver),
            host: self.host.or(other.host),
            max_pool_size: self.max_pool_size.or(other.max_pool_size),
            min_pool_size: self.min_pool_size.or(other.min_pool_size),
            parallel_reads: self.parallel_reads.or(other.parallel_reads),
            password: self.password.or(other.password),
            port: self.port.or(other.port),
            schema: self.schema.or(other.schema),
            sslmode: self.sslmode.or(other.sslmode),
            sslrootcert: self.sslrootcert.or(other.sslrootcert),
            statement_timeout: self.statement_timeout.or(other.statement_timeout),
            table: self.table.or(other.table),
            url: self.url.or(other.url),
            user: self.user.or(other.user),
        }
    }
}

/// Options by key, each checked by itself so that a message can name it.
fn read(options: &Value) -> Result<Options, Error> {
    let empty = Map::new();
    let map = match options {
        Value::Object(map) => map,
        Value::Null => &empty,
        _ => return Err(invalid("The connection of a postgres source is a mapping of options.")),
    };
    let schema = schemars::schema_for!(Options);
    let known: Vec<&str> = schema
        .as_value()
        .get("properties")
        .and_then(Value::as_object)
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default();
    for (key, value) in map {
        if !known.contains(&key.as_str()) {
            let error = invalid(format!("A postgres source has no option \"{key}\"."));
            return Err(match names::nearest(key, known.iter().copied()) {
                Some(near) => error.hint(format!("Did you mean \"{near}\"?")),
                None => error.hint(format!("Options: {}.", names::listing(known.iter().copied()))),
            });
        }
        let alone = Value::Object(Map::from_iter([(key.clone(), value.clone())]));
        if Options::deserialize(&alone).is_err() {
            return Err(malformed(key));
        }
    }
    Options::deserialize(&Value::Object(map.clone())).map_err(|_| invalid("The connection options are malformed."))
}

fn of_url(url: &str) -> Result<Options, Error> {
    let url = Url::parse(url).map_err(|_| malformed("url"))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(invalid("Option \"url\" must start with postgres:// or postgresql://."));
    }
    let mut map = Map::new();
    for (key, value) in url.query_pairs() {
        if matches!(key.as_ref(), "url" | "host" | "password" | "user" | "database") {
            return Err(invalid(format!("\"{key}\" does not belong in the parameters of \"url\".")));
        }
        map.insert(key.into_owned(), Value::String(value.into_owned()));
    }
    let mut options = read(&Value::Object(map))?;
    let present = |text: &str| (!text.is_empty()).then(|| decoded(text));
    options.host =
        url.host_str().and_then(|host| present(host.trim_start_matches('[').trim_end_matches(']'))).transpose()?;
    options.port = url.port().map(u32::from);
    options.database = present(url.path().trim_start_matches('/')).transpose()?;
    options.user = present(url.username()).transpose()?;
    options.password = url.password().and_then(present).transpose()?;
    Ok(options)
}

/// `%xx` in a part of a URL.
fn decoded(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| malformed("url"))
}

fn processors() -> u32 {
    const ENOUGH: usize = 4;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(processors.min(ENOUGH)).unwrap_or(1)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

fn malformed(option: &str) -> Error {
    let expected = match option {
        "connect_timeout" | "statement_timeout" => "seconds, or text such as 500ms, 10s or 1m",
        "driver" => "one of auto, connectorx, copy",
        "max_pool_size" | "min_pool_size" | "parallel_reads" => "a whole number",
        "port" => "a number from 1 to 65535",
        "sslmode" => "one of disable, prefer, require, verify-ca, verify-full",
        "url" => "postgres://user:password@host:port/database, with special characters of the password as %xx",
        _ => "text",
    };
    invalid(format!("Option \"{option}\" must be {expected}."))
}

/// Text; a number or a truth value stands for its own spelling, since `${VAR}` may have become one.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(flag) => Ok(Some(flag.to_string())),
        _ => Err(serde::de::Error::custom("not text")),
    }
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let not_a_count = || serde::de::Error::custom("not a whole number");
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::Number(number) => {
            number.as_u64().and_then(|number| u32::try_from(number).ok()).map(Some).ok_or_else(not_a_count)
        }
        Value::String(text) => text.trim().parse().map(Some).map_err(|_| not_a_count()),
        _ => Err(not_a_count()),
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let seconds = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => seconds(&text),
        _ => None,
    };
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| *duration >= Duration::from_millis(1))
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom("not a duration"))
}

/// Seconds in text such as `500ms`, `10s`, `1m` or `10`.
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    number.trim().parse::<f64>().ok().map(|number| number * scale)
}

#[cfg(test)]
mod tests;

//! The `connection:` options of a PostgreSQL source: what may be written, and what it means once checked.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::Error;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::tls::TlsMode;
use crate::sources::remote::options::{self, Form, invalid};

const FORM: Form = Form {
    kind: "postgres",
    schemes: &["postgres", "postgresql"],
    url: "postgres://user:password@host:port/database",
    own: &[("driver", "one of auto, connectorx, copy"), ("parallel_reads", "a whole number")],
};
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_POOL_SIZE: u32 = 10;

/// What `connection:` of a PostgreSQL source may hold. An option written next to `url` wins over the URL's part.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Options {
    /// Seconds to wait for a free connection and for the server to answer, or text such as `500ms`, `10s`, `1m`; 15 s
    /// unless set.
    #[serde(deserialize_with = "options::duration")]
    #[schemars(with = "Option<options::Amount>")]
    connect_timeout: Option<Duration>,
    /// The database; the user's name unless set.
    #[serde(deserialize_with = "options::text")]
    #[schemars(with = "Option<String>")]
    database: Option<String>,
    /// How rows are read: `copy` (the wire's binary COPY, decoded here), `connectorx` (its own parser), or `auto` (the
    /// default): the faster one.
    driver: Option<Driver>,
    /// The server's name or address; `localhost` unless set. A path is the folder of a Unix socket.
    #[serde(deserialize_with = "options::text")]
    #[schemars(with = "Option<String>")]
    host: Option<String>,
    /// The most connections that are open at once; 10 unless set. One read takes one connection.
    #[serde(deserialize_with = "options::count")]
    #[schemars(with = "Option<options::Amount>")]
    max_pool_size: Option<u32>,
    /// Connections that the first use opens at once; 0 unless set.
    #[serde(deserialize_with = "options::count")]
    #[schemars(with = "Option<options::Amount>")]
    min_pool_size: Option<u32>,
    /// The most connections that read one large table at the same time, each a part of it in one snapshot; the number of
    /// processors, at most 4, unless set.
    #[serde(deserialize_with = "options::count")]
    #[schemars(with = "Option<options::Amount>")]
    parallel_reads: Option<u32>,
    /// The password.
    #[serde(deserialize_with = "options::text")]
    #[schemars(with = "Option<String>")]
    password: Option<String>,
    /// The server's port; 5432 unless set.
    #[serde(deserialize_with = "options::count")]
    #[schemars(with = "Option<options::Amount>")]
    port: Option<u32>,
    /// The schema that is read where a dataset names none; `public` unless set.
    #[serde(deserialize_with = "options::text")]
    #[schemars(with = "Option<String>")]
    schema: Option<String>,
    /// How the connection is protected: `disable`, `prefer` (the default: encrypted if the server can, the server is not
    /// verified), `require` (encrypted; the certificate is verified only where `sslrootcert` is set, the name never),
    /// `verify-ca` (the certificate is verified), `verify-full` (the certificate and the server's name are verified).
    sslmode: Option<TlsMode>,
    /// A PEM file of the authorities that may vouch for the server, or `system`; the system's own unless set.
    #[serde(deserialize_with = "options::text")]
    #[schemars(with = "Option<String>")]
    sslrootcert: Option<String>,
    /// Seconds after which the server stops a statement, or text such as `500ms`, `10s`, `1m`; the server's own setting
    /// unless set.
    #[serde(deserialize_with = "options::duration")]
    #[schemars(with = "Option<options::Amount>")]
    statement_timeout: Option<Duration>,
    /// The table that is read where a dataset names none; every table of the schema unless set.
    #[serde(deserialize_with = "options::text")]
    #[schemars(with = "Option<String>")]
    table: Option<String>,
    /// All of it in one line: `postgres://user:password@host:port/database?sslmode=require`.
    #[serde(deserialize_with = "options::text")]
    #[schemars(with = "Option<String>")]
    url: Option<String>,
    /// The user; `postgres` unless set.
    #[serde(deserialize_with = "options::text")]
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
        let options: Options = FORM.read(options)?;
        let port = match options.port {
            None => 5432,
            Some(port) => u16::try_from(port).ok().filter(|port| *port > 0).ok_or_else(|| FORM.malformed("port"))?,
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

fn processors() -> u32 {
    const ENOUGH: usize = 4;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(processors.min(ENOUGH)).unwrap_or(1)
}

#[cfg(test)]
mod tests;

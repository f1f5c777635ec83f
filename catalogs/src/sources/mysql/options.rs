//! The `connection:` options of a MySQL or MariaDB source: what may be written, and what it means once checked.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::Error;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::tls::TlsMode;
use crate::sources::remote::options::{self, Form, invalid};

const FORM: Form =
    Form { kind: "mysql", schemes: &["mysql", "mariadb"], url: "mysql://user:password@host:port/database", own: &[] };
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_POOL_SIZE: u32 = 10;

/// What `connection:` of a MySQL source may hold. An option written next to `url` wins over the URL's part.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Options {
    /// Seconds to wait for a free connection and for the server to answer, or text such as `500ms`, `10s`, `1m`; 15 s
    /// unless set.
    #[serde(deserialize_with = "options::duration")]
    #[schemars(with = "Option<options::Amount>")]
    connect_timeout: Option<Duration>,
    /// The database: the schema that is read where a dataset names none.
    #[serde(deserialize_with = "options::text")]
    #[schemars(with = "Option<String>")]
    database: Option<String>,
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
    /// The password.
    #[serde(deserialize_with = "options::text")]
    #[schemars(with = "Option<String>")]
    password: Option<String>,
    /// The server's port; 3306 unless set.
    #[serde(deserialize_with = "options::count")]
    #[schemars(with = "Option<options::Amount>")]
    port: Option<u32>,
    /// How the connection is protected: `disable`, `prefer` (the default: encrypted if the server can, the server is not
    /// verified), `require` (encrypted; the certificate is verified only where `sslrootcert` is set, the name never),
    /// `verify-ca` (the certificate is verified), `verify-full` (the certificate and the server's name are verified).
    sslmode: Option<TlsMode>,
    /// A PEM file of authorities that may vouch for the server next to the system's own, or `system`: these alone.
    #[serde(deserialize_with = "options::text")]
    #[schemars(with = "Option<String>")]
    sslrootcert: Option<String>,
    /// Seconds after which the server stops a statement, or text such as `500ms`, `10s`, `1m`; the server's own setting
    /// unless set.
    #[serde(deserialize_with = "options::duration")]
    #[schemars(with = "Option<options::Amount>")]
    statement_timeout: Option<Duration>,
    /// The table that is read where a dataset names none; every table of the database unless set.
    #[serde(deserialize_with = "options::text")]
    #[schemars(with = "Option<String>")]
    table: Option<String>,
    /// All of it in one line: `mysql://user:password@host:port/database?sslmode=require`.
    #[serde(deserialize_with = "options::text")]
    #[schemars(with = "Option<String>")]
    url: Option<String>,
    /// The user; `root` unless set.
    #[serde(deserialize_with = "options::text")]
    #[schemars(with = "Option<String>")]
    user: Option<String>,
}

/// The options of a source, checked.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: Option<String>,
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
            None => 3306,
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
        let Some(database) = options.database.filter(|name| !name.is_empty()) else {
            return Err(invalid("A mysql source needs the option \"database\".")
                .hint("Set database, or name it in url: mysql://user:password@host:port/database."));
        };
        Ok(Self {
            host: options.host.filter(|host| !host.is_empty()).unwrap_or_else(|| "localhost".to_owned()),
            port,
            database,
            user: options.user.filter(|user| !user.is_empty()).unwrap_or_else(|| "root".to_owned()),
            password: options.password.filter(|password| !password.is_empty()),
            table: options.table,
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

#[cfg(test)]
mod tests;

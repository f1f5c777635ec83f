//! What MySQL and the wire report, as the engine's errors: one code, one safe sentence, what to do.
//!
//! The server's own text stays in the cause, for the log: it may quote data.

use std::time::Duration;

use engine::{Code, Error};
use mysql::DriverError;

use super::cells::CellError;

/// A source as messages name it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The source's id.
    pub(super) id: String,
    /// Where it is, without credentials.
    pub(super) location: String,
}

/// What failed below, before it is a sentence: a read that lost its connection may be tried once more.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// The connection broke; the same question may work on another one.
    pub(super) is_loss: bool,
    /// The server says that the statement was stopped on request.
    pub(super) is_stopped: bool,
    /// The server has nothing more to send.
    pub(super) has_ended: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, is_loss: false, is_stopped: false, has_ended: false }
    }
}

impl Place {
    /// A connection could not be opened.
    pub(super) fn refused(&self, cause: mysql::Error) -> Failure {
        let Self { id, location } = self;
        let rejected = |message: String, hint: &str| Error::new(Code::SourceRejected, message).hint(hint);
        let error = match Refusal::of(&cause) {
            Refusal::Password => rejected(
                format!("Source \"{id}\" at {location} refuses this user or password."),
                "Check user and password of the source, and from which hosts the server lets this user in.",
            ),
            Refusal::Database => rejected(
                format!("Source \"{id}\" at {location} has no such database, or does not show it to this user."),
                "Check the database's name in the source's connection, and what is granted to its user.",
            ),
            Refusal::Host => rejected(
                format!("Source \"{id}\" at {location} lets nobody in from this host."),
                "Let the source's user connect from this host, or run FLUSH HOSTS on the server.",
            ),
            Refusal::Full => {
                Error::new(Code::SourceUnavailable, format!("Source \"{id}\" at {location} has no connection left."))
                    .hint("Retry, or lower max_pool_size of the sources on this server.")
            }
            Refusal::Tls => rejected(
                format!("Source \"{id}\" at {location} cannot be trusted, or does not speak TLS."),
                "Check sslmode and sslrootcert of the source against the server's certificate.",
            ),
            Refusal::Login => rejected(
                format!("Source \"{id}\" at {location} wants a login that this connection cannot give."),
                "Give the source's user a password under mysql_native_password or caching_sha2_password.",
            ),
            Refusal::Network => self.unreachable(),
            Refusal::Other => return self.failed(cause, None),
        };
        Failure { error: error.cause(cause), is_loss: false, is_stopped: false, has_ended: true }
    }

    /// Nobody answers there.
    pub(super) fn unreachable(&self) -> Error {
        Error::new(Code::SourceUnavailable, format!("Source \"{}\" at {} cannot be reached.", self.id, self.location))
            .hint("Check that the server runs and that host and port of the source are right, then retry.")
    }

    /// Every connection of the pool was taken for as long as one may wait.
    pub(super) fn busy(&self, connections: u32) -> Error {
        Error::new(Code::Overloaded, format!("All {connections} connections of source \"{}\" are in use.", self.id))
            .hint("Retry, or raise max_pool_size of the source.")
    }

    /// A statement on an open connection failed. `limit` is how long the server was told that it may take.
    pub(super) fn failed(&self, cause: mysql::Error, limit: Option<Duration>) -> Failure {
        let code = server_code(&cause);
        let is_stopped = is_interrupted(&cause);
        let is_loss = match code {
            Some(code) => is_loss(code),
            None => !matches!(cause, mysql::Error::FromValueError(_) | mysql::Error::FromRowError(_)),
        };
        let error = match code {
            _ if is_loss => self.lost(),
            Some(code) => self.rejected(code, limit),
            None => self.unreadable(),
        };
        Failure { error: error.cause(cause), is_loss, is_stopped, has_ended: true }
    }

    fn lost(&self) -> Error {
        Error::new(Code::SourceUnavailable, format!("The connection to source \"{}\" was lost.", self.id))
            .hint("Retry; if it goes on, check that the server runs.")
    }

    /// What the server says of itself is not what it should.
    pub(super) fn unreadable(&self) -> Error {
        Error::new(Code::DataInvalid, format!("Source \"{}\" sent a value that cannot be read.", self.id))
            .hint("The log has the cause.")
    }

    fn rejected(&self, code: u16, limit: Option<Duration>) -> Error {
        let id = &self.id;
        match (code, limit) {
            (TIMEOUT_OF_MARIADB | TIMEOUT_OF_MYSQL, Some(limit)) => Error::new(
                Code::DeadlineExceeded,
                format!("Source \"{id}\" took longer than its limit of {} s.", limit.as_secs_f64()),
            )
            .hint("Filter more, or raise statement_timeout of the source."),
            (TIMEOUT_OF_MARIADB | TIMEOUT_OF_MYSQL | INTERRUPTED, _) => {
                Error::new(Code::SourceUnavailable, format!("Source \"{id}\" stopped the statement."))
                    .hint("Retry; the server's own limit or its administrator stopped it.")
            }
            // DBACCESS_DENIED, TABLEACCESS_DENIED, COLUMNACCESS_DENIED, SPECIFIC_ACCESS_DENIED, PROCACCESS_DENIED
            (1044 | 1142 | 1143 | 1227 | 1370, _) => {
                Error::new(Code::SourceRejected, format!("Source \"{id}\" does not let its user read this table."))
                    .hint("Let the source's user read the table: GRANT does.")
            }
            (1356, _) => Error::new(
                Code::SourceRejected,
                format!("A view of source \"{id}\" refers to what is gone, or to what its definer may not read."),
            )
            .hint("Mend the view in the source."),
            (code, _) if is_schema_change(code) => self.changed(),
            (code, _) if is_passing(code) => Error::new(
                Code::SourceUnavailable,
                format!("Source \"{id}\" could not run the statement now (error {code})."),
            )
            .hint("Retry."),
            (code, _) if is_damage(code) => {
                Error::new(Code::DataInvalid, format!("Source \"{id}\" cannot read its own data (error {code})."))
                    .hint("The server's log has the cause.")
            }
            (code, _) => {
                Error::new(Code::SourceRejected, format!("Source \"{id}\" rejected the statement (error {code})."))
                    .hint("Weft's log has the server's message under this query's id.")
            }
        }
    }

    /// The table is not what it was when the query was planned.
    pub(super) fn changed(&self) -> Error {
        Error::new(
            Code::SchemaChanged,
            format!("A table of source \"{}\" was changed or dropped after the query was planned.", self.id),
        )
        .hint("Retry: the query will be planned against the table as it is now.")
    }

    /// A cell of `column` could not be read.
    pub(super) fn cell(&self, column: &str, cause: CellError) -> Error {
        match cause {
            CellError::Changed => self.changed(),
            CellError::Value(what) => {
                Error::new(Code::DataInvalid, format!("Column \"{column}\" of source \"{}\" holds {what}.", self.id))
                    .hint("Leave the column out of the query, or mend the value in the source.")
            }
        }
    }
}

/// ER_QUERY_INTERRUPTED: `KILL QUERY` was heard.
const INTERRUPTED: u16 = 1317;
/// ER_STATEMENT_TIMEOUT, after `max_statement_time`.
const TIMEOUT_OF_MARIADB: u16 = 1969;
/// ER_QUERY_TIMEOUT, after `max_execution_time`.
const TIMEOUT_OF_MYSQL: u16 = 3024;

/// Why a connection was not opened.
enum Refusal {
    Database,
    Full,
    Host,
    Login,
    Network,
    Other,
    Password,
    Tls,
}

impl Refusal {
    fn of(error: &mysql::Error) -> Self {
        match error {
            mysql::Error::MySqlError(error) => match error.code {
                // ACCESS_DENIED, ACCESS_DENIED_NO_PASSWORD, MUST_CHANGE_PASSWORD_LOGIN, and locked accounts.
                1045 | 1698 | 1862 | 3118 | 4151 => Refusal::Password,
                1044 | 1049 => Refusal::Database,
                1129 | 1130 => Refusal::Host,
                // CON_COUNT, OUT_OF_RESOURCES, CANT_CREATE_THREAD, TOO_MANY_USER_CONNECTIONS, USER_LIMIT_REACHED
                1040 | 1041 | 1135 | 1203 | 1226 => Refusal::Full,
                // NOT_SUPPORTED_AUTH_MODE, PLUGIN_IS_NOT_LOADED
                1251 | 1524 => Refusal::Login,
                3159 => Refusal::Tls,
                code if is_loss(code) => Refusal::Network,
                _ => Refusal::Other,
            },
            mysql::Error::TlsError(_) | mysql::Error::DriverError(DriverError::TlsNotSupported) => Refusal::Tls,
            mysql::Error::DriverError(
                DriverError::UnknownAuthPlugin(_)
                | DriverError::OldMysqlPasswordDisabled
                | DriverError::CleartextPluginDisabled,
            ) => Refusal::Login,
            mysql::Error::IoError(_) | mysql::Error::CodecError(_) | mysql::Error::DriverError(_) => Refusal::Network,
            _ => Refusal::Other,
        }
    }
}

/// Whether the server says that a statement was stopped on request.
pub(super) fn is_interrupted(error: &mysql::Error) -> bool {
    server_code(error) == Some(INTERRUPTED)
}

fn server_code(error: &mysql::Error) -> Option<u16> {
    match error {
        mysql::Error::MySqlError(error) => Some(error.code),
        _ => None,
    }
}

/// Whether the server closed the connection, or is about to.
fn is_loss(code: u16) -> bool {
    // SERVER_SHUTDOWN, NORMAL_SHUTDOWN, ABORTING_CONNECTION, the NET_ errors of a torn connection, CONNECTION_KILLED
    // of MariaDB, CLIENT_INTERACTION_TIMEOUT of MySQL
    matches!(code, 1053 | 1077 | 1152 | 1154..=1161 | 1184 | 1927 | 4031)
}

fn is_schema_change(code: u16) -> bool {
    // BAD_DB, BAD_TABLE, BAD_FIELD, UNKNOWN_TABLE, NO_SUCH_TABLE, COLLATION_CHARSET_MISMATCH, SP_DOES_NOT_EXIST,
    // TABLE_DEF_CHANGED, NEED_REPREPARE
    matches!(code, 1049 | 1051 | 1054 | 1109 | 1146 | 1253 | 1305 | 1412 | 1615)
}

/// Whether the same statement may well work a moment later: locks, memory, space.
fn is_passing(code: u16) -> bool {
    matches!(code, 1021 | 1037 | 1038 | 1040 | 1041 | 1114 | 1135 | 1205 | 1206 | 1213 | 1290 | 1461)
}

/// Whether the table itself is torn.
fn is_damage(code: u16) -> bool {
    matches!(code, 1030 | 1032 | 1033 | 1034 | 1035 | 1194 | 1195 | 1712 | 1877)
}

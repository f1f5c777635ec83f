//! What PostgreSQL and the wire report, as the engine's errors: one code, one safe sentence, what to do.
//!
//! The server's own text stays in the cause, for the log: it may quote data.

use std::time::Duration;

use connectorx::sources::postgres::PostgresSourceError;
use engine::{Code, Error};
use postgres::error::SqlState;

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
    /// Somebody else keeps the table locked.
    pub(super) is_locked: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, is_loss: false, is_stopped: false, is_locked: false }
    }
}

impl Place {
    /// A connection could not be opened.
    pub(super) fn refused(&self, cause: postgres::Error) -> Failure {
        let Self { id, location } = self;
        let rejected = |message: String, hint: &str| Error::new(Code::SourceRejected, message).hint(hint);
        let error = match cause.code() {
            Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => rejected(
                format!("Source \"{id}\" at {location} refuses this user or password."),
                "Check user and password of the source, and the server's pg_hba.conf.",
            ),
            Some(&SqlState::INVALID_CATALOG_NAME) => rejected(
                format!("Source \"{id}\" at {location} has no such database."),
                "Check the database's name in the source's connection.",
            ),
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => rejected(
                format!("Source \"{id}\" at {location} does not let this user connect."),
                "Grant CONNECT on the database to the source's user.",
            ),
            Some(&SqlState::TOO_MANY_CONNECTIONS) => {
                Error::new(Code::SourceUnavailable, format!("Source \"{id}\" at {location} has no connection left."))
                    .hint("Retry, or lower max_pool_size of the sources on this server.")
            }
            Some(_) => return self.failed(cause, None),
            None => match Stage::of(&cause) {
                Stage::Tls => rejected(
                    format!("Source \"{id}\" at {location} cannot be trusted, or does not speak TLS."),
                    "Check sslmode and sslrootcert of the source against the server's certificate.",
                ),
                Stage::Login => rejected(
                    format!("Source \"{id}\" at {location} wants a login that this connection cannot give."),
                    "Set user and password of the source; if they are set, check the server's pg_hba.conf.",
                ),
                Stage::Network | Stage::Value => self.unreachable(),
            },
        };
        error.cause(cause).into()
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
    pub(super) fn failed(&self, cause: postgres::Error, limit: Option<Duration>) -> Failure {
        let is_stopped = cause.code() == Some(&SqlState::QUERY_CANCELED);
        let is_loss = match cause.code() {
            Some(state) => is_loss(state),
            None => Stage::of(&cause) != Stage::Value,
        };
        let error = match cause.code() {
            _ if is_loss => self.lost(),
            Some(state) => self.rejected(state, limit),
            None => self.unreadable(None),
        };
        let is_locked = cause.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
        Failure { error: error.cause(cause), is_loss, is_stopped, is_locked }
    }

    fn lost(&self) -> Error {
        Error::new(Code::SourceUnavailable, format!("The connection to source \"{}\" was lost.", self.id))
            .hint("Retry; if it goes on, check that the server runs.")
    }

    fn unreadable(&self, column: Option<&str>) -> Error {
        let what = column.map_or_else(|| "a value".to_owned(), |column| format!("a value of column \"{column}\""));
        Error::new(Code::DataInvalid, format!("Source \"{}\" sent {what} that cannot be read.", self.id))
            .hint("A database whose encoding is SQL_ASCII may hold text that is not UTF-8; the log has the cause.")
    }

    fn rejected(&self, state: &SqlState, limit: Option<Duration>) -> Error {
        let id = &self.id;
        match (state, limit) {
            (&SqlState::QUERY_CANCELED, Some(limit)) => Error::new(
                Code::DeadlineExceeded,
                format!("Source \"{id}\" took longer than its limit of {} s.", limit.as_secs_f64()),
            )
            .hint("Filter more, or raise statement_timeout of the source."),
            (&SqlState::QUERY_CANCELED, None) => {
                Error::new(Code::SourceUnavailable, format!("Source \"{id}\" stopped the statement."))
                    .hint("Retry; the server's own statement_timeout or its administrator stopped it.")
            }
            (&SqlState::INSUFFICIENT_PRIVILEGE, _) => {
                Error::new(Code::SourceRejected, format!("Source \"{id}\" does not let its user read this table."))
                    .hint("Let the source's user read the table and use its schema: GRANT does both.")
            }
            (&SqlState::NUMERIC_VALUE_OUT_OF_RANGE, _) => {
                Error::new(Code::ArithmeticError, format!("A number of source \"{id}\" grows beyond its type."))
                    .hint("Cast to a wider type, or to DOUBLE, before it is added up.")
            }
            // The server itself finds text that is not what the database's encoding says.
            (&SqlState::CHARACTER_NOT_IN_REPERTOIRE, _) => self.unreadable(None),
            (state, _) if is_schema_change(state) => self.changed(),
            (state, _) if is_passing(state) => Error::new(
                Code::SourceUnavailable,
                format!("Source \"{id}\" could not run the statement now (SQLSTATE {}).", state.code()),
            )
            .hint("Retry."),
            (state, _) if state.code().starts_with("XX") => Error::new(
                Code::DataInvalid,
                format!("Source \"{id}\" cannot read its own data (SQLSTATE {}).", state.code()),
            )
            .hint("The server's log has the cause."),
            (state, _) => Error::new(
                Code::SourceRejected,
                format!("Source \"{id}\" rejected the statement (SQLSTATE {}).", state.code()),
            )
            .hint("Weft's log has the server's message under this query's id."),
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
    pub(super) fn cell(&self, column: &str, cause: CellError, limit: Option<Duration>) -> Failure {
        match cause {
            CellError::Changed => self.changed().into(),
            CellError::Value(what) => {
                Error::new(Code::DataInvalid, format!("Column \"{column}\" of source \"{}\" holds {what}.", self.id))
                    .hint("Leave the column out of the query, or mend the value in the source.")
                    .into()
            }
            CellError::Wire(PostgresSourceError::PostgresError(cause)) if Stage::of(&cause) == Stage::Value => {
                self.unreadable(Some(column)).cause(cause).into()
            }
            CellError::Wire(cause) => self.wire(cause, limit),
        }
    }

    /// What connectorx reports while it reads a result.
    pub(super) fn wire(&self, cause: PostgresSourceError, limit: Option<Duration>) -> Failure {
        match cause {
            PostgresSourceError::PostgresError(cause) => self.failed(cause, limit),
            other => self.unreadable(None).cause(other).into(),
        }
    }

    /// A thread of the source panicked: the panic ends with it, and the caller gets this.
    pub(super) fn panicked(&self) -> Error {
        Error::new(Code::Internal, format!("Reading source \"{}\" failed inside Weft.", self.id))
            .hint("Retry; if it fails again, report the query. The log has the cause.")
    }

    /// The system gave no thread to read with.
    pub(super) fn without_thread(&self, cause: std::io::Error) -> Error {
        Error::new(Code::Overloaded, format!("There is no thread left to read source \"{}\" with.", self.id))
            .hint("Retry when fewer queries run.")
            .cause(cause)
    }
}

/// Where an error without an SQLSTATE arose. The driver keeps its own kinds private; its fixed words tell them apart.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Network,
    Tls,
    Login,
    Value,
}

impl Stage {
    fn of(error: &postgres::Error) -> Self {
        let text = error.to_string();
        if text.contains("TLS handshake") {
            Stage::Tls
        } else if text.contains("authentication error") || text.contains("invalid configuration") {
            Stage::Login
        } else if text.contains("deserializing") {
            Stage::Value
        } else {
            Stage::Network
        }
    }
}

/// Whether the server closed the connection, or is about to.
fn is_loss(state: &SqlState) -> bool {
    state.code().starts_with("08") || matches!(state.code(), "57P01" | "57P02" | "57P03" | "57P05" | "25P03")
}

fn is_schema_change(state: &SqlState) -> bool {
    matches!(
        *state,
        SqlState::UNDEFINED_TABLE
            | SqlState::UNDEFINED_COLUMN
            | SqlState::UNDEFINED_OBJECT
            | SqlState::UNDEFINED_FUNCTION
            | SqlState::INVALID_SCHEMA_NAME
            | SqlState::CANNOT_COERCE
            | SqlState::DATATYPE_MISMATCH
    )
}

/// Whether the same statement may well work a moment later: locks, serialization, resources.
fn is_passing(state: &SqlState) -> bool {
    state.code().starts_with("40") || state.code().starts_with("53") || state.code().starts_with("55")
}

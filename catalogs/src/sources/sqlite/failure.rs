//! What SQLite reports, as the engine's errors: one code, one safe sentence, what to do.
//!
//! SQLite's own text stays in the cause, for the log: it may hold the path, the statement, or data.

use std::io;

use engine::{Code, Error};
use rusqlite::ErrorCode;

use super::cells::Misfit;
use crate::sources::remote::thread;

/// A source as messages name it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The source's id.
    pub(super) id: String,
}

impl Place {
    /// The file cannot even be looked at.
    pub(super) fn unreachable(&self, cause: io::Error) -> Error {
        let what = match cause.kind() {
            io::ErrorKind::NotFound => "does not exist",
            io::ErrorKind::PermissionDenied => "may not be read",
            _ => "cannot be read",
        };
        Error::new(Code::SourceUnavailable, format!("The database file of source \"{}\" {what}.", self.id))
            .hint("Check the path in the source's connection; a relative path starts from the home folder.")
            .cause(cause)
    }

    /// The path names something else.
    pub(super) fn no_file(&self) -> Error {
        Error::new(Code::SourceRejected, format!("The path of source \"{}\" is not that of a file.", self.id))
            .hint("Give the path of the SQLite file itself, not of its folder.")
    }

    /// Something that SQLite was asked for failed.
    pub(super) fn failed(&self, cause: rusqlite::Error) -> Error {
        self.explained(&cause).cause(cause)
    }

    fn explained(&self, cause: &rusqlite::Error) -> Error {
        let id = &self.id;
        let unavailable = |what: &str| Error::new(Code::SourceUnavailable, format!("Source \"{id}\" {what}."));
        let Some(code) = code(cause) else {
            return match cause {
                rusqlite::Error::Utf8Error(..) | rusqlite::Error::FromSqlConversionFailure(..) => self.damaged(),
                _ => self.rejected(),
            };
        };
        match code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
                unavailable("is locked by another program")
                    .hint("Retry when the other program is done, or raise busy_timeout of the source.")
            }
            ErrorCode::NotADatabase => {
                Error::new(Code::DataInvalid, format!("The file of source \"{id}\" is no SQLite database, or is encrypted."))
                    .hint("Encrypted databases cannot be read: decrypt a copy of it.")
            }
            ErrorCode::DatabaseCorrupt => self.damaged(),
            ErrorCode::OperationInterrupted => thread::too_slow(id),
            ErrorCode::OutOfMemory => Error::new(Code::OutOfMemory, format!("Source \"{id}\" needs more memory than there is."))
                .hint("Select fewer columns, or filter more."),
            ErrorCode::SchemaChanged => self.changed(),
            // A crash left work that a reader may not finish, or the files next to a database in WAL mode cannot be made.
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly => unavailable("cannot be opened for reading")
                .hint(
                    "Check who may read the file. A database in WAL mode, or one that a crash left in the middle of a write, \
                     also needs a folder that may be written to.",
                ),
            ErrorCode::SystemIoFailure | ErrorCode::DiskFull | ErrorCode::NoLargeFileSupport => {
                unavailable("cannot be read from its disk").hint("Retry; if it goes on, check the disk. The log has the cause.")
            }
            _ => self.rejected(),
        }
    }

    fn rejected(&self) -> Error {
        Error::new(Code::SourceRejected, format!("Source \"{}\" cannot run the statement.", self.id)).hint(
            "A view may ask for a table, a function or a module that is not there; the log has SQLite's own message.",
        )
    }

    fn damaged(&self) -> Error {
        Error::new(Code::DataInvalid, format!("The database file of source \"{}\" is damaged.", self.id))
            .hint("Run PRAGMA integrity_check on it, or restore it from a copy.")
    }

    /// The table is not what it was when the query was planned.
    pub(super) fn changed(&self) -> Error {
        Error::new(
            Code::SchemaChanged,
            format!("A table of source \"{}\" was changed or dropped after the query was planned.", self.id),
        )
        .hint("Retry: the query will be planned against the table as it is now.")
    }

    /// A value of `column` has no place in the column's type.
    pub(super) fn misfit(&self, column: &str, misfit: &Misfit) -> Error {
        let text = format!("Column \"{column}\" of source \"{}\" holds {}.", self.id, misfit.0);
        Error::new(Code::DataInvalid, text).hint(
            "Leave the column out, mend the value, or say in the source's connection what the column holds: \
             columns: {NAME: text}.",
        )
    }
}

/// Whether SQLite could not make sense of a statement, for one because a name in it is gone.
pub(super) fn is_senseless(cause: &rusqlite::Error) -> bool {
    code(cause) == Some(ErrorCode::Unknown)
}

fn code(cause: &rusqlite::Error) -> Option<ErrorCode> {
    match cause {
        rusqlite::Error::SqliteFailure(error, _) | rusqlite::Error::SqlInputError { error, .. } => Some(error.code),
        _ => None,
    }
}

//! From the engine's errors to gRPC: the status by the contract, the code and the hint in metadata.
//!
//! The cause is written to the log here, once, and nowhere sent.

use std::error::Error as _;

use engine::{Code, Error};
use prost::DecodeError;
use tonic::Status;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

/// Some clients fail on trailers beyond 8 KiB, and percent-encoding triples what is not ASCII.
const MESSAGE_CHARS: usize = 2000;

/// The error as a client gets it.
pub(crate) fn status(error: Error) -> Status {
    let code = error.code();
    let query_id = error.query_id().map(|id| id.to_string());
    if let Some(cause) = error.source() {
        tracing::warn!(code = code.as_str(), query.id = query_id.as_deref(), cause = chain(cause), "{error}");
    }
    let mut metadata = MetadataMap::new();
    metadata.insert("weft-code", ascii(code.as_str()));
    if let Some(hint) = error.hint_text() {
        metadata.insert("weft-hint", ascii(hint));
    }
    if let Some(time) = error.retry_time() {
        metadata.insert("retry-after", ascii(&time.as_secs_f64().ceil().to_string()));
    }
    if let Some(id) = &query_id {
        metadata.insert("weft-query-id", ascii(id));
    }
    let text = match error.hint_text() {
        Some(hint) => format!("{} {hint}", error.message()),
        None => error.message().to_owned(),
    };
    Status::with_metadata(tonic::Code::from_i32(code.grpc_status()), cut(&text, MESSAGE_CHARS), metadata)
}

/// A message that is not what the protocol says.
pub(crate) fn malformed(error: DecodeError) -> Error {
    Error::new(Code::InvalidArgument, "The request is not a Flight SQL message.").cause(error)
}

/// What this server does not do at all.
pub(crate) fn unsupported(what: &str) -> Error {
    Error::new(Code::UnsupportedSql, format!("Weft does not support {what}."))
}

/// Text for a header: what is not printable ASCII becomes `?`, since gRPC refuses it; the message has it in full.
fn ascii(text: &str) -> AsciiMetadataValue {
    let plain: String = cut(text, MESSAGE_CHARS)
        .chars()
        .map(|char| if char.is_ascii_graphic() || char == ' ' { char } else { '?' })
        .collect();
    AsciiMetadataValue::try_from(plain).unwrap_or_else(|_| AsciiMetadataValue::from_static("?"))
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(error) = at {
        text.push_str(": ");
        text.push_str(&error.to_string());
        at = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_carries_code_and_hint_and_never_the_cause() {
        let error = Error::new(Code::TableNotFound, "Table \"käse\" does not exist.")
            .hint("Did you mean \"Käse\"?")
            .cause("/secret/path: no such file");
        let status = status(error);
        assert_eq!(status.code(), tonic::Code::NotFound);
        assert_eq!(status.message(), "Table \"käse\" does not exist. Did you mean \"Käse\"?");
        assert_eq!(status.metadata().get("weft-code").unwrap(), "table_not_found");
        assert_eq!(status.metadata().get("weft-hint").unwrap(), "Did you mean \"K?se\"?");
        assert!(!format!("{status:?}").contains("secret"));
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let status = status(Error::new(Code::InvalidSql, "ä".repeat(9000)));
        assert_eq!(status.message().chars().count(), MESSAGE_CHARS + 1);
    }
}

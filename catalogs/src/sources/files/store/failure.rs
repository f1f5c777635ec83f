//! What a store's refusals and failures mean to those who ask, and what they can do about it.
//!
//! A library's own words go to the log only, and without a secret that they may repeat.

use engine::{Code, Error};

use super::{Bucket, Scheme};
use crate::sources::files::{changed_file, unreachable_file};

/// The sentence for a failure at the file or folder `name`.
pub(super) fn explained(bucket: &Bucket, name: &str, error: &object_store::Error) -> Error {
    let text = chain(error);
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let explained = match answer(error, &text) {
        Answer::Missing if text.contains("NoSuchBucket") => {
            Error::new(Code::SourceUnavailable, format!("The bucket of \"{name}\" does not exist."))
                .hint("Check the bucket in the path, and the `endpoint` and `region` of the connection.")
        }
        Answer::Missing => Error::new(Code::SourceUnavailable, format!("\"{name}\" does not exist."))
            .hint("Check the path in the dataset's file."),
        Answer::Changed => changed_file(name),
        Answer::Unknown => rejected(bucket, name, "does not know who asks for"),
        Answer::Forbidden if has(&CLOCK) => {
            let text = format!("The store of \"{name}\" finds the clock of this machine too far from its own.");
            Error::new(Code::SourceRejected, text).hint("Set the clock, such as by NTP, then retry.")
        }
        Answer::Forbidden if has(&FALSE_KEYS) => rejected(bucket, name, "does not accept the credentials that ask for"),
        Answer::Forbidden => rejected(bucket, name, "does not allow to read"),
        Answer::NoParts => no_parts(name),
        Answer::Other if has(&["ExpiredToken", "InvalidToken", "ExpiredAuthentication"]) => {
            rejected(bucket, name, "says that the credentials are expired that ask for")
        }
        Answer::Other
            if has(&["incorrectly configured region", "AuthorizationHeaderMalformed", "PermanentRedirect"]) =>
        {
            let text = format!("The bucket of \"{name}\" is in another region.");
            Error::new(Code::SourceRejected, text).hint("Set `region` in the connection to the bucket's own.")
        }
        Answer::Other if has(&["Content-Length Header missing"]) => {
            let text = format!("The server does not say how long \"{name}\" is.");
            Error::new(Code::SourceRejected, text).hint("Copy the file to a folder or to an object store.")
        }
        Answer::Other if has(&METADATA) => {
            let text = format!("There are no credentials to ask the store for \"{name}\" with.");
            Error::new(Code::SourceRejected, text).hint(credentials(bucket.scheme()))
        }
        Answer::Other if has(&["certificate", "Certificate", "UnknownIssuer"]) => {
            let text = format!("The server of \"{name}\" cannot show that it is the one that is meant.");
            Error::new(Code::SourceUnavailable, text)
                .hint("Set `tls_ca_file` in the connection to the authority that vouches for it.")
        }
        Answer::Other if has(&["URL scheme is not allowed", "scheme is not http"]) => {
            let text = format!("\"{name}\" would be read over http://, which is not allowed.");
            Error::new(Code::SourceRejected, text).hint("Use https://, or set `allow_http` of the connection to true.")
        }
        Answer::Other => {
            Error::new(Code::SourceUnavailable, format!("The store of \"{name}\" cannot be reached, or fails."))
                .hint("Try again; check the path and the `endpoint` of the connection. The log has the cause.")
        }
    };
    explained.cause(bucket.without_secrets(text))
}

/// What S3 calls credentials that it does not accept.
const FALSE_KEYS: [&str; 3] = ["SignatureDoesNotMatch", "InvalidAccessKeyId", "InvalidClientTokenId"];

/// What stores call a request that was signed too early or too late.
const CLOCK: [&str; 2] = ["RequestTimeTooSkewed", "Request has expired"];

/// Where clouds keep the credentials of their machines: it is asked where no others are set.
const METADATA: [&str; 4] = ["169.254.169.254", "169.254.170.2", "metadata.google.internal", "instance metadata"];

/// What a store answered.
enum Answer {
    Missing,
    Forbidden,
    Unknown,
    Changed,
    NoParts,
    Other,
}

/// The library tells the status of an answer about one object, and has only words for that of a listing.
fn answer(error: &object_store::Error, text: &str) -> Answer {
    use object_store::Error as Store;
    let is_status = |status: &str| text.contains(&format!("non-2xx status code: {status}"));
    match error {
        Store::NotFound { .. } => Answer::Missing,
        Store::PermissionDenied { .. } => Answer::Forbidden,
        Store::Unauthenticated { .. } => Answer::Unknown,
        Store::Precondition { .. } => Answer::Changed,
        Store::NotSupported { .. } => Answer::NoParts,
        _ if is_status("404") => Answer::Missing,
        _ if is_status("403") => Answer::Forbidden,
        _ if is_status("401") => Answer::Unknown,
        _ => Answer::Other,
    }
}

/// A folder whose files cannot be listed.
pub(super) fn unlisted(bucket: &Bucket, name: &str, error: &object_store::Error) -> Error {
    let text = chain(error);
    match answer(error, &text) {
        Answer::Forbidden if !FALSE_KEYS.iter().chain(&CLOCK).any(|word| text.contains(word)) => {
            Error::new(Code::SourceRejected, format!("The store does not allow to list the files of \"{name}\"."))
                .hint("Ask for the right to list, or name each file by its whole path.")
                .cause(bucket.without_secrets(text))
        }
        _ if matches!(error, object_store::Error::InvalidPath { .. }) => {
            Error::new(Code::DataInvalid, format!("\"{name}\" holds an object whose name has an empty part."))
                .hint("Rename it, or name a folder that does not hold it.")
                .cause(bucket.without_secrets(text))
        }
        _ => explained(bucket, name, error),
    }
}

/// A folder over https.
pub(super) fn no_folder(name: &str) -> Error {
    Error::new(Code::SourceRejected, format!("\"{name}\" is a folder, and https cannot list files."))
        .hint("Name each file by its whole URL, or by its path below this one.")
}

/// A file without which the folder cannot be read.
pub(super) fn missing(name: &str) -> Error {
    unreachable_file(name, std::io::ErrorKind::NotFound.into())
}

fn no_parts(name: &str) -> Error {
    let text = format!("The server of \"{name}\" does not send parts of files, which Parquet is read by.");
    Error::new(Code::SourceRejected, text).hint("Copy the file to a folder or to an object store.")
}

fn rejected(bucket: &Bucket, name: &str, what: &str) -> Error {
    let text = format!("The store {what} \"{name}\".");
    Error::new(Code::SourceRejected, text).hint(credentials(bucket.scheme()))
}

fn credentials(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::S3 => {
            "Set `access_key_id` and `secret_access_key` in the connection, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, to \
             a key that may read there; a public bucket takes `anonymous: true`."
        }
        Scheme::Gcs => {
            "Set `service_account_file` in the connection, or GOOGLE_SERVICE_ACCOUNT, to an account that may read there; a \
             public bucket takes `anonymous: true`."
        }
        Scheme::Azure => {
            "Set `account_key` or `sas_token` in the connection, or AZURE_STORAGE_ACCOUNT_KEY; a public container takes \
             `anonymous: true`."
        }
        Scheme::Http => "Check the URL: one that carries a signature may have expired.",
    }
}

/// An error's own words and those of everything behind it.
fn chain(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut at = std::error::Error::source(error);
    while let Some(here) = at {
        let words = here.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        at = here.source();
    }
    text
}

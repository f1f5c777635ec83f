//! Tickets and prepared-statement handles: a question in bytes that the client keeps, signed so that only this server
//! can have written them. A ticket is a question and not a permission: it answers to whom it was written for only, and they
//! are governed as they are then.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use engine::{Code, Error, Query};
use prost::Message;

use crate::call::Call;
use crate::params;

/// What a session or a call's headers say about questions that don't say it themselves.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Defaults {
    /// Where bare table names are looked up first.
    #[prost(string, optional, tag = "1")]
    pub(crate) dataset: Option<String>,
    #[prost(bool, optional, tag = "2")]
    pub(crate) apply_weights: Option<bool>,
    #[prost(uint64, optional, tag = "3")]
    pub(crate) max_rows: Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    pub(crate) timeout_ms: Option<u64>,
}

/// A question as it travels: everything that its answer depends on, except the rights of who asks.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Question {
    #[prost(string, tag = "1")]
    pub(crate) sql: String,
    /// Rows of parameters as an Arrow IPC stream; empty = none. Each row is one run of the statement.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) params: Bytes,
    #[prost(message, required, tag = "3")]
    pub(crate) defaults: Defaults,
    /// Seconds since 1970 after which it is no longer answered.
    #[prost(uint64, tag = "4")]
    pub(crate) expires_at: u64,
    /// Tells apart two statements with the same text.
    #[prost(fixed64, tag = "5")]
    pub(crate) nonce: u64,
    /// Who asked it first: nobody else has a use for it.
    #[prost(string, tag = "6")]
    pub(crate) owner: String,
}

impl Question {
    /// A question of `call` without parameters that lives for `life`.
    pub(crate) fn new(sql: String, call: &Call, life: Duration) -> Self {
        Self {
            sql,
            params: Bytes::new(),
            defaults: call.defaults.clone(),
            expires_at: seconds(SystemTime::now() + life),
            nonce: rand::random(),
            owner: call.principal.name().to_owned(),
        }
    }

    /// The same question, to be answered for `life` from now on.
    pub(crate) fn renewed(self, life: Duration) -> Self {
        Self { expires_at: seconds(SystemTime::now() + life), ..self }
    }

    /// The queries to run, one per row of parameters.
    ///
    /// # Errors
    /// `invalid_argument` where the parameters cannot be read.
    pub(crate) fn queries(&self, client: Option<&str>) -> Result<Vec<Query>, Error> {
        let defaults = &self.defaults;
        let query = Query::new(self.sql.as_str())
            .dataset(defaults.dataset.clone())
            .apply_weights(defaults.apply_weights)
            .max_rows(defaults.max_rows)
            .timeout(defaults.timeout_ms.map(Duration::from_millis))
            .from(engine::Door::Flight, client.map(str::to_owned));
        if self.params.is_empty() {
            return Ok(vec![query]);
        }
        let rows = params::read(&self.params)?;
        Ok((0..rows.num_rows()).map(|row| query.clone().params(rows.slice(row, 1))).collect())
    }

    /// The query with the first row of parameters, which tells what the result looks like.
    ///
    /// # Errors
    /// `invalid_argument` where the parameters cannot be read.
    pub(crate) fn first_query(&self, client: Option<&str>) -> Result<Query, Error> {
        self.queries(client)?
            .into_iter()
            .next()
            .ok_or_else(|| Error::new(Code::InvalidArgument, "The prepared statement has no row of parameters."))
    }
}

/// Length of the code in front of a sealed question.
const MAC_BYTES: usize = blake3::OUT_LEN;

/// Signs questions and recognizes its own signature.
pub(crate) struct Seal {
    key: [u8; 32],
}

impl Seal {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The question as bytes for the client to keep.
    pub(crate) fn close(&self, question: &Question) -> Bytes {
        let body = question.encode_to_vec();
        let mut sealed = Vec::with_capacity(MAC_BYTES + body.len());
        sealed.extend_from_slice(blake3::keyed_hash(&self.key, &body).as_bytes());
        sealed.extend_from_slice(&body);
        sealed.into()
    }

    /// The question in bytes that `owner` presents at `now`.
    ///
    /// # Errors
    /// `invalid_argument` where this server did not write them for `owner`, `query_not_found` where they have expired.
    pub(crate) fn open(&self, sealed: &[u8], owner: &str, now: SystemTime) -> Result<Question, Error> {
        let (mac, body) = sealed.split_at_checked(MAC_BYTES).ok_or_else(foreign)?;
        let mac = blake3::Hash::from_slice(mac).map_err(|_| foreign())?;
        // Comparing two `blake3::Hash`es takes the same time wherever they differ.
        if blake3::keyed_hash(&self.key, body) != mac {
            return Err(foreign());
        }
        let question = Question::decode(body).map_err(|error| foreign().cause(error))?;
        if question.owner != owner {
            return Err(foreign());
        }
        if question.expires_at <= seconds(now) {
            return Err(Error::new(Code::QueryNotFound, "This ticket or prepared statement has expired.")
                .hint("Ask the statement again."));
        }
        Ok(question)
    }
}

fn foreign() -> Error {
    Error::new(Code::InvalidArgument, "This ticket or prepared statement is not from this server, or not yours.")
        .hint("Tickets do not outlive the server that wrote them: ask the statement again.")
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use engine::Principal;

    use super::*;

    fn question() -> Question {
        let call = Call {
            principal: Principal::new("meera", []),
            client: None,
            token: None,
            session: None,
            defaults: Defaults::default(),
        };
        Question::new("select 1".to_owned(), &call, Duration::from_secs(60))
    }

    #[test]
    fn what_is_sealed_opens_as_it_was() {
        let seal = Seal::new([7; 32]);
        let asked = Question {
            defaults: Defaults { dataset: Some("panel".to_owned()), max_rows: Some(0), ..Defaults::default() },
            ..question()
        };
        assert_eq!(seal.open(&seal.close(&asked), "meera", SystemTime::now()).unwrap(), asked);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let seal = Seal::new([7; 32]);
        let sealed = seal.close(&question());
        for at in 0..sealed.len() {
            let mut forged = sealed.to_vec();
            forged[at] ^= 1;
            assert_eq!(
                seal.open(&forged, "meera", SystemTime::now()).unwrap_err().code(),
                Code::InvalidArgument,
                "byte {at}"
            );
        }
    }

    #[test]
    fn cut_bytes_and_other_servers_tickets_are_refused() {
        let seal = Seal::new([7; 32]);
        let sealed = seal.close(&question());
        for length in [0, 1, 31, 32, sealed.len() - 1] {
            assert_eq!(
                seal.open(&sealed[..length], "meera", SystemTime::now()).unwrap_err().code(),
                Code::InvalidArgument
            );
        }
        let elsewhere = Seal::new([8; 32]).close(&question());
        assert_eq!(seal.open(&elsewhere, "meera", SystemTime::now()).unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn a_ticket_answers_to_its_owner() {
        let seal = Seal::new([7; 32]);
        let sealed = seal.close(&question());
        assert_eq!(seal.open(&sealed, "ravi", SystemTime::now()).unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn an_expired_ticket_is_not_found() {
        let seal = Seal::new([7; 32]);
        let sealed = seal.close(&question());
        let later = SystemTime::now() + Duration::from_secs(120);
        assert_eq!(seal.open(&sealed, "meera", later).unwrap_err().code(), Code::QueryNotFound);
        let renewed = seal.close(&question().renewed(Duration::from_secs(300)));
        assert!(seal.open(&renewed, "meera", later).is_ok());
    }
}

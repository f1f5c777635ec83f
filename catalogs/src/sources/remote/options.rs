//! What the `connection:` options of databases share: how values are written, a URL for all of them, and errors.
//!
//! Messages name the option and never repeat its value, since it may be a password.

use std::time::Duration;

use engine::{Code, Error, names};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;

/// How a kind of database is configured.
pub(crate) struct Form {
    /// The kind's name.
    pub(crate) kind: &'static str,
    /// What its URLs start with.
    pub(crate) schemes: &'static [&'static str],
    /// A URL of it, in messages.
    pub(crate) url: &'static str,
    /// Options of its own, with what their values must be.
    pub(crate) own: &'static [(&'static str, &'static str)],
}

/// A number, or text that holds one: a value that came through `${VAR}` may be either.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it only describes the option in the JSON Schema")]
pub(crate) enum Amount {
    Number(f64),
    Text(String),
}

impl Form {
    /// The options that are written, and where they say nothing those in `url`.
    ///
    /// # Errors
    /// `invalid_argument` that names the option.
    pub(crate) fn read<T: DeserializeOwned + JsonSchema>(&self, options: &Value) -> Result<T, Error> {
        let written = match options {
            Value::Object(map) => map.clone(),
            Value::Null => Map::new(),
            _ => return Err(invalid(format!("The connection of a {} source is a mapping of options.", self.kind))),
        };
        self.check::<T>(&written)?;
        let mut all = match written.get("url") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::String(url)) => self.of_url(url)?,
            Some(_) => return Err(self.malformed("url")),
        };
        self.check::<T>(&all)?;
        all.extend(written.into_iter().filter(|(_, value)| !value.is_null()));
        T::deserialize(&Value::Object(all)).map_err(|_| invalid("The connection options are malformed."))
    }

    /// Each option by itself, so that a message can name it.
    fn check<T: DeserializeOwned + JsonSchema>(&self, options: &Map<String, Value>) -> Result<(), Error> {
        let schema = schemars::schema_for!(T);
        let known = schema.as_value().get("properties").and_then(Value::as_object);
        let known = || known.into_iter().flatten().map(|(key, _)| key.as_str());
        for (key, value) in options {
            if !known().any(|known| known == key) {
                let error = invalid(format!("A {} source has no option \"{key}\".", self.kind));
                return Err(match names::nearest(key, known()) {
                    Some(near) => error.hint(format!("Did you mean \"{near}\"?")),
                    None => error.hint(format!("Options: {}.", names::listing(known()))),
                });
            }
            let alone = Value::Object(Map::from_iter([(key.clone(), value.clone())]));
            if T::deserialize(&alone).is_err() {
                return Err(self.malformed(key));
            }
        }
        Ok(())
    }

    /// The options that a URL holds.
    fn of_url(&self, url: &str) -> Result<Map<String, Value>, Error> {
        let url = Url::parse(url).map_err(|_| self.malformed("url"))?;
        if !self.schemes.contains(&url.scheme()) {
            let schemes: Vec<String> = self.schemes.iter().map(|scheme| format!("{scheme}://")).collect();
            return Err(invalid(format!("Option \"url\" must start with {}.", schemes.join(" or "))));
        }
        let mut options = Map::new();
        for (key, value) in url.query_pairs() {
            if matches!(key.as_ref(), "url" | "host" | "port" | "password" | "user" | "database") {
                return Err(invalid(format!("\"{key}\" does not belong in the parameters of \"url\".")));
            }
            options.insert(key.into_owned(), Value::String(value.into_owned()));
        }
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let database = url.path().trim_start_matches('/');
        let password = url.password().unwrap_or_default();
        for (key, part) in [("host", host), ("database", database), ("user", url.username()), ("password", password)] {
            if !part.is_empty() {
                options.insert(key.to_owned(), Value::String(self.decoded(part)?));
            }
        }
        options.extend(url.port().map(|port| ("port".to_owned(), Value::from(port))));
        Ok(options)
    }

    /// `%xx` in a part of a URL.
    fn decoded(&self, text: &str) -> Result<String, Error> {
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
        String::from_utf8(bytes).map_err(|_| self.malformed("url"))
    }

    /// What the value of an option must be.
    pub(crate) fn malformed(&self, option: &str) -> Error {
        let own = self.own.iter().find(|(name, _)| *name == option);
        let expected = match (own, option) {
            (Some((_, expected)), _) => (*expected).to_owned(),
            (None, "connect_timeout" | "statement_timeout") => "seconds, or text such as 500ms, 10s or 1m".to_owned(),
            (None, "max_pool_size" | "min_pool_size") => "a whole number".to_owned(),
            (None, "port") => "a number from 1 to 65535".to_owned(),
            (None, "sslmode") => "one of disable, prefer, require, verify-ca, verify-full".to_owned(),
            (None, "url") => format!("{}, with special characters of the password as %xx", self.url),
            (None, _) => "text".to_owned(),
        };
        invalid(format!("Option \"{option}\" must be {expected}."))
    }
}

/// A wrong option, in one sentence.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

/// Text; a number or a truth value stands for its own spelling, since `${VAR}` may have become one.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(flag) => Ok(Some(flag.to_string())),
        _ => Err(serde::de::Error::custom("not text")),
    }
}

pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
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

pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
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

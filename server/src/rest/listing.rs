//! Listings: SQL on system tables, read into the types that the API describes.
//!
//! They are short by nature, or have a limit; everything else streams through `answer`.

use engine::{Code, Error, Query};
use futures::TryStreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Rest;
use super::client::Client;
use super::params::{Scalar, batch};
use crate::encode::json;

/// Rows of a system table.
pub(super) struct Listing<T> {
    pub(super) rows: Vec<T>,
    pub(super) is_cut: bool,
}

impl Rest {
    /// All rows of `sql`, whose `$1`, `$2`.. are `params`.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        client: &Client,
        sql: &str,
        params: impl IntoIterator<Item = Scalar>,
    ) -> Result<Vec<T>, Error> {
        let query = Query::new(sql).params(batch(params.into_iter().collect())?);
        Ok(self.read(client.sends(query)).await?.rows)
    }

    /// The rows of `query`, each read by its column names.
    pub(super) async fn read<T: DeserializeOwned>(&self, query: Query) -> Result<Listing<T>, Error> {
        let mut answer = self.engine.query(&self.principal, query).await?;
        let mut rows = Vec::new();
        while let Some(batch) = answer.try_next().await? {
            for object in json::objects(&batch) {
                rows.push(serde_json::from_value(Value::Object(object)).map_err(unreadable)?);
            }
        }
        Ok(Listing { rows, is_cut: answer.summary().truncated })
    }
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::new(Code::Internal, "A system table has other columns than the API describes.").cause(error)
}

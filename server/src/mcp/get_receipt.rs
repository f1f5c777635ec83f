//! `get_receipt`: how an answer came about.

use engine::{Code, Error, QueryId};
use schemars::JsonSchema;
use serde::Deserialize;

use super::call::Call;
use super::tool::{Reply, Tool};
use crate::receipt::{RECEIPT, Receipt};

pub(super) struct GetReceipt;

/// Whose receipt.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// The query's id, as execute_query gave it
    query_id: String,
}

impl Tool for GetReceipt {
    const NAME: &'static str = "get_receipt";
    const TITLE: &'static str = "Get the receipt of an answer";
    const DESCRIPTION: &'static str = "How an answer of yours came about: what each source was asked and gave, of which \
        version, which weights and rules were applied, and on how many rows it is based. Use it to explain or to check a \
        figure.";
    type Arguments = Which;
    type Answer = Receipt;

    async fn call(call: &Call, which: Which) -> Result<Reply<Receipt>, Error> {
        let id: QueryId = which.query_id.parse()?;
        let found: Vec<Receipt> = call.select(RECEIPT, &[&id.to_string()]).await?;
        let answer = found.into_iter().next().ok_or_else(|| {
            Error::new(Code::QueryNotFound, "No answer of yours has this id, or it was given too long ago.")
                .hint("Take the query_id of an answer of execute_query.")
        })?;
        Ok(Reply { text: format!("```text\n{}```", answer.text().replace("```", "` ` `")), answer })
    }
}

//! Records of queries from before the process began, as the log has them.

use std::sync::Arc;
use std::time::Duration;

use super::log::{Asked, Ended};
use super::{Kind, Outcome, Record, tool};
use crate::{Code, Door};

/// The record of a query that the log has; None where it is none that this version knows. A query without an end was lost
/// with its process.
pub(super) fn record(asked: Asked, ended: Option<Ended>) -> Option<Record> {
    let client = asked.client;
    let door = Door::named(&asked.door)?;
    let is_lost = ended.is_none();
    let ended = ended.unwrap_or_default();
    let span = |millis: f64| Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default();
    Some(Record {
        id: asked.query_id.parse().ok()?,
        sql: asked.sql,
        settings: asked.settings,
        kind: Kind::named(&asked.kind)?,
        datasets: asked.datasets,
        principal: asked.principal,
        door,
        tool: tool::tool(client.as_deref(), door),
        client,
        credential: asked.credential,
        peer: asked.peer.and_then(|peer| peer.parse().ok()),
        policies: asked.policies,
        started_at: asked.started_at,
        planning: span(ended.planning_ms),
        execution: span(ended.execution_ms),
        rows: ended.rows,
        bytes: ended.bytes,
        transfers: Vec::new(),
        joins: Vec::new(),
        truncated: ended.truncated,
        outcome: if is_lost { Outcome::Lost } else { Outcome::named(&ended.outcome)? },
        code: ended.code.as_deref().and_then(Code::named),
        error: ended.error,
        receipt: ended.receipt.map(Arc::new),
    })
}

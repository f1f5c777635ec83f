//! One call of a tool: who asks, through which client, and how to tell it that the work goes on.
//!
//! System tables are read here, through the one path that every query takes.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use engine::{Code, Door, Engine, Error, Principal, Query, QueryStream};
use futures::TryStreamExt;
use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use super::Weft;
use crate::{encode, identify};

/// A client that asked for progress hears of it this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// A client's name in the journal is cut here.
const CLIENT_CHARS: usize = 120;

/// One call of a tool.
pub(super) struct Call {
    engine: Engine,
    principal: Principal,
    client: Option<String>,
    peer: Peer<RoleServer>,
    progress: Option<ProgressToken>,
}

impl Call {
    /// # Errors
    /// `unauthenticated` where nobody says who asks.
    pub(super) fn new(weft: &Weft, context: RequestContext<RoleServer>) -> Result<Self, Error> {
        let of_request =
            context.extensions.get::<http::request::Parts>().map(|parts| identify::caller(&parts.extensions));
        let principal = match (&weft.shared.principal, of_request) {
            (Some(principal), _) => principal.clone(),
            (None, Some(principal)) => principal?,
            (None, None) => return Err(identify::nobody()),
        };
        Ok(Self {
            engine: weft.shared.engine.clone(),
            principal,
            client: client(&context),
            progress: context.meta.get_progress_token(),
            peer: context.peer,
        })
    }

    /// Asks `query` for whoever called.
    ///
    /// # Errors
    /// Those of [`Engine::query`].
    pub(super) async fn query(&self, query: Query) -> Result<QueryStream, Error> {
        self.engine.query(&self.principal, query.from(Door::Mcp, self.client.clone())).await
    }

    /// The rows of a system table, each as a `T` with the columns as its fields. `$1` and so on stand for `params`.
    ///
    /// # Errors
    /// Those of [`Engine::query`], and `internal` where a column does not fit its field.
    pub(super) async fn select<T: DeserializeOwned>(&self, sql: &str, params: &[&str]) -> Result<Vec<T>, Error> {
        let mut stream = self.query(Query::new(sql).params(row_of(params)?)).await?;
        let mut found = Vec::new();
        while let Some(batch) = stream.try_next().await? {
            for row in encode::json::objects(&batch) {
                found.push(serde_json::from_value(Value::Object(row)).map_err(|error| {
                    Error::new(Code::Internal, "A system table has another shape than expected.").cause(error)
                })?);
            }
        }
        Ok(found)
    }

    /// Waits for `work`, and meanwhile tells a client that asked for it how long it has been, and what `say` says.
    pub(super) async fn telling<T>(&self, say: impl Fn() -> String + Send, work: impl Future<Output = T> + Send) -> T {
        let Some(token) = &self.progress else {
            return work.await;
        };
        let began = Instant::now();
        let telling = async {
            let mut ticks = tokio::time::interval_at(began + PROGRESS_EVERY, PROGRESS_EVERY);
            loop {
                ticks.tick().await;
                let so_far = ProgressNotificationParam::new(token.clone(), began.elapsed().as_secs_f64());
                if self.peer.notify_progress(so_far.with_message(say())).await.is_err() {
                    std::future::pending::<Infallible>().await;
                }
            }
        };
        tokio::select! {
            done = work => done,
            never = telling => match never {},
        }
    }
}

/// What the client calls itself. Over HTTP there is no session that could remember `initialize`: a request of the older
/// era names its client by its User-Agent only.
fn client(context: &RequestContext<RoleServer>) -> Option<String> {
    let http = context.extensions.get::<http::request::Parts>();
    let named = match http {
        Some(_) => context.meta.client_info(),
        None => context.client_info(),
    };
    let name = match (named, http) {
        (Some(client), _) => format!("{}/{}", client.name, client.version),
        (None, Some(parts)) => parts.headers.get(http::header::USER_AGENT)?.to_str().ok()?.to_owned(),
        (None, None) => return None,
    };
    Some(name.chars().filter(|char| !char.is_control()).take(CLIENT_CHARS).collect())
}

/// Texts as the one row that fills a query's parameters.
fn row_of(params: &[&str]) -> Result<Option<RecordBatch>, Error> {
    if params.is_empty() {
        return Ok(None);
    }
    let columns = params.iter().enumerate().map(|(at, value)| {
        let value: ArrayRef = Arc::new(StringArray::from(vec![*value]));
        ((at + 1).to_string(), value)
    });
    Ok(Some(RecordBatch::try_from_iter(columns)?))
}

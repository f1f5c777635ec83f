//! The one path: plan, govern, optimize, execute. Each stage is a type with private fields that only the stage before
//! can make, so the compiler keeps the order.

mod batch_rows;
mod execute;
mod govern;
mod optimize;
mod parse;
mod plan;
mod resolve;
mod spilling;

pub(crate) use execute::{Ending, Step};
pub(crate) use resolve::{CATALOG, listed_name, visible_dataset};

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use tokio::time::{Instant, timeout_at};

use crate::journal::Entry;
use crate::{Code, Engine, Error, Principal, Query, QueryStream};

/// What a query would answer, without its rows.
#[derive(Debug, Clone)]
pub struct Description {
    /// The columns of the result: exactly those of the stream that [`Engine::query`] gives for the same query.
    pub schema: SchemaRef,
    /// The parameters by position, named `1`, `2`, ..; a parameter whose type is open is Utf8.
    pub parameters: SchemaRef,
    /// The datasets it reads.
    pub datasets: Vec<String>,
}

impl Engine {
    /// Answers a query: the only way to rows.
    ///
    /// Dropping the stream stops the query, also in its sources.
    ///
    /// # Errors
    /// Any [`Code`], before the first row; later ones come through the stream.
    pub async fn query(&self, principal: &Principal, query: Query) -> Result<QueryStream, Error> {
        let cancel = principal.session().child_token();
        let mut entry = self.inner.journal.open(principal, &query, cancel.clone());
        let bounds = [query.timeout, self.inner.limits.of(principal).query_timeout];
        let timeout = bounds.into_iter().flatten().fold(self.inner.limits.query_timeout, Duration::min);
        let deadline = Instant::now() + timeout;
        let engine = self.present();
        let work = AssertUnwindSafe(engine.prepare(principal, &query, &mut entry, deadline)).catch_unwind();
        let prepared = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(cancelled(principal)),
            done = timeout_at(deadline, work) => match done {
                Ok(Ok(prepared)) => prepared,
                Ok(Err(_panic)) => Err(panicked()),
                Err(_elapsed) => Err(too_slow(timeout)),
            },
        };
        match prepared {
            Ok(optimized) => {
                let bounds = execute::Bounds {
                    deadline,
                    timeout,
                    max_rows: query.max_rows,
                    cancel,
                    principal: principal.clone(),
                };
                Ok(optimized.execute(&self.inner.limits, bounds, entry))
            }
            Err(error) => {
                let error = error.of_query(entry.id());
                entry.fail(&error);
                Err(error)
            }
        }
    }

    /// Describes a query: its columns and parameters, without rows and without a record in the journal.
    ///
    /// # Errors
    /// As [`Engine::query`] before the first row.
    pub async fn describe(&self, principal: &Principal, query: &Query) -> Result<Description, Error> {
        let timeout = self.inner.limits.query_timeout;
        let engine = self.present();
        let work = AssertUnwindSafe(async {
            let planned = plan::Planned::describe(&engine, principal, query).await?;
            let parameters = planned.parameters();
            let governed = planned.govern(&engine, principal, query)?;
            Ok(Description { schema: governed.schema(), parameters, datasets: governed.datasets() })
        });
        match tokio::time::timeout(timeout, work.catch_unwind()).await {
            Ok(Ok(description)) => description,
            Ok(Err(_panic)) => Err(panicked()),
            Err(_elapsed) => Err(too_slow(timeout)),
        }
    }

    async fn prepare(
        &self,
        principal: &Principal,
        query: &Query,
        entry: &mut Entry,
        deadline: Instant,
    ) -> Result<optimize::Optimized, Error> {
        self.inner.meter.admit(principal)?;
        let planned = plan::Planned::bind(self, principal, query).await?;
        let governed = planned.govern(self, principal, query)?;
        entry.planned(governed.kind(), governed.datasets(), governed.grants.policies())?;
        governed.optimize(self, principal, entry, deadline).await
    }
}

/// Why a query ends that was cancelled by its id, or with the session of who asks.
fn cancelled(principal: &Principal) -> Error {
    match principal.session().is_cancelled() {
        true => Error::new(Code::Unauthenticated, "The credential that this query came by is no longer valid.")
            .hint("Sign in again, or ask an administrator for a new key."),
        false => Error::new(Code::Cancelled, "The query was cancelled."),
    }
}

fn panicked() -> Error {
    Error::new(Code::Internal, "Something went wrong inside Weft; the log has the cause under this query id.")
        .cause("the query panicked")
}

fn too_slow(timeout: Duration) -> Error {
    Error::new(Code::DeadlineExceeded, format!("The query took longer than its limit of {} s.", timeout.as_secs_f64()))
        .hint("Aggregate or filter more, or raise the query's timeout or limits.query_timeout.")
}

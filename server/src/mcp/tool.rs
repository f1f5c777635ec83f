//! What a tool is, and how a call of one runs: arguments checked, stopped when the client goes away, and any failure
//! told as a result that a model can act on. Only an unknown tool is an error of the protocol.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use engine::{Code, Error};
use futures::FutureExt;
use rmcp::ErrorData;
use rmcp::handler::server::router::tool::ToolRoute;
use rmcp::handler::server::tool::ToolCallContext;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, JsonObject, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Weft;
use super::call::Call;
use super::schema;

/// Something that a model may call.
pub(super) trait Tool: 'static {
    /// The name that a model writes.
    const NAME: &'static str;
    /// The name that a person reads.
    const TITLE: &'static str;
    /// What it does and when to use it, for the model.
    const DESCRIPTION: &'static str;
    /// What it takes.
    type Arguments: DeserializeOwned + JsonSchema + Send + 'static;
    /// What it answers.
    type Answer: Serialize + JsonSchema + Send + 'static;

    /// Answers one call.
    fn call(call: &Call, arguments: Self::Arguments)
    -> impl Future<Output = Result<Reply<Self::Answer>, Error>> + Send;
}

/// An answer twice: clients show their model either the text or the values, so that each must hold everything.
pub(super) struct Reply<A> {
    /// Markdown.
    pub(super) text: String,
    /// The same as values.
    pub(super) answer: A,
}

/// Why a call failed, as values.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Problem {
    /// What is wrong, such as table_not_found
    code: &'static str,
    /// What is wrong, in a sentence
    message: String,
    /// How to mend it
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The failed query's id, as system.queries lists it
    #[serde(skip_serializing_if = "Option::is_none")]
    query_id: Option<String>,
}

impl Problem {
    /// What a caller may know of `error`. The cause goes to the log, here and nowhere else.
    pub(super) fn of(error: &Error) -> Self {
        let query_id = error.query_id().map(|id| id.to_string());
        if let Some(cause) = std::error::Error::source(error) {
            tracing::warn!(query.id = query_id, code = error.code().as_str(), cause = %cause, "{error}");
        }
        Self {
            code: error.code().as_str(),
            message: error.message().to_owned(),
            hint: error.hint_text().map(str::to_owned),
            query_id,
        }
    }

    /// The same in Markdown.
    pub(super) fn text(&self) -> String {
        let mut text = format!("**Error** `{}`: {}", self.code, self.message);
        if let Some(hint) = &self.hint {
            text.push_str("\n\n");
            text.push_str(hint);
        }
        if let Some(id) = &self.query_id {
            text.push_str("\n\nQuery ");
            text.push_str(id);
        }
        text
    }
}

/// The tool `T` as the protocol's library wants it.
pub(super) fn route<T: Tool>() -> ToolRoute<Weft> {
    let annotations =
        ToolAnnotations::with_title(T::TITLE).read_only(true).destructive(false).idempotent(true).open_world(false);
    let tool = rmcp::model::Tool::new(T::NAME, T::DESCRIPTION, schema::of_arguments::<T::Arguments>())
        .with_title(T::TITLE)
        .with_raw_output_schema(schema::of_answer::<T::Answer>())
        .with_annotations(annotations);
    ToolRoute::new_dyn(tool, |context| Box::pin(run::<T>(context)))
}

/// Runs one call to its end, or to the moment when nobody waits for it any more: dropping it drops its queries.
async fn run<T: Tool>(context: ToolCallContext<'_, Weft>) -> Result<CallToolResponse, ErrorData> {
    let ToolCallContext { request_context, service, arguments, .. } = context;
    let cancelled = request_context.ct.clone();
    let call = match Call::new(service, request_context) {
        Ok(call) => call,
        Err(error) => return Ok(refusal(&Problem::of(&error)).into()),
    };
    tokio::select! {
        () = cancelled.cancelled() => Err(ErrorData::internal_error("The call was cancelled.", None)),
        result = guarded(answer::<T>(&call, arguments.unwrap_or_default())) => {
            Ok(result.unwrap_or_else(|error| refusal(&Problem::of(&error))).into())
        }
    }
}

async fn answer<T: Tool>(call: &Call, arguments: JsonObject) -> Result<CallToolResult, Error> {
    let arguments = serde_json::from_value(Value::Object(arguments)).map_err(|error| {
        Error::new(Code::InvalidArgument, format!("The arguments of {} do not fit: {error}.", T::NAME))
            .hint("The tool's input schema lists its arguments.")
    })?;
    let reply = T::call(call, arguments).await?;
    Ok(result(reply.text, values(&reply.answer)?, false))
}

/// What `work` returns; a panic inside becomes an error, for a client would wait for a lost answer forever.
pub(super) async fn guarded<A>(work: impl Future<Output = Result<A, Error>>) -> Result<A, Error> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_panic| {
        Err(Error::new(Code::Internal, "Something went wrong inside Weft; the log has the cause."))
    })
}

/// `answer` as JSON.
pub(super) fn values(answer: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(answer)
        .map_err(|error| Error::new(Code::Internal, "The answer cannot be written as JSON.").cause(error))
}

fn refusal(problem: &Problem) -> CallToolResult {
    let values = serde_json::to_value(problem).unwrap_or_default();
    result(problem.text(), values, true)
}

fn result(text: String, values: Value, is_error: bool) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = Some(values);
    result.is_error = Some(is_error);
    result
}

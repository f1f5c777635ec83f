//! `execute_multi_query`: several questions at once. Each fails for itself, and the answers keep the questions' order.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use engine::{Code, Error};
use futures::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, BUDGET, Question, fair_share};
use super::call::Call;
use super::tool::{Problem, Reply, Tool, guarded};
use crate::encode;

/// Questions in one call at most.
const MAX_QUERIES: usize = 30;

/// Questions that run at the same time.
const AT_ONCE: usize = 8;

pub(super) struct ExecuteMultiQuery;

/// Several questions.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Questions {
    /// The questions; the answers have the same order
    #[schemars(length(min = 1, max = 30))]
    queries: Vec<LabeledQuestion>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LabeledQuestion {
    /// What to call the answer
    label: Option<String>,
    #[serde(flatten)]
    question: Question,
}

/// Their answers.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answers {
    /// One answer for each question, in the same order
    results: Vec<LabeledAnswer>,
    /// How many questions were answered
    succeeded: usize,
    /// How many failed
    failed: usize,
    /// Whether any answer was cut
    truncated: bool,
    /// Milliseconds from the questions to the last answer
    elapsed_ms: f64,
}

#[derive(Serialize, JsonSchema)]
struct LabeledAnswer {
    /// What the question called it, or its number
    label: String,
    #[serde(flatten)]
    answer: Option<Answer>,
    /// Why this question has no answer
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem>,
}

impl Tool for ExecuteMultiQuery {
    const NAME: &'static str = "execute_multi_query";
    const TITLE: &'static str = "Execute several queries";
    const DESCRIPTION: &'static str = "Run up to 30 read-only SQL statements at the same time, such as one figure for each \
        of several datasets or groups. Answers keep the order and carry the labels; a query that fails has an error with \
        code and hint, and the others still answer. They share one context: use execute_query for a long list of rows.";
    type Arguments = Questions;
    type Answer = Answers;

    async fn call(call: &Call, Questions { queries }: Questions) -> Result<Reply<Answers>, Error> {
        let count = queries.len();
        if count == 0 || count > MAX_QUERIES {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("A call holds 1 to {MAX_QUERIES} queries, not {count}."),
            )
            .hint("Split them over several calls."));
        }
        let began = Instant::now();
        let done = AtomicUsize::new(0);
        let say = || format!("{} of {count} queries done", done.load(Ordering::Relaxed));
        let results = call.telling(say, all(call, queries, &done)).await;
        let answers = gather(results, began);
        Ok(Reply { text: answers.text(), answer: answers })
    }
}

/// The answers in the questions' order, some of which are worked on at the same time.
async fn all(call: &Call, queries: Vec<LabeledQuestion>, done: &AtomicUsize) -> Vec<(String, Result<Answer, Error>)> {
    let mut results: Vec<_> = stream::iter(queries)
        .enumerate()
        .map(|(at, LabeledQuestion { label, question })| async move {
            let answer = guarded(Answer::read(call, &question, &AtomicU64::new(0))).await;
            done.fetch_add(1, Ordering::Relaxed);
            (at, label.unwrap_or_else(|| format!("Query {}", at + 1)), answer)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    results.sort_by_key(|(at, ..)| *at);
    results.into_iter().map(|(_, label, answer)| (label, answer)).collect()
}

fn gather(results: Vec<(String, Result<Answer, Error>)>, began: Instant) -> Answers {
    let share = fair_share(BUDGET, results.iter().filter_map(|(_, answer)| answer.as_ref().ok().map(Answer::size)));
    let results: Vec<LabeledAnswer> = results
        .into_iter()
        .map(|(label, answer)| match answer {
            Ok(answer) => LabeledAnswer { label, answer: Some(answer.within(share)), error: None },
            Err(error) => LabeledAnswer { label, answer: None, error: Some(Problem::of(&error)) },
        })
        .collect();
    let failed = results.iter().filter(|result| result.error.is_some()).count();
    Answers {
        succeeded: results.len() - failed,
        failed,
        truncated: results.iter().filter_map(|result| result.answer.as_ref()).any(Answer::is_truncated),
        elapsed_ms: encode::json::milliseconds(began.elapsed()),
        results,
    }
}

impl Answers {
    fn text(&self) -> String {
        let answers = self.results.iter().map(|result| {
            let text = match (&result.answer, &result.error) {
                (Some(answer), _) => answer.text(),
                (None, Some(problem)) => problem.text(),
                (None, None) => String::new(),
            };
            format!("## {}\n\n{}", result.label.replace(['\n', '\r'], " "), text.trim_end())
        });
        let summary = format!("{} answered, {} failed, {} ms", self.succeeded, self.failed, self.elapsed_ms);
        answers.chain([summary]).collect::<Vec<_>>().join("\n\n")
    }
}

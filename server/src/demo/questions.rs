//! The questions that the demo asks, and how it shows the answers.

use std::io::Write;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use engine::{Door, Engine, Principal, Query};
use futures::TryStreamExt;

use super::DemoError;
use crate::cli::table::{Look, Table};
use crate::compose::Composition;

/// A question in plain words and in SQL. Answers are few rows, in an order that the SQL fixes.
#[derive(Debug)]
struct Question {
    title: &'static str,
    /// Who asks, by name; empty = who runs the demo.
    askers: &'static [&'static str],
    sql: &'static str,
}

const QUESTIONS: &[Question] = &[
    Question {
        title: "Who holds the largest balances? A join across two databases of the bank",
        askers: &[],
        sql: "\
SELECT c.name, c.city, a.account_type, a.balance
FROM customer_db.public.customers c
JOIN accounts_db.public.accounts a ON c.customer_id = a.customer_id
WHERE a.status = 'active'
ORDER BY a.balance DESC, a.account_id
LIMIT 5",
    },
    Question {
        title: "How many people does connected TV reach, and how sure is it? Weighted, by age and gender, on the panel",
        askers: &[],
        sql: "\
SELECT age_group, gender, events, round(reach['estimate']) AS people_reached,
  round(reach['ci_high'] - reach['estimate']) AS margin_of_error
FROM (
  SELECT p.age_group, p.gender, count(*) AS events, svy_count(DISTINCT p.person_id) AS reach
  FROM panel.events e
  JOIN panel.people p ON p.person_id = e.person_id
  WHERE e.medium = 'ctv' AND e.action = 'play' AND e.month = '2026-03'
  GROUP BY p.age_group, p.gender
) people
ORDER BY age_group, gender",
    },
    Question {
        title: "What do the bank's customers spend online? A join of PostgreSQL with Parquet",
        askers: &[],
        sql: "\
SELECT c.segment, round(weighted_count(p.weight)) AS people, round(weighted_avg(s.spent, p.weight), 2) AS rupees_each
FROM (
  SELECT person_id, sum(amount) AS spent
  FROM panel.events
  WHERE medium = 'ecommerce' AND action = 'order'
  GROUP BY person_id
) s
JOIN panel.people p ON p.person_id = s.person_id
JOIN customer_db.public.customers c ON c.customer_id = p.customer_id
GROUP BY c.segment
ORDER BY c.segment",
    },
    Question {
        title: "Who are the first customers? The same question of an administrator, an analyst, and a viewer of one tenant",
        askers: &["priya", "asha", "ravi"],
        sql: "\
SELECT name, state, phone, date_of_birth
FROM customer_db.public.customers
ORDER BY customer_id
LIMIT 3",
    },
];

/// Asks every question and shows its SQL, its answer and its time.
///
/// A question that fails, such as under policies that were changed, keeps no other from its answer.
///
/// # Errors
/// Where they cannot be written.
pub(super) async fn ask_all(
    Composition { engine, principal, policies, .. }: &Composition,
    out: &mut (dyn Write + Send),
) -> Result<(), DemoError> {
    for (number, question) in (1..).zip(QUESTIONS) {
        writeln!(out, "\n{number}. {}\n", question.title)?;
        for line in question.sql.lines() {
            writeln!(out, "    {line}")?;
        }
        if question.askers.is_empty() {
            writeln!(out, "\n{}", ask(engine, principal, question.sql).await)?;
        }
        for name in question.askers {
            let answer = match policies.principal(name) {
                Ok(asker) => ask(engine, &asker, question.sql).await,
                Err(error) => unanswered(&error),
            };
            writeln!(out, "\n{name} sees\n{answer}")?;
        }
    }
    out.flush()?;
    Ok(())
}

/// A table as text. Writing to memory does not fail.
fn shown(schema: &Schema, batches: &[RecordBatch]) -> String {
    let mut text = Vec::new();
    let mut table = Table::new(schema, Look::plain());
    for batch in batches {
        let _ = table.push(batch, &mut text);
    }
    let _ = table.finish(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The answer and its time, or why there is none.
async fn ask(engine: &Engine, principal: &Principal, sql: &str) -> String {
    match answer(engine, principal, sql).await {
        Ok((answer, elapsed)) => format!("{answer}{elapsed} ms"),
        Err(error) => unanswered(&error),
    }
}

fn unanswered(error: &engine::Error) -> String {
    let hint = error.hint_text().map(|hint| format!("\n{hint}")).unwrap_or_default();
    format!("No answer: {error}{hint}")
}

async fn answer(engine: &Engine, principal: &Principal, sql: &str) -> Result<(String, u128), engine::Error> {
    let started = Instant::now();
    let query = Query::new(sql).from(Door::Cli, "weft demo".to_owned());
    let stream = engine.query(principal, query).await?;
    let schema = stream.schema();
    let batches: Vec<_> = stream.try_collect().await?;
    let elapsed = started.elapsed().as_millis();
    Ok((shown(&schema, &batches), elapsed))
}

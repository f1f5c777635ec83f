//! REST through a real socket: formats, errors, streaming, cancelling, and who is let in.

#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use arrow::ipc::reader::StreamReader;
use bytes::Bytes;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use server::compose::{self, HomeArgs};
use server::rest::{Problem, SqlAnswer};
use server::serve::{self, Listen, Running};
use server::telemetry::Metrics;
use tempfile::TempDir;

/// A billion rows: so many that no answer can lie ready in buffers.
const BIG: &str = "SELECT a.n AS n, b.n AS m FROM numbers AS a CROSS JOIN numbers AS b CROSS JOIN numbers AS c";

const PEOPLE: &str = "id,name,age\n1,Asha,31\n2,\"Brown, Bo\",\n3,\"pipe | and \"\"quotes\"\"\",58\n";

/// A server over two files, and a client of it.
struct House {
    running: Running,
    client: Client,
    _folder: TempDir,
}

impl House {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("people.csv"), PEOPLE).unwrap();
        write_sales(&folder.path().join("sales.parquet"));
        write_numbers(&folder.path().join("numbers.parquet"));
        let table = |name: &str, file: &str| (name.to_owned(), folder.path().join(file).display().to_string());
        let args = HomeArgs {
            tables: vec![
                table("numbers", "numbers.parquet"),
                table("people", "people.csv"),
                table("sales", "sales.parquet"),
            ],
            ..HomeArgs::default()
        };
        let metrics = Metrics::new();
        let composition = compose::open_observed(&args, metrics.observer()).unwrap();
        let any_port = Some("127.0.0.1:0".to_owned());
        let listen = Listen { http: any_port.clone(), flight: any_port };
        let running = serve::start(composition, metrics, &listen).await.unwrap();
        Self { running, client: Client::new(), _folder: folder }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.http)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path)).header("user-agent", "rest-test/1")
    }

    fn post(&self, body: &Value) -> RequestBuilder {
        self.client.post(self.url("/v1/sql")).header("user-agent", "rest-test/1").json(body)
    }

    async fn ask(&self, body: Value) -> SqlAnswer {
        let response = self.post(&body).send().await.unwrap();
        let text = response.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    async fn ask_as(&self, media_type: &str, sql: &str) -> Bytes {
        let response = self.post(&json!({"sql": sql})).header("accept", media_type).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with(media_type));
        response.bytes().await.unwrap()
    }

    async fn refused(&self, body: Value) -> Problem {
        problem(self.post(&body).send().await.unwrap()).await
    }

    /// The journal's record, once the query has ended: a client that goes away is noticed a moment later.
    async fn ended(&self, id: &str) -> Value {
        loop {
            let record: Value = self.get(&format!("/v1/queries/{id}")).send().await.unwrap().json().await.unwrap();
            if record["outcome"] != "running" {
                return record;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn write_sales(path: &Path) {
    let region = StringArray::from(vec!["north", "south", "north"]);
    let amount = Int64Array::from(vec![1, 9_007_199_254_740_993, 3]);
    write_parquet(path, [("region", Arc::new(region) as _), ("amount", Arc::new(amount) as _)]);
}

fn write_numbers(path: &Path) {
    write_parquet(path, [("n", Arc::new(Int64Array::from_iter_values(0..1000)) as _)]);
}

fn write_parquet<const N: usize>(path: &Path, columns: [(&str, ArrayRef); N]) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The problem that a response holds, which must say the same as its status line.
async fn problem(response: Response) -> Problem {
    let status = response.status();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(problem.status, status.as_u16());
    assert_eq!(problem.uri, format!("urn:weft:problem:{}", problem.code));
    problem
}

#[tokio::test]
async fn json_holds_columns_rows_and_what_is_known_at_the_end() {
    let house = House::open().await;
    let answer = house.ask(json!({"sql": "SELECT id, name, age FROM people ORDER BY id"})).await;
    assert_eq!(answer.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["id", "name", "age"]);
    assert_eq!(answer.columns[0].data_type, "BIGINT");
    assert_eq!(answer.rows[1], [json!(2), json!("Brown, Bo"), json!(null)]);
    assert_eq!((answer.row_count, answer.truncated, answer.error), (Some(3), false, None));
    assert!(answer.elapsed_ms.is_some());

    let cut = house.ask(json!({"sql": "SELECT id FROM people", "max_rows": 2})).await;
    assert_eq!((cut.row_count, cut.truncated), (Some(2), true));

    let exact = house.ask(json!({"sql": "SELECT max(amount), CAST(1.10 AS DECIMAL(9, 2)) FROM sales"})).await;
    assert_eq!(exact.rows, [[json!("9007199254740993"), json!("1.10")]]);
}

#[tokio::test]
async fn every_format_can_be_read_back() {
    let house = House::open().await;
    let sql = "SELECT id, name, age FROM people ORDER BY id";

    let csv = house.ask_as("text/csv", sql).await;
    assert_eq!(csv, PEOPLE);

    let lines = house.ask_as("application/x-ndjson", sql).await;
    let first: Value = serde_json::from_slice(lines.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(first, json!({"id": 1, "name": "Asha", "age": 31}));

    let markdown = house.ask_as("text/markdown", sql).await;
    let markdown = String::from_utf8(markdown.to_vec()).unwrap();
    assert_eq!(
        markdown.lines().collect::<Vec<_>>(),
        [
            "| id | name | age |",
            "| ---: | --- | ---: |",
            "| 1 | Asha | 31 |",
            "| 2 | Brown, Bo | NULL |",
            "| 3 | pipe \\| and \"quotes\" | 58 |",
            "",
            "(3 rows)",
        ]
    );

    let arrow = house.ask_as("application/vnd.apache.arrow.stream", sql).await;
    let batches: Vec<RecordBatch> =
        StreamReader::try_new(Cursor::new(arrow), None).unwrap().map(Result::unwrap).collect();
    assert_eq!(names(&batches), ["Asha", "Brown, Bo", "pipe | and \"quotes\""]);

    let file = house.ask_as("application/vnd.apache.parquet", sql).await;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    assert_eq!(names(&reader.map(Result::unwrap).collect::<Vec<_>>()), ["Asha", "Brown, Bo", "pipe | and \"quotes\""]);
}

fn names(batches: &[RecordBatch]) -> Vec<&str> {
    batches.iter().flat_map(|batch| batch.column(1).as_string::<i32>().iter().flatten()).collect()
}

#[tokio::test]
async fn an_empty_answer_is_whole_in_every_format() {
    let house = House::open().await;
    let sql = "SELECT id FROM people WHERE id < 0";
    let answer = house.ask(json!({"sql": sql})).await;
    assert_eq!((answer.rows.len(), answer.row_count, answer.columns.len()), (0, Some(0), 1));
    assert_eq!(house.ask_as("text/csv", sql).await, "id\n");
    assert_eq!(house.ask_as("application/x-ndjson", sql).await, "");
    let arrow = house.ask_as("application/vnd.apache.arrow.stream", sql).await;
    assert_eq!(StreamReader::try_new(Cursor::new(arrow), None).unwrap().count(), 0);
    let file = house.ask_as("application/vnd.apache.parquet", sql).await;
    assert_eq!(ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().count(), 0);
}

#[tokio::test]
async fn parameters_are_bound_by_position() {
    let house = House::open().await;
    let sql = "SELECT name FROM people WHERE age > ? OR name = ? ORDER BY id";
    let answer = house.ask(json!({"sql": sql, "params": [50, "Asha"]})).await;
    assert_eq!(answer.rows, [[json!("Asha")], [json!("pipe | and \"quotes\"")]]);
    let quoted = house.ask(json!({"sql": "SELECT $1 AS x", "params": ["'; DROP TABLE people; --"]})).await;
    assert_eq!(quoted.rows, [[json!("'; DROP TABLE people; --")]]);
}

#[tokio::test]
async fn a_bad_body_is_an_invalid_argument() {
    let house = House::open().await;
    for (body, status, says) in [
        ("select 1", 400, "is not JSON"),
        ("", 400, "is not JSON"),
        ("[\"select 1\"]", 400, "must be a JSON object"),
        ("{}", 400, "missing field `sql`"),
        ("{\"sql\": 1}", 400, "expected a string"),
        ("{\"sql\": \"select 1\", \"max_row\": 1}", 400, "unknown field `max_row`"),
        ("{\"sql\": \"select 1\", \"max_rows\": -1}", 400, "expected u64"),
        ("{\"sql\": \"select 1\", \"params\": [[1]]}", 400, "expected a parameter"),
        ("{\"sql\": \"select 1\", \"timeout\": \"soon\"}", 400, "expected a timeout"),
    ] {
        let request = house.client.post(house.url("/v1/sql")).header("content-type", "application/json");
        let problem = problem(request.body(body).send().await.unwrap()).await;
        assert_eq!((problem.status, problem.code.as_str()), (status, "invalid_argument"), "{body}");
        assert!(problem.detail.contains(says), "{body}: {}", problem.detail);
    }
    let text =
        house.client.post(house.url("/v1/sql")).header("content-type", "text/plain").body("{\"sql\":\"select 1\"}");
    assert_eq!(problem(text.send().await.unwrap()).await.status, 415);
    let large = house.refused(json!({"sql": "x".repeat(2 << 20)})).await;
    assert_eq!((large.status, large.code.as_str()), (413, "payload_too_large"));
    assert_eq!(house.ask(json!({"sql": "SELECT 1"})).await.row_count, Some(1));
}

#[tokio::test]
async fn a_bad_question_is_a_problem_with_its_code() {
    let house = House::open().await;
    for (sql, code, status) in [
        ("SELECT * FROM nowhere", "table_not_found", 404),
        ("SELECT nothing FROM people", "column_not_found", 404),
        ("SELECT no_such_function(1)", "function_not_found", 404),
        ("SELEC 1", "invalid_sql", 400),
        ("SELECT 1; SELECT 2", "unsupported_sql", 422),
        ("INSERT INTO people VALUES (1)", "read_only", 422),
        ("SELECT 1 / (id - id) FROM people", "arithmetic_error", 400),
    ] {
        let problem = house.refused(json!({"sql": sql})).await;
        assert_eq!((problem.code.as_str(), problem.status), (code, status), "{sql}: {}", problem.detail);
        let id = problem.query_id.unwrap_or_else(|| panic!("{sql}: no query id"));
        assert_eq!(house.ended(&id).await["code"], code);
    }
    let nothing_fits = house.post(&json!({"sql": "SELECT 1"})).header("accept", "text/html, image/png");
    let problem = problem(nothing_fits.send().await.unwrap()).await;
    assert_eq!((problem.status, problem.code.as_str()), (406, "not_acceptable"));
    assert!(problem.hint.unwrap().contains("application/vnd.apache.parquet"));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let house = House::open().await;
    assert_eq!(problem(house.get("/v1/nothing").send().await.unwrap()).await.status, 404);
    let response = house.get("/v1/sql").send().await.unwrap();
    assert_eq!(response.headers()["allow"], "POST");
    assert_eq!(problem(response).await.status, 405);
    assert_eq!(problem(house.get("/v1/datasets/hidden").send().await.unwrap()).await.code, "dataset_not_found");
    assert_eq!(problem(house.get("/v1/queries/none").send().await.unwrap()).await.code, "query_not_found");
    assert_eq!(problem(house.get("/v1/queries?limt=1").send().await.unwrap()).await.code, "invalid_argument");
}

#[tokio::test]
async fn the_first_rows_leave_long_before_the_last() {
    let house = House::open().await;
    for media_type in ["application/json", "text/csv", "application/vnd.apache.arrow.stream"] {
        for encoding in ["identity", "gzip", "zstd"] {
            let request = house.post(&json!({"sql": BIG})).header("accept", media_type);
            let response = request.header("accept-encoding", encoding).send().await.unwrap();
            let id = response.headers()["weft-query-id"].to_str().unwrap().to_owned();
            let mut pieces = response.bytes_stream();
            assert!(!pieces.next().await.unwrap().unwrap().is_empty());
            let record: Value = house.get(&format!("/v1/queries/{id}")).send().await.unwrap().json().await.unwrap();
            assert_eq!(record["outcome"], "running", "{media_type} {encoding}");
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_an_abandoned_record() {
    let house = House::open().await;
    let response = house.post(&json!({"sql": BIG})).send().await.unwrap();
    let id = response.headers()["weft-query-id"].to_str().unwrap().to_owned();
    drop(response);
    let record = house.ended(&id).await;
    assert_eq!(record["outcome"], "abandoned");
    assert_eq!((record["door"].as_str(), record["client"].as_str()), (Some("rest"), Some("rest-test/1")));
}

#[tokio::test]
async fn a_cancelled_query_ends_json_with_an_error_and_breaks_other_formats() {
    let house = House::open().await;
    for media_type in ["application/json", "text/csv"] {
        let response = house.post(&json!({"sql": BIG})).header("accept", media_type).send().await.unwrap();
        let id = response.headers()["weft-query-id"].to_str().unwrap().to_owned();
        let cancelled = house.client.delete(house.url(&format!("/v1/queries/{id}"))).send().await.unwrap();
        assert_eq!(cancelled.status(), StatusCode::NO_CONTENT);
        let body = response.bytes().await;
        if media_type == "application/json" {
            let answer: SqlAnswer = serde_json::from_slice(&body.unwrap()).unwrap();
            assert_eq!(answer.error.unwrap()["code"], "cancelled");
            assert_eq!(answer.row_count, None);
        } else {
            assert!(body.is_err(), "a part must not pass for the whole");
        }
        assert_eq!(house.ended(&id).await["outcome"], "cancelled");
    }
    let gone = house.client.delete(house.url("/v1/queries/018f0000-0000-7000-8000-000000000000")).send().await.unwrap();
    assert_eq!(problem(gone).await.code, "query_not_found");
}

#[tokio::test]
async fn a_deadline_is_kept() {
    let house = House::open().await;
    let sql = format!("SELECT sum(n * m) FROM ({BIG})");
    let problem = house.refused(json!({"sql": sql, "timeout": "20ms"})).await;
    assert_eq!((problem.code.as_str(), problem.status), ("deadline_exceeded", 504));
}

#[tokio::test]
async fn datasets_and_queries_are_listed() {
    let house = House::open().await;
    let listed: Value = house.get("/v1/datasets").send().await.unwrap().json().await.unwrap();
    assert_eq!(listed["datasets"][0]["dataset_id"], "local");

    let local: Value = house.get("/v1/datasets/local").send().await.unwrap().json().await.unwrap();
    let tables = local["tables"].as_array().unwrap();
    assert_eq!(tables.iter().map(|table| &table["table_name"]).collect::<Vec<_>>(), ["numbers", "people", "sales"]);
    assert_eq!(tables[2]["columns"][1]["name"], "amount");
    assert_eq!(tables[2]["columns"][1]["type"], "BIGINT");

    let answer = house.ask(json!({"sql": "SELECT count(*) FROM sales"})).await;
    let one: Value = house.get(&format!("/v1/queries/{}", answer.query_id)).send().await.unwrap().json().await.unwrap();
    assert_eq!((one["rows"].as_u64(), one["outcome"].as_str()), (Some(1), Some("completed")));
    let filter = "/v1/queries?dataset=local&door=rest&outcome=completed&limit=1";
    let some: Value = house.get(filter).send().await.unwrap().json().await.unwrap();
    assert_eq!(some["queries"].as_array().unwrap().len(), 1);
    let none: Value = house.get("/v1/queries?door=mcp").send().await.unwrap().json().await.unwrap();
    assert_eq!(none, json!({"queries": [], "truncated": false}));
}

#[tokio::test]
async fn probes_and_metrics_answer() {
    let house = House::open().await;
    let live: Value = house.get("/health/live").send().await.unwrap().json().await.unwrap();
    assert_eq!(live, json!({"status": "live"}));
    let ready: Value = house.get("/health/ready").send().await.unwrap().json().await.unwrap();
    assert_eq!(ready["status"], "ready");
    assert!(!ready["sources"].as_array().unwrap().is_empty());
    house.ask(json!({"sql": "SELECT 1"})).await;
    house.refused(json!({"sql": "SELECT nothing"})).await;
    let metrics = house.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("weft_queries_total{door=\"rest\",outcome=\"completed\",code=\"\"}"), "{metrics}");
    assert!(metrics.contains("outcome=\"failed\",code=\"column_not_found\"} 1"), "{metrics}");
    assert!(metrics.contains("weft_query_duration_seconds_bucket"), "{metrics}");
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let house = House::open().await;
    let api: Value = house.get("/openapi.json").send().await.unwrap().json().await.unwrap();
    let paths: Vec<&str> = api["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(paths.len(), 11, "{paths:?}");
    assert!(api["components"]["schemas"]["SqlRequest"]["properties"]["apply_weights"].is_object());
    let page = house.get("/docs/").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("swagger-ui"));
    for (_, rest) in
        page.match_indices("src=\"").chain(page.match_indices("href=\"")).map(|(at, tag)| page.split_at(at + tag.len()))
    {
        let target = rest.split('"').next().unwrap();
        assert!(!target.contains("//"), "{target}");
        let response = house.get(&format!("/docs/{}", target.trim_start_matches("./"))).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{target}");
    }
    let setup = house.get("/docs/swagger-initializer.js").send().await.unwrap().text().await.unwrap();
    assert!(setup.contains("\"validatorUrl\": \"none\"") && !setup.contains("https://"), "{setup}");
}

#[tokio::test]
async fn other_machines_and_their_pages_are_refused() {
    let house = House::open().await;
    for path in ["/v1/datasets", "/health/live", "/mcp", "/nothing"] {
        let rebound = house.get(path).header("host", "evil.example:8080").send().await.unwrap();
        assert_eq!(problem(rebound).await.code, "permission_denied", "{path}");
        let page = house.get(path).header("origin", "https://evil.example").send().await.unwrap();
        assert_eq!(problem(page).await.status, 403, "{path}");
    }
    let own = house.get("/health/live").header("origin", "http://localhost:3000").send().await.unwrap();
    assert_eq!(own.status(), StatusCode::OK);
}

#[tokio::test]
async fn small_bodies_go_as_they_are_and_large_ones_are_compressed() {
    let house = House::open().await;
    let small = house.get("/health/live").header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(small.headers().get("content-encoding"), None);
    let large = house.get("/openapi.json").header("accept-encoding", "zstd").send().await.unwrap();
    assert_eq!(large.headers()["content-encoding"], "zstd");
}

#[tokio::test]
async fn a_stopped_server_lets_go_of_its_port() {
    let house = House::open().await;
    let House { running, client, .. } = house;
    let url = format!("http://{}/health/live", running.http);
    assert!(client.get(&url).send().await.is_ok());
    running.stop().await;
    assert!(client.get(&url).timeout(Duration::from_secs(5)).send().await.is_err());
}

#[tokio::test]
async fn an_aggregate_keeps_whole_numbers_whole_in_arrow() {
    let house = House::open().await;
    let arrow = house.ask_as("application/vnd.apache.arrow.stream", "SELECT sum(amount) FROM sales").await;
    let batch = StreamReader::try_new(Cursor::new(arrow), None).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), 9_007_199_254_740_997);
}

#[tokio::test]
async fn a_column_says_what_its_codes_mean() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("people.csv"), "id,class\n1,A1\n2,C\n").unwrap();
    std::fs::create_dir(folder.path().join("datasets")).unwrap();
    let dataset = "dataset: {id: panel}\ndatabase: {type: csv}\ntables: [{name: people, path: people.csv}]\n\
                   columns: {class: {question: 'Which class?', labels: {B: Low, A: High}, merge: {A: [A1], B: [C]}}}\n";
    std::fs::write(folder.path().join("datasets/panel.yaml"), dataset).unwrap();
    let args = HomeArgs { home: Some(folder.path().to_owned()), ..HomeArgs::default() };
    let any_port = Some("127.0.0.1:0".to_owned());
    let listen = Listen { http: any_port.clone(), flight: any_port };
    let running = serve::start(compose::open(&args).unwrap(), Metrics::default(), &listen).await.unwrap();
    let house = House { running, client: Client::new(), _folder: folder };

    let answer = house.ask(json!({"sql": "SELECT class, id FROM panel.people ORDER BY id"})).await;
    assert_eq!(answer.rows, [[json!("A"), json!(1)], [json!("B"), json!(2)]]);
    assert_eq!(answer.columns[0].question.as_deref(), Some("Which class?"));
    assert_eq!((answer.columns[0].labels["A"].as_str(), answer.columns[0].order.join(" ")), ("High", "B A".to_owned()));
    assert_eq!(serde_json::to_value(&answer.columns[1]).unwrap(), json!({"name": "id", "type": "BIGINT"}));

    let panel: Value = house.get("/v1/datasets/panel").send().await.unwrap().json().await.unwrap();
    let class = &panel["tables"][0]["columns"][1];
    assert_eq!(class["question"], "Which class?");
    assert_eq!((&class["labels"], &class["order"]), (&json!({"B": "Low", "A": "High"}), &json!(["B", "A"])));
    assert!(panel["tables"][0]["columns"][0].get("labels").is_none());
}

//! The Model Context Protocol: its own client over a pair of pipes, and bare HTTP as a client of either era sends it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use engine::journal::Outcome;
use engine::{Access, Codebook, Coding, Dataset, Engine, Everybody, MemoryCatalog, Principal};
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, ErrorCode, Implementation,
    ProgressNotificationParam, ProtocolVersion,
};
use rmcp::service::{
    ClientLifecycleMode, NotificationContext, RunningService, ServiceError, serve_client_with_lifecycle,
};
use rmcp::{ClientHandler, RoleClient};
use serde_json::{Value, json};
use server::{identify, mcp};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const ENDLESS: &str = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n";

fn eras() -> [ClientLifecycleMode; 2] {
    [
        ClientLifecycleMode::Initialize,
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] },
    ]
}

/// A client that keeps the progress it hears of.
struct Asker {
    heard: mpsc::UnboundedSender<ProgressNotificationParam>,
}

impl ClientHandler for Asker {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(ClientCapabilities::default(), Implementation::new("asker", "1.2"))
    }

    async fn on_progress(&self, progress: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        self.heard.send(progress).ok();
    }
}

/// A client and the server it talks to.
struct Talk {
    client: RunningService<RoleClient, Asker>,
    heard: mpsc::UnboundedReceiver<ProgressNotificationParam>,
    server: JoinSet<Result<(), engine::Error>>,
}

impl Talk {
    async fn with(engine: Engine, principal: Principal, era: ClientLifecycleMode) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (reader, writer) = tokio::io::split(theirs);
        let mut server = JoinSet::new();
        server.spawn(mcp::serve(engine, principal, reader, writer));
        let (heard, hearing) = mpsc::unbounded_channel();
        let client = serve_client_with_lifecycle(Asker { heard }, ours, era).await.unwrap();
        Self { client, heard: hearing, server }
    }

    /// One client of each era.
    async fn both(engine: &Engine) -> Vec<Self> {
        let [old, new] = eras();
        vec![
            Self::with(engine.clone(), Principal::local(), old).await,
            Self::with(engine.clone(), Principal::local(), new).await,
        ]
    }

    async fn call(&self, tool: &'static str, arguments: Value) -> CallToolResult {
        self.try_call(tool, arguments).await.unwrap()
    }

    async fn try_call(&self, tool: &'static str, arguments: Value) -> Result<CallToolResult, ServiceError> {
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        self.client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await
    }

    async fn query(&self, sql: &str) -> CallToolResult {
        self.call("execute_query", json!({"sql": sql})).await
    }
}

fn engine() -> Engine {
    Engine::builder(MemoryCatalog::default()).build().unwrap()
}

fn text(result: &CallToolResult) -> String {
    result.content.iter().filter_map(|block| block.as_text()).map(|block| block.text.as_str()).collect()
}

fn values(result: &CallToolResult) -> &Value {
    result.structured_content.as_ref().unwrap()
}

fn dataset(id: &str) -> Dataset {
    Dataset { id: id.to_owned(), name: id.to_owned(), description: format!("What {id} holds"), ..Dataset::default() }
}

#[tokio::test]
async fn tools_are_listed_by_name_with_schemas_that_stand_alone() {
    for talk in Talk::both(&engine()).await {
        let tools = talk.client.list_all_tools().await.unwrap();
        let names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        let expected = [
            "describe_dataset",
            "execute_multi_query",
            "execute_query",
            "get_global_context",
            "get_receipt",
            "list_datasets",
        ];
        assert_eq!(names, expected);
        for tool in tools {
            let schemas = json!([tool.input_schema, tool.output_schema]);
            assert_eq!(schemas[0]["type"], "object", "{schemas}");
            assert_eq!(schemas[1]["type"], "object", "{schemas}");
            assert!(!schemas.to_string().contains("$ref") && !schemas.to_string().contains("\"null\""), "{schemas}");
            let annotations = tool.annotations.unwrap();
            assert_eq!(annotations.read_only_hint, Some(true));
            assert!(tool.title.is_some() && tool.description.is_some());
        }
    }
}

#[tokio::test]
async fn an_answer_is_whole_as_text_and_as_values() {
    for talk in Talk::both(&engine()).await {
        let result = talk.query("SELECT 1 AS n, 'a|b' AS t, CAST(12.50 AS DECIMAL(10, 2)) AS d, NULL AS x").await;
        let answer = values(&result);
        assert_eq!(result.is_error, Some(false));
        assert_eq!(answer["rows"], json!([[1, "a|b", "12.50", null]]));
        assert_eq!(answer["columns"][0]["name"], "n");
        assert_eq!(
            (&answer["row_count"], &answer["truncated"], &answer["notices"]),
            (&json!(1), &json!(false), &json!([]))
        );
        let text = text(&result);
        assert!(text.contains("| n | t | d | x |") && text.contains("| 1 | a\\|b | 12.50 | NULL |"), "{text}");
        assert!(text.contains(answer["query_id"].as_str().unwrap()), "{text}");
    }
}

#[tokio::test]
async fn rows_cut_by_number_are_told_in_both_forms() {
    let [talk, _] = <[Talk; 2]>::try_from(Talk::both(&engine()).await).ok().unwrap();
    let sql = "SELECT unnest(range(0, 5000)) AS i";
    for (max_rows, shown) in [(json!(null), 100), (json!(3), 3), (json!(0), 0), (json!(1_000_000), 1000)] {
        let result = talk.call("execute_query", json!({"sql": sql, "max_rows": max_rows})).await;
        let answer = values(&result);
        assert_eq!((&answer["row_count"], &answer["truncated"]), (&json!(shown), &json!(true)));
        let notices = answer["notices"].as_array().unwrap();
        assert!(notices.iter().any(|notice| notice.as_str().unwrap().contains("OFFSET")), "{notices:?}");
        assert!(notices.iter().all(|notice| text(&result).contains(notice.as_str().unwrap())));
    }
    let whole = talk.call("execute_query", json!({"sql": "SELECT unnest(range(0, 7)) AS i", "max_rows": 7})).await;
    assert_eq!(values(&whole)["truncated"], false);
}

#[tokio::test]
async fn an_answer_too_long_for_a_context_is_cut_and_says_so() {
    let [talk, _] = <[Talk; 2]>::try_from(Talk::both(&engine()).await).ok().unwrap();
    let sql = "SELECT i, repeat('x', 1500) AS x FROM (SELECT unnest(range(0, 500)) AS i)";
    let result = talk.call("execute_query", json!({"sql": sql, "max_rows": 500})).await;
    let answer = values(&result);
    let shown = answer["row_count"].as_u64().unwrap();
    assert!((10..100).contains(&shown) && answer["truncated"] == true, "{shown}");
    assert!(answer.to_string().len() < 50_000 && text(&result).len() < 50_000);
    assert!(answer["notices"].to_string().contains(&format!("OFFSET {shown}")), "{}", answer["notices"]);

    let long = talk.query("SELECT repeat('é', 1000000) AS x").await;
    assert!(values(&long)["notices"].to_string().contains("substr"), "{}", values(&long)["notices"]);
    assert!(text(&long).len() < 6_000);

    let names: Vec<String> = (0..2_000).map(|at| format!("{at} AS a_long_column_name_{at}")).collect();
    let wide = talk.query(&format!("SELECT {}", names.join(", "))).await;
    assert_eq!((wide.is_error, &values(&wide)["code"]), (Some(true), &json!("result_too_large")));
}

#[tokio::test]
async fn a_failed_query_is_a_result_that_says_how_to_mend_it() {
    for talk in Talk::both(&engine()).await {
        for (sql, code) in [
            ("SELEC 1", "invalid_sql"),
            ("SELECT * FROM system.querys", "table_not_found"),
            ("SELECT sqll FROM system.queries", "column_not_found"),
            ("SELECT nope(1)", "function_not_found"),
            ("CREATE TABLE t (a INT)", "read_only"),
            ("SELECT 1 / 0", "arithmetic_error"),
        ] {
            let result = talk.query(sql).await;
            let problem = values(&result);
            assert_eq!((result.is_error, &problem["code"]), (Some(true), &json!(code)), "{sql}: {problem}");
            assert!(text(&result).contains(problem["message"].as_str().unwrap()));
            assert!(problem["query_id"].is_string(), "{sql}: {problem}");
        }
        let near = talk.query("SELECT sqll FROM system.queries").await;
        assert_eq!(values(&near)["hint"], "Did you mean \"sql\"?");
    }
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_told_to_the_model_and_an_unknown_tool_to_the_client() {
    for talk in Talk::both(&engine()).await {
        for arguments in [
            json!({}),
            json!({"sql": 1}),
            json!({"sql": "SELECT 1", "limit": 5}),
            json!({"sql": "SELECT 1", "max_rows": -1}),
        ] {
            let result = talk.call("execute_query", arguments.clone()).await;
            assert_eq!(
                (result.is_error, &values(&result)["code"]),
                (Some(true), &json!("invalid_argument")),
                "{arguments}"
            );
        }
        let extra = talk.call("list_datasets", json!({"random_string": "x"})).await;
        assert_eq!(extra.is_error, Some(false));
        match talk.try_call("drop_dataset", json!({})).await {
            Err(ServiceError::McpError(error)) => assert_eq!(error.code, ErrorCode::INVALID_PARAMS),
            other => panic!("an unknown tool answered {other:?}"),
        }
    }
}

#[tokio::test]
async fn thirty_queries_keep_their_order_and_one_failure_fails_only_itself() {
    for talk in Talk::both(&engine()).await {
        let query = |at: usize| match at {
            7 => json!({"sql": "SELECT nope"}),
            _ => json!({"label": format!("label {at}"), "sql": format!("SELECT {at} AS i")}),
        };
        let result = talk.call("execute_multi_query", json!({"queries": (0..30).map(query).collect::<Vec<_>>()})).await;
        let answers = values(&result);
        assert_eq!((&answers["succeeded"], &answers["failed"]), (&json!(29), &json!(1)));
        for (at, answer) in answers["results"].as_array().unwrap().iter().enumerate() {
            match at {
                7 => assert_eq!(
                    (&answer["label"], &answer["error"]["code"]),
                    (&json!("Query 8"), &json!("column_not_found"))
                ),
                _ => assert_eq!((&answer["label"], &answer["rows"]), (&json!(format!("label {at}")), &json!([[at]]))),
            }
        }
        let text = text(&result);
        assert!(text.find("## label 6").unwrap() < text.find("## Query 8").unwrap(), "{text}");
        for count in [0, 31] {
            let queries = vec![json!({"sql": "SELECT 1"}); count];
            let refused = talk.call("execute_multi_query", json!({ "queries": queries })).await;
            assert_eq!(values(&refused)["code"], "invalid_argument");
        }
        let unknown = talk.call("execute_multi_query", json!({"queries": [{"sql": "SELECT 1", "limit": 1}]})).await;
        assert_eq!(values(&unknown)["code"], "invalid_argument");
    }
}

#[tokio::test]
async fn many_answers_share_one_context_fairly() {
    let [talk, _] = <[Talk; 2]>::try_from(Talk::both(&engine()).await).ok().unwrap();
    let rows = |count: usize| format!("SELECT repeat('x', 200) AS x FROM (SELECT unnest(range(0, {count})) AS i)");
    let queries: Vec<Value> = [1, 1000, 2, 1000].map(|count| json!({"sql": rows(count), "max_rows": 1000})).to_vec();
    let result = talk.call("execute_multi_query", json!({ "queries": queries })).await;
    let answers = values(&result);
    let counts: Vec<u64> =
        answers["results"].as_array().unwrap().iter().map(|one| one["row_count"].as_u64().unwrap()).collect();
    assert_eq!((counts[0], counts[2]), (1, 2));
    assert!(counts[1] > 80 && counts[1].abs_diff(counts[3]) <= 1, "{counts:?}");
    assert!(answers.to_string().len() < 52_000 && answers["truncated"] == true);
}

#[tokio::test]
async fn a_thousand_datasets_are_all_named_and_search_finds_one() {
    let catalog =
        (0..1000).fold(MemoryCatalog::default(), |catalog, at| catalog.with_dataset(dataset(&format!("set_{at:03}"))));
    let engine = Engine::builder(catalog).build().unwrap();
    for talk in Talk::both(&engine).await {
        let result = talk.call("list_datasets", json!({})).await;
        let listed = values(&result);
        assert_eq!((listed["datasets"].as_array().unwrap().len(), &listed["total"]), (1000, &json!(1000)));
        assert_eq!(listed["truncated"], false);
        assert!(text(&result).contains("set_999"));
        let one = talk.call("list_datasets", json!({"search": "HOLDS set_123"})).await;
        let one = values(&one);
        assert_eq!(one["datasets"], json!([{"dataset_id": "set_123", "description": "What set_123 holds"}]));
        let rest = talk.call("list_datasets", json!({"after": "set_997"})).await;
        assert_eq!(values(&rest)["total"], 2);
    }
}

#[tokio::test]
async fn a_dataset_that_is_hidden_is_as_one_that_does_not_exist() {
    let access = Access { roles: ["payroll".to_owned()].into(), ..Access::default() };
    let catalog =
        MemoryCatalog::default().with_dataset(Dataset { access, ..dataset("salaries") }).with_dataset(dataset("sales"));
    let engine = Engine::builder(catalog).build().unwrap();
    let [_, era] = eras();
    let talk = Talk::with(engine, Principal::new("eve", []), era).await;
    let listed = talk.call("list_datasets", json!({})).await;
    assert!(!values(&listed).to_string().contains("salaries") && !text(&listed).contains("salaries"));
    let hidden = talk.call("describe_dataset", json!({"dataset_id": "salaries"})).await;
    let missing = talk.call("describe_dataset", json!({"dataset_id": "salariez"})).await;
    assert_eq!(values(&hidden)["code"], "dataset_not_found");
    let told = |result: &CallToolResult| text(result).replace("salariez", "salaries");
    assert_eq!(told(&hidden), told(&missing));
    let near = talk.call("describe_dataset", json!({"dataset_id": "sale"})).await;
    assert_eq!(values(&near)["hint"], "Did you mean \"sales\"?");
}

#[tokio::test]
async fn the_engines_own_tables_are_described_with_their_columns() {
    for talk in Talk::both(&engine()).await {
        let all = talk.call("describe_dataset", json!({"dataset_id": "system"})).await;
        let names: Vec<&str> =
            values(&all)["tables"].as_array().unwrap().iter().map(|table| table["name"].as_str().unwrap()).collect();
        assert!(names.contains(&"system.queries") && names.len() == values(&all)["table_count"], "{names:?}");
        for name in ["queries", "system.queries", "public.queries"] {
            let one = talk.call("describe_dataset", json!({"dataset_id": "system", "table": name})).await;
            let tables = values(&one)["tables"].as_array().unwrap();
            assert_eq!((tables.len(), &tables[0]["name"]), (1, &json!("system.queries")), "{name}");
            assert_eq!(tables[0]["columns"][0]["name"], "query_id");
            assert!(text(&one).contains("| query_id |"), "{}", text(&one));
        }
        let near = talk.call("describe_dataset", json!({"dataset_id": "system", "table": "querys"})).await;
        assert_eq!(
            (&values(&near)["code"], &values(&near)["hint"]),
            (&json!("table_not_found"), &json!("Did you mean \"queries\"?"))
        );
    }
}

#[tokio::test]
async fn the_context_names_functions_datasets_and_rules_and_stays_short() {
    let engine = Engine::builder(MemoryCatalog::default().with_dataset(dataset("panel"))).build().unwrap();
    for talk in Talk::both(&engine).await {
        let result = talk.call("get_global_context", json!({})).await;
        let context = values(&result);
        let functions: Vec<&str> =
            context["functions"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        for name in ["effective_n", "reach", "weighted_avg", "weighted_count", "weighted_share"] {
            assert!(functions.contains(&name), "{functions:?}");
            assert!(text(&result).contains(name));
        }
        assert_eq!(context["datasets"][0]["dataset_id"], "panel");
        assert!(text(&result).contains("panel") && text(&result).len() < 16_000);
    }
}

#[tokio::test]
async fn a_long_query_reports_progress_and_ends_with_its_caller() {
    let [old, new] = eras();
    for era in [old, new] {
        let (closed, mut closings) = mpsc::unbounded_channel();
        let observer = Arc::new(move |record: &engine::journal::Record| {
            closed.send((record.client.clone(), record.outcome)).ok();
        });
        let engine = Engine::builder(MemoryCatalog::default()).observer(observer).build().unwrap();
        let mut talk = Talk::with(engine.clone(), Principal::local(), era).await;
        let client = talk.client.peer().clone();
        let mut call = JoinSet::new();
        let arguments = json!({"sql": ENDLESS}).as_object().cloned().unwrap();
        call.spawn(async move {
            client.call_tool_once(CallToolRequestParams::new("execute_query").with_arguments(arguments)).await
        });
        let progress = talk.heard.recv().await.unwrap();
        assert!(progress.progress > 0.0 && progress.message.unwrap().contains("rows"));
        assert_eq!(engine.running(), 1);
        call.shutdown().await;
        assert_eq!(closings.recv().await.unwrap(), (Some("asker/1.2".to_owned()), Outcome::Abandoned));
    }
}

#[tokio::test]
async fn the_server_ends_when_its_client_does_and_refuses_what_is_no_client() {
    for mut talk in Talk::both(&engine()).await {
        talk.client.cancel().await.unwrap();
        talk.server.join_next().await.unwrap().unwrap().unwrap();
    }
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(theirs);
    ours.write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1,\"progress\":1}}\n").await.unwrap();
    let error = mcp::serve(engine(), Principal::local(), reader, writer).await.unwrap_err();
    assert_eq!(error.code().as_str(), "invalid_argument");
}

/// The protocol over HTTP, on a port of its own.
struct Http {
    url: String,
    client: reqwest::Client,
    _server: JoinSet<std::io::Result<()>>,
}

impl Http {
    async fn with(engine: Engine) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        let router = identify::by(Arc::new(Everybody(Principal::local())), None, mcp::router(engine, true));
        server.spawn(async move { axum::serve(listener, router).await });
        let client = reqwest::Client::builder().user_agent("curl/8").build().unwrap();
        Self { url, client, _server: server }
    }

    fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(&self.url).header("accept", "application/json, text/event-stream").json(body)
    }

    /// A request of the era with `initialize`.
    async fn legacy(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let response = self.post(&body).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
        response.json().await.unwrap()
    }

    /// A request of the stateless era.
    async fn modern(&self, method: &str, mut params: Value) -> Value {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "modern", "version": "3"},
        });
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut request = self.post(&body).header("mcp-protocol-version", "2026-07-28").header("mcp-method", method);
        if let Some(name) = params["name"].as_str() {
            request = request.header("mcp-name", name);
        }
        request.send().await.unwrap().json().await.unwrap()
    }
}

#[tokio::test]
async fn both_eras_are_served_from_one_address_without_a_session() {
    let http = Http::with(engine()).await;
    let hello = json!({
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "old", "version": "1"},
    });
    let hello = http.legacy("initialize", hello).await;
    assert_eq!(hello["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(hello["result"]["serverInfo"]["name"], "weft");
    assert!(hello["result"]["capabilities"]["tools"].is_object());
    let discovered = http.modern("server/discover", json!({})).await;
    assert!(
        discovered["result"]["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")),
        "{discovered}"
    );

    let ask = json!({"name": "execute_query", "arguments": {"sql": "SELECT 41 + 1 AS n"}});
    for answer in [http.legacy("tools/call", ask.clone()).await, http.modern("tools/call", ask.clone()).await] {
        assert_eq!(answer["result"]["structuredContent"]["rows"], json!([[42]]), "{answer}");
    }
    let listed = http.modern("tools/list", json!({})).await;
    assert!(
        listed["result"]["ttlMs"].as_u64().unwrap() > 0 && listed["result"]["tools"][0]["name"] == "describe_dataset"
    );

    let who = "SELECT client FROM system.queries WHERE door = 'mcp' AND outcome = 'completed' ORDER BY started_at";
    let clients = http.legacy("tools/call", json!({"name": "execute_query", "arguments": {"sql": who}})).await;
    assert_eq!(clients["result"]["structuredContent"]["rows"], json!([["curl/8"], ["modern/3"]]));
}

#[tokio::test]
async fn a_strange_host_or_origin_is_refused_and_our_own_is_not() {
    let http = Http::with(engine()).await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    for (header, value, status) in [
        ("host", "weft.example", 403),
        ("origin", "https://weft.example", 403),
        ("origin", "null", 403),
        ("origin", "http://localhost:3000", 200),
        ("host", "localhost:8080", 200),
    ] {
        let response = http.post(&list).header(header, value).send().await.unwrap();
        assert_eq!(response.status(), status, "{header}: {value}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_server_goes_on() {
    let http = Http::with(engine()).await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    assert_eq!(http.client.get(&http.url).send().await.unwrap().status(), 405);
    assert_eq!(http.client.delete(&http.url).send().await.unwrap().status(), 405);
    assert!(http.post(&list).body("{").send().await.unwrap().status().is_client_error());
    assert_eq!(
        http.client
            .post(&http.url)
            .header("accept", "application/json, text/event-stream")
            .body("{}")
            .send()
            .await
            .unwrap()
            .status(),
        415
    );
    let large = "x".repeat(5 << 20);
    assert_eq!(http.post(&list).body(large).send().await.unwrap().status(), 413);
    assert!(http.legacy("tools/list", json!({})).await["result"]["tools"].is_array());
}

#[tokio::test]
async fn a_request_that_is_dropped_stops_its_query() {
    let (closed, mut closings) = mpsc::unbounded_channel();
    let observer = Arc::new(move |record: &engine::journal::Record| {
        closed.send(record.outcome).ok();
    });
    let engine = Engine::builder(MemoryCatalog::default()).observer(observer).build().unwrap();
    let http = Http::with(engine).await;
    let ask = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "execute_query", "arguments": {"sql": ENDLESS}, "_meta": {"progressToken": "t"},
    }});
    // The answer begins with the first news of progress, as a stream of events.
    let mut answer = http.post(&ask).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let news = answer.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&news).contains("notifications/progress"));
    drop(answer);
    assert_eq!(closings.recv().await, Some(Outcome::Abandoned));
}

#[tokio::test]
async fn a_model_is_told_what_codes_mean() {
    let coding = Coding {
        question: Some("Which class?".to_owned()),
        labels: vec![("A".to_owned(), "Upper".to_owned())],
        merge: vec![("A".to_owned(), vec!["A1".to_owned()])],
        order: vec!["B".to_owned(), "A".to_owned()],
        ..Coding::default()
    };
    let codebook = Codebook::from([("people".to_owned(), [("class".to_owned(), coding)].into())]);
    let panel = Dataset { codebook, schemas: vec!["public".to_owned()], ..dataset("panel") };
    let class: ArrayRef = Arc::new(StringArray::from(vec!["A1", "B"]));
    let people = RecordBatch::try_from_iter([("class", class)]).unwrap();
    let catalog = MemoryCatalog::default().with_dataset(panel);
    let catalog = catalog.with_batches("panel", "people", people.schema(), vec![people]).unwrap();
    let engine = Engine::builder(catalog).build().unwrap();
    for talk in Talk::both(&engine).await {
        for result in [
            talk.call("describe_dataset", json!({"dataset_id": "panel"})).await,
            talk.query("SELECT class FROM panel.people ORDER BY class").await,
        ] {
            assert!(text(&result).contains("Which class? A = Upper, B"), "{}", text(&result));
            let values = values(&result);
            let column = values.pointer("/columns/0").or(values.pointer("/tables/0/columns/0")).unwrap();
            assert_eq!((&column["labels"], &column["order"]), (&json!({"A": "Upper"}), &json!(["B", "A"])));
        }
    }
}

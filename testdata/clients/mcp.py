"""Asks a real `weft` through the `mcp` package: both transports (HTTP, standard streams), both eras of the protocol.

Usage: mcp.py PATH_TO_WEFT. It makes its own data and server, and ends both. It prints one line per passed case.
"""

import sys
from pathlib import Path

# This file has the name of the package it tests; the package must be found instead.
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

import contextlib
import json
import logging
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from functools import partial

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import Implementation

TOOLS = ["describe_dataset", "execute_multi_query", "execute_query", "get_global_context", "get_receipt", "list_datasets"]
# How the client begins, and the revision of the protocol that both then speak.
ERAS = {"legacy": "2025-11-25", "auto": "2026-07-28"}
PEOPLE = "id,name,age,weight\n" + "".join(f"{i},person {i},{20 + i % 50},{1 + i % 3}\n" for i in range(500))
# It never ends by itself.
ENDLESS = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n"


def text(result):
    return "\n".join(block.text for block in result.content)


async def ask(client, sql, **more):
    return await client.call_tool("execute_query", {"sql": sql, **more})


async def tools_are_described(client):
    tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == TOOLS, tools
    for tool in tools:
        assert tool.title and tool.description and tool.output_schema["type"] == "object", tool
        assert tool.annotations.read_only_hint is True, tool
        assert "$ref" not in json.dumps([tool.input_schema, tool.output_schema]), tool
    assert "execute_query" in client.instructions


async def datasets_are_listed_and_described(client):
    listed = await client.call_tool("list_datasets", {})
    assert [dataset["dataset_id"] for dataset in listed.structured_content["datasets"]] == ["local"]
    assert "local" in text(listed)
    described = await client.call_tool("describe_dataset", {"dataset_id": "local"})
    (table,) = described.structured_content["tables"]
    assert table["name"] == "local.people", table
    assert [column["name"] for column in table["columns"]] == ["id", "name", "age", "weight"]
    assert "local.people" in text(described) and "weight" in text(described)
    missing = await client.call_tool("describe_dataset", {"dataset_id": "locl"})
    assert missing.is_error and missing.structured_content["code"] == "dataset_not_found"
    assert "local" in missing.structured_content["hint"]
    context = (await client.call_tool("get_global_context", {})).structured_content
    assert "weighted_avg" in [function["name"] for function in context["functions"]], context


async def a_query_is_answered_twice(client):
    result = await ask(client, "SELECT weighted_avg(age, weight) AS age, count(*) AS n FROM local.people")
    answer = result.structured_content
    rows = [line.split(",") for line in PEOPLE.splitlines()[1:]]
    mean = sum(int(row[2]) * int(row[3]) for row in rows) / sum(int(row[3]) for row in rows)
    assert not result.is_error and [column["name"] for column in answer["columns"]] == ["age", "n"]
    assert abs(answer["rows"][0][0] - mean) < 1e-9 and answer["rows"][0][1] == 500
    assert answer["row_count"] == 1 and answer["truncated"] is False and answer["query_id"] in text(result)
    assert "| age | n |" in text(result)


async def a_cut_is_told(client):
    for arguments, rows in [({}, 100), ({"max_rows": 7}, 7), ({"max_rows": 500}, 500)]:
        result = await ask(client, "SELECT id FROM people ORDER BY id", **arguments)
        answer = result.structured_content
        assert answer["row_count"] == len(answer["rows"]) == rows, answer["row_count"]
        assert answer["truncated"] is (rows < 500)
        assert all(notice in text(result) for notice in answer["notices"])
        assert bool(answer["notices"]) is (rows < 500), answer["notices"]
    wide = (await ask(client, "SELECT repeat('x', 1000) AS x FROM people", max_rows=500)).structured_content
    assert wide["truncated"] and 10 < wide["row_count"] < 100 and wide["notices"], wide["row_count"]
    long = await ask(client, "SELECT repeat('x', 1000000) AS x")
    assert len(text(long)) < 5000 and long.structured_content["notices"]


async def failures_are_results(client):
    for sql, code in [
        ("SELECT agee FROM people", "column_not_found"),
        ("SELECT * FROM nowhere.people", "table_not_found dataset_not_found"),
        ("SELEC 1", "invalid_sql"),
        ("DELETE FROM people", "read_only"),
        ("SELECT 1; SELECT 2", "unsupported_sql invalid_sql"),
    ]:
        result = await ask(client, sql)
        assert result.is_error and result.structured_content["code"] in code, (sql, result.structured_content)
        assert result.structured_content["message"] in text(result)
    for arguments in [{}, {"sql": 1}, {"sql": "SELECT 1", "limit": 5}]:
        result = await client.call_tool("execute_query", arguments)
        assert result.is_error and result.structured_content["code"] == "invalid_argument", result
    try:
        await client.call_tool("drop_database", {})
        raise AssertionError("an unknown tool answered")
    except MCPError as error:
        assert error.error.code == -32602, error


async def many_queries_answer_in_order_and_fail_alone(client):
    queries = [{"label": f"q{i}", "sql": f"SELECT {i} AS i" if i != 3 else "SELECT nope"} for i in range(30)]
    answer = (await client.call_tool("execute_multi_query", {"queries": queries})).structured_content
    assert (answer["succeeded"], answer["failed"]) == (29, 1)
    assert [result["label"] for result in answer["results"]] == [f"q{i}" for i in range(30)]
    for i, result in enumerate(answer["results"]):
        if i == 3:
            assert result["error"]["code"] == "column_not_found", result
        else:
            assert result["rows"] == [[i]], result
    rows = [{"sql": "SELECT repeat('x', 500) AS x FROM people", "max_rows": 200}] * 10
    big = (await client.call_tool("execute_multi_query", {"queries": rows})).structured_content
    assert len(json.dumps(big)) < 60_000 and big["truncated"], len(json.dumps(big))
    for count in [0, 31]:
        refused = await client.call_tool("execute_multi_query", {"queries": [{"sql": "SELECT 1"}] * count})
        assert refused.is_error and refused.structured_content["code"] == "invalid_argument"


async def begin_endless(client, group):
    """Starts a query that never ends, and returns when the server has said that it works on it."""
    heard = anyio.Event()

    async def progress(_progress, _total, message):
        assert "rows" in message, message
        heard.set()

    call = partial(client.call_tool, "execute_query", {"sql": ENDLESS}, progress_callback=progress)
    group.start_soon(call)
    with anyio.fail_after(60):
        await heard.wait()


async def nothing_runs(client):
    sql = f"SELECT count(*) AS n FROM system.queries WHERE outcome = 'running' AND sql = '{ENDLESS}'"
    with anyio.fail_after(60):
        while (await ask(client, sql)).structured_content["rows"] != [[0]]:
            await anyio.sleep(0.2)


async def a_cancelled_call_stops_its_query(client):
    if client.server_is_http and client.protocol_version == ERAS["legacy"]:
        return "a cancellation is a request of its own there, and no session says whose it is"
    async with anyio.create_task_group() as group:
        await begin_endless(client, group)
        group.cancel_scope.cancel()
    await nothing_runs(client)


async def a_client_that_leaves_stops_its_query(client):
    if not client.server_is_http:
        return "the server is the client's own process, and ends with it"
    with anyio.CancelScope() as scope:
        async with Client(client.server, mode=client.mode) as other, anyio.create_task_group() as group:
            await begin_endless(other, group)
            scope.cancel()
    await nothing_runs(client)


async def the_journal_knows_the_client(client):
    sql = "SELECT DISTINCT client FROM system.queries WHERE door = 'mcp'"
    clients = [row[0] for row in (await ask(client, sql)).structured_content["rows"]]
    assert any(name and name.startswith(("acceptance/1.0", "python")) for name in clients), clients


CASES = [
    tools_are_described,
    datasets_are_listed_and_described,
    a_query_is_answered_twice,
    a_cut_is_told,
    failures_are_results,
    many_queries_answer_in_order_and_fail_alone,
    a_cancelled_call_stops_its_query,
    a_client_that_leaves_stops_its_query,
    the_journal_knows_the_client,
]


async def run(server, name):
    for mode, revision in ERAS.items():
        async with Client(server, mode=mode, client_info=Implementation(name="acceptance", version="1.0")) as client:
            assert client.protocol_version == revision, client.protocol_version
            client.server_is_http = isinstance(server, str)
            for case in CASES:
                skipped = await case(client)
                line = f"{name} {revision}: {case.__name__}"
                print(f"--  {line}, skipped: {skipped}" if skipped else f"ok  {line}", flush=True)


def strangers_are_refused(url):
    for header, value in [("Host", "weft.example"), ("Origin", "https://weft.example")]:
        request = urllib.request.Request(url, b"{}", {header: value, "Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request)
            raise AssertionError(f"{header}: {value} was let in")
        except urllib.error.HTTPError as error:
            assert error.code == 403, (header, error.code)
    print("ok  http: strangers_are_refused", flush=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def served(weft, table):
    http, flight = (f"127.0.0.1:{free_port()}" for _ in range(2))
    server = subprocess.Popen([weft, "serve", "--table", table, "--http", http, "--flight", flight])
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://{http}/health/ready").read()
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None, "the server ended"
                time.sleep(0.1)
        yield f"http://{http}/mcp"
    finally:
        server.terminate()
        server.wait()


def main():
    logging.disable(logging.WARNING)
    weft = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        people = Path(folder, "people.csv")
        people.write_text(PEOPLE)
        table = f"people={people}"
        anyio.run(run, StdioServerParameters(command=weft, args=["mcp", "--table", table], cwd=folder), "stdio")
        with served(weft, table) as url:
            anyio.run(run, url, "http")
            strangers_are_refused(url)


main()

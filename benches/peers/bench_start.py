"""Starting: a whole process for `select 1`, and a home of 1,000 file datasets."""

import json
import os
import subprocess
import time
import urllib.request

from measure import Figure, seconds, serving


def make_home(folder, datasets):
    os.makedirs(os.path.join(folder, "datasets"), exist_ok=True)
    os.makedirs(os.path.join(folder, "data"), exist_ok=True)
    for n in range(datasets):
        with open(os.path.join(folder, "data", f"t{n}.csv"), "w") as table:
            table.write("id,value\n1,2\n")
        with open(os.path.join(folder, "datasets", f"d{n:04}.yaml"), "w") as dataset:
            dataset.write(
                f"dataset:\n  id: d{n:04}\n  name: Dataset {n}\n"
                f"database:\n  type: csv\n  connection:\n    path: data/t{n}.csv\n    table: t\n"
            )
    with open(os.path.join(folder, "weft.yaml"), "w") as settings:
        settings.write("limits:\n  query_timeout: 60s\n")


def call_tool(http, tool):
    body = {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": tool, "arguments": {},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
    headers = {
        "content-type": "application/json", "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": tool,
    }
    request = urllib.request.Request(f"http://{http}/mcp", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def run(args):
    whole = [args.weft, "query", "select 1"]
    process = min(seconds(lambda: subprocess.run(whole, check=True, stdout=subprocess.DEVNULL)) for _ in range(4 * args.runs))
    yield Figure("weft query 'select 1', whole process", process * 1e3, "ms", 60)

    home = os.path.join(args.data, "home-1000")
    if not os.path.exists(os.path.join(home, "weft.yaml")):
        make_home(home, 1000)
    starts, listings = [], []
    for _ in range(args.runs):
        with serving(args.weft, "--home", home) as server:
            starts.append(server.ready_after)
            assert b"d0999" in call_tool(server.http, "list_datasets")
            for _ in range(5):
                listings.append(seconds(lambda: call_tool(server.http, "list_datasets")))
        time.sleep(0.1)
    yield Figure("start with 1,000 file datasets until ready", min(starts) * 1e3, "ms", 500)
    yield Figure("list_datasets with 1,000 datasets over MCP", min(listings) * 1e3, "ms", 50)

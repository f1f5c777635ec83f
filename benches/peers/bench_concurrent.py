"""Two hundred small questions across sources at once, over REST: PostgreSQL joined with Parquet."""

import json
import math
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import duckdb
from database import load, postgres, psql_value
from measure import Figure, serving, tpch

AT_ONCE = 200
QUESTIONS = 1000
SQL = (
    "SELECT c_name, count(*) AS orders FROM customer JOIN orders ON c_custkey = o_custkey "
    "WHERE c_custkey = {customer} GROUP BY c_name"
)


def ask(url, customer):
    """Seconds until the answer is there, and the answer."""
    body = json.dumps({"sql": SQL.format(customer=customer)}).encode()
    request = urllib.request.Request(f"{url}/v1/sql", body, {"content-type": "application/json"})
    began = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            rows = json.load(answer)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"customer {customer}: {error.code} {error.read().decode()}") from error
    return time.perf_counter() - began, rows


def run(args):
    customers, orders = tpch(args.data, "customer", "orders")
    asked = [1 + 7 * number for number in range(QUESTIONS)]
    expected = dict(
        duckdb.sql(
            f"SELECT c_custkey, count(*) FROM '{customers}' JOIN '{orders}' ON c_custkey = o_custkey "
            f"WHERE c_custkey IN {tuple(asked)} GROUP BY c_custkey"
        ).fetchall()
    )
    with postgres() as url:
        load(url, args.data, "orders")
        psql_value(url, "CREATE INDEX ON orders (o_custkey)")
        flags = ["--table", f"customer={customers}", "--table", f"orders={url}?table=public.orders"]
        with serving(args.weft, *flags) as server, ThreadPoolExecutor(AT_ONCE) as threads:
            base = f"http://{server.http}"
            ask(base, 1)
            most, done = [0], threading.Event()

            def watch():
                sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'weft%'"
                while not done.wait(0.05):
                    most[0] = max(most[0], int(psql_value(url, sql)))

            watcher = threading.Thread(target=watch)
            watcher.start()
            try:
                answers = list(threads.map(lambda customer: ask(base, customer), asked))
            finally:
                done.set()
                watcher.join()
            peak = server.peak_memory()
    for customer, (_, answer) in zip(asked, answers, strict=True):
        rows = answer["rows"]
        found = rows[0][1] if rows and isinstance(rows[0], list) else rows[0]["orders"] if rows else None
        assert found == expected.get(customer), (customer, answer, expected.get(customer))
    times = sorted(seconds for seconds, _ in answers)
    p50, p99 = times[len(times) // 2], times[math.ceil(len(times) * 0.99) - 1]
    detail = f"p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms, {QUESTIONS} questions, {AT_ONCE} at once, no error, peak memory {peak:.0f} MB"
    yield Figure("questions across sources at once, p99 over p50", p99 / p50, "x", 10, detail)
    yield Figure("most connections to PostgreSQL meanwhile", most[0], "", 10)

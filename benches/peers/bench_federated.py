"""PostgreSQL next to Parquet, in process on both sides, against DuckDB with its postgres_scanner.

Reads of whole tables by each driver, joins that need a few rows of a large table, a grouping, and the 22 queries of TPC-H with five
tables in PostgreSQL. TPC-H at scale factor 1.
"""

import subprocess
import time

import bench_tpch
import pyarrow as pa
import pyarrow.compute as pc
from database import duckdb_with_postgres, load, postgres
from embedded import embedded
from measure import Figure, tpch

IN_DATABASE = ["customer", "nation", "orders", "region", "supplier"]
ONE_CUSTOMER = "o_custkey = 7"
SELECTIVE = {
    "one customer": (ONE_CUSTOMER, 0.1),
    "1,000 customers": ("o_custkey <= 1000", 0.3),
    "one week": ("o_orderdate BETWEEN DATE '1995-03-01' AND DATE '1995-03-07'", 0.3),
}


def turns(runs, ours, theirs):
    """The best seconds of each side, in turns."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(runs)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def seconds_of(duck, sql):
    def run():
        began = time.perf_counter()
        duck.sql(sql).to_arrow_table()
        return time.perf_counter() - began

    return run


def psql_seconds(url, sql, runs=5):
    """What psql needs for the statement itself, best of some runs."""
    times = []
    for _ in range(runs):
        out = subprocess.run(["psql", url, "-q", "-c", "\\timing on", "-c", sql], check=True, capture_output=True, text=True)
        times.append(float(out.stdout.rsplit("Time: ", 1)[1].split()[0]) / 1e3)
    return min(times)


def figure(name, ours, theirs, bound):
    return Figure(name, ours / theirs, "x", bound, f"weft {ours * 1e3:.1f} ms, DuckDB {theirs * 1e3:.1f} ms")


def fingerprint(table):
    """What a column holds: its sum, its ends, or how long its texts are."""
    found = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_date(column.type):
            found[name] = pc.min_max(column).as_py()
        elif pa.types.is_integer(column.type) or pa.types.is_decimal(column.type):
            found[name] = pc.sum(column).as_py()
        else:
            found[name] = pc.sum(pc.binary_length(column)).as_py(), pc.min_max(column).as_py()
    return table.num_rows, found


def memory(args, tables):
    """Whole reads in a process that does nothing else and keeps nothing."""
    with embedded(args.weft, *(f"{name}={at}" for name, at in tables.items())) as engine:
        engine.drain("SELECT 1")
        idle = engine.memory()
        for table in tables:
            engine.drain(f"SELECT * FROM {table}")
        peak = engine.peak_memory()
    yield Figure("pg-scan, peak memory over idle", peak - idle, "MB", 200, f"idle {idle:.0f} MB, peak {peak:.0f} MB")


def scans(args, engine, duck):
    for table in ("orders", "lineitem"):
        assert fingerprint(engine.rows(f"SELECT * FROM {table}")) == fingerprint(duck.sql(f"SELECT * FROM pg.{table}").to_arrow_table())
        ours = {}
        for driver in ("copy", "connectorx"):
            name = table if driver == "copy" else f"{table}_{driver}"
            sql = f"SELECT * FROM {name}"
            ours[driver], theirs = turns(args.runs, lambda: engine.seconds(sql), seconds_of(duck, f"SELECT * FROM pg.{table}"))
        yield figure(f"pg-scan {table}, ratio to DuckDB", ours["copy"], theirs, 0.9)
        print(f"   driver connectorx: {ours['connectorx'] * 1e3:.0f} ms, {ours['connectorx'] / ours['copy']:.2f} of copy's", flush=True)


def selective(args, engine, duck, url, orders):
    for name, (condition, bound) in SELECTIVE.items():
        sql = (
            "SELECT count(*), sum(l_extendedprice) FROM {lineitem} JOIN {orders} ON l_orderkey = o_orderkey WHERE "
            + condition
        )
        ours_sql = sql.format(lineitem="lineitem", orders="orders_file")
        theirs_sql = sql.format(lineitem="pg.lineitem", orders=f"'{orders}'")
        bench_tpch.same([tuple(row.values()) for row in engine.rows(ours_sql).to_pylist()], duck.sql(theirs_sql).fetchall())
        ours, theirs = turns(args.runs, lambda: engine.seconds(ours_sql), seconds_of(duck, theirs_sql))
        yield figure(f"selective-join, {name}, ratio to DuckDB", ours, theirs, bound)
        if condition == ONE_CUSTOMER:
            continue
        keys = duck.sql(f"SELECT o_orderkey FROM '{orders}' WHERE {condition}").fetchall()
        remote = "SELECT l_orderkey, l_extendedprice FROM lineitem WHERE l_orderkey = ANY('{%s}'::int8[])"
        there = psql_seconds(url, remote % ",".join(str(key) for (key,) in keys))
        here = min(engine.seconds(f"SELECT o_orderkey FROM orders_file WHERE {condition}") for _ in range(5))
        detail = f"weft {ours * 1e3:.1f} ms, psql {there * 1e3:.1f} ms, local scan {here * 1e3:.1f} ms"
        yield Figure(f"selective-join, {name}, ratio to its parts alone", ours / (there + here), "x", 1.3, detail)


def aggregate(engine, duck, url):
    sql = "SELECT o_orderpriority, count(*), sum(o_totalprice), max(o_orderdate) FROM orders GROUP BY o_orderpriority"
    rows = [tuple(row.values()) for row in engine.rows(sql).to_pylist()]
    bench_tpch.same(sorted(rows), sorted(duck.sql(sql.replace("orders", "pg.orders")).fetchall()))
    pairs = [(engine.seconds(sql), psql_seconds(url, sql, 1)) for _ in range(8)]
    ours, theirs = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    detail = f"weft {ours * 1e3:.1f} ms, the same SQL in psql {theirs * 1e3:.1f} ms"
    yield Figure("pg-aggregate, more than psql", (ours - theirs) * 1e3, "ms", 10, detail)


def federated(args, url, paths):
    where = {table: f"{url}?table=public.{table}" if table in IN_DATABASE else path for table, path in paths.items()}
    duck = duckdb_with_postgres(url)
    for table, path in paths.items():
        duck.sql(f"CREATE VIEW {table} AS SELECT * FROM " + (f"pg.{table}" if table in IN_DATABASE else f"'{path}'"))
    with embedded(args.weft, *(f"{table}={at}" for table, at in where.items())) as engine:
        mean, total, detail = bench_tpch.compare(args, engine, duck, "tpch-federated")
    yield Figure("TPC-H, five tables in PostgreSQL, geometric mean of ratios to DuckDB", mean, "x", 0.6, detail)


def run(args):
    paths = dict(zip(bench_tpch.TABLES, tpch(args.data, *bench_tpch.TABLES), strict=True))
    with postgres() as url:
        load(url, args.data, *IN_DATABASE, "lineitem")
        duck = duckdb_with_postgres(url)
        tables = {table: f"{url}?table=public.{table}" for table in ("orders", "lineitem")}
        slow = {f"{table}_connectorx": f"{at}&driver=connectorx" for table, at in tables.items()}
        named = {**tables, **slow, "orders_file": paths["orders"]}
        with embedded(args.weft, *(f"{name}={at}" for name, at in named.items())) as engine:
            yield from selective(args, engine, duck, url, paths["orders"])
            yield from aggregate(engine, duck, url)
            yield from scans(args, engine, duck)
        yield from memory(args, tables)
        yield from federated(args, url, paths)

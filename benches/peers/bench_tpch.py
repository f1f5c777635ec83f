"""The 22 queries of TPC-H at scale factor 1 over Parquet, in process on both sides, against DuckDB."""

import glob
import math
import os
from decimal import Decimal

import duckdb
from embedded import embedded
from measure import Figure, tpch

TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]
QUERIES = os.path.join(os.path.dirname(__file__), "..", "..", "testdata", "tpch")


def queries():
    for path in sorted(glob.glob(os.path.join(QUERIES, "q*.sql"))):
        with open(path) as file:
            yield os.path.basename(path)[:-4], file.read()


def plain(value):
    return float(value) if isinstance(value, (Decimal, float, int)) else value


def same(ours, theirs):
    """Values, not only row counts; decimals and floats as numbers, since engines differ in the scale of a quotient."""
    assert len(ours) == len(theirs), (len(ours), len(theirs))
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(map(plain, mine), map(plain, other), strict=True):
            is_same = math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-4) if isinstance(a, float) and isinstance(b, float) else a == b
            assert is_same, (mine, other)


def compare(args, engine, duck, name):
    """Runs all queries on both; gives a line per query, and the ratios."""
    ratios, ours_total, theirs_total = {}, 0.0, 0.0
    for query, sql in queries():
        rows = [tuple(row.values()) for row in engine.rows(sql).to_pylist()]
        same(rows, duck.sql(sql).fetchall())
        ours, theirs = [], []
        for _ in range(args.runs):
            ours.append(engine.seconds(sql))
            theirs.append(theirs_seconds(duck, sql))
        ratios[query] = min(ours) / min(theirs)
        ours_total, theirs_total = ours_total + min(ours), theirs_total + min(theirs)
        print(f"   {query}: weft {min(ours) * 1e3:7.1f} ms, duckdb {min(theirs) * 1e3:7.1f} ms, ratio {ratios[query]:.2f}", flush=True)
    mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
    detail = f"in all weft {ours_total:.2f} s, DuckDB {theirs_total:.2f} s, ratio {ours_total / theirs_total:.2f}"
    return mean, ours_total / theirs_total, detail


def theirs_seconds(duck, sql):
    import time

    began = time.perf_counter()
    duck.sql(sql).to_arrow_table()
    return time.perf_counter() - began


def run(args):
    paths = dict(zip(TABLES, tpch(args.data, *TABLES), strict=True))
    duck = duckdb.connect(config={"threads": os.cpu_count()})
    for table, path in paths.items():
        duck.sql(f"CREATE VIEW {table} AS SELECT * FROM '{path}'")
    with embedded(args.weft, *(f"{table}={path}" for table, path in paths.items())) as engine:
        mean, _, detail = compare(args, engine, duck, "tpch-files")
    yield Figure("TPC-H over Parquet, geometric mean of 22 ratios to DuckDB", mean, "x", 1.0, detail)

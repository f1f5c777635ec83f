"""The 22 queries of TPC-H at scale factor 10 over Parquet (3.8 GB of files), in process, with 1 GiB for all queries together."""

import os
import tempfile

import duckdb
from bench_tpch import TABLES, queries, same
from embedded import embedded
from measure import Figure, tpch

HOME = "data_dir: state\nlimits:\n  memory: 1GiB\n  query_memory: 1GiB\n"


def run(args):
    paths = dict(zip(TABLES, tpch(args.data, *TABLES, scale="10"), strict=True))
    duck = duckdb.connect(config={"threads": os.cpu_count()})
    for table, path in paths.items():
        duck.sql(f"CREATE VIEW {table} AS SELECT * FROM '{path}'")
    failed, total = 0, 0.0
    with tempfile.TemporaryDirectory() as home:
        with open(os.path.join(home, "weft.yaml"), "w") as file:
            file.write(HOME)
        with embedded(args.weft, home, *(f"{table}={os.path.abspath(path)}" for table, path in paths.items())) as engine:
            for query, sql in queries():
                try:
                    took = engine.seconds(sql)
                    same([tuple(row.values()) for row in engine.rows(sql).to_pylist()], duck.sql(sql).fetchall())
                    total += took
                    print(f"   {query}: {took:6.1f} s, peak memory so far {engine.peak_memory():.0f} MB", flush=True)
                except RuntimeError as error:
                    failed += 1
                    print(f"   {query}: failed: {error}", flush=True)
            peak = engine.peak_memory()
    detail = f"{22 - failed} complete in {total:.0f} s, peak resident memory {peak:.0f} MB"
    yield Figure("TPC-H SF10 within 1 GiB, queries that fail", failed, "", 0, detail)

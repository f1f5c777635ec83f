"""The 22 queries of TPC-H at scale factor 0.1, wherever the tables are: the answers are DuckDB's.

Usage: tpch.py PATH_TO_WEFT. It makes its own data, database and server, and ends them. It prints one line per passed placement.
"""

import os
import sys
import tempfile
import warnings

import adbc_driver_flightsql.dbapi as adbc
import duckdb

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "benches", "peers"))

import bench_tpch  # noqa: E402
from database import load, postgres  # noqa: E402
from measure import serving, tpch  # noqa: E402

# The tables that are in PostgreSQL; the others are in Parquet.
PLACEMENTS = {
    "files": [],
    "postgres": bench_tpch.TABLES,
    "few_large": ["lineitem", "part", "partsupp"],
    "many_small": ["customer", "nation", "orders", "region", "supplier"],
}


def main():
    warnings.filterwarnings("ignore")
    duck = duckdb.connect()
    with tempfile.TemporaryDirectory() as data, postgres() as url:
        paths = dict(zip(bench_tpch.TABLES, tpch(data, *bench_tpch.TABLES, scale="0.1"), strict=True))
        load(url, data, *bench_tpch.TABLES, scale="0.1")
        for table, path in paths.items():
            duck.sql(f"CREATE VIEW {table} AS SELECT * FROM '{path}'")
        expected = {query: duck.sql(sql).fetchall() for query, sql in bench_tpch.queries()}
        for placement, in_database in PLACEMENTS.items():
            where = {table: f"{url}?table=public.{table}" if table in in_database else path for table, path in paths.items()}
            flags = [flag for table, at in where.items() for flag in ("--table", f"{table}={at}")]
            with serving(sys.argv[1], *flags) as server, adbc.connect(f"grpc://{server.flight}") as connection:
                for query, sql in bench_tpch.queries():
                    with connection.cursor() as cursor:
                        cursor.execute(sql)
                        answer = cursor.fetchall()
                    try:
                        bench_tpch.same(answer, expected[query])
                    except AssertionError as error:
                        raise AssertionError(f"{query}, tables in {placement}: {error}") from error
            print(f"ok  {len(expected)} answers, tables in {placement}", flush=True)


main()

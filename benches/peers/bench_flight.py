"""A result of 6 million rows and five numeric columns over Flight SQL into pyarrow, against DuckDB in process; and what
memory the server needs for it, also while a reader takes 1 MB/s for a minute."""

import os
import time

import adbc_driver_flightsql.dbapi as flight_sql
import duckdb
from measure import Figure, in_turns, serving, tpch

COLUMNS = "l_orderkey, l_partkey, l_suppkey, l_linenumber, l_quantity"
ROWS = 6_001_215
SLOW_SECONDS, SLOW_RATE = 60, 1_000_000


def read_slowly(address, sql):
    """Takes 1 MB/s for a minute, then leaves."""
    with flight_sql.connect(f"grpc://{address}") as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        reader = cursor.fetch_record_batch()
        began, taken = time.perf_counter(), 0
        while time.perf_counter() - began < SLOW_SECONDS:
            taken += reader.read_next_batch().nbytes
            time.sleep(max(0.0, taken / SLOW_RATE - (time.perf_counter() - began)))
    return taken


def run(args):
    (path,) = tpch(args.data, "lineitem")
    duck = duckdb.connect(config={"threads": os.cpu_count()})
    sql = f"SELECT {COLUMNS} FROM lineitem"
    with serving(args.weft, "--table", f"lineitem={path}") as server:
        with flight_sql.connect(f"grpc://{server.flight}") as connection, connection.cursor() as cursor:

            def ours():
                cursor.execute(sql)
                table = cursor.fetch_arrow_table()
                assert table.num_rows == ROWS
                return table

            def theirs():
                table = duck.sql(f"SELECT {COLUMNS} FROM '{path}'").to_arrow_table()
                assert table.num_rows == ROWS

            best = in_turns(args.runs, weft=ours, duckdb=theirs)
            size = ours().nbytes / 1e6
            detail = f"weft {best['weft']:.3f} s ({size / best['weft']:.0f} MB/s), DuckDB in process {best['duckdb']:.3f} s"
            yield Figure("6 M rows x 5 over Flight SQL, ratio to DuckDB", best["weft"] / best["duckdb"], "x", 1.5, detail)
            yield Figure("peak memory of the server, fast reader", server.peak_memory(), "MB", 300)
    with serving(args.weft, "--table", f"lineitem={path}") as server:
        taken = read_slowly(server.flight, "SELECT * FROM lineitem")
        detail = f"{taken / 1e6:.0f} MB taken in {SLOW_SECONDS} s"
        yield Figure("peak memory of the server, reader of 1 MB/s", server.peak_memory(), "MB", 300, detail)

"""weighted_avg by 20 groups over 10 million rows of Parquet, against DuckDB's sum(w*x)/sum(w)."""

import os

import adbc_driver_flightsql.dbapi as flight_sql
import duckdb

from measure import Figure, in_turns, serving

ROWS = 10_000_000


def make_panel(path):
    duckdb.sql(
        f"COPY (SELECT (i * 7919 % 20)::INTEGER AS g, random() * 100 AS x, 0.5 + random() * 3 AS w "
        f"FROM range({ROWS}) t(i)) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 500000)"
    )


def run(args):
    path = os.path.join(args.data, "panel-10m.parquet")
    if not os.path.exists(path):
        make_panel(path)
    duck = duckdb.connect(config={"threads": os.cpu_count()})
    theirs_sql = f"SELECT g, sum(w * x) / sum(w) FROM '{path}' GROUP BY g ORDER BY g"
    ours_sql = "SELECT g, weighted_avg(x, w) FROM t GROUP BY g ORDER BY g"
    with serving(args.weft, "--table", f"t={path}") as server:
        with flight_sql.connect(f"grpc://{server.flight}") as connection, connection.cursor() as cursor:

            def ours():
                cursor.execute(ours_sql)
                return cursor.fetchall()

            def theirs():
                return duck.sql(theirs_sql).fetchall()

            for (g, mine), (h, other) in zip(ours(), theirs(), strict=True):
                assert g == h and abs(mine - other) < 1e-9 * abs(other), (g, mine, other)
            best = in_turns(args.runs, weft=ours, duckdb=theirs)
    detail = f"weft over Flight SQL {best['weft']:.3f} s, DuckDB in process {best['duckdb']:.3f} s"
    yield Figure("weighted_avg by 20 groups, 10 M rows, ratio to DuckDB", best["weft"] / best["duckdb"], "x", 1.3, detail)

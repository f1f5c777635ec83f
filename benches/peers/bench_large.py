"""svy_mean by 1,000 groups over 500 million rows of 50,000 people, in process, with 600 MB for the query: the sums go to disk."""

import os
import tempfile
import time

import duckdb
from bench_survey import make
from embedded import embedded
from measure import Figure

HOME = "data_dir: state\nlimits:\n  memory: 640MB\n  query_memory: 600MB\n  query_timeout: 30m\n"
# Each person has ten rows in each group, with one value: so each group has the mean and the error of the people themselves.
OURS = """
SELECT count(*), min(s['n']), max(s['n']), min(s['estimate']), max(s['estimate']), min(s['se']), max(s['se']) FROM
  (SELECT g, svy_mean(x, weight => w, psu => person, frame => 'people') AS s FROM
    (SELECT value % 50000 AS person, value / 50000 % 1000 AS g, value * 7919 % 1000 / 10.0 AS x, 1.0 + value % 50000 % 7 AS w
     FROM generate_series(0, 499999999)) GROUP BY g)"""
TRUE = """
WITH people AS (SELECT i * 7919 % 1000 / 10.0 AS x, 1.0 + i % 7 AS w FROM range(50000) t(i)),
     mean AS (SELECT sum(w * x) / sum(w) AS m, sum(w) AS total FROM people)
SELECT any_value(m), sqrt(50000 / 49999 * sum((w * (x - m) / total) ^ 2)) FROM people, mean"""


def run(args):
    _, people = make(args.data)
    mean, error = duckdb.sql(TRUE).fetchone()
    with tempfile.TemporaryDirectory() as home:
        with open(os.path.join(home, "weft.yaml"), "w") as file:
            file.write(HOME)
        with embedded(args.weft, home, f"people={os.path.abspath(people)}") as engine:
            began = time.perf_counter()
            (row,) = zip(*(column.to_pylist() for column in engine.rows(OURS).columns), strict=True)
            took, peak = time.perf_counter() - began, engine.peak_memory()
    for found, wanted in zip(row, (1000, 500_000, 500_000, mean, mean, error, error), strict=True):
        assert abs(found - wanted) <= 1e-9 * wanted, (row, mean, error)
    yield Figure("svy_mean by 1,000 groups, 500 M rows, peak resident memory", peak, "MB", 1000, f"in {took:.0f} s")

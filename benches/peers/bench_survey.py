"""Survey statistics by 20 groups over 10 million events of 50,000 people, against DuckDB's own SQL, and one million rows as R has them."""

import os
import shutil
import subprocess
import tempfile
import time

import duckdb
import pyarrow as pa
import pyarrow.parquet

from embedded import embedded
from measure import Figure

EVENTS, PEOPLE = 10_000_000, 50_000

# The two levels of a standard error: PSUs of each group, then groups; PSUs without rows count through their number.
THEIRS_MEAN = """
WITH psu AS (SELECT g, person, sum(w * x) AS a, sum(w) AS b FROM events GROUP BY g, person),
     mean AS (SELECT g, sum(a) / sum(b) AS m, sum(b) AS w FROM psu GROUP BY g)
SELECT psu.g, any_value(m), sqrt(n / (n - 1) * (sum(((a - m * b) / mean.w) ^ 2) - sum((a - m * b) / mean.w) ^ 2 / n))
FROM psu JOIN mean USING (g), (SELECT count(*)::DOUBLE AS n FROM people) GROUP BY psu.g, n ORDER BY psu.g"""
OURS_MEAN = """
SELECT g, s['estimate'], s['se'] FROM
  (SELECT g, svy_mean(x, weight => w, psu => person, frame => 'people') AS s FROM events GROUP BY g) ORDER BY g"""
THEIRS_REACH = "SELECT g, sum(w) FROM (SELECT DISTINCT g, person, w FROM events) GROUP BY g ORDER BY g"
OURS_REACH = "SELECT g, reach(person, w) FROM events GROUP BY g ORDER BY g"
THEIRS_AVG = "SELECT g, sum(w * x) / sum(w) FROM events GROUP BY g ORDER BY g"
OURS_AVG = "SELECT g, weighted_avg(x, w) FROM events GROUP BY g ORDER BY g"

R = """
suppressMessages(library(survey))
rows <- read.csv("%s")
design <- svydesign(id = ~psu, strata = ~h, weights = ~w, data = rows, nest = TRUE)
began <- Sys.time()
result <- svyby(~x, ~g, design, svymean)
cat(format(c(as.numeric(Sys.time() - began, units = "secs"), result$x, result$se), digits = 17), sep = "\\n")
"""


def make(folder):
    """Events and people; a person's weight is the same in all events."""
    events, people = (os.path.join(folder, f"survey-{name}.parquet") for name in ("events", "people"))
    if not os.path.exists(people):
        person = f"SELECT i::INTEGER AS person, 0.5 + hash(i) % 1000 / 300.0 AS w FROM range({PEOPLE}) t(i)"
        duckdb.sql(f"COPY ({person}) TO '{people}' (FORMAT parquet)")
        duckdb.sql("SELECT setseed(0.5)")
        duckdb.sql(
            f"COPY (SELECT (i * 7919 % 20)::INTEGER AS g, (hash(i) % {PEOPLE})::INTEGER AS person, "
            f"0.5 + hash((hash(i) % {PEOPLE})::BIGINT) % 1000 / 300.0 AS w, random() * 100 AS x "
            f"FROM range({EVENTS}) t(i)) TO '{events}' (FORMAT parquet, ROW_GROUP_SIZE 500000)"
        )
    return events, people


def run(args):
    events, people = make(args.data)
    duck = duckdb.connect(config={"threads": os.cpu_count()})
    duck.sql(f"CREATE VIEW events AS SELECT * FROM '{events}'")
    duck.sql(f"CREATE VIEW people AS SELECT * FROM '{people}'")
    with embedded(args.weft, f"events={events}", f"people={people}") as engine:
        for name, ours, theirs, bound in (
            ("svy_mean", OURS_MEAN, THEIRS_MEAN, 0.8),
            ("reach", OURS_REACH, THEIRS_REACH, 0.8),
            ("weighted_avg", OURS_AVG, THEIRS_AVG, 1.0),
        ):
            same(engine.rows(ours), duck.sql(theirs).fetchall())
            our_best, their_best = float("inf"), float("inf")
            for _ in range(args.runs):
                our_best = min(our_best, engine.seconds(ours))
                began = time.perf_counter()
                duck.sql(theirs).to_arrow_table()
                their_best = min(their_best, time.perf_counter() - began)
            detail = f"weft {our_best * 1e3:.0f} ms, DuckDB {their_best * 1e3:.0f} ms"
            yield Figure(f"{name} by 20 groups, 10 M rows, ratio to DuckDB", our_best / their_best, "x", bound, detail)
    if shutil.which("Rscript"):
        yield from against_r(args)
    else:
        print("   no Rscript (Debian: r-cran-survey): not compared with R")


def against_r(args):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.csv")
        rows = (
            "SELECT i % 50 AS h, i % 50 + 50 * (i // 50 % 40) AS psu, 0.5 + hash(i) % 1000 / 300.0 AS w, "
            "hash(i + 7) % 20 AS g, hash(i + 13) % 10000 / 100.0 AS x FROM range(1000000) t(i)"
        )
        duckdb.sql(f"COPY ({rows}) TO '{path}'")
        table = os.path.join(folder, "rows.parquet")
        duckdb.sql(f"COPY (SELECT * FROM '{path}') TO '{table}' (FORMAT parquet)")
        said = subprocess.run(["Rscript", "-e", R % path], capture_output=True, text=True, check=True).stdout.split()
        theirs, numbers = float(said[0]), [float(number) for number in said[1:]]
        ours_sql = (
            "SELECT g, s['estimate'], s['se'] FROM (SELECT g, svy_mean(x, weight => w, strata => h, psu => psu) AS s "
            "FROM rows GROUP BY g) ORDER BY g"
        )
        with embedded(args.weft, f"rows={table}") as engine:
            same(engine.rows(ours_sql), list(zip(range(20), numbers[:20], numbers[20:], strict=True)))
            ours = min(engine.seconds(ours_sql) for _ in range(args.runs))
    detail = f"weft {ours * 1e3:.0f} ms, R's svyby {theirs:.2f} s"
    yield Figure("svy_mean by 20 groups, 1 M rows, ratio to R's svyby", ours / theirs, "x", 0.01, detail)


def same(ours, theirs):
    ours = list(zip(*(column.to_pylist() for column in ours.columns), strict=True))
    assert len(ours) == len(theirs), (len(ours), len(theirs))
    for mine, other in zip(ours, theirs, strict=True):
        for one, two in zip(mine, other, strict=True):
            assert abs(one - two) <= 1e-9 * abs(two), (mine, other)

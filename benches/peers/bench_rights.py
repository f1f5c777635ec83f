"""What rights cost: rows and values under rules against the same by hand, signing in, finding the rules, and the audit log."""

import json
import os
import re
import subprocess
import tempfile

from bench_tpch import QUERIES, plain
from database import load, postgres
from embedded import embedded
from measure import Figure, tpch

TIMES = 1000

# By table: who may see which rows, and what stands in place of two columns, as a rule has it and by hand.
RULES = {
    "lineitem": (
        "l_shipmode IN ('AIR', 'RAIL', 'SHIP', 'TRUCK')",
        {
            "l_extendedprice": ("{round: 100}", "try_cast(round(cast(l_extendedprice AS double) / 100) * 100 AS decimal(15, 2))"),
            "l_returnflag": ("{recode: {values: {A: A, N: N}, other: X}}", "CASE l_returnflag WHEN 'A' THEN 'A' WHEN 'N' THEN 'N' ELSE 'X' END"),
        },
    ),
    "orders": (
        "o_orderstatus IN ('F', 'O')",
        {
            "o_clerk": ("{partial: 4}", "CASE WHEN char_length(o_clerk) > 4 THEN '****' || right(o_clerk, 4) ELSE '****' END"),
            "o_totalprice": ("{round: 1000}", "try_cast(round(cast(o_totalprice AS double) / 1000) * 1000 AS decimal(15, 2))"),
        },
    ),
}


def by_hand(dataset, table, columns):
    """The query that a rule stands for."""
    rows, masks = RULES[table]
    shown = (f"{masks[column][1]} AS {column}" if column in masks else column for column in columns)
    return f"SELECT {', '.join(shown)} FROM {dataset}.{table} WHERE {rows}"


def policies(dataset, tables):
    """A policy file with a viewer whom the rules bind."""
    lines = ["principals:", "  - {name: viewer, roles: [viewer]}", "rules:"]
    for table in tables:
        rows, masks = RULES[table]
        lines += [f"  - name: {table} in part", f"    table: {dataset}.{table}", f"    rows: {json.dumps(rows)}", "    masks:"]
        lines += [f"      {column}: {mask}" for column, (mask, _) in masks.items()]
    return "\n".join(lines) + "\n"


def write(folder, **files):
    """A home of these files; `__` in a name is a folder."""
    for name, text in files.items():
        path = os.path.join(folder, *name.split("__")) + ".yaml"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)


def columns_of(engine, table):
    return engine.rows(f"SELECT * FROM {table} LIMIT 0").column_names


def same(engine, governed, written):
    """Whether the rows are the same; those of neither need have an order."""
    given, expected = (
        sorted(str([plain(value) for value in row.values()]) for row in engine.rows(sql, **more).to_pylist())
        for sql, more in ((governed, {"as": "viewer"}), (written, {}))
    )
    assert given == expected, "the rule and its form by hand have other rows"


def ratio(args, engine, governed, written):
    """The time of a governed query to that of the one by hand, in turns."""
    best = {"governed": float("inf"), "written": float("inf")}
    for _ in range(args.runs):
        best["governed"] = min(best["governed"], engine.seconds(governed, **{"as": "viewer"}))
        best["written"] = min(best["written"], engine.seconds(written))
    detail = f"under rules {best['governed'] * 1e3:.1f} ms, by hand {best['written'] * 1e3:.1f} ms"
    return best["governed"] / best["written"], detail


def files(args):
    tables = ["customer", "lineitem", "orders"]
    paths = [os.path.abspath(path) for path in tpch(args.data, *tables)]
    listed = "\n".join(f"  - {{name: {table}, path: {json.dumps(path)}}}" for table, path in zip(tables, paths, strict=True))
    with tempfile.TemporaryDirectory() as home:
        write(
            home,
            weft="default_dataset: tpch\naudit: {enabled: false}\n",
            datasets__tpch=f"dataset: {{id: tpch, name: TPC-H}}\ndatabase: {{type: parquet}}\ntables:\n{listed}\n",
            policies__bench=policies("tpch", ["lineitem", "orders"]),
        )
        with embedded(args.weft, home) as engine:
            for name in ("q01", "q03", "q06"):
                with open(os.path.join(QUERIES, f"{name}.sql")) as file:
                    sql = file.read()
                read = [table for table in RULES if re.search(rf"\b{table}\b", sql)]
                views = (f"{table} AS ({by_hand('tpch', table, columns_of(engine, table))})" for table in read)
                written = f"WITH {', '.join(views)} {sql}"
                same(engine, sql, written)
                value, detail = ratio(args, engine, sql, written)
                yield Figure(f"TPC-H {name} under a row rule and two masks, ratio to the same by hand", value, "x", 1.05, detail)


def database(args):
    sql = "SELECT * FROM db.public.orders"
    with postgres() as url, tempfile.TemporaryDirectory() as home:
        load(url, args.data, "orders")
        write(
            home,
            weft="audit: {enabled: false}\n",
            datasets__db=f"dataset: {{id: db, name: Orders}}\ndatabase: {{type: postgresql, connection: {{url: {json.dumps(url)}}}}}\n",
            policies__bench=policies("db", ["orders"]),
        )
        with embedded(args.weft, home) as engine:
            written = by_hand("db.public", "orders", columns_of(engine, "db.public.orders"))
            same(engine, f"{sql} WHERE o_orderkey < 40000", f"{written} AND o_orderkey < 40000")
            value, detail = ratio(args, engine, sql, written)
    yield Figure("orders from PostgreSQL under a row rule and two masks, ratio to the same by hand", value, "x", 1.05, detail)


def make_home(folder, datasets, roles):
    """A home with rights on many datasets by many roles, all of which its analyst has."""
    grants = [f"  - {{roles: [r{n % roles}, r{n * 7 % roles}], on: [d{n:03}]}}" for n in range(datasets)]
    rules = [
        f"  - {{name: rows {n}, table: d{n:03}.t, roles: [r{n % roles}], rows: region IN (@regions), masks: {{phone: {{partial: 2}}, name: \"'-'\"}}}}"
        for n in range(datasets)
    ]
    included = [f"  - {{name: r{n}, includes: [r{n + 1}]}}" for n in range(roles - 1)]
    principals = ["  - {name: admin, roles: [admin]}", "  - {name: analyst, roles: [r0], attributes: {regions: [north, south]}}"]
    lines = ["principals:", *principals, "roles:", *included, "grants:", *grants, "rules:", *rules]
    each = {
        f"datasets__d{n:03}": f"dataset: {{id: d{n:03}, name: Dataset {n}}}\ndatabase: {{type: csv}}\ntables:\n  - {{name: t, path: t.csv}}\n"
        for n in range(datasets)
    }
    write(folder, weft="auth: {required: true}\ndata_dir: state\naudit: {enabled: true}\n", policies__bench="\n".join(lines) + "\n", **each)
    with open(os.path.join(folder, "t.csv"), "w") as table:
        table.write("id,region,phone,name\n1,north,+91 12345,Asha\n2,east,+91 67890,Ravi\n")


def key_of(weft, home, principal):
    """A new API key of a principal."""
    made = subprocess.run([weft, "keys", "create", principal, "--home", home], check=True, capture_output=True, text=True)
    return re.search(r"weft_\S+", made.stdout).group()


def requests(args):
    with tempfile.TemporaryDirectory() as home:
        make_home(home, datasets=500, roles=50)
        keys = {name: key_of(args.weft, home, name) for name in ("analyst", "admin")}
        with embedded(args.weft, home) as engine:
            signing_in = min(engine.seconds(key=keys["analyst"], times=TIMES) for _ in range(args.runs))
            best = {name: float("inf") for name in keys}
            for _ in range(args.runs):
                for name in keys:
                    best[name] = min(best[name], engine.seconds("SELECT * FROM d321.t", key=keys[name], describe=True, times=TIMES))
            write(home, weft="audit: {enabled: false}\n")
            with embedded(args.weft, home) as silent:
                audited, unaudited = float("inf"), float("inf")
                for _ in range(args.runs):
                    audited = min(audited, engine.seconds("select 1", times=TIMES))
                    unaudited = min(unaudited, silent.seconds("select 1", times=TIMES))
    resolving = best["analyst"] - best["admin"]
    detail = f"the key {signing_in * 1e6:.1f} us; rules of a table and its plan {resolving * 1e6:.1f} us, medians of {TIMES}"
    yield Figure("API key and policies of a request, 500 datasets, 50 roles", (signing_in + resolving) * 1e6, "us", 100, detail)
    detail = f"select 1 in process {audited * 1e6:.0f} us, without {unaudited * 1e6:.0f} us, medians of {TIMES}"
    yield Figure("the audit log, of a query's time", (audited - unaudited) * 1e6, "us", 50, detail)


def run(args):
    yield from files(args)
    yield from database(args)
    yield from requests(args)

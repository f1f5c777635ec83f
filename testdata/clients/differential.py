"""Random queries, wherever the tables are: Weft gives one answer, and it is that of PostgreSQL and of DuckDB.

Usage: differential.py PATH_TO_WEFT [COUNT [SEED]]. Each of two tables is once a Parquet file and once in PostgreSQL, so that each
query runs for every placement, with all, some or nothing of it pushed to the database. A failure prints its seed and the smallest
query that still fails. Queries on which PostgreSQL and DuckDB differ need only agree with one of them.
"""

import datetime
import itertools
import math
import os
import random
import sys
import tempfile
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import adbc_driver_flightsql.dbapi as adbc
import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "benches", "peers"))

from database import postgres, psql  # noqa: E402
from measure import serving  # noqa: E402

UTC = datetime.timezone.utc
DAY = datetime.date(2024, 2, 29)
TEXTS = ["", " ", "a", "A", "a ", "b", "ab", "aB%", "a_c", "é", "É", "字", "it's", "back\\slash", "zz", "z\u0301"]
# Around changes of clock in Berlin and New York, and at the ends of a day.
INSTANTS = [
    datetime.datetime(2024, 3, 31, 0, 59, 59, 999999), datetime.datetime(2024, 3, 31, 1, 0), datetime.datetime(2024, 10, 27, 0, 30),
    datetime.datetime(2024, 10, 27, 1, 30), datetime.datetime(2024, 11, 3, 6, 0), datetime.datetime(1969, 12, 31, 23, 59, 59, 999999),
    datetime.datetime(2024, 2, 29, 0, 0), datetime.datetime(2024, 2, 29, 12, 0),
]
WIDEST = "9" * 28 + "." + "9" * 10
# Each column: its type here, in PostgreSQL, and the values that it has. NULLs come on top.
COLUMNS = {
    "i": (pa.int32(), "int", list(range(-3, 12)) + [2**31 - 1, -(2**31)]),
    "l": (pa.int64(), "bigint", [0, 1, 2, 3, 7, 2**53 + 1, -(2**62), 2**62]),
    "s": (pa.int16(), "smallint", [0, 1, 2, -32768, 32767]),
    "n": (pa.decimal128(12, 2), "numeric(12,2)", [Decimal(x) for x in ("0", "1.05", "-1.05", "9999999999.99", "-9999999999.99", "3")]),
    "w": (pa.decimal128(38, 10), "numeric(38,10)", [Decimal(x) for x in ("0", "0.0000000001", "-5", "1234567890123456.5", WIDEST, "-" + WIDEST)]),
    "f": (pa.float64(), "float8", [0.0, 1.5, -3.0, 0.1, 1e300, math.inf, -math.inf, math.nan]),
    "t": (pa.string(), "text", TEXTS),
    "d": (pa.date32(), "date", [DAY, datetime.date(1969, 12, 31), datetime.date(2024, 3, 1), datetime.date(2023, 1, 31)]),
    "ts": (pa.timestamp("us"), "timestamp", INSTANTS),
    "tz": (pa.timestamp("us", "UTC"), "timestamptz", [instant.replace(tzinfo=UTC) for instant in INSTANTS]),
    "b": (pa.bool_(), "boolean", [True, False]),
}
ORDERED = [name for name in COLUMNS if name != "b"]
NUMBERS = ["i", "l", "s", "n", "w"]
# `id` is unique; the join keys repeat.
KEYS = ["i", "l", "s", "t", "d", "n", "w", "f", "ts", "tz", "b", "id"]


def rows_of(generator, count):
    for number in range(count):
        yield [number, *(None if generator.random() < 0.12 else generator.choice(values) for _, _, values in COLUMNS.values())]


def literal(value):
    match value:
        case bool():
            return str(value).upper()
        case float():
            return f"CAST('{str(value).replace('inf', 'Infinity').replace('nan', 'NaN')}' AS DOUBLE PRECISION)"
        case datetime.datetime():
            zone = "Z" if value.tzinfo else ""
            kind = "TIMESTAMP WITH TIME ZONE" if value.tzinfo else "TIMESTAMP"
            return f"CAST('{value.replace(tzinfo=None).isoformat(' ')}{zone}' AS {kind})"
        case datetime.date():
            return f"DATE '{value}'"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case _:
            return str(value)


class Maker:
    """Makes queries from a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, choices):
        return self.random.choice(list(choices))

    def value(self, column):
        # A list of literals takes one type, and the widest leave it no room for digits behind the point.
        return literal(self.pick(value for value in COLUMNS[column][2] if str(value).strip("-") != WIDEST))

    def condition(self, table, depth=0):
        """A condition on columns of a table."""
        column = self.pick(ORDERED)
        name = f"{table}.{column}"
        if depth < 2 and self.random.random() < 0.3:
            parts = [self.condition(table, depth + 1) for _ in range(2)]
            return self.pick([f"({parts[0]} AND {parts[1]})", f"({parts[0]} OR {parts[1]})", f"NOT ({parts[0]})"])
        comparison = self.pick(["=", "<>", "<", "<=", ">", ">="])
        forms = [
            lambda: f"{name} {comparison} {self.value(column)}",
            lambda: f"{name} {comparison} {self.value(column)}",
            lambda: f"{name} IN ({', '.join(self.value(column) for _ in range(3))})",
            lambda: f"{name} NOT IN ({self.value(column)}, {self.value(column)})",
            lambda: f"{name} BETWEEN {self.value(column)} AND {self.value(column)}",
            lambda: f"{name} IS {self.pick(['', 'NOT '])}NULL",
            lambda: f"{table}.t {self.pick(['', 'NOT '])}LIKE {literal(self.pick(['a%', '%b', '%', '_', 'a_c', '%é%', '字', 'it%', '']))}",
            lambda: f"{table}.b IS {self.pick(['TRUE', 'NOT TRUE', 'FALSE'])}",
            lambda: f"{table}.{self.pick(NUMBERS)} {comparison} {table}.{self.pick(NUMBERS)}",
            lambda: f"{table}.d {comparison} DATE '2024-03-01' - INTERVAL '{self.pick([1, 31])}' DAY",
            lambda: f"{table}.d {self.pick('+-')} INTERVAL '{self.pick(['1 month', '30 days', '1 year'])}' {comparison} {self.value('d')}",
            lambda: f"{table}.ts {self.pick('+-')} INTERVAL '{self.pick(['1 month', '1 hour', '1 day'])}' {comparison} {self.value('ts')}",
            lambda: f"{table}.ts {comparison} CAST({table}.d AS TIMESTAMP)",
            lambda: f"extract(year FROM {table}.d) = {self.pick([1969, 2023, 2024])}",
            lambda: f"length({table}.t) {comparison} {self.pick([0, 1, 2])}",
            lambda: f"coalesce({table}.i, 0) {comparison} {self.value('s')}",
            lambda: f"{table}.i {self.pick(['+', '-', '*'])} {self.pick([0, 1, 2])} {comparison} {self.pick([0, 3, 10])}"
            if not self.overflows
            else f"{table}.s + 1 {comparison} 2",
            lambda: f"CASE WHEN {table}.b THEN {table}.l ELSE {table}.id END {comparison} 3",
        ]
        return self.pick(forms)()

    # `i` holds the ends of its type.
    overflows = True

    def below(self, table):
        """A condition of a table on the other one."""
        key = self.pick(KEYS)
        inner = f"SELECT x.{key} FROM {{b}} AS x WHERE {self.condition('x')}"
        return self.pick([
            f"{table}.{key} IN ({inner})",
            f"{table}.{key} NOT IN ({inner} AND x.{key} IS NOT NULL)",
            f"EXISTS (SELECT 1 FROM {{b}} AS x WHERE x.{key} = {table}.{key} AND {self.condition('x')})",
            f"NOT EXISTS (SELECT 1 FROM {{b}} AS x WHERE x.{key} = {table}.{key} AND {self.condition('x')})",
            f"{table}.id > (SELECT min(x.id) FROM {{b}} AS x WHERE {self.condition('x')})",
        ])

    def aggregate(self, table):
        # A sum of the largest numbers is an error here, and none elsewhere.
        column, number = self.pick(ORDERED), self.pick(["i", "l", "s", "n"])
        choices = ["count(*)", f"count({table}.{column})", f"count(DISTINCT {table}.{column})", f"min({table}.{column})",
                   f"max({table}.{column})", f"avg({table}.{number})", f"sum({table}.{self.pick(['i', 's', 'n'])})"]
        chosen = self.pick(choices)
        return f"{chosen} FILTER (WHERE {self.condition(table)})" if self.random.random() < 0.15 else chosen

    def query(self):
        pick, chance = self.pick, self.random.random
        query = Query()
        tables = ["a"]
        if chance() < 0.5:
            tables.append("b")
            keys = [pick(KEYS) for _ in range(pick([1, 1, 1, 2]))]
            query.join = pick(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
            query.on = [f"a.{key} = b.{key}" for key in keys]
            # Few rows on one side, so that a key that repeats multiplies nothing.
            query.where = [f"{pick(tables)}.id < {pick([3, 20, 60])}"] if query.join == "JOIN" else []
            if query.join == "JOIN" and chance() < 0.2:
                # Any row with any row, or by an order instead of equality.
                query.on = [pick(["TRUE", f"a.{keys[0]} {pick(['<', '>=', '<>'])} b.{keys[0]}"])]
                query.where = ["a.id < 20", "b.id < 20"]
            if query.join == "LEFT JOIN" and chance() < 0.3:
                query.on.append(self.condition("b"))
        query.where += [self.condition(pick(tables)) for _ in range(pick([0, 1, 1, 2, 3]))]
        if chance() < 0.2:
            query.where.append(self.below("a"))
        if chance() < 0.35:
            query.group = [f"{pick(tables)}.{pick([*COLUMNS])}" for _ in range(pick([0, 1, 1, 2]))]
            query.output = [self.aggregate(pick(tables)) for _ in range(pick([1, 2, 3]))]
            if chance() < 0.2:
                query.having = [f"count(*) {pick(['>', '<='])} {pick([1, 5, 20])}"]
        else:
            query.output = [f"{pick(tables)}.{pick([*COLUMNS, 'id'])}" for _ in range(pick([1, 2, 4]))]
            query.distinct = chance() < 0.15
        if chance() < 0.4:
            query.order = [(pick(["ASC", "DESC"]), pick(["FIRST", "LAST"])) for _ in range(6)]
            query.limit = pick([None, 0, 1, 5, 40])
            query.offset = pick([None, None, 3])
        return query


class Query:
    """A query by its parts, so that it can be made smaller."""

    def __init__(self):
        self.output, self.group, self.on, self.where, self.having = [], None, [], [], []
        self.join, self.order, self.limit, self.offset, self.distinct = None, None, None, None, False

    def sql(self, a, b):
        output = (self.group or []) + self.output
        text = "SELECT " + ("DISTINCT " if self.distinct else "")
        text += ", ".join(f"{expression} AS c{place}" for place, expression in enumerate(output)) + " FROM {a} AS a"
        if self.join:
            text += f" {self.join} {{b}} AS b ON " + " AND ".join(self.on)
        if self.where:
            text += " WHERE " + " AND ".join(self.where)
        if self.group:
            text += " GROUP BY " + ", ".join(dict.fromkeys(self.group))
        if self.having:
            text += " HAVING " + " AND ".join(self.having)
        if self.order:
            keys = zip(range(1, len(output) + 1), itertools.cycle(self.order))
            text += " ORDER BY " + ", ".join(f"{place} {way} NULLS {nulls}" for place, (way, nulls) in keys)
            text += f" LIMIT {self.limit}" if self.limit is not None else ""
            text += f" OFFSET {self.offset}" if self.offset is not None else ""
        return text.replace("{a}", a).replace("{b}", b)

    def smaller(self):
        """The queries with one part less."""
        for part in ("output", "group", "on", "where", "having"):
            parts = getattr(self, part) or []
            least = 1 if part in ("output", "on") else 0
            for place in range(len(parts) if len(parts) > least else 0):
                yield self.but(**{part: parts[:place] + parts[place + 1:]})
        for part in ("limit", "offset", "order"):
            if getattr(self, part) is not None:
                yield self.but(**{part: None})
        if self.distinct:
            yield self.but(distinct=False)
        mentions_b = any("b." in part for part in [*self.output, *(self.group or []), *self.where])
        if self.join and not mentions_b:
            yield self.but(join=None, on=[])

    def but(self, **parts):
        query = Query()
        query.__dict__.update(self.__dict__, **parts)
        return query


def plain(value):
    """A value as all engines have it: numbers by value, instants in UTC."""
    match value:
        case bool() | None | str():
            return value
        case int():
            return value
        case Decimal():
            return int(value) if value == value.to_integral_value() else value
        case datetime.datetime():
            return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return value


def is_same(one, other):
    if isinstance(one, Decimal) or isinstance(other, Decimal):
        # An average of decimals has as many digits as an engine gives it.
        scales = {value.as_tuple().exponent for value in (one, other) if isinstance(value, Decimal)}
        if is_number(one) and is_number(other) and (len(scales) == 2 or min(scales) < -10) and one == one and other == other:
            return abs(float(one) - float(other)) < 1e-6 * max(1, abs(float(one)))
    if isinstance(one, float) or isinstance(other, float):
        numbers = isinstance(one, (int, float, Decimal)) and isinstance(other, (int, float, Decimal))
        return numbers and (math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-6) or (one != one and other != other))
    return one == other


def rank(row):
    return [(True, 0.0, "") if value is None
            else (False, math.inf, "nan") if value != value
            else (False, float(f"{value:.5e}"), "") if is_number(value)
            else (False, 0.0, str(value)) for value in row]


def is_number(value):
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def are_same(ours, theirs, in_order=False):
    if isinstance(ours, str) or isinstance(theirs, str) or len(ours) != len(theirs):
        return False
    sort = (lambda rows: rows) if in_order else (lambda rows: sorted(rows, key=rank))
    pairs = zip(sort(ours), sort(theirs), strict=True)
    return all(is_same(one, other) for mine, others in pairs for one, other in zip(mine, others, strict=True))


def rows_in(table):
    columns = [[plain(value) for value in column.to_pylist()] for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)] if columns else []


class Engines:
    """What is asked, by one thread."""

    def __init__(self, flight, url, files):
        self.connection = adbc.connect(f"grpc://{flight}")
        self.weft = self.connection.cursor()
        self.duck = duckdb.connect(config={"threads": 1})
        self.duck.execute("SET TimeZone = 'UTC'")
        for name, path in files.items():
            self.duck.execute(f"CREATE VIEW {name} AS SELECT * FROM '{path}'")
        self.postgres = psycopg.connect(url, autocommit=True)
        self.postgres.execute("SET TimeZone = 'UTC'")

    def close(self):
        self.weft.close()
        self.connection.close()

    def ask_weft(self, sql):
        try:
            self.weft.execute(sql)
            return rows_in(self.weft.fetch_arrow_table())
        except adbc.Error as error:
            return f"error: {error}"

    def ask_duckdb(self, sql):
        try:
            return rows_in(self.duck.sql(sql).to_arrow_table())
        except duckdb.Error as error:
            return f"error: {error}"

    def ask_postgres(self, sql):
        try:
            return [[plain(value) for value in row] for row in self.postgres.execute(sql).fetchall()]
        except psycopg.Error as error:
            return f"error: {error}"

    def verdict(self, query):
        """What is wrong with the answers to a query, or how it went."""
        answers = {(a, b): self.ask_weft(query.sql(f"{a}.a", f"{b}.b")) for a in ("file", "base") for b in ("file", "base")}
        references = [self.ask_postgres(query.sql("a", "b")), self.ask_duckdb(query.sql("a", "b"))]
        known = [reference for reference in references if not isinstance(reference, str)]
        errors = [answer for answer in answers.values() if isinstance(answer, str)]
        if len(errors) == len(answers):
            return "refused everywhere", f"{errors[0]}\n" if known else None
        if not known:
            return "refused by both references", None
        # All columns are ordered by, so that equal rows alone may change places.
        in_order = query.order is not None
        for place, answer in answers.items():
            if not any(are_same(answer, reference, in_order) for reference in known):
                lines = [f"  {name}: {show(rows)}" for name, rows in [*answers.items(), ("postgres", references[0]), ("duckdb", references[1])]]
                return "differs", f"placement {place} is wrong\n" + "\n".join(lines)
        for place, answer in answers.items():
            if not are_same(answer, answers["file", "file"], in_order):
                return "differs", f"placement {place} is {show(answer)}, of files {show(answers['file', 'file'])}"
        is_one = len(known) == 2 and are_same(*known)
        return ("the same everywhere" if is_one else "as one of two references"), None


def show(rows):
    if isinstance(rows, str):
        return rows[:300]
    counted = Counter(map(repr, sorted(rows, key=rank)))
    return f"{len(rows)} rows " + ", ".join(f"{count} x {row}" for row, count in counted.items())[:400]


def smallest(engines, query):
    """The smallest query that fails in the same way."""
    kind = engines.verdict(query)[0]
    for smaller in query.smaller():
        if engines.verdict(smaller)[0] == kind:
            return smallest(engines, smaller)
    return query


def ask_all(engines, seeds):
    counts, failures = Counter(), []
    for seed in seeds:
        query = Maker(seed).query()
        kind, wrong = engines.verdict(query)
        counts[kind] += 1
        if wrong:
            small = smallest(engines, query)
            failures.append(f"seed {seed}: {small.sql('a', 'b')}\n{engines.verdict(small)[1]}\n  from: {query.sql('a', 'b')}")
            if len(failures) >= 5:
                break
    return counts, failures


def home_of(folder, url):
    """A home with the files as dataset `file`, and the database as dataset `base`."""
    os.mkdir(os.path.join(folder, "datasets"))
    for dataset, kind, connection in (("file", "parquet", f"path: {folder}"), ("base", "postgres", f"url: {url}")):
        with open(os.path.join(folder, "datasets", f"{dataset}.yaml"), "w") as file:
            file.write(f"dataset:\n  id: {dataset}\n  name: {dataset}\ndatabase:\n  type: {kind}\n  connection:\n    {connection}\n")
    return folder


def main():
    warnings.filterwarnings("ignore")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    with tempfile.TemporaryDirectory() as folder, postgres() as url:
        files = {}
        with psycopg.connect(url, autocommit=True) as connection:
            for table, rows in (("a", 150), ("b", 60)):
                values = list(rows_of(random.Random(f"{first} {table}"), rows))
                types = {"id": (pa.int64(), "bigint"), **{name: column[:2] for name, column in COLUMNS.items()}}
                schema = pa.schema([(name, kind[0]) for name, kind in types.items()])
                columns = [pa.array(column, field.type) for column, field in zip(zip(*values), schema)]
                files[table] = os.path.join(folder, f"{table}.parquet")
                pa.parquet.write_table(pa.table(columns, schema=schema), files[table])
                connection.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {kind[1]}' for name, kind in types.items())})")
                with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                    for row in values:
                        copy.write_row(row)
        psql(url, "VACUUM ANALYZE")
        with serving(sys.argv[1], "--home", home_of(folder, url)) as server, ThreadPoolExecutor(2) as threads:
            engines = [Engines(server.flight, url, files) for _ in range(2)]
            asked = [threads.submit(ask_all, one, range(first + place, first + count, 2)) for place, one in enumerate(engines)]
            counts, failures = Counter(), []
            for part in asked:
                counts += part.result()[0]
                failures += part.result()[1]
            for one in engines:
                one.close()
    if failures:
        raise SystemExit("\n\n".join(failures))
    print(f"ok  {sum(counts.values())} random queries from seed {first}: " + ", ".join(f"{n} {kind}" for kind, n in counts.most_common()))


main()

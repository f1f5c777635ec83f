"""Asks a real `weft` through Flight SQL clients: ADBC, pandas, polars, flightsql-dbapi with SQLAlchemy, raw pyarrow.

Usage: flight.py PATH_TO_WEFT. It makes its own data and server, and ends both. It prints one line per passed case.
"""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import adbc_driver_flightsql.dbapi as adbc
import flightsql
import flightsql.sqlalchemy  # noqa: F401  registers the dialect
import pandas
import polars
import pyarrow
import pyarrow.flight
import sqlalchemy
from adbc_driver_flightsql import DatabaseOptions
from flightsql import FlightSQLClient
from flightsql.client import flight_descriptor
from flightsql.flightsql_pb2 import CommandStatementQuery

PEOPLE = "id,name,age,weight\n" + "".join(f"{i},person {i},{20 + i % 50},{1 + i % 3}\n" for i in range(500))
# Rows without end, as far as anybody will wait.
ENDLESS = "SELECT value AS n FROM generate_series(1, 1000000000000)"


def refused(code, call, *arguments, **more):
    """What the call raises, which must name the code where the client shows it at all."""
    try:
        call(*arguments, **more)
    except Exception as error:
        details = [value for key, value in getattr(error, "details", []) if key == "weft-code"]
        if details:
            assert details[0].decode() == code, (details, error)
        return error
    raise AssertionError(f"{code} was expected of {arguments}")


def adbc_answers_rows(uri):
    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, name FROM people WHERE id < 3 ORDER BY id")
        assert cursor.fetchall() == [(0, "person 0"), (1, "person 1"), (2, "person 2")]
        assert [column[0] for column in cursor.description] == ["id", "name"] and cursor.rowcount == -1
        cursor.execute("SELECT count(*) AS n FROM people WHERE false")
        assert cursor.fetch_arrow_table().to_pylist() == [{"n": 0}]
        cursor.execute("SELECT id FROM people WHERE false")
        table = cursor.fetch_arrow_table()
        assert table.num_rows == 0 and table.column_names == ["id"]


def adbc_binds_parameters(uri):
    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        for sql in ["SELECT name FROM people WHERE id = ? AND name = ?", "SELECT name FROM people WHERE id = $1 AND name = $2"]:
            cursor.execute(sql, (7, "person 7"))
            assert cursor.fetchall() == [("person 7",)]
        cursor.execute("SELECT count(*) FROM people WHERE ? IS NULL", (None,))
        assert cursor.fetchone() == (500,)
        cursor.execute("SELECT '?' AS mark, id FROM people WHERE id = ? -- really?", (3,))
        assert cursor.fetchall() == [("?", 3)]
        several = pyarrow.record_batch({"0": [5, 6]})
        cursor.adbc_prepare("SELECT id FROM people WHERE id = ?")
        cursor.execute("SELECT id FROM people WHERE id = ?", several)
        assert cursor.fetchall() == [(5,), (6,)]


def adbc_describes_without_running(uri):
    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema("SELECT id, name FROM people")
        assert schema.names == ["id", "name"], schema
        parameters = cursor.adbc_prepare("SELECT id FROM people WHERE id = ?")
        assert len(parameters) == 1 and pyarrow.types.is_integer(parameters.field(0).type), parameters


def adbc_reads_partitions(uri):
    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        partitions, schema = cursor.adbc_execute_partitions("SELECT id FROM people")
        assert len(partitions) == 1 and schema.names == ["id"]
        with adbc.connect(uri) as other, other.cursor() as reader:
            reader.adbc_read_partition(partitions[0])
            assert len(reader.fetchall()) == 500


def adbc_browses(uri):
    with adbc.connect(uri) as connection:
        info = connection.adbc_get_info()
        assert info["vendor_name"] == "Weft", info
        assert connection.adbc_get_table_types() == ["SYSTEM TABLE", "TABLE", "VIEW"]
        objects = connection.adbc_get_objects().read_all().to_pylist()
        assert [catalog["catalog_name"] for catalog in objects] == ["weft"], objects
        schemas = {schema["db_schema_name"]: schema for schema in objects[0]["catalog_db_schemas"]}
        assert {"local", "system"} <= set(schemas), schemas.keys()
        (people,) = schemas["local"]["db_schema_tables"]
        assert (people["table_name"], people["table_type"]) == ("people", "TABLE")
        columns = [(column["column_name"], column["ordinal_position"]) for column in people["table_columns"]]
        assert columns == [("id", 1), ("name", 2), ("age", 3), ("weight", 4)]
        assert {column["xdbc_type_name"] for column in people["table_columns"]} == {"BIGINT", "VARCHAR"}, people
        listed = connection.adbc_get_table_schema("people")
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM people LIMIT 1")
            returned = cursor.fetch_arrow_table().schema
        assert [(f.name, f.type) for f in listed] == [(f.name, f.type) for f in returned]
        shallow = connection.adbc_get_objects(depth="tables", table_name_filter="peop%").read_all().to_pylist()
        assert [t["table_name"] for s in shallow[0]["catalog_db_schemas"] for t in s["db_schema_tables"]] == ["people"]


def adbc_keeps_session_options(uri):
    with adbc.connect(uri) as connection:
        assert connection.adbc_current_catalog == "weft"
        connection.adbc_current_db_schema = "system"
        assert connection.adbc_current_db_schema == "system"
        with connection.cursor() as cursor:
            cursor.execute("SELECT dataset_id FROM datasets")
            assert cursor.fetchall() == [("local",)]
        refused("", setattr, connection, "adbc_current_db_schema", "nowhere")


def adbc_logs_in(uri):
    for options in [
        {"username": "anyone", "password": "anything"},
        {DatabaseOptions.AUTHORIZATION_HEADER.value: "Bearer mine"},
        {DatabaseOptions.WITH_COOKIE_MIDDLEWARE.value: "true"},
    ]:
        with adbc.connect(uri, db_kwargs=options) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM people")
            assert cursor.fetchone() == (500,)


def adbc_names_its_dataset_by_header(uri):
    header = DatabaseOptions.RPC_CALL_HEADER_PREFIX.value
    with adbc.connect(uri, db_kwargs={header + "x-weft-dataset": "system"}) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM datasets")
            assert cursor.fetchone() == (1,)
    with adbc.connect(uri, db_kwargs={header + "x-weft-max-rows": "7"}) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM people")
            assert len(cursor.fetchall()) == 7


def adbc_is_told_what_is_wrong(uri):
    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        for code, kind, sql in [
            ("invalid_sql", adbc.ProgrammingError, "SELEC 1"),
            ("table_not_found", adbc.ProgrammingError, "SELECT * FROM peeple"),
            ("column_not_found", adbc.ProgrammingError, "SELECT nme FROM people"),
            ("read_only", adbc.Error, "INSERT INTO people VALUES (1, 'x', 1, 1)"),
            ("read_only", adbc.Error, "CREATE TABLE t AS SELECT 1"),
        ]:
            error = refused(code, cursor.execute, sql)
            assert isinstance(error, kind), (sql, repr(error))
            assert "/" not in str(error).replace("://", ""), error
        refused("read_only", cursor.executemany, "INSERT INTO people VALUES (?, ?, ?, ?)", [(1, "x", 1, 1)])
        refused("read_only", cursor.adbc_ingest, "fresh", pyarrow.table({"a": [1, 2]}))
        cursor.execute("SELECT 10 / (id - 499) AS a FROM people ORDER BY id")
        refused("arithmetic_error", cursor.fetchall)
        cursor.execute("SELECT count(*) FROM people")
        assert cursor.fetchone() == (500,), "the connection still works"


def running(uri):
    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM system.queries WHERE outcome = 'running' AND kind <> 'metadata'")
        return cursor.fetchone()[0]


def adbc_cancels_by_going_away(uri):
    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(ENDLESS)
        reader = cursor.fetch_record_batch()
        assert reader.read_next_batch().num_rows > 0
        assert running(uri) == 1
        cursor.adbc_cancel()
        refused("", reader.read_all)
    while running(uri):
        time.sleep(0.05)


def pandas_reads(uri):
    with adbc.connect(uri) as connection:
        frame = pandas.read_sql("SELECT id, name FROM people ORDER BY id", connection)
        assert len(frame) == 500 and list(frame.columns) == ["id", "name"]
        frame = pandas.read_sql("SELECT id FROM people WHERE name LIKE '%9' AND id < 50", connection)
        assert sorted(frame["id"]) == [9, 19, 29, 39, 49]
        refused("read_only", pandas.DataFrame({"a": [1]}).to_sql, "fresh", connection, index=False)


def polars_reads(uri):
    frame = polars.read_database_uri("SELECT id, weight FROM people ORDER BY id", uri.replace("grpc", "flightsql", 1) + "?transport=tcp", engine="adbc")
    assert frame.shape == (500, 2) and frame["id"].to_list() == list(range(500))
    with adbc.connect(uri) as connection:
        frame = polars.read_database("SELECT name FROM people WHERE id = 4", connection)
        assert frame.rows() == [("person 4",)]
        refused("read_only", polars.DataFrame({"a": [1]}).write_database, "fresh", connection)


def dbapi_client(uri, **more):
    host, port = uri.removeprefix("grpc://").split(":")
    return FlightSQLClient(host=host, port=int(port), insecure=True, **more)


def flightsql_dbapi_asks(uri):
    for login in [{}, {"user": "anyone", "password": "anything"}, {"token": "mine"}]:
        connection = flightsql.connect(dbapi_client(uri, **login))
        cursor = connection.cursor()
        cursor.execute("SELECT id, name FROM people WHERE id < 2 ORDER BY id")
        rows = [tuple(row) for row in cursor.fetchall()]
        assert rows == [(0, "person 0"), (1, "person 1")], rows
    client = dbapi_client(uri)
    with client.prepare("SELECT name FROM people WHERE id = ?") as statement:
        for id in (3, 4):
            info = statement.execute(pyarrow.record_batch({"id": [id]}))
            assert client.do_get(info.endpoints[0].ticket).read_all().to_pylist() == [{"name": f"person {id}"}]
    for info in [client.get_catalogs(), client.get_table_types(), client.get_xdbc_type_info(None), client.get_sql_info([])]:
        reader = client.do_get(info.endpoints[0].ticket)
        assert reader.schema == info.schema and reader.read_all().num_rows > 0


def sqlalchemy_reflects(uri):
    address = uri.removeprefix("grpc://")
    engine = sqlalchemy.create_engine(f"datafusion://{address}?insecure=true&feature-sqlalchemy-prepared-statements=on")
    inspector = sqlalchemy.inspect(engine)
    assert {"local", "system"} <= set(inspector.get_schema_names())
    assert inspector.get_table_names("local") == ["people"]
    assert [column["name"] for column in inspector.get_columns("people", "local")] == ["id", "name", "age", "weight"]
    with engine.connect() as connection:
        people = sqlalchemy.Table("people", sqlalchemy.MetaData(), autoload_with=connection, schema="local")
        query = sqlalchemy.select(people.c.name).where(people.c.id == 11)
        assert connection.execute(query).fetchall() == [("person 11",)]


def pyarrow_reads_the_summary(uri):
    client = pyarrow.flight.connect(uri.replace("grpc://", "grpc+tcp://"))
    descriptor = flight_descriptor(CommandStatementQuery(query="SELECT id FROM people"))
    info = client.get_flight_info(descriptor)
    assert info.total_records == -1 and len(info.endpoints) == 1 and info.endpoints[0].locations == []
    assert client.get_schema(descriptor).schema == info.schema
    chunks = list(client.do_get(info.endpoints[0].ticket))
    assert sum(chunk.data.num_rows for chunk in chunks) == 500
    summary = json.loads(chunks[-1].app_metadata.to_pybytes())
    assert summary["row_count"] == 500 and summary["truncated"] is False and summary["query_id"], summary
    table = client.do_get(info.endpoints[0].ticket).read_all()
    assert table.num_rows == 500 and table.schema == info.schema
    forged = pyarrow.flight.Ticket(info.endpoints[0].ticket.ticket[:-1] + b"x")
    refused("invalid_argument", lambda: client.do_get(forged).read_all())
    refused("invalid_argument", lambda: client.do_get(pyarrow.flight.Ticket(b"nonsense")).read_all())
    refused("invalid_argument", lambda: client.get_flight_info(pyarrow.flight.FlightDescriptor.for_path("people")))
    assert client.authenticate_basic_token("anyone", "anything")[0] == b"authorization"


CASES = [
    adbc_answers_rows,
    adbc_binds_parameters,
    adbc_describes_without_running,
    adbc_reads_partitions,
    adbc_browses,
    adbc_keeps_session_options,
    adbc_logs_in,
    adbc_names_its_dataset_by_header,
    adbc_is_told_what_is_wrong,
    adbc_cancels_by_going_away,
    pandas_reads,
    polars_reads,
    flightsql_dbapi_asks,
    sqlalchemy_reflects,
    pyarrow_reads_the_summary,
]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def served(weft, table):
    http, flight = (f"127.0.0.1:{free_port()}" for _ in range(2))
    server = subprocess.Popen([weft, "serve", "--table", table, "--http", http, "--flight", flight])
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(flight.rsplit(":", 1)[1]))).close()
                break
            except ConnectionError:
                assert server.poll() is None, "the server ended"
                time.sleep(0.1)
        yield f"grpc://{flight}"
        assert server.poll() is None, "the server ended"
    finally:
        server.terminate()
        server.wait()


def main():
    warnings.filterwarnings("ignore")
    weft = str(Path(sys.argv[1]).resolve())
    only = sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        people = Path(folder) / "people.csv"
        people.write_text(PEOPLE)
        with served(weft, f"people={people}") as uri:
            for case in CASES:
                if not only or case.__name__ in only:
                    case(uri)
                    print(f"ok  {case.__name__}", flush=True)


main()

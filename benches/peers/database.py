"""A private PostgreSQL for a bench, with tables of TPC-H in it."""

import contextlib
import glob
import os
import pwd
import shutil
import subprocess
import tempfile

import duckdb
from measure import free_port, tpch

TYPES = {
    "customer": "c_custkey bigint, c_name text, c_address text, c_nationkey int, c_phone text, c_acctbal numeric(15,2), "
    "c_mktsegment text, c_comment text",
    "lineitem": "l_orderkey bigint, l_partkey bigint, l_suppkey bigint, l_linenumber int, l_quantity numeric(15,2), "
    "l_extendedprice numeric(15,2), l_discount numeric(15,2), l_tax numeric(15,2), l_returnflag text, l_linestatus text, "
    "l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct text, l_shipmode text, l_comment text",
    "nation": "n_nationkey int, n_name text, n_regionkey int, n_comment text",
    "orders": "o_orderkey bigint, o_custkey bigint, o_orderstatus text, o_totalprice numeric(15,2), o_orderdate date, "
    "o_orderpriority text, o_clerk text, o_shippriority int, o_comment text",
    "part": "p_partkey bigint, p_name text, p_mfgr text, p_brand text, p_type text, p_size int, p_container text, "
    "p_retailprice numeric(15,2), p_comment text",
    "partsupp": "ps_partkey bigint, ps_suppkey bigint, ps_availqty int, ps_supplycost numeric(15,2), ps_comment text",
    "region": "r_regionkey int, r_name text, r_comment text",
    "supplier": "s_suppkey bigint, s_name text, s_address text, s_nationkey int, s_phone text, s_acctbal numeric(15,2), "
    "s_comment text",
}
KEYS = {
    "customer": "c_custkey",
    "lineitem": "l_orderkey, l_linenumber",
    "nation": "n_nationkey",
    "orders": "o_orderkey",
    "part": "p_partkey",
    "partsupp": "ps_partkey, ps_suppkey",
    "region": "r_regionkey",
    "supplier": "s_suppkey",
}


def program(name):
    found = shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)
    return found or exit(f"PostgreSQL's {name} is not on this machine: install the package postgresql.")


@contextlib.contextmanager
def postgres():
    """A private PostgreSQL on a free port; it refuses to run as root, so root runs it as postgres."""
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as folder:
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        data, port = os.path.join(folder, "data"), free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off -c shared_buffers=1GB"
        as_user = {"user": user, "group": user, "cwd": folder} if user else {}
        subprocess.run([program("initdb"), "-D", data, "-U", "bench", "--auth=trust"], check=True, stdout=subprocess.DEVNULL, **as_user)
        start = [program("pg_ctl"), "-D", data, "-o", options, "-w", "-l", os.path.join(folder, "log"), "start"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL, **as_user)
        try:
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"
        finally:
            stop = [program("pg_ctl"), "-D", data, "-m", "immediate", "stop"]
            subprocess.run(stop, check=True, stdout=subprocess.DEVNULL, **as_user)


def psql(url, *statements):
    commands = [part for statement in statements for part in ("-c", statement)]
    subprocess.run(["psql", url, "-q", "-v", "ON_ERROR_STOP=1", *commands], check=True)


def psql_value(url, sql):
    """The one value that a statement answers with; empty where it has none."""
    out = subprocess.run(["psql", url, "-qAt", "-v", "ON_ERROR_STOP=1", "-c", sql], check=True, capture_output=True, text=True)
    return out.stdout.strip()


def load(url, data, *tables, scale="1"):
    """Copies tables of TPC-H into the database, with their primary keys, analyzed."""
    for table, path in zip(tables, tpch(data, *tables, scale=scale), strict=True):
        psql(url, f"CREATE TABLE {table} ({TYPES[table]})")
        with tempfile.NamedTemporaryFile(suffix=".csv") as text:
            duckdb.sql(f"COPY (SELECT * FROM '{path}') TO '{text.name}' (HEADER false)")
            psql(url, f"\\copy {table} FROM '{text.name}' (FORMAT csv)")
        psql(url, f"ALTER TABLE {table} ADD PRIMARY KEY ({KEYS[table]})")
        psql(url, f"VACUUM ANALYZE {table}")


def duckdb_with_postgres(url):
    """DuckDB with the database attached as `pg`, by its own scanner."""
    import duckdb_extension_postgres_scanner as scanner

    folder = os.path.dirname(scanner.__file__) if scanner.__file__ else scanner.__path__[0]
    (extension,) = glob.glob(os.path.join(folder, "**", "*.duckdb_extension"), recursive=True)
    duck = duckdb.connect(config={"threads": os.cpu_count(), "allow_unsigned_extensions": "true"})
    duck.execute(f"LOAD '{extension}'")
    duck.execute(f"ATTACH '{url}' AS pg (TYPE postgres, READ_ONLY)")
    return duck

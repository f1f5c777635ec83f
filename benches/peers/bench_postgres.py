"""A full read of TPC-H `orders` from PostgreSQL, against connectorx's own Python package."""

import contextlib
import glob
import os
import pwd
import shutil
import subprocess
import tempfile

import adbc_driver_flightsql.dbapi as flight_sql
import connectorx
import duckdb

from measure import Figure, free_port, in_turns, serving, tpch

ROWS = 1_500_000
COLUMNS = """o_orderkey bigint, o_custkey bigint, o_orderstatus text, o_totalprice numeric(15,2), o_orderdate date,
             o_orderpriority text, o_clerk text, o_shippriority int, o_comment text"""


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


def load(url, path):
    run = ["psql", url, "-q", "-v", "ON_ERROR_STOP=1", "-c"]
    subprocess.run([*run, f"CREATE TABLE orders ({COLUMNS})"], check=True)
    copy = subprocess.Popen([*run, "COPY orders FROM STDIN (FORMAT csv)"], stdin=subprocess.PIPE)
    with tempfile.NamedTemporaryFile(suffix=".csv") as text:
        duckdb.sql(f"COPY (SELECT * FROM '{path}') TO '{text.name}' (HEADER false)")
        shutil.copyfileobj(open(text.name, "rb"), copy.stdin)
    copy.stdin.close()
    assert copy.wait() == 0
    subprocess.run([*run, "VACUUM ANALYZE orders"], check=True)


def run(args):
    (path,) = tpch(args.data, "orders")
    with postgres() as url:
        load(url, path)
        with serving(args.weft, "--table", f"orders={url}?table=public.orders") as server:
            with flight_sql.connect(f"grpc://{server.flight}") as connection, connection.cursor() as cursor:

                def ours():
                    cursor.execute("SELECT * FROM orders")
                    assert cursor.fetch_arrow_table().num_rows == ROWS

                def theirs():
                    assert connectorx.read_sql(url, "SELECT * FROM orders", return_type="arrow").num_rows == ROWS

                best = in_turns(args.runs, weft=ours, connectorx=theirs)
    detail = f"weft over Flight SQL {best['weft']:.3f} s, connectorx in process {best['connectorx']:.3f} s"
    yield Figure("full read of orders, 1.5 M x 9, ratio to connectorx", best["weft"] / best["connectorx"], "x", 1.0, detail)

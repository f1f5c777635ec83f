"""A full read of TPC-H `orders` from PostgreSQL, against connectorx's own Python package."""

import adbc_driver_flightsql.dbapi as flight_sql
import connectorx
from database import load, postgres
from measure import Figure, in_turns, serving

ROWS = 1_500_000


def run(args):
    with postgres() as url:
        load(url, args.data, "orders")
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

//! Lines to copy: how to ask the running demo from a terminal, from Python, and from a language model's client.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

const SQL: &str = "SELECT gender, round(sum(weight)) AS people FROM panel.people GROUP BY gender ORDER BY gender";

/// Prints them.
///
/// # Errors
/// What writing fails with.
pub(super) fn print(out: &mut dyn Write, home: &Path, http: SocketAddr, flight: SocketAddr) -> io::Result<()> {
    let home = home.display();
    // As the user called it: it need not be in PATH.
    let weft = std::env::args().next().unwrap_or_else(|| "weft".to_owned());
    write!(
        out,
        r#"
Weft is ready: http://{http} (documentation at http://{http}/docs), Flight SQL at grpc://{flight}.
Ctrl-C ends it, and the bank with it. Until then, in another terminal:

curl:
    curl -s http://{http}/v1/sql -H 'Content-Type: application/json' -H 'Accept: text/csv' \
      -d '{{"sql": "{SQL}"}}'

Python (pip install adbc-driver-flightsql pyarrow pandas):
    import adbc_driver_flightsql.dbapi as flight_sql
    with flight_sql.connect("grpc://{flight}") as connection, connection.cursor() as cursor:
        cursor.execute("{SQL}")
        print(cursor.fetch_arrow_table().to_pandas())

A client of the Model Context Protocol:
    {{"mcpServers": {{"weft": {{"type": "http", "url": "http://{http}/mcp"}}}}}}

The command line, as somebody who sees one state and no phone numbers:
    {weft} query --home {home} --as asha "SELECT name, state, phone FROM customer_db.customers ORDER BY customer_id LIMIT 3"
"#
    )?;
    out.flush()
}

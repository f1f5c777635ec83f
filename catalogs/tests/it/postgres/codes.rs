//! A codebook over a table of the server: what is asked of recoded columns is asked there in codes.

use super::federation::asked;
use super::server::Server;

const PEOPLE: &str = "
    CREATE TABLE people AS SELECT n AS id, (ARRAY['A1', 'A', 'B', 'C', 'E'])[n % 5 + 1] AS class,
        (ARRAY[1, 2, 2, -9, NULL])[n % 5 + 1] AS answer, n::int8 AS spend FROM generate_series(1, 50000) n;
    ANALYZE people";

const CODES: &str = "
columns:
  people.class: {labels: {A: Upper}, merge: {A: [A, A1], C/D/E: [C, D, E]}}
  people.answer: {labels: {1: yes, 2: no}, missing: [-9]}
";

#[test]
fn conditions_on_recoded_columns_are_asked_in_codes() {
    let Some(server) = Server::start() else { return };
    server.sql(PEOPLE);
    let asked = asked(&server, CODES, "class,rank\nA,1\nC/D/E,3\n");
    for (sql, sent, rows) in [
        ("SELECT count(*), min(id) FROM bank.people WHERE class = 'A'", "'A1'", "20000|1"),
        ("SELECT count(*), min(id) FROM bank.people WHERE class <> 'A'", "'A1'", "30000|2"),
        ("SELECT count(*), min(id) FROM bank.people WHERE answer IS NULL", "-9", "20000|3"),
        ("SELECT count(*), min(id) FROM bank.people WHERE answer <> 1", "-9", "20000|1"),
        ("SELECT sum(spend) FROM bank.people WHERE class IN ('B', 'A')", "sum(", "750005000"),
        ("SELECT answer, spend FROM bank.people WHERE id = 3", "\"id\" =", "~|3"),
        ("SELECT id FROM bank.people ORDER BY spend DESC LIMIT 2", ") AS top", "50000, 49999"),
    ] {
        let asked_for = asked.sent(sql).join("\n");
        assert!(asked_for.contains(sent), "{sql}: {asked_for}");
        assert_eq!(asked.ask(sql).join(", "), rows, "{sql}");
    }
    let sql = "SELECT label(class), count(*) FROM bank.people GROUP BY class ORDER BY class";
    assert_eq!(asked.ask(sql), ["Upper|20000", "B|10000", "C/D/E|20000"]);
    let sql =
        "SELECT s.rank, count(*) FROM files.small s JOIN bank.people p ON p.class = s.class GROUP BY 1 ORDER BY 1";
    assert_eq!(asked.ask(sql), ["1|20000", "3|20000"]);
}

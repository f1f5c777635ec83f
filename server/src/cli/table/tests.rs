//! What tables look like.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn people() -> RecordBatch {
    batch(vec![
        ("name", Arc::new(StringArray::from(vec![Some("Asha"), None, Some("東京")]))),
        ("age", Arc::new(Int64Array::from(vec![Some(31), Some(7), None]))),
    ])
}

fn shown(batch: &RecordBatch, look: Look) -> String {
    let mut out = Vec::new();
    let mut table = Table::new(batch.schema_ref(), look);
    table.push(batch, &mut out).unwrap();
    table.finish(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn in_width(columns: usize) -> Look {
    Look::fitting(Some(columns), Paint::when(false))
}

fn widest(text: &str) -> usize {
    text.lines().map(width).max().unwrap()
}

#[test]
fn numbers_stand_at_the_right_and_null_is_named() {
    insta::assert_snapshot!(shown(&people(), Look::plain()), @r"
    ┌──────┬──────┐
    │ name │  age │
    ├──────┼──────┤
    │ Asha │   31 │
    │ NULL │    7 │
    │ 東京 │ NULL │
    └──────┴──────┘
    ");
}

#[test]
fn text_gives_way_before_columns_are_left_out() {
    let text = "a rather long text that does not fit here";
    let batch = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![123_456_789]))),
        ("text", Arc::new(StringArray::from(vec![text]))),
    ]);
    insta::assert_snapshot!(shown(&batch, in_width(40)), @r"
    ┌───────────┬──────────────────────────┐
    │        id │ text                     │
    ├───────────┼──────────────────────────┤
    │ 123456789 │ a rather long text that… │
    └───────────┴──────────────────────────┘
    ");
}

#[test]
fn columns_in_the_middle_are_left_out_where_the_terminal_is_narrow() {
    let names: Vec<String> = (0..30).map(|at| format!("column_{at}")).collect();
    let columns = names.iter().map(|name| (name.as_str(), Arc::new(Int64Array::from(vec![1])) as ArrayRef)).collect();
    let text = shown(&batch(columns), in_width(60));
    assert!(widest(&text) <= 60, "{text}");
    insta::assert_snapshot!(text, @r"
    ┌──────────┬──────────┬───┬───────────┬───────────┐
    │ column_0 │ column_1 │ … │ column_28 │ column_29 │
    ├──────────┼──────────┼───┼───────────┼───────────┤
    │        1 │        1 │ … │         1 │         1 │
    └──────────┴──────────┴───┴───────────┴───────────┘
    ");
}

#[test]
fn every_table_fits_every_terminal() {
    for columns in 1..12 {
        let names: Vec<String> = (0..columns).map(|at| format!("name{at}")).collect();
        let value = || Arc::new(StringArray::from(vec!["x".repeat(50)])) as ArrayRef;
        let batch = batch(names.iter().map(|name| (name.as_str(), value())).collect());
        for limit in 10..120 {
            let text = shown(&batch, in_width(limit));
            assert!(widest(&text) <= limit, "{columns} columns in {limit}:\n{text}");
        }
    }
}

#[test]
fn data_cannot_steer_the_terminal() {
    let batch = batch(vec![("x", Arc::new(StringArray::from(vec!["a\u{1b}[31mb\nc\u{202e}d"])))]);
    let text = shown(&batch, Look::plain());
    assert!(text.contains(r"│ a\u{1b}[31mb\nc\u{202e}d │"), "{text}");
}

#[test]
fn later_pieces_are_wider_where_nothing_limits_them() {
    let short = batch(vec![("x", Arc::new(StringArray::from(vec!["a"; PIECE_ROWS])))]);
    let long = batch(vec![("x", Arc::new(StringArray::from(vec!["a longer text"])))]);
    let mut out = Vec::new();
    let mut table = Table::new(short.schema_ref(), Look::plain());
    table.push(&short, &mut out).unwrap();
    table.push(&long, &mut out).unwrap();
    assert_eq!(table.finish(&mut out).unwrap(), (1, 1));
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("│ a longer text │\n"), "{}", text.lines().last().unwrap());
}

#[test]
fn an_expanded_row_is_one_line_per_value() {
    let mut out = Vec::new();
    Expanded::new(people().schema_ref(), Paint::when(false)).push(&people().slice(0, 1), &mut out).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
    ─[ row 1 ]─
    name │ Asha
    age  │ 31
    ");
}

//! Cells of every type, as text and as JSON.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, Int64Builder,
    ListBuilder, MapBuilder, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{Field, Fields};
use serde_json::{Value, json};

use super::*;

fn values(array: impl Array + 'static) -> Vec<Value> {
    let array: ArrayRef = Arc::new(array);
    let column = Column::new(array.as_ref()).unwrap();
    (0..array.len()).map(|row| serde_json::to_value(column.cell(row)).unwrap()).collect()
}

fn texts(array: impl Array + 'static) -> Vec<Option<String>> {
    (0..array.len()).map(|row| text(&array, row).unwrap()).collect()
}

#[test]
fn integers_are_numbers_up_to_two_to_the_53() {
    let edge = 1_i64 << 53;
    assert_eq!(
        values(Int64Array::from(vec![Some(edge), Some(edge + 1), Some(-edge), Some(i64::MIN), None])),
        [json!(edge), json!("9007199254740993"), json!(-edge), json!("-9223372036854775808"), json!(null)]
    );
    assert_eq!(values(UInt64Array::from(vec![7, u64::MAX])), [json!(7), json!("18446744073709551615")]);
    assert_eq!(texts(Int64Array::from(vec![edge + 1])), [Some("9007199254740993".to_owned())]);
}

#[test]
fn decimals_keep_every_digit() {
    let array = Decimal128Array::from(vec![123_456_789_012_345_678_901_234_i128, -5]).with_precision_and_scale(38, 2);
    assert_eq!(values(array.unwrap()), [json!("1234567890123456789012.34"), json!("-0.05")]);
}

#[test]
fn floats_without_a_json_number_are_words() {
    let array = Float64Array::from(vec![0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    assert_eq!(values(array.clone()), [json!(0.1), json!("NaN"), json!("Infinity"), json!("-Infinity")]);
    let words = texts(array).into_iter().flatten().collect::<Vec<_>>();
    assert_eq!(words, ["0.1", "NaN", "Infinity", "-Infinity"]);
}

#[test]
fn times_are_iso_8601_and_binary_is_hex() {
    let local = TimestampMicrosecondArray::from(vec![1_700_000_000_123_000]);
    assert_eq!(values(local.clone()), [json!("2023-11-14T22:13:20.123")]);
    assert_eq!(values(local.with_timezone("UTC")), [json!("2023-11-14T22:13:20.123Z")]);
    assert_eq!(values(Date32Array::from(vec![0])), [json!("1970-01-01")]);
    assert_eq!(values(BinaryArray::from_vec(vec![b"\x00\xff"])), [json!("00ff")]);
}

#[test]
fn nested_values_nest_and_their_text_is_json() {
    let mut list = ListBuilder::new(Int64Builder::new());
    list.append_value([Some(1), None]);
    list.append_null();
    list.append_value([]);
    let list = list.finish();
    assert_eq!(values(list.clone()), [json!([1, null]), json!(null), json!([])]);
    assert_eq!(values(list.slice(2, 1)), [json!([])]);
    assert_eq!(texts(list), [Some("[1,null]".to_owned()), None, Some("[]".to_owned())]);

    let fields = Fields::from(vec![Field::new("id", DataType::Int32, false), Field::new("name", DataType::Utf8, true)]);
    let parts: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(vec![1, 2])), Arc::new(StringArray::from(vec![Some("x"), None]))];
    let people = StructArray::new(fields, parts, None);
    assert_eq!(values(people.slice(1, 1)), [json!({"id": 2, "name": null})]);

    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    map.keys().append_value("a");
    map.values().append_value(1);
    map.append(true).unwrap();
    assert_eq!(values(map.finish()), [json!({"a": 1})]);
}

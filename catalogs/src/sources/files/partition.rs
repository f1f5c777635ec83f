//! Columns that folders carry: `key=value`, typed by all values of the key.

use arrow::datatypes::{DataType, Field};
use chrono::NaiveDate;
use datafusion::common::ScalarValue;
use engine::{Code, Error};

use super::{DataFile, SOURCE_TYPE};

/// What Hive writes for NULL.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Days from the first day of our era to 1970-01-01.
const EPOCH_DAYS: i32 = 719_163;

/// The partition columns of a table, and their values for each of its files.
pub(crate) fn columns(files: &[DataFile]) -> Result<(Vec<Field>, Vec<Vec<ScalarValue>>), Error> {
    let Some(first) = files.first() else { return Ok((Vec::new(), Vec::new())) };
    let keys: Vec<&str> = first.partitions.iter().map(|(key, _)| key.as_str()).collect();
    for file in files {
        if !file.partitions.iter().map(|(key, _)| key).eq(keys.iter()) {
            let text = format!(
                "File \"{}\" lies in other key=value folders than \"{}\" of the same table.",
                file.name, first.name
            );
            return Err(Error::new(Code::SchemaChanged, text)
                .hint("Give every file of the table the same folders, in the same order."));
        }
    }
    let mut fields = Vec::with_capacity(keys.len());
    let mut values = vec![Vec::with_capacity(keys.len()); files.len()];
    for (at, key) in keys.into_iter().enumerate() {
        let texts: Vec<&str> = files.iter().map(|file| file.partitions[at].1.as_str()).collect();
        let data_type = type_of(&texts);
        for (text, row) in texts.iter().zip(&mut values) {
            row.push(value(text, &data_type));
        }
        fields.push(field(key, data_type, texts.contains(&NULL)));
    }
    Ok((fields, values))
}

/// The column of a key of which these values were seen; others may follow.
pub(crate) fn column(key: &str, seen: &[&str]) -> Field {
    field(key, type_of(seen), true)
}

fn field(key: &str, data_type: DataType, nullable: bool) -> Field {
    let metadata = [(SOURCE_TYPE.to_owned(), "partition".to_owned())].into();
    Field::new(key, data_type, nullable).with_metadata(metadata)
}

/// A file's values of the partition columns of its table.
pub(crate) fn values(file: &DataFile, fields: &[Field]) -> Vec<ScalarValue> {
    file.partitions.iter().zip(fields).map(|((_, text), field)| value(text, field.data_type())).collect()
}

/// Whether a value is of the type that a key was given.
pub(crate) fn fits(text: &str, data_type: &DataType) -> bool {
    text == NULL || !value(text, data_type).is_null()
}

fn type_of(texts: &[&str]) -> DataType {
    let all = |is: fn(&str) -> bool| texts.iter().all(|text| *text == NULL || is(text));
    if texts.iter().all(|text| *text == NULL) {
        DataType::Utf8
    } else if all(|text| text.parse::<i64>().is_ok()) {
        DataType::Int64
    } else if all(|text| date(text).is_some()) {
        DataType::Date32
    } else {
        DataType::Utf8
    }
}

/// A value of a key that has the given type.
pub(crate) fn value(text: &str, data_type: &DataType) -> ScalarValue {
    let text = (text != NULL).then_some(text);
    match data_type {
        DataType::Int64 => ScalarValue::Int64(text.and_then(|text| text.parse().ok())),
        DataType::Date32 => ScalarValue::Date32(text.and_then(date)),
        _ => ScalarValue::Utf8(text.map(str::to_owned)),
    }
}

/// Days since 1970-01-01 of a date as ISO 8601 writes it.
pub(crate) fn date(text: &str) -> Option<i32> {
    if text.len() != 10 {
        return None;
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(chrono::Datelike::num_days_from_ce(&date) - EPOCH_DAYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_typed_by_all_its_values() {
        assert_eq!(type_of(&["2023", "07", NULL]), DataType::Int64);
        assert_eq!(type_of(&["2023", "x"]), DataType::Utf8);
        assert_eq!(type_of(&["2023-01-31", NULL]), DataType::Date32);
        assert_eq!(type_of(&["2023-01-31", "2023-02-30"]), DataType::Utf8);
        assert_eq!(type_of(&[NULL]), DataType::Utf8);
    }

    #[test]
    fn values_take_the_type_of_the_key() {
        assert_eq!(value("07", &DataType::Int64), ScalarValue::Int64(Some(7)));
        assert_eq!(value(NULL, &DataType::Int64), ScalarValue::Int64(None));
        assert_eq!(value("1970-01-02", &DataType::Date32), ScalarValue::Date32(Some(1)));
    }
}

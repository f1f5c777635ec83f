//! SQL types as ODBC and JDBC know them, and which of them an Arrow column is.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow_flight::sql::metadata::XdbcTypeInfo;
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};
use engine::Meaning;

use crate::listing::{CATALOG, TableName};

/// A SQL type: its name, its number, its size in digits or characters, and what its literals need.
struct SqlType {
    name: &'static str,
    number: XdbcDataType,
    size: Option<i32>,
    literal: Option<(&'static str, &'static str)>,
    params: &'static [&'static str],
    scales: Option<(i32, i32)>,
    radix: Option<i32>,
    signed: Option<bool>,
    datetime: Option<XdbcDatetimeSubcode>,
}

const PLAIN: SqlType = SqlType {
    name: "",
    number: XdbcDataType::XdbcUnknownType,
    size: None,
    literal: None,
    params: &[],
    scales: None,
    radix: None,
    signed: None,
    datetime: None,
};

const INTEGER: SqlType = SqlType { radix: Some(10), scales: Some((0, 0)), signed: Some(true), ..PLAIN };

/// The number of dates: the protocol gives it two names, and arrow-flight has only the other one.
const DATE_SUBCODE: XdbcDatetimeSubcode = XdbcDatetimeSubcode::XdbcSubcodeYear;

/// Every type that a result can have, as ODBC asks for them; sorted by name.
const TYPES: &[SqlType] = &[
    SqlType { name: "BIGINT", number: XdbcDataType::XdbcBigint, size: Some(19), ..INTEGER },
    SqlType {
        name: "BIGINT UNSIGNED",
        number: XdbcDataType::XdbcBigint,
        size: Some(20),
        signed: Some(false),
        ..INTEGER
    },
    SqlType { name: "BOOLEAN", number: XdbcDataType::XdbcBit, size: Some(1), ..PLAIN },
    SqlType {
        name: "DATE",
        number: XdbcDataType::XdbcDate,
        size: Some(10),
        literal: Some(("DATE '", "'")),
        datetime: Some(DATE_SUBCODE),
        ..PLAIN
    },
    SqlType {
        name: "DECIMAL",
        number: XdbcDataType::XdbcDecimal,
        size: Some(38),
        params: &["precision", "scale"],
        scales: Some((0, 38)),
        radix: Some(10),
        signed: Some(true),
        ..PLAIN
    },
    SqlType {
        name: "DOUBLE",
        number: XdbcDataType::XdbcDouble,
        size: Some(53),
        radix: Some(2),
        signed: Some(true),
        ..PLAIN
    },
    SqlType { name: "INTEGER", number: XdbcDataType::XdbcInteger, size: Some(10), ..INTEGER },
    SqlType {
        name: "INTEGER UNSIGNED",
        number: XdbcDataType::XdbcInteger,
        size: Some(10),
        signed: Some(false),
        ..INTEGER
    },
    SqlType {
        name: "REAL",
        number: XdbcDataType::XdbcReal,
        size: Some(24),
        radix: Some(2),
        signed: Some(true),
        ..PLAIN
    },
    SqlType { name: "SMALLINT", number: XdbcDataType::XdbcSmallint, size: Some(5), ..INTEGER },
    SqlType {
        name: "SMALLINT UNSIGNED",
        number: XdbcDataType::XdbcSmallint,
        size: Some(5),
        signed: Some(false),
        ..INTEGER
    },
    SqlType {
        name: "TIME",
        number: XdbcDataType::XdbcTime,
        size: Some(15),
        literal: Some(("TIME '", "'")),
        scales: Some((0, 9)),
        datetime: Some(XdbcDatetimeSubcode::XdbcSubcodeTime),
        ..PLAIN
    },
    SqlType {
        name: "TIMESTAMP",
        number: XdbcDataType::XdbcTimestamp,
        size: Some(26),
        literal: Some(("TIMESTAMP '", "'")),
        scales: Some((0, 9)),
        datetime: Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
        ..PLAIN
    },
    SqlType {
        name: "TIMESTAMP WITH TIME ZONE",
        number: XdbcDataType::XdbcTimestamp,
        size: Some(32),
        literal: Some(("TIMESTAMP '", "'")),
        scales: Some((0, 9)),
        datetime: Some(XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone),
        ..PLAIN
    },
    SqlType { name: "TINYINT", number: XdbcDataType::XdbcTinyint, size: Some(3), ..INTEGER },
    SqlType {
        name: "TINYINT UNSIGNED",
        number: XdbcDataType::XdbcTinyint,
        size: Some(3),
        signed: Some(false),
        ..INTEGER
    },
    SqlType {
        name: "VARBINARY",
        number: XdbcDataType::XdbcVarbinary,
        size: Some(i32::MAX),
        literal: Some(("X'", "'")),
        ..PLAIN
    },
    SqlType {
        name: "VARCHAR",
        number: XdbcDataType::XdbcVarchar,
        size: Some(i32::MAX),
        literal: Some(("'", "'")),
        ..PLAIN
    },
];

/// The types for `GetXdbcTypeInfo`.
pub(crate) fn all() -> impl Iterator<Item = XdbcTypeInfo> {
    TYPES.iter().map(|of| XdbcTypeInfo {
        type_name: of.name.to_owned(),
        data_type: of.number,
        column_size: of.size,
        literal_prefix: of.literal.map(|(prefix, _)| prefix.to_owned()),
        literal_suffix: of.literal.map(|(_, suffix)| suffix.to_owned()),
        create_params: (!of.params.is_empty()).then(|| of.params.iter().map(|&param| param.to_owned()).collect()),
        nullable: Nullable::NullabilityNullable,
        case_sensitive: of.number == XdbcDataType::XdbcVarchar,
        searchable: Searchable::Full,
        unsigned_attribute: of.signed.map(|signed| !signed),
        fixed_prec_scale: false,
        auto_increment: Some(false),
        local_type_name: Some(of.name.to_owned()),
        minimum_scale: of.scales.map(|(minimum, _)| minimum),
        maximum_scale: of.scales.map(|(_, maximum)| maximum),
        sql_data_type: if of.datetime.is_some() { XdbcDataType::XdbcDatetime } else { of.number },
        datetime_subcode: of.datetime,
        num_prec_radix: of.radix,
        interval_precision: None,
    })
}

/// The name of a column's type in SQL.
fn name(of: &DataType) -> String {
    match of {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INTEGER UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float16 | DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            "DECIMAL"
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "VARBINARY",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL",
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            return format!("{} ARRAY", name(item.data_type()));
        }
        DataType::Struct(_) => "ROW",
        DataType::Map(..) => "MAP",
        DataType::Dictionary(_, value) => return name(value),
        _ => "OTHER",
    }
    .to_owned()
}

/// Digits (or characters) of a column, and those after the point.
fn precision(of: &DataType) -> (Option<i32>, Option<i32>) {
    match of {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (Some(i32::from(*precision)), Some(i32::from(*scale))),
        DataType::Time32(unit) | DataType::Time64(unit) => (None, Some(fraction_digits(*unit))),
        DataType::Timestamp(unit, _) => (None, Some(fraction_digits(*unit))),
        other => {
            let name = name(other);
            let known = TYPES.iter().find(|of| of.name == name);
            (known.and_then(|of| of.size), known.and_then(|of| of.scales).map(|(scale, _)| scale))
        }
    }
}

fn fraction_digits(unit: TimeUnit) -> i32 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// Where the schemas of `system.tables` say what the source says about a column.
const COMMENT: &str = "weft.comment";

/// The schema of a table with what JDBC and ADBC read about its columns. Only listings carry it: JDBC takes the remarks
/// of a column in a result as its label.
pub(crate) fn with_column_metadata(schema: &Schema, table: &TableName) -> Schema {
    let fields: Vec<Arc<Field>> = schema
        .fields()
        .iter()
        .map(|field| Arc::new(field.as_ref().clone().with_metadata(column_metadata(field, table))))
        .collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn column_metadata(field: &Field, (dataset, table): &TableName) -> HashMap<String, String> {
    let (precision, scale) = precision(field.data_type());
    let known = [
        ("CATALOG_NAME", Some(CATALOG.to_owned())),
        ("SCHEMA_NAME", Some(dataset.clone())),
        ("TABLE_NAME", Some(table.clone())),
        ("TYPE_NAME", Some(name(field.data_type()))),
        ("PRECISION", precision.map(|digits| digits.to_string())),
        ("SCALE", scale.map(|digits| digits.to_string())),
        ("REMARKS", field.metadata().get(COMMENT).cloned().or_else(|| Meaning::of(field).question)),
        ("IS_AUTO_INCREMENT", Some("0".to_owned())),
        ("IS_CASE_SENSITIVE", Some(if name(field.data_type()) == "VARCHAR" { "1" } else { "0" }.to_owned())),
        ("IS_READ_ONLY", Some("1".to_owned())),
        ("IS_SEARCHABLE", Some("1".to_owned())),
    ];
    let known = known.into_iter().filter_map(|(key, value)| Some((format!("ARROW:FLIGHT:SQL:{key}"), value?)));
    field.metadata().clone().into_iter().chain(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_are_sorted_and_each_named_once() {
        assert!(TYPES.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn a_column_says_its_table_type_and_remarks() {
        let remarks = HashMap::from([(COMMENT.to_owned(), "In rupees".to_owned())]);
        let schema = Schema::new(vec![
            Field::new("price", DataType::Decimal128(15, 2), false).with_metadata(remarks),
            Field::new("tags", DataType::new_list(DataType::Utf8, true), true),
        ]);
        let table = ("sales".to_owned(), "orders".to_owned());
        let schema = with_column_metadata(&schema, &table);
        let of = |column: usize, key: &str| {
            schema.field(column).metadata().get(&format!("ARROW:FLIGHT:SQL:{key}")).map(String::as_str)
        };
        assert_eq!(
            ["CATALOG_NAME", "SCHEMA_NAME", "TABLE_NAME", "TYPE_NAME", "PRECISION", "SCALE", "REMARKS"]
                .map(|key| of(0, key)),
            ["weft", "sales", "orders", "DECIMAL", "15", "2", "In rupees"].map(Some)
        );
        assert_eq!(of(1, "TYPE_NAME"), Some("VARCHAR ARRAY"));
        assert_eq!(of(1, "REMARKS"), None);
    }
}

//! Arrow types in the words of SQL, for the `columns` of an answer.

use arrow::datatypes::{DataType, Field, IntervalUnit};

/// The type as SQL writes it, such as `DECIMAL(12,2)` or `TIMESTAMP WITH TIME ZONE`.
pub fn sql_type(data_type: &DataType) -> String {
    let word = match data_type {
        DataType::Null => "NULL",
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
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTEA",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Duration(_) => "INTERVAL DAY TO SECOND",
        DataType::Interval(IntervalUnit::YearMonth) => "INTERVAL YEAR TO MONTH",
        DataType::Interval(_) => "INTERVAL",
        _ => return nested(data_type),
    };
    word.to_owned()
}

fn nested(data_type: &DataType) -> String {
    let member = |field: &Field| format!("{} {}", field.name(), sql_type(field.data_type()));
    match data_type {
        DataType::FixedSizeBinary(length) => format!("BYTEA({length})"),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("DECIMAL({precision},{scale})"),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("{}[]", sql_type(item.data_type())),
        DataType::Struct(fields) => {
            let members: Vec<String> = fields.iter().map(|field| member(field)).collect();
            format!("STRUCT({})", members.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| sql_type(part.data_type())).collect();
                format!("MAP({})", parts.join(", "))
            }
            _ => "MAP".to_owned(),
        },
        DataType::Dictionary(_, value) => sql_type(value),
        DataType::RunEndEncoded(_, value) => sql_type(value.data_type()),
        DataType::Union(members, _) => {
            let members: Vec<String> = members.iter().map(|(_, field)| member(field)).collect();
            format!("UNION({})", members.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn nested_types_are_written_from_the_inside() {
        let scores = DataType::List(Arc::new(Field::new("item", DataType::Decimal128(12, 2), true)));
        let person =
            DataType::Struct(vec![Field::new("id", DataType::Int64, false), Field::new("scores", scores, true)].into());
        assert_eq!(sql_type(&person), "STRUCT(id BIGINT, scores DECIMAL(12,2)[])");
    }
}

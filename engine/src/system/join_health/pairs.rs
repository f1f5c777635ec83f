//! Which columns look like one key: by their names, and by types that can be compared.
//!
//! `customers.customer_id` and `accounts.CustomerId` are one name; `customers.id` is `orders.customer_id`. Two columns
//! that are only called `id` are a pair where the tables have nothing better.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::datatypes::DataType;

use super::sides::Table;
use crate::system::Asked;

/// Two columns that look like one key.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) left: Arc<Table>,
    pub(super) left_column: Key,
    pub(super) right: Arc<Table>,
    pub(super) right_column: Key,
    pub(super) comparison: Comparison,
}

/// A column that can be a key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) data_type: DataType,
    kind: Kind,
}

/// What a key is made of. Truth values, times and nested values are no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Date,
    Fraction,
    Integer,
    Text,
}

/// How the keys of a pair are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// Integers, or dates: as they stand.
    Plain,
    /// Texts, whose case and blanks may differ.
    Text,
    /// An integer and a text, which must be cast. The integer is on the left.
    IntegerWithText,
    /// A text and an integer.
    TextWithInteger,
    /// An integer and a number that may have a fraction: programs that know no NULL write integers so.
    Fraction,
}

impl Comparison {
    fn of(left: &Key, right: &Key) -> Option<Self> {
        match (left.kind, right.kind) {
            (Kind::Integer, Kind::Integer) | (Kind::Date, Kind::Date) => Some(Comparison::Plain),
            (Kind::Text, Kind::Text) => Some(Comparison::Text),
            (Kind::Integer, Kind::Text) => Some(Comparison::IntegerWithText),
            (Kind::Text, Kind::Integer) => Some(Comparison::TextWithInteger),
            // Amounts of one name are no keys.
            (Kind::Integer, Kind::Fraction) | (Kind::Fraction, Kind::Integer) if left.is_called_key() => {
                Some(Comparison::Fraction)
            }
            _ => None,
        }
    }

    /// Whether the two sides are of different kinds.
    pub(super) fn is_type_mismatch(self) -> bool {
        !matches!(self, Comparison::Plain | Comparison::Text)
    }

    /// Whether one side is a text and the other a number.
    pub(super) fn needs_cast(self) -> bool {
        matches!(self, Comparison::IntegerWithText | Comparison::TextWithInteger)
    }
}

impl Key {
    fn of(name: &str, data_type: &DataType) -> Option<Self> {
        let kind = match data_type {
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) if *scale > 0 => Kind::Fraction,
            DataType::Decimal128(..) | DataType::Decimal256(..) => Kind::Integer,
            DataType::Float32 | DataType::Float64 => Kind::Fraction,
            DataType::Utf8 => Kind::Text,
            DataType::Date32 | DataType::Date64 => Kind::Date,
            other if other.is_integer() => Kind::Integer,
            _ => return None,
        };
        Some(Self { name: name.to_owned(), data_type: data_type.clone(), kind })
    }

    fn is_called_key(&self) -> bool {
        let name = plain(&self.name);
        GENERIC.iter().any(|word| name.ends_with(word))
    }
}

/// Names that say key, and not of what.
const GENERIC: [&str; 8] = ["code", "id", "key", "no", "nr", "number", "uid", "uuid"];

/// Those that mean the same wherever they stand.
const UNIVERSAL: [&str; 2] = ["code", "uuid"];

/// The pairs between the tables of both sides that the query wants.
pub(super) fn of(asked: &Asked, left: &[Arc<Table>], right: &[Arc<Table>]) -> Vec<Pair> {
    // Columns that the query names are a pair whatever they are called.
    let are_named = asked.wanted("left_column").is_some() && asked.wanted("right_column").is_some();
    let mut seen = HashSet::new();
    let mut pairs = Vec::new();
    for one in left {
        for other in right {
            // A dataset with itself: each two tables once, and no table with itself.
            let are_listed = !one.is_named && !other.is_named;
            let is_new = seen.insert((&one.sql, &other.sql)) && !(are_listed && seen.contains(&(&other.sql, &one.sql)));
            if is_new {
                pairs.extend(between(one, other, are_named));
            }
        }
    }
    pairs.retain(|pair| {
        asked.wants("left_column", &pair.left_column.name) && asked.wants("right_column", &pair.right_column.name)
    });
    pairs
}

fn between(left: &Arc<Table>, right: &Arc<Table>, are_named: bool) -> Vec<Pair> {
    let mut alike = Vec::new();
    for left_column in keys(left) {
        for right_column in keys(right) {
            let Some(comparison) = Comparison::of(&left_column, &right_column) else { continue };
            let is_sure = are_named || !names(left, &left_column).is_disjoint(&names(right, &right_column));
            if !is_sure && plain(&left_column.name) != plain(&right_column.name) {
                continue;
            }
            let (left, right, left_column) = (Arc::clone(left), Arc::clone(right), left_column.clone());
            alike.push((is_sure, Pair { left, left_column, right, right_column, comparison }));
        }
    }
    // Where customers.id has orders.customer_id, orders.id is the key of something else.
    let has_better = |pair: &Pair| {
        alike.iter().any(|(is_sure, other)| {
            *is_sure
                && (other.left_column.name == pair.left_column.name
                    || other.right_column.name == pair.right_column.name)
        })
    };
    alike.iter().filter(|(is_sure, pair)| *is_sure || !has_better(pair)).map(|(_, pair)| pair.clone()).collect()
}

fn keys(table: &Table) -> impl Iterator<Item = Key> {
    table.schema.fields().iter().filter_map(|field| Key::of(field.name(), field.data_type()))
}

/// What a column may be called elsewhere, in plain letters. A generic name says the table's entity first.
fn names(table: &Table, key: &Key) -> BTreeSet<String> {
    let name = plain(&key.name);
    let mut names = BTreeSet::new();
    if GENERIC.contains(&name.as_str()) {
        names.extend(singulars(&plain(&table.entity)).into_iter().map(|entity| entity + &name));
    }
    if names.is_empty() || UNIVERSAL.contains(&name.as_str()) {
        names.insert(name);
    }
    names
}

/// A name without case, underscores and blanks.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What one row of a table of this name may be called: `companies` holds a `company`, `addresses` an `address`.
fn singulars(plural: &str) -> Vec<String> {
    let mut names = vec![plural.to_owned()];
    names.extend(plural.strip_suffix("ies").map(|stem| format!("{stem}y")));
    names.extend(plural.strip_suffix("es").map(str::to_owned));
    names.extend(plural.strip_suffix('s').map(str::to_owned));
    names.extend(plural.strip_suffix("people").map(|stem| format!("{stem}person")));
    names
}

//! `CommandGetSqlInfo`: what this server can do, by the standard's numbers. All of them are there, since the JDBC driver
//! fails on any that is not, and no others, since it fails on those it does not know.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    CommandGetSqlInfo, SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedTransaction, SqlTransactionIsolationLevel,
};
use engine::Error;

use super::built;
use crate::pattern;

pub(super) fn schema() -> SchemaRef {
    SqlInfoDataBuilder::schema().clone().into()
}

pub(super) fn rows(command: CommandGetSqlInfo) -> Result<RecordBatch, Error> {
    built(all().and_then(|infos| command.into_builder(&infos).build()))
}

/// No bound that is known; JDBC reads 0 so.
const UNBOUNDED: i64 = 0;

/// Every member of a bitmask with so many members.
const fn every(members: u32) -> i32 {
    (1 << members) - 1
}

/// One member of a bitmask.
const fn only(member: i32) -> i32 {
    1 << member
}

fn all() -> arrow_flight::error::Result<SqlInfoData> {
    let mut infos = SqlInfoDataBuilder::new();
    server(&mut infos);
    names(&mut infos);
    grammar(&mut infos);
    bounds(&mut infos);
    transactions_and_results(&mut infos);
    infos.build()
}

fn server(infos: &mut SqlInfoDataBuilder) {
    infos.append(SqlInfo::FlightSqlServerName, "Weft");
    infos.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    infos.append(SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    infos.append(SqlInfo::FlightSqlServerReadOnly, true);
    infos.append(SqlInfo::FlightSqlServerSql, true);
    infos.append(SqlInfo::FlightSqlServerSubstrait, false);
    infos.append(SqlInfo::FlightSqlServerSubstraitMinVersion, "");
    infos.append(SqlInfo::FlightSqlServerSubstraitMaxVersion, "");
    infos.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    infos.append(SqlInfo::FlightSqlServerCancel, true);
    infos.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    infos.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    infos.append(SqlInfo::FlightSqlServerStatementTimeout, 0);
    infos.append(SqlInfo::FlightSqlServerTransactionTimeout, 0);
    for writes in [SqlInfo::SqlDdlCatalog, SqlInfo::SqlDdlSchema, SqlInfo::SqlDdlTable] {
        infos.append(writes, false);
    }
}

fn names(infos: &mut SqlInfoDataBuilder) {
    infos.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    infos.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    // Quoted names keep their case; the standard has no better word for it.
    infos.append(SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32);
    infos.append(SqlInfo::SqlAllTablesAreSelectable, true);
    infos.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    infos.append(SqlInfo::SqlKeywords, KEYWORDS);
    infos.append(SqlInfo::SqlNumericFunctions, NUMERIC_FUNCTIONS);
    infos.append(SqlInfo::SqlStringFunctions, STRING_FUNCTIONS);
    infos.append(SqlInfo::SqlSystemFunctions, SYSTEM_FUNCTIONS);
    infos.append(SqlInfo::SqlDatetimeFunctions, DATETIME_FUNCTIONS);
    infos.append(SqlInfo::SqlSearchStringEscape, pattern::ESCAPE.to_string().as_str());
    infos.append(SqlInfo::SqlExtraNameCharacters, "");
    infos.append(SqlInfo::SqlSchemaTerm, "dataset");
    infos.append(SqlInfo::SqlProcedureTerm, "procedure");
    infos.append(SqlInfo::SqlCatalogTerm, "catalog");
    infos.append(SqlInfo::SqlCatalogAtStart, true);
    infos.append(SqlInfo::SqlSchemasSupportedActions, 0);
    infos.append(SqlInfo::SqlCatalogsSupportedActions, 0);
}

fn grammar(infos: &mut SqlInfoDataBuilder) {
    infos.append(SqlInfo::SqlSupportsColumnAliasing, true);
    infos.append(SqlInfo::SqlNullPlusNullIsNull, true);
    infos.append(SqlInfo::SqlSupportsConvert, BTreeMap::<i32, Vec<i32>>::new());
    infos.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    infos.append(SqlInfo::SqlSupportsDifferentTableCorrelationNames, false);
    infos.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    infos.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    infos.append(SqlInfo::SqlSupportedGroupBy, every(2));
    infos.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    infos.append(SqlInfo::SqlSupportsNonNullableColumns, true);
    infos.append(SqlInfo::SqlSupportedGrammar, every(3));
    infos.append(SqlInfo::SqlAnsi92SupportedLevel, every(2));
    infos.append(SqlInfo::SqlSupportsIntegrityEnhancementFacility, false);
    infos.append(SqlInfo::SqlOuterJoinsSupportLevel, SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32);
    infos.append(SqlInfo::SqlSupportedPositionedCommands, 0);
    infos.append(SqlInfo::SqlSelectForUpdateSupported, false);
    infos.append(SqlInfo::SqlStoredProceduresSupported, false);
    infos.append(SqlInfo::SqlSupportedSubqueries, every(4));
    infos.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    infos.append(SqlInfo::SqlSupportedUnions, every(2));
}

fn bounds(infos: &mut SqlInfoDataBuilder) {
    for bound in [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxConnections,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatementLength,
        SqlInfo::SqlMaxStatements,
        SqlInfo::SqlMaxTableNameLength,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        infos.append(bound, UNBOUNDED);
    }
    infos.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
}

fn transactions_and_results(infos: &mut SqlInfoDataBuilder) {
    // The protocol says int32 here; JDBC and ODBC read a bigint.
    infos.append(
        SqlInfo::SqlDefaultTransactionIsolation,
        i64::from(SqlTransactionIsolationLevel::SqlTransactionNone as i32),
    );
    infos.append(SqlInfo::SqlTransactionsSupported, false);
    infos.append(
        SqlInfo::SqlSupportedTransactionsIsolationLevels,
        only(SqlTransactionIsolationLevel::SqlTransactionNone as i32),
    );
    infos.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    infos.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, true);
    infos.append(
        SqlInfo::SqlSupportedResultSetTypes,
        only(SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32),
    );
    infos.append(SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified, 0);
    infos.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly,
        only(SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32),
    );
    infos.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive, 0);
    infos.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0);
    for missing in [
        SqlInfo::SqlBatchUpdatesSupported,
        SqlInfo::SqlSavepointsSupported,
        SqlInfo::SqlNamedParametersSupported,
        SqlInfo::SqlLocatorsUpdateCopy,
        SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported,
    ] {
        infos.append(missing, false);
    }
}

/// Keywords beyond SQL:2003, which tools then quote.
const KEYWORDS: &[&str] = &["EXCEPT", "EXCLUDE", "ILIKE", "INTERSECT", "LIMIT", "OFFSET", "QUALIFY", "SIMILAR"];

/// Functions by the kinds of JDBC's escape syntax; docs/functions.md and `system.functions` have all of them.
const NUMERIC_FUNCTIONS: &[&str] = &[
    "ABS", "ACOS", "ASIN", "ATAN", "ATAN2", "CEIL", "COS", "COT", "DEGREES", "EXP", "FLOOR", "LN", "LOG", "LOG10",
    "PI", "POWER", "RADIANS", "RANDOM", "ROUND", "SIGNUM", "SIN", "SQRT", "TAN", "TRUNC",
];
const STRING_FUNCTIONS: &[&str] = &[
    "ASCII",
    "BTRIM",
    "CHARACTER_LENGTH",
    "CHR",
    "CONCAT",
    "CONCAT_WS",
    "INITCAP",
    "LEFT",
    "LOWER",
    "LPAD",
    "LTRIM",
    "OCTET_LENGTH",
    "POSITION",
    "REPEAT",
    "REPLACE",
    "REVERSE",
    "RIGHT",
    "RPAD",
    "RTRIM",
    "SPLIT_PART",
    "STRPOS",
    "SUBSTR",
    "TRANSLATE",
    "TRIM",
    "UPPER",
];
const SYSTEM_FUNCTIONS: &[&str] = &["COALESCE", "NULLIF", "VERSION"];
const DATETIME_FUNCTIONS: &[&str] =
    &["CURRENT_DATE", "CURRENT_TIME", "DATE_BIN", "DATE_PART", "DATE_TRUNC", "EXTRACT", "NOW", "TO_TIMESTAMP"];

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::UInt32Type;

    use super::*;

    #[test]
    fn every_standard_number_is_answered_and_no_other() {
        let batch = rows(CommandGetSqlInfo { info: vec![] }).unwrap();
        let numbers = batch.column(0).as_primitive::<UInt32Type>().values().to_vec();
        let standard: Vec<u32> =
            (0..2000).filter(|&number| SqlInfo::try_from(i32::try_from(number).unwrap()).is_ok()).collect();
        assert_eq!(numbers, standard);
        assert_eq!(batch.schema(), schema());
    }

    #[test]
    fn the_numbers_asked_for_are_answered_and_unknown_ones_are_left_out() {
        let batch = rows(CommandGetSqlInfo { info: vec![504, 3, 99_999] }).unwrap();
        assert_eq!(batch.column(0).as_primitive::<UInt32Type>().values().to_vec(), [3, 504]);
        let values = batch.column(1).as_union();
        assert_eq!(values.value(1).as_string::<i32>().value(0), "\"");
        assert!(values.value(0).as_boolean().value(0));
        let isolation = rows(CommandGetSqlInfo { info: vec![562] }).unwrap();
        assert_eq!(isolation.column(1).as_union().type_id(0), 2, "JDBC reads a bigint");
    }

    #[test]
    fn the_lists_are_sorted() {
        for list in [KEYWORDS, NUMERIC_FUNCTIONS, STRING_FUNCTIONS, SYSTEM_FUNCTIONS, DATETIME_FUNCTIONS] {
            assert!(list.is_sorted());
        }
    }
}

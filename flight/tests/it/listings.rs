//! Listings: what drivers browse, in the order and with the columns that they expect.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Schema;
use arrow_flight::IpcMessage;
use arrow_flight::sql::{
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo, SqlInfo,
};

use super::{Served, rows, text};

async fn tables(served: &Served, command: CommandGetTables) -> RecordBatch {
    let mut client = served.client();
    let info = client.get_tables(command).await.unwrap();
    rows(&mut client, info).await
}

#[tokio::test]
async fn one_catalog_holds_a_schema_per_dataset() {
    let served = Served::start().await;
    let mut client = served.client();
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(text(&rows(&mut client, info).await), ["weft"]);
    for (catalog, pattern, expected) in [
        (None, None, &["weft|archive", "weft|panel", "weft|sales", "weft|system"][..]),
        (Some("weft"), Some("pan%"), &["weft|panel"]),
        (Some(""), None, &[]),
        (Some("other"), None, &[]),
    ] {
        let command = CommandGetDbSchemas {
            catalog: catalog.map(str::to_owned),
            db_schema_filter_pattern: pattern.map(str::to_owned),
        };
        let info = client.get_db_schemas(command).await.unwrap();
        assert_eq!(text(&rows(&mut client, info).await), expected, "{catalog:?} {pattern:?}");
    }
}

#[tokio::test]
async fn tables_are_filtered_by_pattern_and_type_with_the_exact_name_first() {
    let served = Served::start().await;
    let named = |pattern: &str| CommandGetTables {
        table_name_filter_pattern: Some(pattern.to_owned()),
        ..CommandGetTables::default()
    };
    let found = tables(&served, named("my_table")).await;
    assert_eq!(text(&found), ["weft|archive|my_table|TABLE", "weft|sales|my_table|TABLE", "weft|sales|myxtable|TABLE"]);
    assert_eq!(found.num_columns(), 4, "without include_schema there is no fifth column");
    assert_eq!(text(&tables(&served, named("my\\_table")).await).len(), 2);
    assert_eq!(tables(&served, named("select * from t where a like '%'; --")).await.num_rows(), 0);
    let base = CommandGetTables { table_types: vec!["base table".to_owned()], ..CommandGetTables::default() };
    assert_eq!(tables(&served, base).await.num_rows(), 5);
    let views = CommandGetTables { table_types: vec!["VIEW".to_owned()], ..CommandGetTables::default() };
    assert_eq!(tables(&served, views).await.num_rows(), 0);
    let elsewhere = CommandGetTables { catalog: Some("other".to_owned()), ..CommandGetTables::default() };
    assert_eq!(tables(&served, elsewhere).await.num_rows(), 0);
}

#[tokio::test]
async fn a_tables_schema_is_that_of_its_rows_with_column_metadata() {
    let served = Served::start().await;
    let command = CommandGetTables {
        db_schema_filter_pattern: Some("panel".to_owned()),
        table_name_filter_pattern: Some("people".to_owned()),
        include_schema: true,
        ..CommandGetTables::default()
    };
    let found = tables(&served, command).await;
    assert_eq!(found.num_rows(), 1);
    let bytes = found.column(4).as_binary::<i32>().value(0).to_vec();
    let schema = Schema::try_from(IpcMessage(bytes.into())).unwrap();
    let info = served.client().execute("SELECT * FROM panel.people".to_owned(), None).await.unwrap();
    let result = info.try_decode_schema().unwrap();
    for (listed, returned) in schema.fields().iter().zip(result.fields()) {
        assert_eq!((listed.name(), listed.data_type()), (returned.name(), returned.data_type()));
    }
    let weight = schema.field_with_name("weight").unwrap().metadata();
    assert_eq!(weight["ARROW:FLIGHT:SQL:TYPE_NAME"], "DECIMAL");
    assert_eq!(weight["ARROW:FLIGHT:SQL:PRECISION"], "9");
}

#[tokio::test]
async fn system_tables_are_listed_beside_the_datasets() {
    let served = Served::start().await;
    let command = CommandGetTables {
        db_schema_filter_pattern: Some("system".to_owned()),
        table_types: vec!["SYSTEM TABLE".to_owned()],
        ..CommandGetTables::default()
    };
    let found = text(&tables(&served, command).await);
    assert!(found.contains(&"weft|system|tables|SYSTEM TABLE".to_owned()), "{found:?}");
}

#[tokio::test]
async fn types_infos_and_keys_have_their_standard_columns() {
    let served = Served::start().await;
    let mut client = served.client();
    let info = client.get_table_types().await.unwrap();
    assert_eq!(text(&rows(&mut client, info).await), ["SYSTEM TABLE", "TABLE", "VIEW"]);
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerName]).await.unwrap();
    assert_eq!(rows(&mut client, info).await.num_rows(), 1);
    let info = client.get_sql_info(vec![]).await.unwrap();
    assert!(rows(&mut client, info).await.num_rows() > 90);
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None }).await.unwrap();
    assert!(text(&rows(&mut client, info).await).iter().any(|row| row.starts_with("VARCHAR|12|")));
    let keys = [
        client.get_primary_keys(CommandGetPrimaryKeys::default()).await.unwrap(),
        client.get_exported_keys(CommandGetExportedKeys::default()).await.unwrap(),
        client.get_imported_keys(CommandGetImportedKeys::default()).await.unwrap(),
        client.get_cross_reference(CommandGetCrossReference::default()).await.unwrap(),
    ];
    for (info, columns) in keys.into_iter().zip([6, 13, 13, 13]) {
        let none = rows(&mut client, info).await;
        assert_eq!((none.num_rows(), none.num_columns()), (0, columns));
    }
}

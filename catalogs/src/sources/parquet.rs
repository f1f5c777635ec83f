//! Parquet files, of this machine or of a store. Footers are read when a table is opened and kept; row groups and pages that cannot match are skipped.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Statistics};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::parquet::transform_schema_to_view;
use datafusion::datasource::physical_plan::{FileSource, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use datafusion::parquet::schema::types::Type;
use engine::Error;
use object_store::ObjectStore;
use schemars::JsonSchema;
use serde::Deserialize;

use self::deciding::Deciding;
use self::footers::Footers;
use self::readers::Readers;
use super::files::{self, DataFile, Files, Format, Mixing, SOURCE_TYPE, StoreOptions};
use crate::source::{Connect, Source, SourceKind};

mod deciding;
mod footers;
mod local;
mod readers;
mod stored;

/// The kind `parquet`.
#[derive(Debug)]
pub(super) struct Parquet;

/// The keys of `connection:`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// A file, a folder or a pattern such as `events/**/*.parquet`. With `table:` next to it a folder is one table;
    /// without, each file and each folder in it is one. Folders named `key=value` are columns. It is on this machine, or in a
    /// store: `s3://bucket/folder`, `gs://bucket/folder`, `az://container/folder`, or one file behind `https://`.
    path: Option<String>,
    /// Stores.
    #[serde(flatten)]
    store: StoreOptions,
}

impl SourceKind for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn title(&self) -> &'static str {
        "Parquet"
    }

    fn recognizes(&self) -> &'static [&'static str] {
        &["parquet", "parq", "pq"]
    }

    fn options_schema(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn connect(&self, connect: Connect) -> Result<Arc<dyn Source>, Error> {
        let options: Options = files::options(connect.options)?;
        let files = Files::new(connect.id, connect.root, options.path, options.store, ParquetFiles::new())?;
        Ok(Arc::new(files))
    }
}

/// The Parquet files of one table, with their footers.
#[derive(Debug)]
struct ParquetFiles {
    footers: Footers,
}

impl ParquetFiles {
    fn new() -> Self {
        Self { footers: Footers::new() }
    }

    async fn footer(&self, store: &Arc<dyn ObjectStore>, file: &DataFile) -> Result<Arc<ParquetMetaData>, Error> {
        let meta = files::object_meta(file)?;
        let size_hint = file.stored.is_some().then_some(stored::FOOTER);
        let footer = self.footers.of(store.as_ref(), &meta, size_hint, Some(PageIndexPolicy::Skip)).await;
        footer.map_err(|error| explained(file, error))
    }
}

#[async_trait]
impl Format for ParquetFiles {
    fn extensions(&self) -> &'static [&'static str] {
        Parquet.recognizes()
    }

    fn mixing(&self) -> Mixing {
        Mixing::Declared
    }

    fn for_table(&self) -> Arc<dyn Format> {
        Arc::new(Self::new())
    }

    async fn columns(&self, store: &Arc<dyn ObjectStore>, file: &DataFile, _: usize) -> Result<SchemaRef, Error> {
        let footer = self.footer(store, file).await?;
        let description = footer.file_metadata().schema_descr();
        let schema = parquet_to_arrow_schema(description, footer.file_metadata().key_value_metadata())
            .map_err(|error| explained(file, error.into()))?;
        let roots = description.root_schema().get_fields();
        let fields = schema.fields().iter().map(|field| {
            let source = roots.iter().find(|root| root.name() == field.name());
            let metadata = source.map(|source| (SOURCE_TYPE.to_owned(), source_type(source))).into_iter().collect();
            field.as_ref().clone().with_metadata(metadata)
        });
        Ok(Arc::new(Schema::new(fields.collect::<Vec<Field>>())))
    }

    fn readable(&self, schema: SchemaRef) -> SchemaRef {
        Arc::new(transform_schema_to_view(&schema))
    }

    async fn statistics(
        &self,
        store: &Arc<dyn ObjectStore>,
        file: &DataFile,
        schema: &SchemaRef,
    ) -> Option<Statistics> {
        let footer = self.footer(store, file).await.ok()?;
        let mut known = DFParquetMetadata::statistics_from_parquet_metadata(&footer, schema).ok()?;
        for (field, column) in schema.fields().iter().zip(&mut known.column_statistics) {
            if field.data_type().is_floating() {
                (column.min_value, column.max_value) = (Precision::Absent, Precision::Absent);
            }
        }
        Some(known)
    }

    fn reader(
        &self,
        store: &Arc<dyn ObjectStore>,
        schema: &TableSchema,
        state: &dyn Session,
    ) -> Result<Arc<dyn FileSource>, DataFusionError> {
        let global = state.config_options().execution.parquet.clone();
        let options = TableParquetOptions { global, ..TableParquetOptions::default() };
        let source = ParquetSource::new(schema.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(Readers::new(store, &self.footers)));
        Ok(Arc::new(Deciding::new(source)))
    }
}

/// A column's type as Parquet has it: what it means, else how it is stored.
fn source_type(column: &Type) -> String {
    let info = column.get_basic_info();
    let meaning = info.logical_type_ref().map(|logical| {
        let text = format!("{logical:?}");
        text.split(['(', ' ', '{']).next().unwrap_or_default().to_ascii_uppercase()
    });
    match (column.is_primitive(), meaning) {
        (true, Some(meaning)) => format!("{} ({meaning})", column.get_physical_type()),
        (true, None) => column.get_physical_type().to_string(),
        (false, Some(meaning)) => meaning,
        (false, None) => "GROUP".to_owned(),
    }
}

fn explained(file: &DataFile, error: DataFusionError) -> Error {
    if let Some(error) = Error::within(&error) {
        return error;
    }
    if let DataFusionError::ObjectStore(store) = error.find_root() {
        let kind = match store.as_ref() {
            object_store::Error::NotFound { .. } => std::io::ErrorKind::NotFound,
            object_store::Error::PermissionDenied { .. } => std::io::ErrorKind::PermissionDenied,
            _ => std::io::ErrorKind::Other,
        };
        return files::unreachable_file(&file.name, kind.into()).cause(error);
    }
    let what = if file.size == 0 { "is empty: it is no Parquet file." } else { "is torn, or is no Parquet file." };
    files::invalid_file(&file.name, what).hint("Write it again, or take it out of the folder.").cause(error)
}

//! Whether rows of a Parquet file are dropped while they are read, or after.
//!
//! To look at some columns first, and to read of the others only the rows that are needed, pays where few rows are needed, and costs
//! where many are. A scan below a join knows it when it begins, which is when the keys of the join's other side are known.

use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue, Statistics, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, Column, DynamicFilterPhysicalExpr, InListExpr, Literal,
};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use datafusion_datasource::morsel::{MorselPlanner, Morselizer};
use object_store::ObjectStore;

/// The share of a file's rows up to which it pays.
const FEW: f64 = 0.02;

/// A source of Parquet files that decides file by file.
#[derive(Clone)]
pub(super) struct Deciding {
    parquet: ParquetSource,
}

impl Deciding {
    pub(super) fn new(parquet: ParquetSource) -> Self {
        Self { parquet }
    }

    /// The same around what has become of the library's source.
    fn around(source: &Arc<dyn FileSource>) -> Result<Arc<dyn FileSource>> {
        match (source.as_ref() as &dyn Any).downcast_ref::<ParquetSource>() {
            Some(parquet) => Ok(Arc::new(Self::new(parquet.clone()))),
            None => internal_err!("a Parquet source has become another one"),
        }
    }
}

impl FileSource for Deciding {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.parquet.create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let after = self.parquet.create_morselizer(Arc::clone(&store), config, partition)?;
        let Some(filter) = self.parquet.filter() else { return Ok(after) };
        let meanwhile = self.parquet.clone().with_pushdown_filters(true).create_morselizer(store, config, partition)?;
        Ok(Box::new(Decision { after, meanwhile, filter }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.parquet.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        let source = self.parquet.with_batch_size(batch_size);
        Self::around(&source).unwrap_or(source)
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.parquet.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.parquet.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.parquet.metrics()
    }

    fn file_type(&self) -> &str {
        self.parquet.file_type()
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parquet.fmt_extra(format, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.parquet.supports_repartitioning()
    }

    fn repartitioned(
        &self,
        partitions: usize,
        smallest: usize,
        ordering: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        self.parquet.repartitioned(partitions, smallest, ordering, config)
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut pushed = self.parquet.try_pushdown_filters(filters, config)?;
        pushed.updated_node = pushed.updated_node.as_ref().map(Self::around).transpose()?;
        Ok(pushed)
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        self.parquet.try_pushdown_sort(order, properties)?.try_map(|source| Self::around(&source))
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.parquet.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        self.parquet.try_pushdown_projection(projection)?.as_ref().map(Self::around).transpose()
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.parquet.apply_expressions(visit)
    }
}

/// Both ways to read a file.
#[derive(Debug)]
struct Decision {
    /// Rows are dropped after they were read.
    after: Box<dyn Morselizer>,
    /// Rows are dropped while they are read.
    meanwhile: Box<dyn Morselizer>,
    filter: Arc<dyn PhysicalExpr>,
}

impl Morselizer for Decision {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let share = file.statistics.as_ref().map_or(1.0, |known| share(&self.filter, known));
        if share <= FEW { self.meanwhile.plan_file(file) } else { self.after.plan_file(file) }
    }
}

/// The share of a file's rows that joins need by now, at most, as far as their keys are spread evenly. 1 where nobody knows.
fn share(filter: &Arc<dyn PhysicalExpr>, known: &Statistics) -> f64 {
    if let Some(dynamic) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() {
        return dynamic.current().map_or(1.0, |current| share(&current, known));
    }
    if let Some(binary) = filter.downcast_ref::<BinaryExpr>() {
        return match binary.op() {
            Operator::And => share(binary.left(), known).min(share(binary.right(), known)),
            Operator::Or => (share(binary.left(), known) + share(binary.right(), known)).min(1.0),
            _ => 1.0,
        };
    }
    if let Some(case) = filter.downcast_ref::<CaseExpr>() {
        // One branch for each partition of the join's other side.
        let branches = case.when_then_expr().iter().map(|(_, then)| then).chain(case.else_expr());
        return branches.map(|branch| share(branch, known)).sum::<f64>().min(1.0);
    }
    filter.downcast_ref::<InListExpr>().and_then(|keys| share_of_keys(keys, known)).unwrap_or(1.0)
}

/// How many different keys there are for each number that the column can hold.
fn share_of_keys(keys: &InListExpr, known: &Statistics) -> Option<f64> {
    let column = keys.expr().downcast_ref::<Column>().filter(|_| !keys.negated())?;
    let bounds = known.column_statistics.get(column.index())?;
    let (least, greatest) = (integer(bounds.min_value.get_value()?)?, integer(bounds.max_value.get_value()?)?);
    // A join that many rows of the other side share a key of says it many times.
    let keys = keys.list().iter().map(|key| integer(key.downcast_ref::<Literal>()?.value()));
    let keys = keys.collect::<Option<HashSet<i64>>>()?;
    #[expect(clippy::cast_precision_loss, reason = "a share is an estimate")]
    Some(keys.len() as f64 / (greatest as f64 - least as f64 + 1.0))
}

fn integer(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) => value.map(i64::from),
        ScalarValue::Int64(value) => *value,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::stats::Precision;
    use datafusion::common::{ScalarValue, Statistics};
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::PhysicalExpr;
    use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, binary, col, in_list, lit};

    use super::share;

    #[test]
    fn the_share_of_rows_follows_from_the_keys_and_the_bounds_of_their_column() {
        let schema =
            Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, false)]);
        let mut known = Statistics::new_unknown(&schema);
        known.column_statistics[0].min_value = Precision::Exact(ScalarValue::from(1_i64));
        known.column_statistics[0].max_value = Precision::Exact(ScalarValue::from(1000_i64));
        let id = col("id", &schema).unwrap();
        let among = |keys: &[i64]| {
            in_list(Arc::clone(&id), keys.iter().map(|key| lit(*key)).collect(), &false, &schema).unwrap()
        };
        let both = |left: Arc<dyn PhysicalExpr>, op, right| binary(left, op, right, &schema).unwrap();
        let is_close = |filter: &Arc<dyn PhysicalExpr>, expected: f64| {
            let found = share(filter, &known);
            assert!((found - expected).abs() < 1e-9, "{filter}: {found}");
        };
        is_close(&among(&[5, 5, 7, 5]), 0.002);
        is_close(&both(among(&[5, 7]), Operator::Or, among(&[9])), 0.003);
        is_close(&both(among(&[5, 7]), Operator::And, both(Arc::clone(&id), Operator::Gt, lit(3_i64))), 0.002);
        is_close(&both(Arc::clone(&id), Operator::Eq, lit(3_i64)), 1.0);
        let name = in_list(col("name", &schema).unwrap(), vec![lit("a")], &false, &schema).unwrap();
        is_close(&name, 1.0);
        let dynamic = Arc::new(DynamicFilterPhysicalExpr::new(vec![Arc::clone(&id)], lit(true)));
        let filter: Arc<dyn PhysicalExpr> = Arc::clone(&dynamic) as _;
        is_close(&filter, 1.0);
        dynamic.update(among(&[1, 2, 3])).unwrap();
        is_close(&filter, 0.003);
    }
}

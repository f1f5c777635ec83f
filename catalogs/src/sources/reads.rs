//! What a plan that has run read, of whatever sources: for receipts.

use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use engine::receipt::SourceRead;
use twox_hash::XxHash3_64;

use super::files::ScannedFile;
use super::remote;

/// Every read, in the order of the plan. A part that several places share is read by one of them.
pub(crate) fn reads(plan: &Arc<dyn ExecutionPlan>) -> Vec<SourceRead> {
    let mut found = Vec::new();
    walk(plan, &mut found);
    found
}

fn walk(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<SourceRead>) {
    found.extend(remote::has_read(plan).or_else(|| files(plan)));
    for child in plan.children() {
        walk(child, found);
    }
}

/// A read of files, which may be parts of them.
fn files(plan: &Arc<dyn ExecutionPlan>) -> Option<SourceRead> {
    const NAMED: usize = 3;
    let scan = plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()?;
    let parts = scan.file_groups.iter().flat_map(|group| group.files());
    let mut files: Vec<&Arc<ScannedFile>> = parts.filter_map(|part| part.extension::<Arc<ScannedFile>>()).collect();
    files.sort_by(|one, other| one.file.name.cmp(&other.file.name));
    files.dedup_by(|one, other| one.file.name == other.file.name);
    let source = files.first()?.source.to_string();
    let mut known_by = Vec::new();
    for file in &files {
        let (size, modified, tells) = file.told_by();
        let moment = modified.timestamp_nanos_opt().unwrap_or_default();
        known_by.extend(file.file.name.as_bytes());
        known_by.extend([size.to_le_bytes(), moment.to_le_bytes()].concat());
        known_by.extend(tells.unwrap_or_default().as_bytes());
    }
    let names: Vec<&str> = files.iter().take(NAMED).map(|file| file.file.name.as_str()).collect();
    let more = files.len().checked_sub(NAMED).filter(|more| *more > 0);
    let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
    let metrics = plan.metrics();
    let count = |name: &str| Some(metrics.as_ref()?.sum_by_name(name)?.as_usize() as u64);
    Some(SourceRead {
        source,
        table: Some(format!("{}{more}", names.join(", "))),
        asked: scan.file_source().filter().map(|condition| condition.to_string()),
        kept_here: Vec::new(),
        grouped: false,
        rows: metrics.as_ref().and_then(|metrics| metrics.output_rows()).map(|rows| rows as u64),
        bytes: count("bytes_scanned").filter(|bytes| *bytes > 0),
        version: Some(format!("{:016x}", XxHash3_64::oneshot(&known_by))),
        as_of: files.iter().map(|file| file.told_by().1).max(),
    })
}

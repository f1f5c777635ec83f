//! `weft datasets joins`: how two tables, or all tables of two datasets, join: `system.join_health` for people.

use crate::cli::answer;
use crate::cli::ask::Asker;
use crate::cli::failure::Failure;
use crate::cli::home;
use crate::cli::query::WritingArgs;
use crate::compose::HomeArgs;

/// Measure how two tables or datasets join: overlap of keys, duplicates, fan-out, rows that are lost, and what mends it.
///
/// Pairs of columns that look like one key are measured, with the rights of the caller; of tables above a million rows, a
/// sample of the keys. `mend` is the condition under which more keys match, of A as a and B as b. A table shows the main
/// figures; other formats have all of system.join_health, whose columns `weft query "DESCRIBE system.join_health"` lists.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A table as dataset.table, or a dataset for all of its tables.
    #[arg(value_name = "A")]
    left: String,

    /// What to join it with.
    #[arg(value_name = "B")]
    right: String,

    /// The columns to compare, whatever they are called.
    #[arg(long, value_name = "A_COLUMN=B_COLUMN", value_parser = columns)]
    on: Option<(String, String)>,

    #[command(flatten)]
    writing: WritingArgs,

    #[command(flatten)]
    home: HomeArgs,
}

const EXAMPLES: &str = "\
Examples:
  weft datasets joins --home ./bank customer_db accounts_db
  weft datasets joins --home ./bank customer_db.customers accounts_db.accounts
  weft datasets joins --table a=a.csv --table b=b.csv --on id=customer a b
  weft datasets joins --home ./bank customer_db loans_db --format json";

/// What people read first.
const MAIN: &str = "left_table || '.' || left_column AS \"left\", right_table || '.' || right_column AS \"right\", \
     CASE WHEN is_type_mismatch THEN left_type || ' / ' || right_type END AS types, cardinality, left_keys, right_keys, \
     shared_keys, coalesce(mend, error) AS mend, left_unmatched_rows, right_unmatched_rows, join_rows, left_duplicates, \
     right_duplicates, CASE WHEN is_sampled THEN sample_share END AS sampled";

fn columns(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => Ok((left.to_owned(), right.to_owned())),
        _ => Err("write it as A_COLUMN=B_COLUMN".to_owned()),
    }
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let writing = args.writing.writing()?;
    let composition = home::open(&args.home)?;
    let asker = Asker::of(&composition);
    let left = if is_dataset(&asker, &args.left).await? { "left_dataset" } else { "left_table" };
    let right = if is_dataset(&asker, &args.right).await? { "right_dataset" } else { "right_table" };
    let columns = if writing.is_for_people() { MAIN } else { "*" };
    let mut sql = format!("SELECT {columns} FROM system.join_health WHERE {left} = $1 AND {right} = $2");
    let mut params = vec![args.left.as_str(), args.right.as_str()];
    if let Some((left, right)) = &args.on {
        sql.push_str(" AND left_column = $3 AND right_column = $4");
        params.extend([left.as_str(), right.as_str()]);
    }
    answer::give(&asker, Asker::query(&sql, &params)?, writing).await
}

async fn is_dataset(asker: &Asker, name: &str) -> Result<bool, Failure> {
    let known = asker.listing("SELECT dataset_id FROM system.datasets WHERE dataset_id = $1", &[name]).await?;
    Ok(!known.is_empty())
}

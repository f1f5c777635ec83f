//! Ranges of pages, which PostgreSQL reaches directly from version 14 on; of a partitioned table, the same range of each partition.

use super::super::link::Link;
use super::super::relations::Relation;
use super::super::{Question, quote};
use super::{FEWEST_ROWS, Part, steps};

/// Pages of one part: large enough that a statement costs nothing, small enough that readers end together.
const FEWEST: i64 = 512;
/// Parts for each reader.
const SHARES: i64 = 4;

pub(super) fn split(
    link: &mut Link,
    question: &Question,
    relation: &Relation,
    readers: u32,
) -> Result<Vec<Part>, postgres::Error> {
    if relation.row_estimate.is_none_or(|rows| rows < FEWEST_ROWS) {
        return Ok(Vec::new());
    }
    let Some(name) = quote::literal(&question.from) else { return Ok(Vec::new()) };
    // The sizes of partitions as they were counted last: to ask for their files is to lock them, also those that are not read.
    let facts = format!(
        "SELECT pg_is_in_recovery() OR current_setting('server_version_num')::int4 < 140000 \
         OR bool_or(c.relkind NOT IN ('r', 'm', 'p')), max(size.pages)::int8, sum(size.pages)::int8, \
         array_agg(c.oid) FILTER (WHERE c.oid <> {name}::regclass) \
         FROM (SELECT {name}::regclass AS id UNION SELECT relid FROM pg_partition_tree({name}::regclass)) part \
         JOIN pg_class c ON c.oid = part.id, \
         LATERAL (SELECT CASE c.oid WHEN {name}::regclass \
             THEN pg_relation_size(c.oid) / current_setting('block_size')::int8 ELSE c.relpages END AS pages) size"
    );
    let facts = link.query_one(&facts)?;
    let (is_unable, most, all): (bool, i64, i64) = (facts.try_get(0)?, facts.try_get(1)?, facts.try_get(2)?);
    if is_unable || all < 2 * FEWEST || !reads_all(link, question)? {
        return Ok(Vec::new());
    }
    let partitions: Option<Vec<u32>> = facts.try_get(3)?;
    let part = |range| conditions(range).into_iter().chain(partitions.as_deref().map(among)).collect();
    Ok(ranges(most, all, readers).into_iter().map(part).collect())
}

/// Rows of the partitions that there are now: one that is attached while the others are read would be there in part.
fn among(partitions: &[u32]) -> String {
    let partitions: Vec<String> = partitions.iter().map(u32::to_string).collect();
    format!("(tableoid = ANY ('{{{}}}'::oid[]))", partitions.join(","))
}

/// Whether the server would go through all pages: where it has an index to go by, ranges would only be in its way.
fn reads_all(link: &mut Link, question: &Question) -> Result<bool, postgres::Error> {
    if question.conditions.is_empty() {
        return Ok(true);
    }
    let plan = link.query(&format!("EXPLAIN (COSTS OFF) {}", question.sql()), &[])?;
    let lines = plan.iter().map(|line| line.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
    let goes_through = ["Seq Scan", "Parallel Seq Scan", "Gather", "Append", "Parallel Append"];
    Ok(steps(&lines).all(|step| goes_through.iter().any(|name| step.starts_with(name))))
}

/// From one page up to another, or to the end of the table.
type Range = (i64, Option<i64>);

/// Ranges that cover `most` pages and whatever is behind them, the last one first. `all` is what several tables of up to
/// `most` pages have together.
fn ranges(most: i64, all: i64, readers: u32) -> Vec<Range> {
    let fewest = FEWEST * most / all.max(1);
    let step = (most / (i64::from(readers) * SHARES)).max(fewest).max(1);
    let starts = (0..most).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    let mut ranges: Vec<Range> = starts.map(|from| (from, Some(from + step))).collect();
    if let Some(last) = ranges.last_mut() {
        last.1 = None;
    }
    ranges.reverse();
    ranges
}

fn conditions((from, to): Range) -> Part {
    let edge = |sign: &str, page: i64| format!("(ctid {sign} '({page},0)'::tid)");
    let from = (from > 0).then(|| edge(">=", from));
    from.into_iter().chain(to.map(|to| edge("<", to))).collect()
}

#[cfg(test)]
mod tests {
    use super::{SHARES, conditions, ranges};

    #[test]
    fn ranges_cover_every_page_once() {
        for (most, all, readers) in
            [(1024, 1024, 2), (1025, 1025, 2), (30_000, 30_000, 4), (7_777_777, 7_777_777, 3), (90, 9000, 2)]
        {
            let mut ranges = ranges(most, all, readers);
            assert!((2..=i64::from(readers) * SHARES + 1).contains(&(ranges.len() as i64)), "{ranges:?}");
            ranges.reverse();
            assert_eq!(ranges[0].0, 0);
            assert!(ranges.windows(2).all(|pair| pair[0].1 == Some(pair[1].0)));
            assert_eq!(ranges.iter().filter(|range| range.1.is_none()).count(), 1);
            assert_eq!(ranges.last().unwrap().1, None);
        }
    }

    #[test]
    fn a_part_is_asked_for_by_its_edges() {
        assert_eq!(conditions((5, Some(9))), ["(ctid >= '(5,0)'::tid)", "(ctid < '(9,0)'::tid)"]);
        assert_eq!(conditions((0, None)), [""; 0]);
    }
}

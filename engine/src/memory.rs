//! Memory of one query: its own bound inside the bound of the process.
//!
//! Operators that can spill share the query's bound fairly, so a wide sort spills instead of failing its neighbours.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::memory_pool::{
    FairSpillPool, GreedyMemoryPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// The pool of one query. What it grants is granted by the process as well.
#[derive(Debug)]
pub(crate) struct QueryPool {
    query: FairSpillPool,
    process: Arc<GreedyMemoryPool>,
}

impl QueryPool {
    pub(crate) fn new(query_memory: u64, process: Arc<GreedyMemoryPool>) -> Self {
        Self { query: FairSpillPool::new(usize::try_from(query_memory).unwrap_or(usize::MAX)), process }
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("query")
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.query.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.query.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.process.grow(reservation, additional);
        self.query.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.query.shrink(reservation, shrink);
        self.process.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.process.try_grow(reservation, additional)?;
        self.query.try_grow(reservation, additional).inspect_err(|_| self.process.shrink(reservation, additional))
    }

    fn reserved(&self) -> usize {
        self.query.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.query.memory_limit()
    }
}

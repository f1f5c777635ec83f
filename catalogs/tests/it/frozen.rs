//! A server whose processes stand still: its system goes on answering for it, and it says nothing.
#![expect(clippy::expect_used, reason = "tests")]

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catalogs::Source;

/// Processes that stand still until this is dropped.
pub(crate) struct Frozen(Vec<u32>);

impl Frozen {
    pub(crate) fn new(processes: Vec<u32>) -> Self {
        signal("STOP", &processes);
        Self(processes)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("CONT", &self.0);
    }
}

fn signal(name: &str, processes: &[u32]) {
    let processes: Vec<String> = processes.iter().map(u32::to_string).collect();
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", processes.join(" "))]).status();
    assert!(status.expect("a shell").success());
}

/// The connections that are still open after a while in which all of them should have been closed.
pub(crate) async fn left_open(source: &Arc<dyn Source>) -> u32 {
    let until = Instant::now() + Duration::from_secs(40);
    loop {
        let (open, _, _) = source.pool().expect("a pool");
        if open == 0 || Instant::now() > until {
            return open;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

//! Runs of the tool against hostile servers: limits of time and memory.

use super::tool::{Output, Tool};
use std::time::{Duration, Instant};

/// Longest time of a run: a request with six attempts, or twelve requests, with a timeout of
/// 1 s each.
const LIMIT: Duration = Duration::from_secs(120);
/// Most memory of a run, in KiB.
const MEMORY: u64 = 128 << 10;

/// Runs `tool` to its end, within the limits of time and memory.
///
/// # Panics
/// If it takes longer or more.
pub fn bounded(tool: Tool, what: &str) -> Output {
    let begun = Instant::now();
    let mut run = tool.start();
    let status = format!("/proc/{}/status", run.pid());
    let mut peak = 0;
    while run.is_running() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let now = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(now.unwrap_or(0));
        assert!(begun.elapsed() < LIMIT, "{what}: it does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!((1..=MEMORY).contains(&peak), "{what}: {peak} KiB");
    run.wait()
}

//! Random moments to end a run, spread over its duration. A failed test names them, so that
//! they can be repeated.

use crate::support::tool::{Output, Running, Tool};
use rustix::process::Signal;
use std::fmt;
use std::time::{Duration, Instant, SystemTime};

/// Set to the number that a failure named, it repeats the same moments.
const SEED: &str = "VAULT_BACKUP_TEST_SEED";

/// Time that a process may take to start on a busy machine.
const BEGINNING: Duration = Duration::from_secs(1);

/// The duration of a run, and the seed of its moments.
pub(super) struct Moments {
    whole: Duration,
    seed: u64,
}

/// A moment after a run's start.
pub(super) struct Moment {
    number: usize,
    after: Duration,
    seed: u64,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} after the start ({SEED}={})", self.after, self.seed)
    }
}

impl Moments {
    /// Measures `run` for its moments.
    pub(super) fn of(run: impl FnOnce()) -> Self {
        let begun = Instant::now();
        run();
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var(SEED).map_or_else(|_| now(), |seed| seed.parse().unwrap());
        Self { whole: begun.elapsed(), seed }
    }

    /// One moment in each of `count` equal parts of the run.
    pub(super) fn spread(&self, count: usize) -> impl Iterator<Item = Moment> + use<> {
        let (part, seed) = (self.whole / u32::try_from(count).unwrap(), self.seed);
        let mut random = seed;
        (0..count).map(move |n| {
            // Steele, Lea, Flood: splitmix64.
            random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = random;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let within = (z ^ (z >> 31)) as f64 / u64::MAX as f64;
            Moment { number: n, after: part.mul_f64(n as f64 + within), seed }
        })
    }
}

impl Moment {
    /// Waits until this moment of `run`, which was just started, or its end.
    pub(super) fn wait_in(&self, run: &mut Running) {
        let begun = Instant::now();
        while begun.elapsed() < self.after && run.is_running() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Runs `tool` and ends it at this moment by SIGTERM, SIGINT or, in whole seconds, its
    /// deadline. Asserts that this ended it, unless it had already passed.
    pub(super) fn end(&self, tool: Tool) -> Output {
        let signalled = |tool: Tool, signal| {
            let mut run = tool.start();
            self.wait_in(&mut run);
            run.signal(signal);
            run.wait()
        };
        let (output, code) = match self.number % 3 {
            0 => (signalled(tool, Signal::TERM), 143),
            1 => (signalled(tool, Signal::INT), 130),
            _ => (tool.args(["--deadline", &format!("{}s", self.after.as_secs().max(1))]).run(), 124),
        };
        match output.status {
            Some(0) => {}
            // At first it does not handle signals yet and has not started to work.
            None => assert!(self.after < BEGINNING && code != 124 && output.stderr.is_empty(), "{output:?}"),
            Some(_) => {
                output.code(code);
                assert_eq!(output.stderr.matches("error:").count(), 1, "{output:?}");
            }
        }
        output
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the run was to end {self} ---");
        }
    }
}

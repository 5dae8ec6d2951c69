//! The context of a command: the configuration, read on first use, and the services, keys and clients
//! that it configures.

mod input;
mod keys;
mod unseal;
mod vaults;

use crate::app::cli::Global;
use crate::app::config::{Config, Deadline, Overrides};
use crate::app::output::{Output, json_value};
use crate::base::error::Result;
use crate::base::stop::{Reason, Stop};
use crate::formats::retention::Policy;
use crate::pipeline::trust::Rotation;
use crate::services::notify::EventSource;
use crate::services::progress::Progress;
use crate::services::store::{self, Store};
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// Context of a run.
pub struct Context {
    /// Raised when the run must end early.
    pub stop: Stop,
    /// Output of the run.
    pub output: Output,
    /// Progress line.
    pub progress: Progress,
    /// Start of the run in UTC and whole seconds: the time in names and documents.
    pub started: DateTime<Utc>,
    /// Random id, which distinguishes the objects of this run from those of another.
    pub run_id: String,
    clock: Instant,
    global: Global,
    config: OnceCell<Config>,
    notes: RefCell<Map<String, Value>>,
    cluster: RefCell<Option<String>>,
    warned_of_vault: Cell<bool>,
    /// Task that raises the stop flag at the deadline.
    deadline: Cell<Option<AbortHandle>>,
    rotation: Rotation,
}

impl Context {
    /// Creates the context. Reads nothing yet.
    pub fn new(global: Global, output: Output, stop: Stop) -> Self {
        Self {
            progress: Progress::new(output.is_watched(), stop.clone()),
            stop,
            output,
            started: Utc::now().trunc_subsecs(0),
            run_id: run_id(),
            clock: Instant::now(),
            global,
            config: OnceCell::new(),
            notes: RefCell::default(),
            cluster: RefCell::default(),
            warned_of_vault: Cell::default(),
            deadline: Cell::default(),
            rotation: Rotation::default(),
        }
    }

    /// Returns the time since the start of the run.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Returns the configuration. The first call reads it and sets its deadline.
    ///
    /// # Errors
    /// `Usage` that names the file, line and key of a mistake.
    pub fn config(&self) -> Result<&Config> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let overrides = Overrides {
            config: self.global.config.clone(),
            store: self.global.store.clone(),
            deadline: self.global.deadline,
            key: None,
        };
        let config = Config::load(&overrides, &|name| std::env::var(name).ok())?;
        self.end_at(config.run.deadline);
        Ok(self.config.get_or_init(|| config))
    }

    /// Sets the deadline of `--deadline`, or else the default, which need no configuration.
    pub fn end_at_deadline(&self) {
        self.end_at(self.global.deadline.unwrap_or_default());
    }

    /// Sets the deadline, counted from the start of the run. It replaces an earlier one.
    fn end_at(&self, deadline: Deadline) {
        let raise = |limit: Duration| self.stop.raise_after(limit.saturating_sub(self.elapsed()), Reason::Deadline);
        if let Some(replaced) = self.deadline.replace(deadline.0.map(raise)) {
            replaced.abort();
        }
    }

    /// Records a detail for audit log and notifications, whatever the result of the run.
    pub fn note(&self, key: &str, value: impl Serialize) {
        self.notes.borrow_mut().insert(key.to_owned(), json_value(value));
    }

    /// Notes the id of the cluster that the run is about, for notifications.
    pub fn note_cluster(&self, id: Option<&str>) {
        self.cluster.replace(id.map(str::to_owned));
    }

    /// Returns this machine, the cluster and the store of the run, for notifications.
    pub fn event_source(&self) -> EventSource {
        let config = self.config().ok();
        let expected = || config.and_then(|config| config.vault.cluster_id.clone());
        let store = config.and_then(|config| config.store().ok()).map(|store| store.location.to_string());
        EventSource::here(self.cluster.borrow().clone().or_else(expected), store)
    }

    /// Returns all recorded details.
    pub fn noted(&self) -> Map<String, Value> {
        self.notes.borrow().clone()
    }

    /// Opens the store.
    ///
    /// # Errors
    /// `Usage` if none is configured.
    pub async fn store(&self) -> Result<Arc<dyn Store>> {
        let section = self.config()?.store()?;
        store::open(&section.location, section.s3.clone()).await
    }

    /// Returns `[retention]`.
    ///
    /// # Errors
    /// `Usage` as [`Context::config`].
    pub fn policy(&self) -> Result<Policy> {
        Ok(self.config()?.retention)
    }
}

fn run_id() -> String {
    let mut bytes = [0; 16];
    match ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes) {
        Ok(()) => hex::encode(bytes),
        // Without randomness, the run fails when it generates a key or salt.
        Err(_) => String::new(),
    }
}

//! The table of faults and results, as in docs/reliability.md.

use super::judge::Wrong;
use super::trial::Result;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Default)]
struct Row {
    trials: usize,
    hit: usize,
    succeeded: usize,
    wrong: BTreeMap<Wrong, usize>,
}

/// The sums of the trials by class of fault, and the failures.
#[derive(Default)]
pub struct Table {
    rows: BTreeMap<&'static str, Row>,
    failures: Vec<String>,
}

impl Table {
    /// Adds the result of a trial.
    pub fn add(&mut self, result: &Result) {
        for class in [result.plan.fault.class(), "~"] {
            let row = self.rows.entry(class).or_default();
            row.trials += 1;
            row.hit += usize::from(result.hit);
            row.succeeded += usize::from(result.code == Some(0));
            let mut kinds: Vec<_> = result.findings.iter().map(|(wrong, _)| *wrong).collect();
            kinds.sort();
            kinds.dedup();
            kinds.into_iter().for_each(|wrong| *row.wrong.entry(wrong).or_default() += 1);
        }
        for (wrong, text) in &result.findings {
            let Plan { seed, .. } = result.plan;
            self.failures.push(format!("FIRE_SEED={seed}: {wrong:?}: {text}\n    {:?}", result.plan));
        }
    }

    /// The failures, each with its seed.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }
}

use super::plan::Plan;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| fault | trials | fault met | exit 0 | bad that look good | good lost | wrong exit code | leftovers |"
        )?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
        for (class, row) in &self.rows {
            let class = if *class == "~" { "**all**" } else { class };
            write!(f, "| {class} | {} | {} | {} |", row.trials, row.hit, row.succeeded)?;
            for wrong in [Wrong::BadLooksGood, Wrong::GoodLost, Wrong::ExitCode, Wrong::Leftover] {
                write!(f, " {} |", row.wrong.get(&wrong).copied().unwrap_or_default())?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

//! Golden plans: the decisions of retention in whole scenarios.
//!
//! The plan of each scenario is compared, to the byte, with
//! `tests/golden/retention/NAME.txt`. After an intended change of the rules, regenerate
//! the files and read their diff:
//!
//! ```text
//! UPDATE_GOLDEN=1 cargo test --test it retention::
//! ```

mod scenarios;

use scenarios::{Scenario, scenarios};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use vault_backup::formats::backup::{Backup, BackupStatus, DrillStatus};
use vault_backup::formats::naming::BackupType;
use vault_backup::formats::retention::{Decision, PrunePlan, plan};

fn golden_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/retention")
}

#[test]
fn plans_match_the_golden_files() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut names = BTreeSet::new();
    for scenario in scenarios() {
        let path = golden_dir().join(format!("{}.txt", scenario.name));
        let text = render(&scenario);
        if update {
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(text == golden, "{} differs; now it is:\n{text}", path.display());
        names.insert(path);
    }
    let files: BTreeSet<_> = std::fs::read_dir(golden_dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files, names, "each file belongs to a scenario");
}

fn render(scenario: &Scenario) -> String {
    let policy = scenario.policy;
    let mut text = format!(
        "# {}\n\ndaily: {}, at least {}; monthly: {}, at least {}\n",
        scenario.about,
        policy.window(BackupType::Daily),
        policy.keep(BackupType::Daily),
        policy.window(BackupType::Monthly),
        policy.keep(BackupType::Monthly),
    );
    for now in &scenario.nows {
        writeln!(text, "\nnow: {}", now.format("%Y-%m-%d %H:%M:%S")).unwrap();
        let plan = plan(*now, scenario.backups.clone(), &policy);
        for kind in BackupType::ALL {
            render_kind(&mut text, &plan, kind);
        }
    }
    text
}

/// Adjacent backups with the same status and verdict share a line.
fn render_kind(text: &mut String, plan: &PrunePlan, kind: BackupType) {
    let of_kind: Vec<_> = plan.decisions.iter().filter(|d| d.backup.name.backup_type() == kind).collect();
    let deleted = of_kind.iter().filter(|d| d.verdict.is_delete()).count();
    writeln!(text, "{kind}: {} backups, {deleted} to delete", of_kind.len()).unwrap();
    let same = |a: &&Decision, b: &&Decision| words(&a.backup) == words(&b.backup) && a.verdict == b.verdict;
    for group in of_kind.chunk_by(same) {
        let time = |decision: &Decision| decision.backup.name.created_at().format("%Y-%m-%d %H:%M:%S").to_string();
        let (newest, oldest) = (group.first().unwrap(), group.last().unwrap());
        let span = if group.len() == 1 { time(newest) } else { format!("{} … {}", time(newest), time(oldest)) };
        writeln!(text, "  {span:42}{:4} {:11}{}", group.len(), words(&newest.backup), newest.verdict).unwrap();
    }
}

fn words(backup: &Backup) -> String {
    let status = match backup.status {
        BackupStatus::Good(_) => "good",
        BackupStatus::OtherCluster(..) => "other",
        BackupStatus::Unchecked => "unchecked",
        BackupStatus::UnknownKey(_) => "unknown key",
        BackupStatus::Unverified | BackupStatus::Invalid(_) => "unverified",
    };
    let drill = match backup.drill {
        DrillStatus::Never | DrillStatus::Invalid(_) => "",
        DrillStatus::Unchecked => ", drill unchecked",
        DrillStatus::UnknownKey => ", drill under unknown key",
        DrillStatus::Passed(_) => ", drilled",
    };
    format!("{status}{drill} ")
}

//! Golden plans: what retention decides in whole situations.
//!
//! The plan of each scenario is compared, to the byte, with
//! `tests/golden/retention/NAME.txt`. After a wanted change of the rules, write
//! the files anew and read their diff:
//!
//! ```text
//! UPDATE_GOLDEN=1 cargo test --test it retention::
//! ```

mod scenarios;

use scenarios::{Scenario, scenarios};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use vault_backup::formats::naming::BackupType;
use vault_backup::formats::retention::{Candidate, Decision, Drill, PrunePlan, Standing, plan};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/retention")
}

#[test]
fn golden_plans() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut names = BTreeSet::new();
    for scenario in scenarios() {
        let path = folder().join(format!("{}.txt", scenario.name));
        let text = render(&scenario);
        if update {
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(text == golden, "{} differs; now it is:\n{text}", path.display());
        names.insert(path);
    }
    let files: BTreeSet<_> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
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
        let plan = plan(*now, scenario.candidates.clone(), &policy);
        for kind in BackupType::ALL {
            render_kind(&mut text, &plan, kind);
        }
    }
    text
}

/// Neighbours with the same facts and verdict share a line.
fn render_kind(text: &mut String, plan: &PrunePlan, kind: BackupType) {
    let of_kind: Vec<_> = plan.decisions.iter().filter(|d| d.candidate.name.backup_type() == kind).collect();
    let deleted = of_kind.iter().filter(|d| d.verdict.is_delete()).count();
    writeln!(text, "{kind}: {} backups, {deleted} to delete", of_kind.len()).unwrap();
    let same = |a: &&Decision, b: &&Decision| facts(&a.candidate) == facts(&b.candidate) && a.verdict == b.verdict;
    for group in of_kind.chunk_by(same) {
        let time = |decision: &Decision| decision.candidate.name.created_at().format("%Y-%m-%d %H:%M:%S").to_string();
        let (newest, oldest) = (group.first().unwrap(), group.last().unwrap());
        let span = if group.len() == 1 { time(newest) } else { format!("{} … {}", time(newest), time(oldest)) };
        writeln!(text, "  {span:42}{:4} {:11}{}", group.len(), facts(&newest.candidate), newest.verdict).unwrap();
    }
}

fn facts(candidate: &Candidate) -> String {
    let standing = match candidate.standing {
        Standing::Good => "good",
        Standing::OtherCluster => "other",
        Standing::Claimed => "claimed",
        Standing::Unverified => "unverified",
    };
    let drill = match candidate.drill {
        Drill::None => "",
        Drill::Claimed => ", drill claimed",
        Drill::Unprovable => ", drill unprovable",
        Drill::Passed => ", drilled",
    };
    format!("{standing}{drill} ")
}

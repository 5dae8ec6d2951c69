//! `list`, and the number of times that a run lists the store.

use super::{BODY, World, ago, list, objects};
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use serde_json::{Value, json};
use vault_backup::formats::naming::{BackupName, BackupType};

/// The cells of the row of `name`.
fn row(text: &str, name: &BackupName) -> Vec<String> {
    let line = text.lines().find(|line| line.starts_with(name.object())).unwrap_or_else(|| panic!("{text}"));
    line.split_whitespace().map(str::to_owned).collect()
}

/// Thirty-five daily backups, and monthly copies of the newest twelve.
fn copied(world: &World) -> Vec<BackupName> {
    let daily = world.good_ones(BackupType::Daily, 0..35);
    let copies = daily[..12].iter().map(BackupName::as_monthly);
    let files = copies.clone().flat_map(|name| {
        [(name.object().to_owned(), BODY.to_vec()), (name.manifest(), world.manifest(&name, &world.key))]
    });
    world.place.put_many(files.collect());
    // On a tie the daily one is the newer.
    let pairs = daily[..12].iter().cloned().zip(copies).flat_map(|(daily, copy)| [daily, copy]);
    pairs.chain(daily[12..].iter().cloned()).collect()
}

#[test]
fn list_shows_47_backups_in_80_columns_newest_first() {
    for world in World::both() {
        let all = copied(&world);
        let output = world.tool().arg("list").run();
        let text = output.ok().text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["NAME", "AGE", "SIZE", "STATUS", "DRILL"]);
        let names: Vec<_> = lines[1..48].iter().map(|line| line.split_whitespace().next().unwrap()).collect();
        assert_eq!(names, all.iter().map(BackupName::object).collect::<Vec<_>>());
        assert_eq!(lines[48..], ["", "47 backups, 470B: 47 good"]);
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!text.contains('\u{1b}'), "a pipe has no colours");

        let status = world.tool().args(["status"]).run();
        status.ok().stdout_contains(&format!("newest good daily backup {}", all[0]));
        let json = world.tool().args(["list", "--json"]).run().ok().json();
        assert_eq!((&json["backups"][0]["object"], json.as_object().unwrap().len()), (&json!(all[0].object()), 3));
    }
}

#[test]
fn list_filters_by_number_and_kind() {
    let world = World::new(Place::directory());
    let all = copied(&world);
    let shown = |args: &[&str]| {
        let output = world.tool().arg("list").args(args).run();
        let text = output.ok().text();
        let names: Vec<_> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
        (names[1..names.len() - 2].to_vec(), text.lines().last().unwrap().to_owned())
    };
    let names = |names: &[BackupName]| names.iter().map(|name| name.object().to_owned()).collect::<Vec<_>>();
    assert_eq!(shown(&["--last", "3"]), (names(&all[..3]), "3 of 47 backups, 30B: 3 good".to_owned()));
    let monthly: Vec<_> = all[..24].iter().skip(1).step_by(2).cloned().collect();
    assert_eq!(shown(&["--kind", "monthly"]), (names(&monthly), "12 of 47 backups, 120B: 12 good".to_owned()));
    assert_eq!(shown(&["--kind", "monthly", "--last", "2"]).0, names(&monthly[..2]));
    world.tool().args(["list", "--last", "0"]).run().ok().stdout_contains("\n\n0 of 47 backups, 0B\n");
    let json = world.tool().args(["list", "--kind", "daily", "--last", "1", "--json"]).run().ok().json();
    assert_eq!(json["backups"].as_array().unwrap().len(), 1);
}

#[test]
fn list_reports_status_drill_and_reasons() {
    for world in World::both() {
        let daily = world.good_ones(BackupType::Daily, 0..32);
        world.write(&daily[3].drill_record(), &world.drill_record(&daily[3], &world.key));
        world.write(&daily[5].drill_record(), b"{}");
        world.write(&daily[4].manifest(), b"{}");
        let loose = BackupName::new(BackupType::Daily, ago(50));
        world.write(loose.object(), BODY);
        world.write("daily/notes", b"mine");
        let output = world.tool().arg("list").run();
        let text = output.ok().text();
        assert_eq!(row(&text, &daily[0])[2..], ["10B", "good", "-"]);
        assert_eq!(row(&text, &daily[3])[1..], ["3d", "10B", "good", "3d"]);
        assert_eq!(row(&text, &daily[4])[3..], ["refused", "-"]);
        assert_eq!(row(&text, &loose)[3..], ["unverified", "-"]);
        let totals = "\n\n33 backups, 330B: 31 good, 1 refused, 1 unverified; 1 foreign object ignored\n";
        assert!(text.ends_with(totals), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");

        let long = world.tool().args(["list", "--long"]).run().ok().text();
        let reason = |name: &BackupName| row(&long, name)[6..].join(" ");
        assert_eq!(row(&long, &daily[3])[1], daily[3].created_at().format("%Y-%m-%d").to_string());
        assert_eq!(reason(&daily[0]), "keep: newest good daily backup");
        assert_eq!(reason(&daily[3]), "keep: within 30 days");
        assert!(reason(&daily[4]).starts_with("keep: within 30 days; manifest: "), "{long}");
        assert!(reason(&daily[5]).starts_with("keep: within 30 days; drill record: "), "{long}");
        assert_eq!(reason(&daily[30]), "keep: one of the 30 newest good daily backups");
        let unverified = "unverified, older than 30 days, and 30 newer good daily backups remain";
        assert_eq!(reason(&loose), format!("delete: {unverified}"));
        let plan = world.tool().args(["prune", "--dry-run"]).run();
        plan.code(0).stdout_contains("remove 2, 20B\n").stdout_contains(&format!("\n  {unverified}:\n    {loose}  "));

        let document = world.tool().args(["list", "--json"]).run().ok().json();
        let listed = document["backups"].as_array().unwrap();
        assert_eq!(listed.len(), 33);
        assert_eq!((&listed[0]["object"], &listed[0]["standing"]), (&json!(daily[0].object()), &json!("good")));
        assert_eq!((&listed[32]["object"], &listed[32]["delete"]), (&json!(loose.object()), &json!(true)));
        assert!(listed[4]["reason"].as_str().unwrap().contains("malformed"), "{}", listed[4]);
        assert_eq!(document["foreign_objects"], 1);
        let dry = world.tool().args(["prune", "--dry-run", "--json"]).run().ok().json();
        let reasons = |list: &Value, key: &str| -> Vec<_> {
            list.as_array().unwrap().iter().map(|one| (one["object"].clone(), one[key].clone())).collect()
        };
        assert_eq!(reasons(&dry["plan"], "reason"), reasons(&document["backups"], "retention"));
    }
}

#[test]
fn backup_with_prune_lists_the_store_before_and_after_it_deletes() {
    let world = World::new(Place::s3());
    let daily = world.good_ones(BackupType::Daily, 0..40);
    let proxy = FaultServer::proxy(&world.place.site.s3.endpoint(), |_| Reply::forward());
    let tool = world.tool().env("AWS_ENDPOINT_URL", proxy.address());
    let result = tool.args(["backup", "--prune", "--json"]).run().ok().json();
    assert_eq!(list(&result["pruned"]["deleted"]), objects(&daily[30..]));
    // The new backup and its monthly copy are known without another listing.
    assert!(result["monthly_copy"].is_string(), "{result}");
    assert_eq!(result["pruned"]["kept"], 32);
    // One request for each of daily/ and monthly/, and again after the deletions. The clock
    // check asks for a single key, the search for a free name for those of one hour.
    let calls = proxy.calls();
    let listings = calls.iter().filter(|c| c.query.contains("list-type=2") && !c.query.contains("max-keys=1"));
    let (names, all): (Vec<_>, Vec<_>) = listings.partition(|c| c.query.contains("vault-snapshot-"));
    assert_eq!((names.len(), all.len()), (2, 4));
}

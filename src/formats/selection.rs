//! The ways to name a backup in the store: `latest`, an object name, a URL, a file name or
//! the beginning of its time.
//!
//! Pure: text and names in, names out. Not here: the status of the backups
//! (`pipeline::select`).

use super::naming::{BackupName, BackupType};

/// Shortest beginning of a time, in digits: the year.
const YEAR: usize = 4;

/// Time of a backup in the form that beginnings are compared with, with milliseconds as in
/// legacy names.
const TIME: &str = "%Y%m%d%H%M%S%3f";

/// A backup as named by a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    /// `latest`, `latest:daily`, `latest:monthly`: the newest good one, of one type if given.
    Latest(Option<BackupType>),
    /// A full object name or URL.
    Object(BackupName),
    /// A file name without its directory.
    File(String),
    /// The beginning of a time, as digits.
    Time(String),
}

impl Selector {
    /// Reads `text`, also below `root`, the URL of the store with a slash at its end. `None` for
    /// text that cannot name a backup.
    pub(crate) fn parse(text: &str, root: &str) -> Option<Self> {
        let text = text.strip_prefix(root).unwrap_or(text);
        if let Some(latest) = text.strip_prefix("latest") {
            let of = |t: &BackupType| latest.strip_prefix(':') == Some(t.as_str());
            return match latest {
                "" => Some(Self::Latest(None)),
                _ => BackupType::ALL.into_iter().find(of).map(|of| Self::Latest(Some(of))),
            };
        }
        if let Some(name) = BackupName::parse(text) {
            return Some(Self::Object(name));
        }
        if text.starts_with("vault-snapshot-") && text.ends_with(".enc") && !text.contains('/') {
            return Some(Self::File(text.to_owned()));
        }
        Self::time(text)
    }

    /// Reads the beginning of a time: `20261126`, `20261126-02`, or as RFC 3339.
    fn time(text: &str) -> Option<Self> {
        let separators = ['-', ':', '.', 'T', 'Z'];
        let digits: String = text.chars().filter(|c| !separators.contains(c)).collect();
        let is_time = text.starts_with(|c: char| c.is_ascii_digit())
            && digits.len() >= YEAR
            && digits.chars().all(|c| c.is_ascii_digit());
        is_time.then_some(Self::Time(digits))
    }

    /// Returns `true` if `name` fits.
    pub(crate) fn fits(&self, name: &BackupName) -> bool {
        match self {
            Self::Latest(of) => of.is_none_or(|of| of == name.backup_type()),
            Self::Object(object) => object == name,
            Self::File(file) => file.strip_suffix(".enc") == Some(name.stem()),
            Self::Time(digits) => name.created_at().format(TIME).to_string().starts_with(digits),
        }
    }
}

/// Returns `names` without the monthly copies of daily backups among them.
pub(crate) fn without_copies(names: &[BackupName]) -> Vec<&BackupName> {
    let daily = |name: &BackupName| {
        names.iter().any(|n| n.backup_type() == BackupType::Daily && n.created_at() == name.created_at())
    };
    names.iter().filter(|name| name.backup_type() == BackupType::Daily || !daily(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "s3://backups/prod/";

    fn names() -> Vec<BackupName> {
        [
            "daily/2026-11-26/vault-snapshot-20261126-140000.enc",
            "daily/2026-11-26/vault-snapshot-20261126-020000.enc",
            "monthly/2026-11/vault-snapshot-20261126-020000.enc",
            "daily/2026-11-25/vault-snapshot-20261125-020000.enc",
            "daily/2025-01-02/vault-snapshot-2025-01-02T03-04-05-678Z.enc",
        ]
        .map(|name| BackupName::parse(name).unwrap())
        .to_vec()
    }

    /// Positions in [`names`] that `text` fits.
    fn fits(text: &str) -> Vec<usize> {
        let selector = Selector::parse(text, ROOT).unwrap_or_else(|| panic!("{text}"));
        (0..5).filter(|n| selector.fits(&names()[*n])).collect()
    }

    #[test]
    fn each_form_selects_the_names_that_fit() {
        for (text, expected) in [
            ("latest", &[0, 1, 2, 3, 4][..]),
            ("latest:daily", &[0, 1, 3, 4]),
            ("latest:monthly", &[2]),
            ("daily/2026-11-26/vault-snapshot-20261126-020000.enc", &[1]),
            ("monthly/2026-11/vault-snapshot-20261126-020000.enc", &[2]),
            ("s3://backups/prod/monthly/2026-11/vault-snapshot-20261126-020000.enc", &[2]),
            ("vault-snapshot-20261126-020000.enc", &[1, 2]),
            ("vault-snapshot-2025-01-02T03-04-05-678Z.enc", &[4]),
            ("vault-snapshot-20261126-020001.enc", &[]),
            ("2026", &[0, 1, 2, 3]),
            ("20261126", &[0, 1, 2]),
            ("20261126-02", &[1, 2]),
            ("2026-11-26T14:00:00Z", &[0]),
            ("20250102-030405", &[4]),
            ("20250102-030405678", &[4]),
            ("20261127", &[]),
            ("s3://backups/prod/latest:monthly", &[2]),
            ("s3://backups/prod/vault-snapshot-20261126-140000.enc", &[0]),
            ("s3://backups/prod/20261125", &[3]),
        ] {
            assert_eq!(fits(text), expected, "{text}");
        }
    }

    #[test]
    fn other_text_names_no_backup() {
        for text in [
            "",
            "nope",
            "latest:weekly",
            "latest-2",
            "lates",
            "202",
            "-2026",
            "2026/11/26",
            "2026x",
            "s3://backups/production/daily/2026-11-26/vault-snapshot-20261126-020000.enc",
            "s3://other/prod/daily/2026-11-26/vault-snapshot-20261126-020000.enc",
            "daily/2026-11-26/vault-snapshot-20261126-020000",
            "x/vault-snapshot-20261126-020000.enc",
        ] {
            assert_eq!(Selector::parse(text, ROOT), None, "{text}");
        }
    }

    #[test]
    fn a_monthly_copy_gives_way_to_its_daily_backup() {
        let all = names();
        let kept: Vec<_> = without_copies(&all).into_iter().map(|name| name.object()).collect();
        assert_eq!(kept.len(), 4);
        assert!(kept.iter().all(|name| name.starts_with("daily/")), "{kept:?}");
        let monthly = [all[2].clone(), all[0].clone()];
        assert_eq!(without_copies(&monthly).len(), 2);
    }
}

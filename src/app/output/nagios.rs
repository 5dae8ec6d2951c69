//! One line of output for Nagios, and its exit codes:
//! <https://nagios-plugins.org/doc/guidelines.html>.

use super::lines::Lines;
use crate::base::text::one_line;

/// Exit code of OK.
pub const OK: u8 = 0;
/// Exit code of WARNING.
pub const WARNING: u8 = 1;
/// Exit code of CRITICAL.
pub const CRITICAL: u8 = 2;
/// Exit code of UNKNOWN.
pub const UNKNOWN: u8 = 3;

/// Returns the line of a status with the reasons `said`, and performance data, if any.
///
/// A vertical bar starts the performance data, so `said` has none. It has a limited length:
/// Nagios reads 4 KiB.
pub fn line(word: &str, said: &str, data: Option<&str>) -> Lines {
    let said = one_line(said).replace('|', "/");
    let data = data.map(|data| format!(" | {data}")).unwrap_or_default();
    format!("VAULT-BACKUP {word} - {said}{data}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_performance_data_follows_a_bar() {
        let forged = "no backup | age=0s\n| more=1\u{1b}[2J";
        let expected = "VAULT-BACKUP CRITICAL - no backup / age=0s / more=1\\u{1b}[2J | age=9s\n";
        assert_eq!(line("CRITICAL", forged, Some("age=9s")).to_string(), expected);
        assert!(line("UNKNOWN", &"\u{1f512}|".repeat(9_000), None).to_string().len() < 4_096);
    }
}

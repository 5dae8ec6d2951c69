//! Makes text safe to print. Names, errors of servers, headers of unverified backups and
//! file names may contain text that moves the cursor, reorders a line or forges one.

use std::borrow::Cow;

/// Longest line of text, in bytes.
const LINE: usize = 2_000;

/// Longest line of a result, in bytes: two texts, and our own words.
const ROW: usize = 2 * LINE;

/// Longest value within a line, in bytes.
const VALUE: usize = 200;

/// Returns `text` on one line: each run of white space becomes one space, each character that
/// is not [`printable`] an escape such as `\u{1b}`. A long text is truncated.
pub(crate) fn one_line(text: &str) -> String {
    limited(text, LINE)
}

/// Returns `text` as a value within a line: like [`one_line`], but shorter.
pub(crate) fn value(text: &str) -> String {
    limited(text, VALUE)
}

/// Returns `text` as a line of a result: with its spaces, and with an escape for each newline. A
/// long text is truncated.
pub(crate) fn row(text: &str) -> String {
    shortened(&printable(text).replace('\n', r"\u{a}"), ROW)
}

/// Returns `text` with an escape such as `\u{1b}` for each control, invisible or
/// direction-changing character. Newlines stay.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    replaced(text, |c, out| out.extend(c.escape_unicode()))
}

/// Returns `json` with the escape of JSON for each character that is not [`printable`]: the
/// document has the same values, and a terminal can show it.
pub(crate) fn printable_json(json: &str) -> Cow<'_, str> {
    replaced(json, |c, out| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            *out += &format!("\\u{unit:04x}");
        }
    })
}

fn limited(text: &str, limit: usize) -> String {
    shortened(&printable(&text.split_whitespace().collect::<Vec<_>>().join(" ")), limit)
}

fn shortened(text: &str, limit: usize) -> String {
    match text.floor_char_boundary(limit) {
        end if end == text.len() => text.to_owned(),
        end => format!("{}… ({} more bytes)", &text[..end], text.len() - end),
    }
}

fn replaced(text: &str, replace: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let harmless = |c: char| c == '\n' || !is_unsafe(c);
    if text.chars().all(harmless) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if harmless(c) { out.push(c) } else { replace(c, &mut out) }
    }
    out.into()
}

/// Returns `true` for characters that act on the output, or cannot be seen in it.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{ffa0}'
            | '\u{200b}'..='\u{200f}' // no width, and marks of direction
            | '\u{2028}'..='\u{202e}' // separators, and overrides of direction
            | '\u{2060}'..='\u{206f}' // no width, and isolates
            | '\u{2800}' // a blank that is no white space
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}') // tags
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clearing the screen, the clipboard, a link, C1, direction, and an invisible letter.
    const HOSTILE: &str = "a\u{1b}[2J\u{1b}]52;c;eA==\u{7}\u{9b}1m\u{202e}b\u{2066}\u{200b}\u{7f}\0\u{e0041}c";

    #[test]
    fn control_and_direction_characters_become_visible() {
        let expected = r"a\u{1b}[2J\u{1b}]52;c;eA==\u{7}\u{9b}1m\u{202e}b\u{2066}\u{200b}\u{7f}\u{0}\u{e0041}c";
        assert_eq!(printable(HOSTILE), expected);
        assert_eq!(one_line(HOSTILE), expected);
        assert_eq!(printable("línea 1 ✓\nline 2"), "línea 1 ✓\nline 2");
        assert_eq!(printable("over\rwritten\u{2028}"), r"over\u{d}written\u{2028}");
    }

    #[test]
    fn a_value_has_one_line_and_a_limited_length() {
        assert_eq!(one_line("one\r\n two\u{85}\u{2028}\tthree\u{3000}"), "one two three");
        assert_eq!(value(&"x".repeat(1 << 20)), format!("{}… (1048376 more bytes)", "x".repeat(200)));
        assert_eq!(row("  a  b\nc\t"), r"  a  b\u{a}c\u{9}");
        assert_eq!(row(&"x".repeat(4_001)), format!("{}… (1 more bytes)", "x".repeat(4_000)));
        assert_eq!(one_line(&"é".repeat(1_001)), format!("{}… (2 more bytes)", "é".repeat(1_000)));
    }

    #[test]
    fn printable_json_has_the_same_values() {
        let value = serde_json::json!({ "k\u{9b}": [HOSTILE, "two\nlines", "plain"] });
        let text = format!("{value:#}");
        let shown = printable_json(&text);
        assert!(shown.chars().all(|c| c == '\n' || !is_unsafe(c)) && shown.contains(r"\u202e"), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}

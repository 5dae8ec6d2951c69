//! Just as much of Markdown as the tests of the documents need.

/// The text below the heading `title`, up to the next heading of the same level or above.
///
/// # Panics
/// If there is no such heading.
pub(super) fn section<'a>(markdown: &'a str, title: &str) -> &'a str {
    let mut start = None;
    let mut depth = 0;
    let mut at = 0;
    let mut fenced = false;
    for line in markdown.split_inclusive('\n') {
        fenced ^= line.trim_start().starts_with("```");
        let level = line.bytes().take_while(|b| *b == b'#').count();
        if let Some(start) = start.filter(|_| !fenced && level > 0 && level <= depth) {
            return &markdown[start..at];
        }
        at += line.len();
        if !fenced && level > 0 && line[level..].trim() == title {
            start = Some(at);
            depth = level;
        }
    }
    &markdown[start.unwrap_or_else(|| panic!("no section {title:?}"))..]
}

/// The fenced blocks of `language`, in order, without the indentation that they have in lists.
pub(super) fn blocks(markdown: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<(usize, bool, String)> = None;
    for line in markdown.lines() {
        let text = line.trim_start();
        match (&mut block, text.strip_prefix("```")) {
            (None, Some(info)) => block = Some((line.len() - text.len(), info.trim() == language, String::new())),
            (Some(_), Some(_)) => blocks.extend(block.take().filter(|(_, wanted, _)| *wanted).map(|(.., text)| text)),
            (Some((indent, _, body)), None) => {
                body.push_str(line.get(*indent..).unwrap_or_default());
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(block.is_none(), "a block without an end");
    blocks
}

#[test]
fn sections_and_blocks() {
    let text = "# A\nx\n## B\n```sh\n# no heading\none\n```\n- item\n\n  ```sh\n  two\n    deep\n  ```\n```toml\nt\n```\n## C\ny\n";
    assert_eq!(section(text, "C"), "y\n");
    assert!(section(text, "A").ends_with("y\n"));
    assert_eq!(blocks(section(text, "B"), "sh"), ["# no heading\none\n", "two\n  deep\n"]);
    assert_eq!(blocks(text, "toml"), ["t\n"]);
}

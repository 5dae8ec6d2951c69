//! The links between the documents have targets.

use super::{project, read};
use std::path::Path;

/// Every Markdown file at the root and in `docs/`, relative to the root.
fn documents() -> Vec<String> {
    let files = ["", "docs"].into_iter().flat_map(|directory| {
        let names = std::fs::read_dir(project(directory)).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(move |name| Path::new(directory).join(name).to_str().unwrap().to_owned())
    });
    files.filter(|file| file.ends_with(".md")).collect()
}

/// The targets of the inline links of `markdown`.
fn links(markdown: &str) -> impl Iterator<Item = &str> {
    markdown.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// The anchors of its headings: lower case, blanks as hyphens, no punctuation.
fn anchors(markdown: &str) -> Vec<String> {
    let headings =
        markdown.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let slug = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || "-_".contains(c) => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    headings.map(|heading| heading.chars().filter_map(slug).collect()).collect()
}

#[test]
fn every_link_has_a_target() {
    let (mut seen, mut broken) = (0, Vec::new());
    for document in documents() {
        let text = read(&document);
        for link in links(&text).filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let directory = Path::new(&document).parent().unwrap();
            let target = if file.is_empty() { Path::new(&document).to_owned() } else { directory.join(file) };
            let target = target.to_str().unwrap();
            let leads =
                project(target).exists() && (anchor.is_empty() || anchors(&read(target)).contains(&anchor.into()));
            if !leads {
                broken.push(format!("{document}: {link}"));
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "the links were not found");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn headings_become_anchors() {
    let text = "# A thing, `code` & more\n## Is it?\nno heading\n";
    assert_eq!(anchors(text), ["a-thing-code--more", "is-it"]);
    assert_eq!(links("a [b](c.md#d) [e](https://f) g").collect::<Vec<_>>(), ["c.md#d", "https://f"]);
}

//! The words and the doc comments that docs/style.md rules out.

use super::project;
use std::path::{Path, PathBuf};

/// Words without a meaning that would be right in this project, in lower case.
const WORDS: &[&str] =
    &["folder", "folders", "whoever", "whomever", "nobody", "somebody", "anew", "hence", "aside", "untold", "at hand"];

/// Words that begin no doc comment: a noun or a verb does.
const QUESTIONS: &[&str] = &["What", "Whether", "How", "Where", "Which", "Who", "Whose"];

/// The guide itself names the words.
const GUIDE: &str = "docs/style.md";

/// Returns all files below `path`.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|entry| files(&entry)).collect()
}

/// Returns the violations in a text, with their lines.
fn violations(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_doc_comment = false;
    for (index, line) in text.lines().enumerate() {
        // Parts of identifiers are words, too.
        let lower = line.to_lowercase();
        let words: Vec<_> = lower.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()).collect();
        let plain = format!(" {} ", words.join(" "));
        let at = index + 1;
        found.extend(
            WORDS.iter().filter(|word| plain.contains(&format!(" {word} "))).map(|word| format!("{at}: {word}")),
        );
        let doc = ["///", "//!"].iter().find_map(|mark| line.trim_start().strip_prefix(mark));
        let first = doc.filter(|_| !in_doc_comment).and_then(|text| text.split_whitespace().next());
        found.extend(
            first.filter(|word| QUESTIONS.contains(word)).map(|word| format!("{at}: doc comment begins with {word}")),
        );
        in_doc_comment = doc.is_some();
    }
    found
}

#[test]
fn sources_and_documents_have_no_dialect() {
    let root = project("");
    let all: Vec<_> = ["src", "docs", "examples", "README.md"].iter().flat_map(|path| files(&project(path))).collect();
    assert!(all.len() > 100);
    let mut found = Vec::new();
    for file in all {
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        if name != GUIDE {
            let text = std::fs::read_to_string(&file).unwrap();
            found.extend(violations(&text).into_iter().map(|violation| format!("{name}:{violation}")));
        }
    }
    assert!(found.is_empty(), "see {GUIDE}:\n{}", found.join("\n"));
}

#[test]
fn words_and_doc_comments_are_found() {
    let text = "fn sync_folder() {} // Nobody\n/// What it is.\n/// Whether not.\nstruct X; // subfolder, folders\n/// Hence\n/// How\nkeys at hand\n";
    let expected =
        ["1: folder", "1: nobody", "2: doc comment begins with What", "4: folders", "5: hence", "7: at hand"];
    assert_eq!(violations(text), expected);
}

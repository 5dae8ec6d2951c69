//! Every path that a source file names, as rustc's lexer sees it: no comments, no
//! strings, nothing that is compiled for tests only.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use std::str::FromStr;

/// The segments of a path, resolved against its module: `super::x` in `store/s3.rs`
/// is `["crate", "store", "x"]`. A macro's name ends in `!`.
pub type Path = Vec<String>;

/// All paths of `source`, which is the module `module` (`["crate", "store", "s3"]`).
/// Members of a `use` group come out one by one, each with the group's prefix.
pub fn paths(source: &str, module: &[String]) -> Vec<Path> {
    let mut found = Vec::new();
    scan(TokenStream::from_str(source).unwrap(), &[], module, &mut found);
    found
}

fn scan(stream: TokenStream, prefix: &[String], module: &[String], found: &mut Vec<Path>) {
    use TokenTree::{Group, Ident, Punct};
    let tokens: Vec<_> = stream.into_iter().collect();
    let mut i = 0;
    while i < tokens.len() {
        match &tokens[i..] {
            [Punct(hash), Group(attribute), ..] if hash.as_char() == '#' && is_for_tests(attribute) => {
                i = end_of_item(&tokens, i + 2);
            }
            // In the body of an inline module, `super` means something else.
            [Ident(word), Ident(name), Group(body), ..] if word == "mod" => {
                scan(body.stream(), &[], &[module, &[name.to_string()]].concat(), found);
                i += 3;
            }
            [Ident(word), Ident(_), ..] if word == "as" => i += 2,
            [Ident(_), ..] => i = path(&tokens, i, prefix, module, found),
            [Group(group), ..] => {
                scan(group.stream(), &[], module, found);
                i += 1;
            }
            _ => i += 1,
        }
    }
}

/// Reads the path that begins at `tokens[i]`; returns where it ends.
fn path(tokens: &[TokenTree], mut i: usize, prefix: &[String], module: &[String], found: &mut Vec<Path>) -> usize {
    let mut segments = prefix.to_vec();
    while let Some(TokenTree::Ident(ident)) = tokens.get(i) {
        segments.push(ident.to_string());
        i += 1;
        match tokens.get(i) {
            Some(TokenTree::Punct(bang)) if bang.as_char() == '!' => {
                segments.last_mut().unwrap().push('!');
                break;
            }
            _ if !is_colons(tokens, i) => break,
            _ => i += 2,
        }
        if let Some(TokenTree::Group(group)) = tokens.get(i)
            && group.delimiter() == Delimiter::Brace
        {
            scan(group.stream(), &segments, module, found);
            return i + 1;
        }
    }
    found.push(resolve(&segments, module));
    i
}

fn is_colons(tokens: &[TokenTree], i: usize) -> bool {
    let colon = |i| matches!(tokens.get(i), Some(TokenTree::Punct(p)) if p.as_char() == ':');
    colon(i) && colon(i + 1)
}

/// Makes a path that begins with `self` or `super` begin with `crate`.
fn resolve(segments: &[String], module: &[String]) -> Path {
    let relative = segments.iter().take_while(|s| *s == "self" || *s == "super").count();
    if relative == 0 || segments.len() == relative {
        return segments.to_vec();
    }
    let up = segments[..relative].iter().filter(|s| *s == "super").count();
    [&module[..module.len().saturating_sub(up)], &segments[relative..]].concat()
}

fn is_for_tests(attribute: &Group) -> bool {
    attribute.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// Returns the end of the item that begins at `tokens[i]`: after its body or its semicolon.
fn end_of_item(tokens: &[TokenTree], i: usize) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    };
    tokens.iter().skip(i).position(ends).map_or(tokens.len(), |n| i + n + 1)
}

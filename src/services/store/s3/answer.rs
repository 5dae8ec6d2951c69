//! Strict check of the documents that S3 sends as responses. Pure.
//!
//! The SDK's parser accepts a document that ends early, has another root element, or lacks
//! required elements: a truncated listing would count as complete.

use std::fmt;
use xmlparser::{ElementEnd, Token, Tokenizer};

/// Maximum number of elements and attributes of a document. A page of 1,000 versions, each
/// with its owner, has 12,000. The SDK's representation of an empty element takes 300 bytes.
const MAX_ELEMENTS: usize = 65_536;

/// A response that cannot be used, although its status is a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BadAnswer {
    /// It is incomplete. Another attempt may succeed.
    Truncated(String),
    /// It is not from an S3 server; contains the description of its content.
    NotS3(String),
    /// It is larger than any valid response; contains the limit.
    TooLarge(String),
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(why) => write!(f, "the response is truncated: {why}"),
            Self::NotS3(what) => write!(f, "the endpoint is not an S3 server: HTTP 200 {what}"),
            Self::TooLarge(limit) => write!(f, "the response is too large: more than {limit}"),
        }
    }
}

impl std::error::Error for BadAnswer {}

/// Root element of an operation's response, and those of its children that must be there.
/// `None` if the operation has no document.
fn expected(operation: &str) -> Option<(&'static str, &'static [&'static str])> {
    Some(match operation {
        "ListObjectsV2" => ("ListBucketResult", &["IsTruncated"]),
        "ListObjectVersions" => ("ListVersionsResult", &["IsTruncated"]),
        "ListMultipartUploads" => ("ListMultipartUploadsResult", &["IsTruncated"]),
        "CreateMultipartUpload" => ("InitiateMultipartUploadResult", &["UploadId"]),
        "CompleteMultipartUpload" => ("CompleteMultipartUploadResult", &["ETag"]),
        "CopyObject" => ("CopyObjectResult", &["ETag"]),
        "UploadPartCopy" => ("CopyPartResult", &["ETag"]),
        "DeleteObjects" => ("DeleteResult", &[]),
        "GetObjectLockConfiguration" => ("ObjectLockConfiguration", &[]),
        _ => return None,
    })
}

/// A valid response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The document of the operation, or any content if it has none.
    Document,
    /// An error, which S3 also sends with status 200 if it occurs late; contains its code.
    Error(String),
}

/// Checks the body of a successful response to `operation`.
pub(super) fn check(operation: &str, body: &[u8]) -> Result<Answer, BadAnswer> {
    let Some((root, children)) = expected(operation) else { return Ok(Answer::Document) };
    let text = std::str::from_utf8(body).map_err(|_| BadAnswer::NotS3("with content that is not XML".into()))?;
    // S3 sends white space while it works.
    let document = Document::read(text.trim_start_matches('\u{feff}').trim_start());
    let document = match document {
        Err(Unreadable::TooManyElements) => {
            return Err(BadAnswer::TooLarge(format!("{MAX_ELEMENTS} XML elements")));
        }
        Err(Unreadable::Incomplete(seen)) => {
            return Err(match seen.root {
                Some(other) if !root.starts_with(&other) && !"Error".starts_with(&other) => wrong_root(&other, root),
                None if !text.trim_start().starts_with('<') && !text.trim().is_empty() => {
                    BadAnswer::NotS3("with content that is not XML".into())
                }
                _ => BadAnswer::Truncated(format!("<{root}> is incomplete")),
            });
        }
        Ok(document) => document,
    };
    match document.root.as_deref() {
        Some("Error") => Ok(Answer::Error(document.code.unwrap_or_default())),
        Some(found) if found == root => match children.iter().find(|child| !document.has(child)) {
            Some(missing) => Err(BadAnswer::Truncated(format!("<{root}> has no <{missing}>"))),
            None => Ok(Answer::Document),
        },
        Some(found) => Err(wrong_root(found, root)),
        None => Err(BadAnswer::Truncated(format!("<{root}> is missing"))),
    }
}

fn wrong_root(found: &str, root: &str) -> BadAnswer {
    let found: String = found.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    BadAnswer::NotS3(format!("with <{found}> instead of <{root}>"))
}

/// Returns the code in the body of an error response, if any.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    let document = Document::read(std::str::from_utf8(body).ok()?.trim_start()).ok()?;
    document.code.filter(|_| document.root.as_deref() == Some("Error"))
}

/// The parts of a document that the checks need.
#[derive(Default)]
struct Document {
    root: Option<String>,
    /// Names of the root's children that [`expected`] may ask for.
    children: Vec<&'static str>,
    /// Text of the root's child `Code`.
    code: Option<String>,
}

enum Unreadable {
    TooManyElements,
    /// Not well-formed, or it ends early.
    Incomplete(Document),
}

impl Document {
    fn has(&self, child: &str) -> bool {
        self.children.contains(&child)
    }

    /// Reads a well-formed document with one root element to its end.
    fn read(text: &str) -> Result<Self, Unreadable> {
        let mut document = Self::default();
        let (mut open, mut count, mut closed) = (Vec::new(), 0, false);
        for token in Tokenizer::from(text) {
            let Ok(token) = token else { return Err(Unreadable::Incomplete(document)) };
            match token {
                Token::ElementStart { local, .. } => {
                    count += 1;
                    document.begin(&open, local.as_str());
                    open.push(local.as_str());
                }
                Token::Attribute { .. } => count += 1,
                Token::ElementEnd { end: ElementEnd::Empty, .. } => closed = open.pop().is_some() && open.is_empty(),
                Token::ElementEnd { end: ElementEnd::Close(_, local), .. } => {
                    if open.pop() != Some(local.as_str()) {
                        return Err(Unreadable::Incomplete(document));
                    }
                    closed = open.is_empty();
                }
                Token::Text { text } if open.len() == 2 && open[1] == "Code" => {
                    document.code = Some(text.as_str().trim().chars().take(100).collect());
                }
                _ => {}
            }
            if count > MAX_ELEMENTS {
                return Err(Unreadable::TooManyElements);
            }
        }
        if closed { Ok(document) } else { Err(Unreadable::Incomplete(document)) }
    }

    fn begin(&mut self, open: &[&str], name: &str) {
        match open.len() {
            0 => self.root = Some(name.to_owned()),
            1 => self.children.extend(["IsTruncated", "UploadId", "ETag"].into_iter().find(|child| *child == name)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LISTING: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3/\">\
        <Name>b</Name><Prefix/><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>1</Size></Contents>\
        <Contents><Key>b</Key><Size>1</Size></Contents></ListBucketResult>";

    fn list(body: &str) -> Result<Answer, BadAnswer> {
        check("ListObjectsV2", body.as_bytes())
    }

    #[test]
    fn complete_documents_are_valid() {
        assert_eq!(list(LISTING), Ok(Answer::Document));
        assert_eq!(list(&format!("\u{feff} \n{LISTING}\n <!-- end -->\n")), Ok(Answer::Document));
        let deleted = "<s3:DeleteResult xmlns:s3='x'><s3:Deleted/></s3:DeleteResult>";
        assert_eq!(check("DeleteObjects", deleted.as_bytes()), Ok(Answer::Document));
        assert_eq!(check("DeleteObjects", b"<DeleteResult/>"), Ok(Answer::Document));
        assert_eq!(check("PutObject", b"anything"), Ok(Answer::Document));
    }

    /// Also at element boundaries, where the SDK's parser sees a shorter listing.
    #[test]
    fn every_truncation_of_a_listing_is_refused() {
        for end in 0..LISTING.len() {
            assert!(matches!(list(&LISTING[..end]), Err(BadAnswer::Truncated(_))), "{}", &LISTING[..end]);
        }
    }

    #[test]
    fn missing_elements_and_unbalanced_elements_are_refused() {
        let without = LISTING.replace("<IsTruncated>false</IsTruncated>", "");
        assert_eq!(list(&without), Err(BadAnswer::Truncated("<ListBucketResult> has no <IsTruncated>".into())));
        let nested = without.replace("<Size>1</Size>", "<IsTruncated>false</IsTruncated>");
        assert!(list(&nested).is_err(), "only the root's own children count");
        for body in ["<ListBucketResult><IsTruncated></ListBucketResult></IsTruncated>", "<ListBucketResult/>"] {
            assert!(list(body).is_err(), "{body}");
        }
        for operation in ["CreateMultipartUpload", "CompleteMultipartUpload", "CopyObject", "UploadPartCopy"] {
            let root = expected(operation).unwrap().0;
            let empty = format!("<{root}></{root}>");
            assert!(matches!(check(operation, empty.as_bytes()), Err(BadAnswer::Truncated(_))), "{operation}");
        }
    }

    #[test]
    fn other_content_is_not_from_an_s3_server() {
        for body in ["<html><body>Please log in<br></html>", "welcome", "<!DOCTYPE html><html></html>", "{\"a\": 1}"] {
            assert!(matches!(list(body), Err(BadAnswer::NotS3(_))), "{body}: {:?}", list(body));
        }
        assert!(matches!(check("ListObjectsV2", b"\xff\xfe"), Err(BadAnswer::NotS3(_))));
    }

    #[test]
    fn errors_are_recognised() {
        let body = "<Error><Code>SlowDown</Code><Message>Reduce <b>your</b> rate</Message></Error>";
        assert_eq!(list(body), Ok(Answer::Error("SlowDown".into())));
        assert_eq!(error_code(body.as_bytes()), Some("SlowDown".into()));
        assert_eq!(error_code(b"<html><Code>SlowDown</Code></html>"), None);
        assert_eq!(error_code(b""), None);
    }

    #[test]
    fn a_document_of_many_small_elements_is_refused() {
        for item in ["<Contents/>", "<C a='' b='' c='' d=''/>"] {
            let body = format!("<ListBucketResult>{}</ListBucketResult>", item.repeat(MAX_ELEMENTS));
            assert!(matches!(list(&body), Err(BadAnswer::TooLarge(_))), "{item}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(body in "[<>/a-zA-Z =\"'!?&;-]{0,60}") {
            let _ = list(&body);
            let _ = error_code(body.as_bytes());
        }
    }
}

//! Reads the beginning of a snapshot without verifying it.

use super::member::Member;
use super::meta::Meta;
use super::source::{self, LimitedReader, ReadLimit};
use super::{META, STATE};
use crate::base::error::{Error, Result};
use flate2::bufread::MultiGzDecoder;
use std::io::{BufRead, Read};

/// Reads meta.json at the beginning of a snapshot. It is not verified until
/// [`check`](super::check) has read the whole snapshot.
///
/// # Errors
/// `Integrity` if the stream does not begin with it. An [`Error`] that `reader` fails
/// with is returned unchanged.
pub fn peek<R: BufRead>(reader: R) -> Result<Meta> {
    begin(reader, |meta, _, _| Ok(meta))
}

/// Passes the beginning of state.bin to `on_state` and reads no further. It is not
/// verified until [`check_with`](super::check_with) has read the whole snapshot.
///
/// # Errors
/// As [`peek`], and the error of `on_state`.
pub fn peek_state<R: BufRead, T>(reader: R, on_state: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
    begin(reader, |_, entries, limit| on_state(&mut next(entries, limit, STATE)?))
}

type Gunzipped<'m, R> = LimitedReader<'m, MultiGzDecoder<R>>;

fn begin<R: BufRead, T>(
    mut reader: R,
    then: impl for<'m> FnOnce(Meta, &mut tar::Entries<'_, Gunzipped<'m, R>>, &'m ReadLimit) -> Result<T>,
) -> Result<T> {
    source::refuse_other_formats(&mut reader)?;
    let limit = ReadLimit::default();
    let mut tar = tar::Archive::new(LimitedReader::new(MultiGzDecoder::new(reader), &limit));
    let mut entries = tar.entries().map_err(|e| limit.error(e, "at its start"))?;
    let mut member = next(&mut entries, &limit, META)?;
    let meta = Meta::parse(&member.small()?)?;
    member.finish()?;
    then(meta, &mut entries, &limit)
}

/// Returns the next member, which must be `name`.
fn next<'a, 'm, R: Read>(
    entries: &mut tar::Entries<'a, LimitedReader<'m, R>>,
    limit: &'m ReadLimit,
    name: &str,
) -> Result<Member<'a, 'm, R>> {
    let place = format!("before {name}");
    let entry = entries.next().ok_or_else(|| source::ended(&place))?.map_err(|e| limit.error(e, &place))?;
    let member = Member::new(entry, limit)?;
    if member.name() == name {
        Ok(member)
    } else {
        Err(Error::integrity(format!("the snapshot contains {} {place}", member.name())))
    }
}

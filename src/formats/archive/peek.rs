//! The beginning of a snapshot, read without proving anything.

use super::member::Member;
use super::meta::Meta;
use super::source::{self, Meter, Metered};
use super::{META, STATE};
use crate::base::error::{Error, Result};
use flate2::bufread::MultiGzDecoder;
use std::io::{BufRead, Read};

/// What meta.json at the snapshot's beginning says. Nothing of it is proven: for
/// that, [`check`](super::check) must follow.
///
/// # Errors
/// `Integrity` if the stream does not begin with it; what `reader` fails with
/// passes through where it is an [`Error`].
pub fn peek<R: BufRead>(reader: R) -> Result<Meta> {
    begin(reader, |meta, _, _| Ok(meta))
}

/// Has `on_state` read the beginning of state.bin, and reads no further than that.
/// Nothing is proven: for that, [`check_with`](super::check_with) must follow.
///
/// # Errors
/// As [`peek`], and what `on_state` returned.
pub fn peek_state<R: BufRead, T>(reader: R, on_state: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
    begin(reader, |_, entries, meter| on_state(&mut next(entries, meter, STATE)?))
}

type Gunzipped<'m, R> = Metered<'m, MultiGzDecoder<R>>;

fn begin<R: BufRead, T>(
    mut reader: R,
    then: impl for<'m> FnOnce(Meta, &mut tar::Entries<'_, Gunzipped<'m, R>>, &'m Meter) -> Result<T>,
) -> Result<T> {
    source::refuse_other_formats(&mut reader)?;
    let meter = Meter::default();
    let mut tar = tar::Archive::new(Metered::new(MultiGzDecoder::new(reader), &meter));
    let mut entries = tar.entries().map_err(|e| meter.error(e, "at its start"))?;
    let mut member = next(&mut entries, &meter, META)?;
    let meta = Meta::parse(&member.small()?)?;
    member.finish()?;
    then(meta, &mut entries, &meter)
}

/// The next member, which must be `name`.
fn next<'a, 'm, R: Read>(
    entries: &mut tar::Entries<'a, Metered<'m, R>>,
    meter: &'m Meter,
    name: &str,
) -> Result<Member<'a, 'm, R>> {
    let place = format!("before {name}");
    let entry = entries.next().ok_or_else(|| source::ended(&place))?.map_err(|e| meter.error(e, &place))?;
    let member = Member::new(entry, meter)?;
    if member.name() == name {
        Ok(member)
    } else {
        Err(Error::integrity(format!("the snapshot holds {} {place}", member.name())))
    }
}

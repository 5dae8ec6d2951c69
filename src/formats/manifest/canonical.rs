//! Canonical JSON (RFC 8785, JCS), for the subset that the documents use: no floats, no
//! integer beyond 2^53 - 1, no duplicate keys.
//!
//! Parses strictly and writes canonically. Not here: the documents (`manifest`).

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Largest integer that every JSON parser represents exactly.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// Parses one JSON value. Duplicate keys, floats and unsafe integers are errors.
///
/// # Errors
/// The defect of the text.
pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    let Strict(value) = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    Ok(value)
}

/// Writes `value` without white space, with keys sorted by their UTF-16 code units.
///
/// # Errors
/// A number outside the subset.
pub fn write(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    write_to(value, &mut out)?;
    Ok(out)
}

fn write_to(value: &Value, out: &mut String) -> Result<(), String> {
    match value {
        Value::Number(n) => {
            let safe = n.as_u64().or(n.as_i64().map(i64::unsigned_abs)).is_some_and(|n| n <= MAX_SAFE);
            if !safe {
                return Err(format!("the number {n} is out of range"));
            }
            out.push_str(&n.to_string());
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_to(item, out)?;
            }
            out.push(']');
        }
        Value::Object(map) => write_object(map, out)?,
        // serde_json escapes exactly like RFC 8785.
        Value::Null | Value::Bool(_) | Value::String(_) => out.push_str(&value.to_string()),
    }
    Ok(())
}

fn write_object(map: &Map<String, Value>, out: &mut String) -> Result<(), String> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (i, (key, item)) in entries.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(&Value::from(key.as_str()).to_string());
        out.push(':');
        write_to(item, out)?;
    }
    out.push('}');
    Ok(())
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value without floats")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Value, E> {
        if v <= MAX_SAFE { Ok(v.into()) } else { Err(E::custom("an integer above 2^53 - 1")) }
    }

    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<Value, E> {
        if v.unsigned_abs() <= MAX_SAFE { Ok(v.into()) } else { Err(E::custom("an integer below -(2^53 - 1)")) }
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom("a number that is not an integer"))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom("duplicate key"));
            }
            let Strict(item) = access.next_value()?;
            map.insert(key, item);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_sorts_keys_and_escapes_like_rfc_8785() {
        // The example of RFC 8785, section 3.2.3, on sorting; and escapes.
        let text = "{\"\\u20ac\":\"Euro\",\"\\r\":\"CR\",\"\\ufb33\":\"Hebrew\",\"1\":\"One\",\
                    \"\\ud83d\\ude00\":\"Emoji\",\"\\u0080\":\"Control\",\"\\u00f6\":\"o\"}";
        let written = write(&parse(text.as_bytes()).unwrap()).unwrap();
        let order: Vec<_> = ["CR", "One", "Control", "\"o\"", "Euro", "Emoji", "Hebrew"]
            .iter()
            .map(|word| written.find(word).unwrap())
            .collect();
        assert!(order.is_sorted(), "{written}");
        assert_eq!(
            write(&parse(b" { \"b\" : [ 1 , -2 , null ] , \"a\" : \"\\u001F\\/\" } ").unwrap()).unwrap(),
            "{\"a\":\"\\u001f/\",\"b\":[1,-2,null]}"
        );
    }

    #[test]
    fn parse_refuses_json_that_parsers_read_differently() {
        for (text, why) in [
            ("{\"a\":1,\"a\":2}", "duplicate"),
            ("{\"x\":{\"a\":1,\"a\":1}}", "duplicate"),
            ("{\"a\":1.5}", "not an integer"),
            ("{\"a\":1e3}", "not an integer"),
            ("{\"a\":9007199254740992}", "above"),
            ("{\"a\":-9007199254740992}", "below"),
            ("{} {}", "trailing"),
            ("{", "EOF"),
        ] {
            let e = parse(text.as_bytes()).unwrap_err();
            assert!(e.contains(why), "{text}: {e}");
        }
    }
}

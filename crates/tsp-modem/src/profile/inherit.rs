//! A profile that names only what differs from another one.

use super::Profile;
use toml::{Table, Value};

/// The keys at the top that are a profile's own: never inherited.
const OWN: [&str; 3] = ["match", "score", "confirmed"];

/// The profile, or the path of the key that is wrong and why.
pub(super) fn onto(base: &Profile, own: &Table) -> Result<Profile, (String, String)> {
    let mut base = Table::try_from(base).expect("a profile is a table of TOML");
    for key in OWN {
        base.remove(key);
    }
    let mut own = own.clone();
    own.remove("inherits");
    let merged = merge(base.clone(), &own);
    merged.try_into().map_err(|error| {
        // A merged table has no lines: the key that breaks the base alone is the wrong one.
        let breaks = |leaf: &(String, Table)| merge(base.clone(), &leaf.1).try_into::<Profile>().err();
        let culprit = leaves(&own).into_iter().find_map(|leaf| breaks(&leaf).map(|error| (leaf.0, error)));
        culprit.map_or((String::new(), error.message().to_owned()), |(path, error)| (path, error.message().to_owned()))
    })
}

/// Tables are merged, anything else is replaced.
fn merge(mut base: Table, own: &Table) -> Table {
    for (key, value) in own {
        let merged = match (base.remove(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => Value::Table(merge(below, above)),
            (_, value) => value.clone(),
        };
        base.insert(key.clone(), merged);
    }
    base
}

/// Every key, and every key of a table at the top, alone in a table of its own.
fn leaves(own: &Table) -> Vec<(String, Table)> {
    let mut leaves = Vec::new();
    for (key, value) in own {
        match value {
            Value::Table(inner) => leaves.extend(inner.iter().map(|(name, value)| {
                let table = Table::from_iter([(name.clone(), value.clone())]);
                (format!("{key}.{name}"), Table::from_iter([(key.clone(), Value::Table(table))]))
            })),
            value => leaves.push((key.clone(), Table::from_iter([(key.clone(), value.clone())]))),
        }
    }
    leaves
}

/// Where a key stands in the text: `voice.dial` is `dial` at the beginning of a line below `[voice]`.
pub(super) fn locate(toml: &str, path: &str) -> usize {
    let (wanted, key) = path.split_once('.').unwrap_or(("", path));
    let (mut offset, mut section) = (0, "");
    for line in toml.split_inclusive('\n') {
        let text = line.trim();
        if let Some(rest) = text.strip_prefix('[') {
            section = rest.split(']').next().unwrap_or_default().trim();
        } else if section == wanted && text.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')) {
            return offset;
        }
        offset += line.len();
    }
    0
}

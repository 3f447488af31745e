//! What the exchange or the PBX at the other end of an analogue line can do when it is asked by register recall (the flash
//! of the hook): data, since every country and every PBX has codes of its own, and no modem knows them.

use serde::{Deserialize, Serialize};

const BUILTIN: &str = include_str!("../offices.toml");

/// The services of an analogue line. A code is what is sent to ask for a service: `!` is a register recall, digits follow
/// it. An empty code: the line does not have the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Office {
    /// Its name.
    pub id: String,
    /// Where it is found, for people.
    pub description: String,
    /// Holds the call and gives dial tone.
    pub hold: String,
    /// From dial tone, or from a second call that is not answered, back to the held one; the second one ends.
    pub back: String,
    /// Holds the active call, and goes on with the held one that the active one was placed beside.
    pub swap: String,
    /// The same where one of the two was waiting. Empty: as `swap`.
    pub swap_waiting: String,
    /// Holds the active call and answers the one that waits. Empty: waiting calls are not offered.
    pub answer_waiting: String,
    /// Has the one that waits hear busy tone.
    pub reject_waiting: String,
    /// Ends the active call and goes on with the held one.
    pub end_active: String,
    /// Ends the held call.
    pub end_held: String,
    /// Joins both calls and us.
    pub conference: String,
    /// Joins the far ends of both calls, and leaves: a code, or `hook`: going on hook does it.
    pub transfer: String,
    /// Dialled before a number to withhold our own. Empty: the profile's.
    pub block_prefix: String,
    /// A call that waits is taken for gone so long after its last tone.
    pub waiting_gone_ms: u32,
    /// A tone of busy, congestion or dialling heard in a call ends it, since the far end hung up. `false` where a
    /// conversation may hold such tones.
    pub tones_end_calls: bool,
    /// What a reversal of the line's polarity says.
    pub polarity: Polarity,
    /// A connected call that was silent for so long is ended, since nothing else tells on this line that the far end is
    /// gone; 0: never.
    pub silence_ends_ms: u32,
}

/// What a reversal of the line's polarity says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Polarity {
    /// Nothing: some exchanges reverse it while they set calls up, or test the line.
    #[default]
    Ignored,
    /// The far end hung up.
    Ends,
    /// Of a call that we place, the first one says that it was answered and the second one that the far end hung up; of a
    /// call to us, the first one says that.
    Answers,
}

impl Default for Office {
    fn default() -> Office {
        Office {
            id: "none".to_owned(),
            description: "no services".to_owned(),
            hold: String::new(),
            back: String::new(),
            swap: String::new(),
            swap_waiting: String::new(),
            answer_waiting: String::new(),
            reject_waiting: String::new(),
            end_active: String::new(),
            end_held: String::new(),
            conference: String::new(),
            transfer: String::new(),
            block_prefix: String::new(),
            waiting_gone_ms: 60_000,
            tones_end_calls: true,
            polarity: Polarity::Ignored,
            silence_ends_ms: 0,
        }
    }
}

#[derive(Deserialize)]
struct File {
    office: Vec<toml::Table>,
}

impl Office {
    /// All that come with the crate.
    pub fn builtin() -> Vec<Office> {
        let file: File = toml::from_str(BUILTIN).expect("the built-in services are tested");
        let read = |table| Office::read(table).expect("the built-in services are tested");
        file.office.into_iter().map(read).collect()
    }

    /// The one of this name.
    pub fn named(id: &str) -> Option<Office> {
        Office::builtin().into_iter().find(|office| office.id == id)
    }

    /// Reads services of one's own: those of `inherits`, where it names some, with the keys beside it in their place.
    ///
    /// # Errors
    /// Which key is wrong, and why.
    pub fn parse(mut table: toml::Table) -> Result<Office, String> {
        let mut whole = match table.remove("inherits") {
            None => toml::Table::new(),
            Some(toml::Value::String(id)) => {
                let below = Office::named(&id).ok_or_else(|| {
                    let known: Vec<String> = Office::builtin().into_iter().map(|office| office.id).collect();
                    format!("inherits: there is no `{id}`; there are {}", known.join(", "))
                })?;
                toml::Table::try_from(below).map_err(|error| error.to_string())?
            }
            Some(_) => return Err("inherits: expected a name in quotation marks".to_owned()),
        };
        whole.insert("id".to_owned(), toml::Value::String("own".to_owned()));
        whole.extend(table);
        Office::read(whole)
    }

    fn read(table: toml::Table) -> Result<Office, String> {
        let office: Office = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        match office.fault() {
            Some((key, why)) => Err(format!("{key}: {why}")),
            None => Ok(office),
        }
    }

    /// The first thing in it that cannot be: the key, and why.
    fn fault(&self) -> Option<(&'static str, String)> {
        let codes = [
            ("hold", &self.hold),
            ("back", &self.back),
            ("swap", &self.swap),
            ("swap_waiting", &self.swap_waiting),
            ("answer_waiting", &self.answer_waiting),
            ("reject_waiting", &self.reject_waiting),
            ("end_active", &self.end_active),
            ("end_held", &self.end_held),
            ("conference", &self.conference),
        ];
        let transfer = [("transfer", &self.transfer)];
        let transfer = transfer.into_iter().filter(|(_, code)| *code != "hook");
        for (key, code) in codes.into_iter().chain(transfer) {
            let bad = |c: char| !(c.is_ascii_digit() || "!*#,".contains(c));
            if !code.is_empty() && (!code.starts_with('!') || code.contains(bad) || code.len() > 16) {
                let text = format!("{code:?} is no code: `!`, and perhaps digits, *, # and commas behind it");
                return Some((key, text));
            }
        }
        if !self.hold.is_empty() && self.back.is_empty() {
            return Some(("back", "a call that is held must come back".to_owned()));
        }
        let held = !self.hold.is_empty() || !self.answer_waiting.is_empty();
        for (key, code) in [("swap", &self.swap), ("conference", &self.conference), ("transfer", &self.transfer)] {
            if !code.is_empty() && !held {
                return Some((key, "nothing is ever held: neither hold nor answer_waiting is there".to_owned()));
            }
        }
        let dialable = |c: char| c.is_ascii_digit() || "*#,W!".contains(c);
        if !self.block_prefix.chars().all(dialable) {
            return Some(("block_prefix", "must be dialable: digits, *, #, comma, W, !".to_owned()));
        }
        if !(5_000..=600_000).contains(&self.waiting_gone_ms) {
            return Some(("waiting_gone_ms", format!("{} is not within 5000 and 600000", self.waiting_gone_ms)));
        }
        if self.silence_ends_ms != 0 && !(10_000..=86_400_000).contains(&self.silence_ends_ms) {
            return Some(("silence_ends_ms", format!("{} is neither 0 nor at least 10000", self.silence_ends_ms)));
        }
        None
    }

    /// Whether a second call can be on the line.
    pub fn has_second(&self) -> bool {
        !self.hold.is_empty() || !self.answer_waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(text: &str) -> Result<Office, String> {
        Office::parse(toml::from_str(text).unwrap())
    }

    #[test]
    fn the_built_in_services_are_sound_and_each_has_a_name() {
        let all = Office::builtin();
        let mut ids: Vec<&str> = all.iter().map(|office| office.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all.len());
        assert_eq!(Office::named("none"), Some(Office::default()));
        for office in &all {
            assert!(!office.description.is_empty(), "{}", office.id);
            assert_eq!(office.fault(), None, "{}", office.id);
        }
    }

    #[test]
    fn own_services_inherit_and_are_checked() {
        let office = own("inherits = \"pbx\"\ntransfer = \"!7\"\n").unwrap();
        assert_eq!((office.id.as_str(), office.hold.as_str(), office.transfer.as_str()), ("own", "!", "!7"));
        for (text, why) in [
            ("hold = \"!\"", "back: a call that is held must come back"),
            ("swap = \"!2\"", "swap: nothing is ever held: neither hold nor answer_waiting is there"),
            (
                "answer_waiting = \"2\"",
                "answer_waiting: \"2\" is no code: `!`, and perhaps digits, *, # and commas behind it",
            ),
            ("inherits = \"x\"", "inherits: there is no `x`; there are none, pbx, us, us-three-way, etsi, gb"),
            ("block_prefix = \"!x\"", "block_prefix: must be dialable: digits, *, #, comma, W, !"),
            ("silence_ends_ms = 5", "silence_ends_ms: 5 is neither 0 nor at least 10000"),
        ] {
            assert_eq!(own(text).unwrap_err(), why);
        }
        assert!(own("holt = \"!\"").unwrap_err().contains("unknown field `holt`"));
    }
}

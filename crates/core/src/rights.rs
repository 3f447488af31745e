//! Who may do what with which line: by user and group, for every front alike.
//!
//! What may not be seen is not there: such a line is in no list, no event, and its name leads nowhere (BADDEVICEID). What
//! may be seen and not be done is refused with NOTREGISTERED.

use crate::session::Session;
use crate::{ClientId, Peer, Server};
use serde::{Deserialize, Serialize};
use tapi::{CallId, Error, ErrorCode, LineId, LineSelector, Names, Right, SessionId};

/// Who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rights {
    /// Whoever reached the server may do everything: somebody else decides who does.
    #[default]
    Open,
    /// As the administrator said.
    Rules {
        /// Users who may do everything: root, and the server's own.
        everything: Vec<u32>,
        /// Users who may do everything as long as there are no rules.
        users: Vec<u32>,
        /// Groups whose members may do everything as long as there are no rules.
        groups: Vec<u32>,
        /// The rules. What one of them allows is allowed.
        rules: Vec<Rule>,
    },
}

/// What some may do with some lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Permanent names of lines; `*` stands for any text, `?` for any character.
    pub lines: Vec<String>,
    /// Users.
    pub users: Vec<u32>,
    /// Groups.
    pub groups: Vec<u32>,
    /// What they may do. Every right contains `see`.
    pub allow: Names<Right>,
}

impl Rights {
    /// Whether `peer` may do this with the line of this name.
    pub fn permit(&self, peer: &Peer, line: &str, right: &Right) -> bool {
        let Rights::Rules { everything, users, groups, rules } = self else { return true };
        if everything.contains(&peer.uid) {
            return true;
        }
        if rules.is_empty() {
            return belongs(peer, users, groups);
        }
        rules.iter().any(|rule| {
            let allowed = rule.allow.contains(right) || (*right == Right::See && !rule.allow.is_empty());
            allowed && belongs(peer, &rule.users, &rule.groups) && rule.lines.iter().any(|glob| matches(glob, line))
        })
    }

    /// Everything that `peer` may do with the line of this name.
    pub fn of(&self, peer: &Peer, line: &str) -> Names<Right> {
        Right::KNOWN.iter().filter(|right| self.permit(peer, line, right)).cloned().collect()
    }
}

fn belongs(peer: &Peer, users: &[u32], groups: &[u32]) -> bool {
    users.contains(&peer.uid) || groups.contains(&peer.gid) || peer.groups.iter().any(|group| groups.contains(group))
}

/// Whether `glob` stands for `text`: `*` for any text, `?` for any character.
pub fn matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut at, mut on) = (0, 0);
    // Where the last star was, and how much of the text it stands for.
    let mut star: Option<(usize, usize)> = None;
    while on < text.len() {
        match glob.get(at) {
            Some('*') => {
                star = Some((at, on));
                at += 1;
            }
            Some(own) if *own == '?' || text.get(on) == Some(own) => (at, on) = (at + 1, on + 1),
            _ => match star {
                Some((before, taken)) => {
                    star = Some((before, taken + 1));
                    (at, on) = (before + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    glob.get(at..).is_some_and(|rest| rest.iter().all(|left| *left == '*'))
}

/// What an authority of the shell's allowed a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// On which line. None: on all.
    pub(crate) line: Option<LineId>,
    /// What. It contains `see`.
    pub(crate) rights: Names<Right>,
}

impl Session {
    /// Whether the session may do this with a line.
    pub(crate) fn may(&self, rights: &Rights, id: LineId, line: &str, right: &Right) -> bool {
        let granted = |grant: &Grant| grant.line.is_none_or(|of| of == id) && grant.rights.contains(right);
        rights.permit(&self.peer, line, right) || self.granted.iter().any(granted)
    }

    /// Everything that the session may do with a line.
    pub(crate) fn rights(&self, rights: &Rights, id: LineId, line: &str) -> Names<Right> {
        Right::KNOWN.iter().filter(|right| self.may(rights, id, line, right)).cloned().collect()
    }
}

/// Grants that are kept of a client.
const MAX_GRANTS: usize = 1_024;

impl Server {
    /// The line of a call, or the one that a client names, with its permanent name, and what the client may do with it.
    pub fn rights_on(
        &self,
        client: ClientId,
        call: Option<CallId>,
        line: Option<&LineSelector>,
    ) -> Option<(LineId, String, Names<Right>)> {
        let id = match (line, call) {
            (Some(selector), _) => self.select_line(selector).ok()?,
            (None, Some(call)) => self.calls.get(&call)?.info.line,
            (None, None) => return None,
        };
        let name = self.lines.by_id.get(&id)?.description.name.clone();
        let session = self.clients.get(&client)?.session.and_then(|session| self.sessions.get(&session))?;
        let rights = session.rights(&self.config.options.rights, id, &name);
        Some((id, name, rights))
    }

    /// A call as a client's session sees it now.
    pub fn call_of(&self, client: ClientId, call: CallId) -> Option<tapi::Call> {
        let session = self.clients.get(&client)?.session?;
        let call = self.calls.get(&call)?;
        call.handles.get(&session).map(|handle| self.view_call(call, &handle.privilege))
    }

    /// An authority allows a client something: it and its session have it from now on.
    pub(crate) fn grant(&mut self, client: ClientId, line: Option<LineId>, rights: &Names<Right>) {
        let Some(client) = self.clients.get_mut(&client) else { return };
        let known = client.granted.iter().position(|grant| grant.line == line);
        if let Some(grant) = known {
            client.granted[grant].rights.extend(rights.iter().cloned());
        } else if client.granted.len() < MAX_GRANTS {
            client.granted.push(Grant { line, rights: rights.clone() });
        }
        let granted = client.granted.clone();
        if let Some(session) = client.session.and_then(|session| self.sessions.get_mut(&session)) {
            session.granted = granted;
        }
    }

    /// What authorities allowed a client is forgotten. What it began goes on.
    pub(crate) fn revoke(&mut self, client: ClientId) {
        let Some(client) = self.clients.get_mut(&client) else { return };
        client.granted.clear();
        if let Some(session) = client.session.and_then(|session| self.sessions.get_mut(&session)) {
            session.granted.clear();
        }
    }

    /// Whether a session may do this with a line.
    pub(crate) fn permits(&self, session: SessionId, line: LineId, right: &Right) -> bool {
        let (Some(session), Some(line)) = (self.sessions.get(&session), self.lines.by_id.get(&line)) else {
            return false;
        };
        session.may(&self.config.options.rights, line.id, &line.description.name, right)
    }

    /// Refuses what a session may not do with a line.
    pub(crate) fn allow(&self, session: SessionId, line: LineId, right: &Right) -> Result<(), Error> {
        if self.permits(session, line, right) {
            return Ok(());
        }
        let name = self.lines.by_id.get(&line).map_or("", |line| line.description.name.as_str());
        Err(ErrorCode::NotRegistered.because(format!("this user has not the right to {right} on line {name}")))
    }

    /// Sessions that may see a line.
    pub(crate) fn who_see(&self, id: LineId, line: &str) -> Vec<SessionId> {
        let rights = &self.config.options.rights;
        let sees = |session: &Session| session.may(rights, id, line, &Right::See);
        self.sessions.iter().filter(|(_, session)| sees(session)).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_stands_for_names() {
        for (glob, text, fits) in [
            ("*", "", true),
            ("*", "sip:alice", true),
            ("sip:*", "sip:alice", true),
            ("sip:*", "modem:1", false),
            ("*:a?ice", "sip:alice", true),
            ("sip:*@*.org", "sip:a@b@example.org", true),
            ("sip:a", "sip:ab", false),
            ("", "", true),
            ("", "x", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(glob, text), fits, "{glob} {text}");
        }
    }

    #[test]
    fn rules_replace_the_lists_and_root_stays_outside() {
        let peer = |uid: u32, group: u32| Peer { uid, gid: 100, groups: vec![group], pid: 1 };
        let rule = Rule {
            lines: vec!["sip:*".into()],
            users: vec![],
            groups: vec![7],
            allow: Names::from([Right::Monitor, Right::Listen]),
        };
        let rights = |rules| Rights::Rules { everything: vec![0], users: vec![5], groups: vec![6], rules };
        let lists = rights(vec![]);
        assert!(lists.permit(&peer(5, 1), "sip:a", &Right::Originate));
        assert!(lists.permit(&peer(9, 6), "sip:a", &Right::Originate));
        assert_eq!(lists.of(&peer(9, 9), "sip:a"), Names::new());
        let rules = rights(vec![rule]);
        assert_eq!(rules.of(&peer(9, 7), "sip:a"), Names::from([Right::See, Right::Monitor, Right::Listen]));
        assert_eq!(rules.of(&peer(9, 7), "modem:1"), Names::new());
        assert_eq!(rules.of(&peer(5, 6), "sip:a"), Names::new());
        assert_eq!(rules.of(&peer(0, 0), "sip:a").len(), Right::KNOWN.len());
    }
}

//! Requests about lines, and the snapshot.

use super::{Answer, Outcome};
use crate::Server;
use crate::line::Open;
use tapi::request::{LineClose, LineOpen, LineSetStatusMessages};
use tapi::{
    Error, ErrorCode, LineId, LineSelector, LineStateKind, MediaMode, Names, Privilege, Reply, Right, SessionId, Time,
    reply,
};

/// Media modes that a session names, and their length in bytes.
const MAX_MODES: usize = 16;
const MAX_MODE: usize = 64;

impl Server {
    pub(super) fn state_get(&self, session: SessionId) -> Answer {
        let lines = self.lines_of(session);
        let handles = self.sessions.get(&session).into_iter().flat_map(|session| &session.calls);
        let calls = handles
            .filter_map(|id| self.calls.get(id))
            .filter_map(|call| call.handles.get(&session).map(|handle| self.view_call(call, &handle.privilege)))
            .collect();
        let generation = self.config.generation;
        Answer::Now(Reply::Snapshot(reply::Snapshot { generation, seq: self.seq, lines, calls }))
    }

    /// The lines that a session may see.
    fn lines_of(&self, session: SessionId) -> Vec<tapi::Line> {
        let Some(session) = self.sessions.get(&session) else { return Vec::new() };
        let rights = &self.config.options.rights;
        let sees = |line: &&crate::line::Line| session.may(rights, line.id, &line.description.name, &Right::See);
        let view = |line: &crate::line::Line| tapi::Line {
            rights: session.rights(rights, line.id, &line.description.name),
            ..self.view_line(line)
        };
        self.lines.by_id.values().filter(sees).map(view).collect()
    }

    /// A line that a session may see; another is not there.
    pub(crate) fn seen_line(&self, session: SessionId, selector: &LineSelector) -> Result<LineId, Error> {
        let id = self.select_line(selector)?;
        if self.permits(session, id, &Right::See) {
            return Ok(id);
        }
        let named = match selector {
            LineSelector::Id(id) => format!("line {id}"),
            LineSelector::Name(name) => format!("line {name}"),
        };
        Err(ErrorCode::BadDeviceId.because(format!("there is no {named}")))
    }

    pub(super) fn line_list(&self, session: SessionId) -> Answer {
        let lines = self.lines_of(session);
        Answer::Now(Reply::Lines(reply::Lines { lines }))
    }

    pub(super) fn line_open(&mut self, now: Time, session: SessionId, open: LineOpen) -> Outcome {
        let id = self.seen_line(session, &open.line)?;
        let privileges = check_privileges(open.privileges)?;
        for (privilege, right) in [(Privilege::Monitor, Right::Monitor), (Privilege::Owner, Right::Own)] {
            if privileges.contains(&privilege) {
                self.allow(session, id, &right)?;
            }
        }
        let mut media_modes = open.media_modes;
        if media_modes.len() > MAX_MODES || media_modes.iter().any(|mode| mode.as_str().len() > MAX_MODE) {
            return Err(ErrorCode::InvalMediaMode.because("there are too many media modes, or one is too long"));
        }
        if media_modes.is_empty() {
            media_modes.insert(MediaMode::InteractiveVoice);
        }
        let order = self.lines.opens + 1;
        let Some(line) = self.lines.by_id.get_mut(&id) else { return Err(gone(id)) };
        if privileges.contains(&Privilege::Owner) {
            let caps = &line.description.caps.media_modes;
            if let Some(mode) = media_modes.iter().find(|mode| !caps.is_empty() && !caps.contains(mode)) {
                let name = &line.description.name;
                return Err(ErrorCode::InvalMediaMode.because(format!("line {name} has no {mode}")));
            }
        }
        if let Some(already) = line.opens.get_mut(&session) {
            (already.privileges, already.media_modes) = (privileges, media_modes);
            return Ok(Answer::Now(Reply::LineOpened(reply::LineOpened { line: id })));
        }
        self.lines.opens = order;
        line.opens.insert(session, Open { order, privileges, media_modes, states: Names::new() });
        if let Some(session) = self.sessions.get_mut(&session) {
            session.lines.insert(id);
        }
        self.emit_line_state(now, id, LineStateKind::Open, None);
        Ok(Answer::Now(Reply::LineOpened(reply::LineOpened { line: id })))
    }

    /// What this session still waits for on the line is answered: that it was closed. Of a call that is made all the
    /// same nobody hears.
    pub(super) fn line_close(&mut self, now: Time, session: SessionId, close: &LineClose) -> Outcome {
        let id = self.opened_line(session, &close.line)?;
        let own = self.sessions.get(&session).map(|session| session.commands.clone()).unwrap_or_default();
        for command in own {
            if self.pending.get(&command).is_some_and(|pending| pending.line == id)
                && let Some(asker) = self.orphan_command(command)
            {
                let error = ErrorCode::OperationFailed.because(format!("line {id} was closed meanwhile"));
                self.answer(asker, Err(error));
            }
        }
        self.close_line_of(now, session, id);
        Ok(Answer::DONE)
    }

    pub(super) fn line_set_status_messages(&mut self, session: SessionId, set: LineSetStatusMessages) -> Outcome {
        let id = self.opened_line(session, &set.line)?;
        let line = self.lines.by_id.get_mut(&id).ok_or_else(|| gone(id))?;
        if let Some(open) = line.opens.get_mut(&session) {
            open.states = set.states.into_iter().filter(|kind| LineStateKind::KNOWN.contains(kind)).collect();
        }
        Ok(Answer::DONE)
    }

    /// A line that this session has open.
    pub(super) fn opened_line(&self, session: SessionId, selector: &LineSelector) -> Result<LineId, Error> {
        let id = self.seen_line(session, selector)?;
        let open = self.lines.by_id.get(&id).is_some_and(|line| line.opens.contains_key(&session));
        match open {
            true => Ok(id),
            false => Err(ErrorCode::InvalLineHandle.because(format!("this session has not opened line {id}"))),
        }
    }
}

fn gone(id: LineId) -> Error {
    ErrorCode::NoDevice.because(format!("line {id} is gone"))
}

/// Any of monitor and owner, or none alone. Gives what remains without `none`.
fn check_privileges(mut privileges: Names<Privilege>) -> Result<Names<Privilege>, Error> {
    let none = privileges.remove(&Privilege::None);
    let unknown = privileges.iter().find(|privilege| matches!(privilege, Privilege::Other(_)));
    if let Some(unknown) = unknown {
        return Err(ErrorCode::InvalCallPrivilege.because(format!("there is no privilege {unknown}")));
    }
    if none && !privileges.is_empty() {
        return Err(ErrorCode::InvalCallPrivilege.because("none cannot be combined"));
    }
    Ok(privileges)
}

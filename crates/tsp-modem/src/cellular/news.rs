//! What a modem tells of calls by itself, read as the profile says. It lets calls that are known go on sooner than the list
//! would; a call that is not known yet only makes the list be read.

use super::*;
use crate::cause;
use crate::profile::{CallNews, NewsState};
use crate::response::fields;
use tapi::AnswerEvidence;

/// How a call ended, as the modem said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hint {
    /// Which one, where it said so.
    pub(super) index: Option<u8>,
    pub(super) cause: Cause,
}

impl Hint {
    /// For whichever call ended.
    pub(super) fn of(mode: DisconnectMode) -> Hint {
        Hint { index: None, cause: Cause::new(mode) }
    }
}

/// One piece of news.
struct News {
    index: Option<u8>,
    state: NewsState,
    q850: Option<u8>,
}

fn read(news: &CallNews, line: &str) -> Option<News> {
    let fields = fields(after(line, &news.prefix)?);
    let field = |at: Option<usize>| fields.get(at?).map(String::as_str);
    let state = news.means.or_else(|| news.states.get(field(news.state)?).copied())?;
    let index = field(news.call).and_then(|index| index.parse().ok()).filter(|index| *index > 0);
    let q850 = field(news.cause).and_then(|cause| cause.parse().ok()).filter(|cause| (1..=127).contains(cause));
    Some(News { index, state, q850 })
}

impl Cellular {
    /// Whether the line was news of a call, by the profile.
    pub(super) fn call_news(&mut self, context: &mut Context<'_>, line: &str) -> bool {
        let all = &cell_of(context).news;
        let Some(news) = all.iter().find_map(|news| read(news, line)) else {
            return all.iter().any(|news| after(line, &news.prefix).is_some());
        };
        match news.state {
            NewsState::Ended => {
                let mode = news.q850.and_then(cause::of_q850).unwrap_or(DisconnectMode::Unknown);
                let mut cause = Cause::new(mode.clone());
                cause.q850 = news.q850;
                self.hint = Some(Hint { index: news.index, cause });
                self.ended_without_list(context, mode);
            }
            NewsState::RemoteHeld | NewsState::RemoteRetrieved => self.far_hold(context, news.index, news.state),
            state => self.advance(context, news.index, state),
        }
        true
    }

    /// The call that news are about: by its number, or the only one that can be meant.
    pub(super) fn meant(&self, index: Option<u8>, fits: impl Fn(&Stage) -> bool) -> Option<CallRef> {
        if let Some(call) = self.calls.iter().find(|call| call.index.is_some() && call.index == index) {
            return fits(&call.stage).then_some(call.call);
        }
        let mut fitting =
            self.calls.iter().filter(|call| fits(&call.stage) && (index.is_none() || call.index.is_none()));
        match (fitting.next(), fitting.next()) {
            (Some(call), None) => Some(call.call),
            _ => None,
        }
    }

    fn advance(&mut self, context: &mut Context<'_>, index: Option<u8>, state: NewsState) {
        let fits = |stage: &Stage| match state {
            NewsState::Dialling => matches!(stage, Stage::Dialled),
            NewsState::Alerting => {
                matches!(stage, Stage::Dialled | Stage::Proceeding | Stage::Releasing { .. })
            }
            NewsState::Active => {
                matches!(stage, Stage::Dialled | Stage::Proceeding | Stage::Alerting | Stage::Releasing { .. })
            }
            _ => false,
        };
        let Some(call) = self.meant(index, fits) else { return };
        let Some(known) = self.find(call) else { return };
        if known.index.is_none()
            && let Some(index) = index
        {
            known.index = Some(index);
            self.table.expect(index);
        }
        let Some(known) = self.find(call) else { return };
        match state {
            _ if matches!(known.stage, Stage::Releasing { .. }) => self.may_be_released(context, call),
            NewsState::Dialling => {
                known.stage = Stage::Proceeding;
                context.out.report(call, Report::Proceeding);
            }
            NewsState::Alerting => {
                known.stage = Stage::Alerting;
                context.out.report(call, Report::PeerRings);
            }
            _ => self.answered(context, call, AnswerEvidence::Signalled),
        }
    }

    pub(super) fn far_hold(&mut self, context: &mut Context<'_>, index: Option<u8>, state: NewsState) {
        if let Some(call) = self.meant(index, |stage| *stage == Stage::Active) {
            let held = state == NewsState::RemoteHeld;
            if let Some(known) = self.find(call)
                && std::mem::replace(&mut known.far_held, held) != held
            {
                context.out.report(call, if held { Report::PeerHeld } else { Report::PeerRetrieved });
            }
        }
    }

    /// Whether the line told a digit of the far end.
    pub(super) fn digit_heard(&mut self, context: &mut Context<'_>, line: &str) -> bool {
        let found = cell_of(context).digits_heard.iter().find_map(|news| Some((news, after(line, &news.prefix)?)));
        let Some((news, rest)) = found else { return false };
        let first = fields(rest).into_iter().next().unwrap_or_default();
        let digit = if news.code {
            first.parse::<u8>().ok().map(char::from)
        } else {
            first.chars().next().filter(|_| first.chars().count() == 1)
        };
        let digit = digit.map(|digit| digit.to_ascii_uppercase());
        let active = self.meant(None, |stage| *stage == Stage::Active);
        if let (Some(call), Some(digit @ ('0'..='9' | 'A'..='D' | '*' | '#'))) = (active, digit) {
            context.out.event(Event::Digit { call, digit, duration_ms: None });
        }
        true
    }
}

//! Supplementary service codes (3GPP TS 22.090): `+CUSD`, one session at a time.

use super::sms::tell;
use super::*;
use crate::alphabet::{self, from_hex, to_hex};
use crate::profile::UssdCharset;
use crate::response::fields;
use tapi::{DeviceEvent, ErrorCode};

/// The network answers within this time, or never.
const NETWORK: Duration = Duration::from_secs(60);
/// What may be asked: 182 characters fill the message of TS 23.038.
const LONGEST: usize = 182;
/// Lines of one answer, and its characters.
const MOST_LINES: usize = 32;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// No session.
    #[default]
    None,
    /// The network is to answer.
    Asked { until: Time },
    /// It waits for us.
    Open,
}

/// The session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ussd {
    state: State,
    /// An answer whose text goes on in the next line, and the lines of it.
    partial: Option<(String, usize)>,
}

impl Ussd {
    pub(super) fn ask(&mut self, context: &mut Context<'_>, id: CommandId, text: &str) {
        let Some(charset) = cell_of(context).ussd else {
            return context.out.refuse(
                id,
                ErrorCode::OperationUnavail,
                "this line knows no supplementary service codes",
            );
        };
        if matches!(self.state, State::Asked { .. }) {
            return context.out.refuse(id, ErrorCode::ResourceUnavail, "the network was not done with the code before");
        }
        let good = text.chars().all(|c| !c.is_control() && c != '"');
        let septets = alphabet::encode(text).filter(|_| good && !text.is_empty() && text.len() <= LONGEST);
        let Some(septets) = septets else {
            return context.out.refuse(id, ErrorCode::InvalParam, "1 to 182 characters of the GSM alphabet");
        };
        let shown = match charset {
            UssdCharset::Text => text.to_owned(),
            UssdCharset::Packed => to_hex(&alphabet::pack(&septets, 0)),
            UssdCharset::Ucs2 => to_hex(&alphabet::to_ucs2(text)),
        };
        let ask = Ask::new(format!("AT+CUSD=1,\"{shown}\",15"), Purpose::Ussd, NETWORK.as_millis() as u32);
        if context.ask(ask) {
            self.state = State::Asked { until: context.now + NETWORK };
            context.out.done(id);
        } else {
            context.out.refuse(id, ErrorCode::ResourceUnavail, "the modem is busy");
        }
    }

    pub(super) fn cancel(&mut self, context: &mut Context<'_>, id: CommandId) {
        if self.state == State::None {
            return context.out.refuse(id, ErrorCode::OperationFailed, "there is no session");
        }
        context.out.done(id);
        context.plain("AT+CUSD=2", Purpose::Aside);
        self.end(context, "cancelled");
    }

    fn end(&mut self, context: &mut Context<'_>, reason: &str) {
        if std::mem::take(&mut self.state) != State::None {
            tell(context, DeviceEvent::UssdEnded { reason: reason.to_owned() });
        }
    }

    /// `OK` says that the code was taken; an error ends it.
    pub(super) fn done(&mut self, context: &mut Context<'_>, outcome: &Outcome) {
        match outcome {
            Outcome::Final(FinalResult::Error(text)) => self.end(context, text),
            Outcome::Final(_) => {}
            Outcome::TimedOut => self.end(context, "the modem did not answer"),
        }
    }

    /// A line of no command; whether it was about the session.
    pub(super) fn unsolicited(&mut self, context: &mut Context<'_>, line: &str) -> bool {
        let text = match (self.partial.take(), after(line, "+CUSD:")) {
            (_, Some(rest)) => (rest.to_owned(), 1),
            (Some((before, lines)), None) => (format!("{before}\n{line}"), lines + 1),
            (None, None) => return false,
        };
        let open = text.0.matches('"').count() % 2 == 1;
        if open && text.1 < MOST_LINES {
            self.partial = Some(text);
        } else {
            self.heard(context, &text.0);
        }
        true
    }

    fn heard(&mut self, context: &mut Context<'_>, answer: &str) {
        let fields = fields(answer);
        let coding = fields.get(2).and_then(|coding| coding.parse().ok()).unwrap_or(15);
        let text = fields.get(1).map(|text| decode(text, coding, cell_of(context).ussd));
        let text = text.filter(|text| !text.is_empty());
        match (fields.first().map(String::as_str), text) {
            (Some("1"), text) => {
                self.state = State::Open;
                tell(context, DeviceEvent::Ussd { text: text.unwrap_or_default(), more: true });
            }
            // Many networks end the session with the answer itself.
            (Some("0" | "2"), Some(text)) => {
                self.state = State::None;
                tell(context, DeviceEvent::Ussd { text, more: false });
            }
            (Some("0"), None) => self.end(context, "done, without words"),
            (Some("2"), None) => self.end(context, "ended by the network"),
            (Some("3"), _) => self.end(context, "another device of this SIM answered"),
            (Some("4"), _) => self.end(context, "not supported by the network"),
            (Some("5"), _) => self.end(context, "the network did not answer"),
            _ => {}
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Asked { until } => Some(until),
            State::None | State::Open => None,
        }
    }

    pub(super) fn timeout(&mut self, context: &mut Context<'_>) {
        if matches!(self.state, State::Asked { until } if context.now >= until) {
            context.plain("AT+CUSD=2", Purpose::Aside);
            self.end(context, "the network did not answer");
        }
    }

    pub(super) fn fail(&mut self, out: &mut crate::context::Out, reason: &str) {
        self.partial = None;
        if std::mem::take(&mut self.state) != State::None {
            let event = DeviceEvent::UssdEnded { reason: reason.to_owned() };
            out.event(Event::Device { line: LINE, event: Box::new(event) });
        }
    }
}

/// The text: in the character set that was chosen, or whatever the modem does instead. TS 23.038 section 5 says what the
/// coding means: 72 (0x48) and 17 (0x11) are UCS-2.
fn decode(text: &str, coding: u8, charset: Option<UssdCharset>) -> String {
    let ucs2 = coding == 0x11 || (coding >> 6 == 1 && coding & 0x0C == 0x08);
    match (from_hex(text), charset) {
        (Some(octets), Some(UssdCharset::Ucs2)) => alphabet::from_ucs2(&octets),
        (Some(octets), _) if ucs2 => alphabet::from_ucs2(&octets),
        (Some(octets), Some(UssdCharset::Packed)) => {
            let mut septets = alphabet::unpack(&octets, octets.len() * 8 / 7, 0);
            // Seven spare bits at the end are filled with a carriage return (TS 23.038 6.1.2.3.1).
            if septets.len().is_multiple_of(8) && septets.last() == Some(&0x0D) {
                septets.pop();
            }
            alphabet::decode(&septets)
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_field() {
        for (text, coding, charset, shown) in [
            ("Your balance: 5.00", 15, UssdCharset::Text, "Your balance: 5.00"),
            ("041F04400438", 72, UssdCharset::Text, "При"),
            ("AA180C3602", 15, UssdCharset::Packed, "*100#"),
            ("0031", 15, UssdCharset::Ucs2, "1"),
            ("no hex at all", 15, UssdCharset::Packed, "no hex at all"),
        ] {
            assert_eq!(decode(text, coding, Some(charset)), shown, "{text}");
        }
    }
}

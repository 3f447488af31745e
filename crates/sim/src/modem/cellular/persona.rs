//! What one cellular modem and its SIM card are like: everything in which firmwares differ, as data.

use std::time::Duration;

/// Where the audio of a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audio {
    /// Nowhere that a host could hear it.
    None,
    /// To the audio port, in every call.
    Always,
    /// To the audio port once it was ordered.
    Ordered(Order),
}

/// How audio is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The command.
    pub name: &'static str,
    /// Its value that starts audio.
    pub on: &'static str,
    /// Its value that stops it.
    pub off: &'static str,
    /// In which state of things it is taken.
    pub when: When,
    /// How long it lasts.
    pub lasts: Lasts,
    /// How often it is refused in each call from the second one on.
    pub refusals: u32,
}

/// In which state of things audio may be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At any time.
    Always,
    /// While there is a call.
    Call,
    /// While there is an active call.
    Active,
    /// While no call is active.
    BeforeActive,
}

/// How long ordered audio lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// Until the last call is over.
    TheCall,
    /// Until it is stopped.
    UntilStopped,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It was dialled.
    Dialling,
    /// The far end rings.
    Alerting,
    /// It arrived.
    Offered,
    /// It is active: answered, or retrieved.
    Active,
    /// It was put on hold.
    Held,
    /// It is over.
    Ended,
}

/// A line that is told of a call: `{i}` is its number, `{d}` its direction, `{s}` its `<stat>` (-1 when over), `{n}` the
/// other party's number, `{t}` the type of that, `{c}` the cause, `{l}` its length in seconds, `{h}` the same as hhmmss.
pub type News = (Moment, &'static str);

/// Lines that are told only once a parameter was set: its name, and what its value has in it.
pub type Gate = Option<(&'static str, &'static str)>;

/// What one modem and its SIM are like.
#[derive(Clone, Debug)]
pub struct Persona {
    /// The name under which it is chosen.
    pub name: &'static str,
    /// `+CGMI`.
    pub manufacturer: &'static str,
    /// `+CGMM`.
    pub model: &'static str,
    /// `+CGMR`.
    pub revision: &'static str,
    /// `+CGSN`.
    pub imei: String,
    /// `+CIMI`.
    pub imsi: String,
    /// The card's number, and the command that tells it.
    pub iccid: (&'static str, String),
    /// `+CNUM`.
    pub number: Option<String>,
    /// `+CPIN?`: `READY`, `SIM PIN`, `SIM PUK`, or empty for no SIM.
    pub sim: &'static str,
    /// The PIN of the card, and its PUK.
    pub pin: (String, String),
    /// `+CREG` status: 1 home, 5 roaming, 2 searching.
    pub registration: u8,
    /// `+COPS`.
    pub operator: &'static str,
    /// `+CSQ`: 0 to 31, or 99.
    pub signal: u8,
    /// Time from a command to its result.
    pub latency: Duration,
    /// Time between two `RING`.
    pub ring_every: Duration,
    /// Lines about calls.
    pub news: &'static [News],
    /// What must be set for them.
    pub news_gate: Gate,
    /// A digit that the far end sent: `{c}` is it, `{code}` its number as a character.
    pub digit_news: &'static str,
    /// What must be set for it.
    pub digit_gate: Gate,
    /// Digits that it sends.
    pub digits: &'static str,
    /// Another command that sends digits: `<call>,<digit>`.
    pub digit_command: &'static str,
    /// Where audio goes.
    pub audio: Audio,
    /// The result of a dial comes with the answer, and is this; otherwise it is `OK`, at once.
    pub dial_result: Option<&'static str>,
    /// What a command that it does not know is answered.
    pub unknown: &'static str,
    /// What ends a line of information.
    pub line_end: &'static str,
    /// Whether `+CPIN?` lacks its `OK`.
    pub pin_without_ok: bool,
    /// Parameters that it keeps, and that have no effect but as a gate: with their values at the start.
    pub keeps: &'static [(&'static str, &'static str)],
    /// Lines that it tells after it was switched on, and how long after, in milliseconds.
    pub boot: &'static [(u64, &'static str)],
    /// How `+CUSD` writes its text.
    pub codes: Codes,
    /// How long the card is busy after the first command.
    pub card_after: Duration,
    /// Parameters that are set only while the card is ready.
    pub needs_card: &'static [&'static str],
    /// What becomes of it when one call of several is released before it alerts.
    pub early_release: EarlyRelease,
    /// A command that releases calls: `<cause>[,<call>]`.
    pub release_command: &'static str,
    /// After so many frames ordered audio stops, until it is ordered again.
    pub audio_frames: Option<u32>,
}

/// What becomes of a modem when one call of several is released before it alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyRelease {
    /// The call is over.
    Taken,
    /// It answers nothing any more until it is switched off.
    Wedges,
}

/// How `+CUSD` writes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    /// As it is.
    Text,
    /// 7 bits a character, packed, as hexadecimal digits.
    Packed,
}

const DIGITS: &str = "0123456789*#ABCD";

impl Persona {
    /// A modem that does what 27.007 says, with a SIM, at home.
    pub fn generic() -> Persona {
        Persona {
            name: "generic",
            manufacturer: "tapi-exchange",
            model: "Simulated 27.007 modem",
            revision: "1.0",
            imei: "490154203237518".into(),
            imsi: "262019876543210".into(),
            iccid: ("+CCID", "89490200001234567899".into()),
            number: None,
            sim: "READY",
            pin: ("1234".into(), "12345678".into()),
            registration: 1,
            operator: "Simnet",
            signal: 20,
            latency: Duration::from_millis(8),
            ring_every: Duration::from_secs(3),
            news: &[],
            news_gate: None,
            digit_news: "",
            digit_gate: None,
            digits: DIGITS,
            digit_command: "",
            audio: Audio::Always,
            dial_result: None,
            unknown: "",
            line_end: "\r\n",
            pin_without_ok: false,
            keeps: &[],
            boot: &[],
            codes: Codes::Text,
            card_after: Duration::ZERO,
            needs_card: &["+CLIP", "+CCWA", "+COPS", "+CSSN", "+CNAP", "+CDIP", "+CNMI", "+CPMS"],
            early_release: EarlyRelease::Taken,
            release_command: "",
            audio_frames: None,
        }
    }

    /// A stick of Huawei: a line for each step of a call, audio ordered while there is one, words of its own for an error.
    pub fn e1550() -> Persona {
        let order = Order { name: "^DDSETEX", on: "2", off: "0", when: When::Call, lasts: Lasts::TheCall, refusals: 0 };
        Persona {
            name: "e1550",
            manufacturer: "huawei",
            model: "E1550",
            revision: "11.608.12.00.143",
            iccid: ("^ICCID", "98942000002143658799".into()),
            latency: Duration::from_millis(25),
            ring_every: Duration::from_secs(5),
            news: &[
                (Moment::Dialling, "^ORIG:{i},0"),
                (Moment::Alerting, "^CONF:{i}"),
                (Moment::Active, "^CONN:{i},0"),
                (Moment::Ended, "^CEND:{i},{l},29,{c}"),
            ],
            news_gate: Some(("^CURC", "1")),
            digit_news: "^DDTMF:{c}",
            digit_gate: Some(("^DDTMFCFG", "0,1")),
            digits: "0123456789*#",
            digit_command: "^DTMF",
            audio: Audio::Ordered(order),
            unknown: "COMMAND NOT SUPPORT",
            line_end: "\r\r\n",
            keeps: &[("^CURC", "1"), ("^USSDMODE", "1"), ("^DDTMFCFG", "0,0"), ("^CVOICE", "0"), ("^SYSCFG", "2")],
            boot: &[(1_500, "^SRVST:2"), (2_000, "^RSSI:20")],
            codes: Codes::Packed,
            early_release: EarlyRelease::Wedges,
            ..Persona::generic()
        }
    }

    /// An LTE module of Quectel: calls by `+QIND`, audio ordered before a call is active and until it is stopped.
    pub fn ec25() -> Persona {
        const CCINFO: &str = "+QIND: \"ccinfo\",{i},{d},{s},0,0,\"{n}\",{t}";
        let order = Order {
            name: "+QPCMV",
            on: "1,0",
            off: "0",
            when: When::BeforeActive,
            lasts: Lasts::UntilStopped,
            refusals: 0,
        };
        Persona {
            name: "ec25",
            manufacturer: "Quectel",
            model: "EC25",
            revision: "EC25EFAR06A06M4G",
            iccid: ("+QCCID", "89490200001234567881".into()),
            release_command: "+QHUP",
            news: &[
                (Moment::Dialling, CCINFO),
                (Moment::Alerting, CCINFO),
                (Moment::Offered, CCINFO),
                (Moment::Active, CCINFO),
                (Moment::Held, CCINFO),
                (Moment::Ended, CCINFO),
            ],
            news_gate: Some(("+QINDCFG", "\"ccinfo\",1")),
            digit_news: "+QTONEDET: {code}",
            digit_gate: Some(("+QTONEDET", "1")),
            audio: Audio::Ordered(order),
            keeps: &[
                ("+QURCCFG", "\"urcport\",\"usbat\""),
                ("+QINDCFG", ""),
                ("+QTONEDET", "0"),
                ("+QGPSCFG", "\"outport\",\"usbnmea\""),
            ],
            boot: &[(400, "RDY"), (1_500, "+CPIN: READY"), (1_600, "+QUSIM: 1"), (9_000, "+QIND: SMS DONE")],
            ..Persona::generic()
        }
    }

    /// An LTE module of SimCom: `VOICE CALL`, audio ordered in an active call, and refused at first from the second call on.
    pub fn sim7600() -> Persona {
        let order =
            Order { name: "+CPCMREG", on: "1", off: "0", when: When::Active, lasts: Lasts::TheCall, refusals: 2 };
        Persona {
            name: "sim7600",
            manufacturer: "SIMCOM INCORPORATED",
            model: "SIMCOM_SIM7600E-H",
            revision: "SIM7600M22_V2.0",
            iccid: ("+CICCID", "89490200001234567873".into()),
            latency: Duration::from_millis(15),
            news: &[(Moment::Active, "VOICE CALL: BEGIN"), (Moment::Ended, "VOICE CALL: END: {h}")],
            digit_news: "+RXDTMF: {c}",
            digit_gate: Some(("+DDET", "1")),
            audio: Audio::Ordered(order),
            keeps: &[("+DDET", "0"), ("+CPCMFRM", "0"), ("+CPCMBANDWIDTH", "1,1"), ("+CSDVC", "1")],
            boot: &[(500, "+CPIN: READY"), (2_500, "SMS DONE"), (2_600, "PB DONE")],
            ..Persona::generic()
        }
    }

    /// A module of u-blox: `+UCALLSTAT`, no audio for the host.
    pub fn sara() -> Persona {
        Persona {
            name: "sara",
            manufacturer: "u-blox",
            model: "SARA-U270",
            revision: "23.60",
            iccid: ("+CCID", "89490200001234567865".into()),
            news: &[
                (Moment::Dialling, "+UCALLSTAT: {i},2"),
                (Moment::Alerting, "+UCALLSTAT: {i},3"),
                (Moment::Offered, "+UCALLSTAT: {i},4"),
                (Moment::Active, "+UCALLSTAT: {i},0"),
                (Moment::Held, "+UCALLSTAT: {i},1"),
                (Moment::Ended, "+UCALLSTAT: {i},6"),
            ],
            news_gate: Some(("+UCALLSTAT", "1")),
            digit_news: "+UUDTMFD: {c}",
            digit_gate: Some(("+UDTMFD", "1")),
            audio: Audio::None,
            keeps: &[("+UCALLSTAT", "0"), ("+UDTMFD", "0")],
            ..Persona::generic()
        }
    }

    /// A GSM terminal of Wavecom: the dial is answered with the call, `+CPIN?` without `OK`, `+WIND`.
    pub fn wavecom() -> Persona {
        Persona {
            name: "wavecom",
            manufacturer: " WAVECOM MODEM",
            model: " 900E  1800 ",
            revision: "640b09gg.Q2403A 1320676 061804 14:38",
            latency: Duration::from_millis(40),
            news: &[(Moment::Dialling, "+WIND: 5,1"), (Moment::Alerting, "+WIND: 2"), (Moment::Ended, "+WIND: 6,1")],
            news_gate: Some(("+WIND", "255")),
            audio: Audio::None,
            dial_result: Some("OK"),
            pin_without_ok: true,
            keeps: &[("+WIND", "0")],
            ..Persona::generic()
        }
    }

    /// Every one.
    pub fn all() -> Vec<Persona> {
        vec![
            Persona::generic(),
            Persona::e1550(),
            Persona::ec25(),
            Persona::sim7600(),
            Persona::sara(),
            Persona::wavecom(),
        ]
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Persona> {
        Persona::all().into_iter().find(|persona| persona.name == name)
    }
}

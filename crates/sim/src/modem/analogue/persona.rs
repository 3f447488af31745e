//! What one firmware is like: everything in which voice modems differ, as data.

/// How a sample is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// 8 bits, 0x80 is zero.
    Unsigned8,
    /// 8 bits, two's complement.
    Signed8,
    /// ITU-T G.711 µ-law.
    ULaw,
    /// ITU-T G.711 A-law.
    ALaw,
    /// 16 bits, two's complement, low byte first.
    Linear16,
}

impl Coding {
    /// Bytes of a sample.
    pub fn bytes(self) -> usize {
        if self == Coding::Linear16 { 2 } else { 1 }
    }
}

/// One compression method of `+VSM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its label.
    pub label: u32,
    /// Its name, as `+VSM=?` prints it.
    pub name: &'static str,
    /// How it codes a sample.
    pub coding: Coding,
    /// Samples a second.
    pub rate: u32,
}

impl Method {
    /// A method at 8000 samples a second.
    pub const fn new(label: u32, name: &'static str, coding: Coding) -> Method {
        Method { label, name, coding, rate: 8_000 }
    }
}

/// Whose commands it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// ITU-T V.253: `+V`, class 8 by `+FCLASS`.
    V253,
    /// Rockwell: `#V`, class 8 by `#CLS`; a bare `!` ends a recording.
    Rockwell,
}

/// How `+VSM=?` is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// A line for each method, as V.253 has it.
    Lines,
    /// One line of ranges, of a shape of its own.
    Ranges(&'static str),
}

/// How DTMF digits are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digits {
    /// One `<DLE>` digit.
    Simple,
    /// `<DLE>/`, the digit each 70 ms, `<DLE>~`.
    Shielded,
}

/// How a ring is reported in class 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingReport {
    /// `RING` as in class 0.
    Text,
    /// `<DLE>R`.
    Code,
}

/// How formatted caller identity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityStyle {
    /// `NMBR=123`
    Tight,
    /// `NMBR = 123`
    Spaced,
}

/// What stands between information text and the final result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The pair of CR LF that V.250 wants before the result.
    Paired,
    /// Nothing: the result follows the text's own CR LF.
    Glued,
}

/// What `<DLE><CAN>` does while the modem plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It clears what is buffered, as V.253 has it; `<DLE><ETX>` ends the stream.
    Clears,
    /// It ends the stream too.
    Ends,
}

/// A firmware.
#[derive(Clone, Debug)]
pub struct Persona {
    /// The name under which it is chosen.
    pub name: &'static str,
    /// Whose commands it takes.
    pub dialect: Dialect,
    /// `+GMI`; empty: it has none of these.
    pub manufacturer: &'static str,
    /// `+GMM`, `+FMM?`.
    pub model: &'static str,
    /// `+GMR`, `ATI3`.
    pub revision: &'static str,
    /// `ATI0`.
    pub product: &'static str,
    /// `+FCLASS=?`, or `#CLS=?`.
    pub classes: &'static str,
    /// Compression methods; the first is the default.
    pub methods: &'static [Method],
    /// How they are listed.
    pub listing: Listing,
    /// The label of `+VLS` that seizes the line.
    pub line_label: u32,
    /// The greatest sensitivity that `+VSD` takes.
    pub silence_limit: u32,
    /// DTMF reports.
    pub digits: Digits,
    /// Ring reports in class 8.
    pub ring: RingReport,
    /// Caller identity.
    pub identity: IdentityStyle,
    /// Whether it tells who knocks while the line is in use.
    pub waiting_identity: bool,
    /// Whether it understands an identity that is sent as DTMF.
    pub tone_identity: bool,
    /// Whether it tells the bursts of a ring (`+VDR`); others take the command, and tell none.
    pub distinctive: bool,
    /// Event codes that it never tells, whatever the mask.
    pub never: &'static [u8],
    /// Framing of read-backs.
    pub framing: Framing,
    /// What precedes each line and result.
    pub lead: &'static str,
    /// Whether `+VTR` exists.
    pub duplex: bool,
    /// Commands that it takes and that have no effect.
    pub accepts: &'static [&'static str],
    /// Final result of an answer or a dial in class 8: `OK` or `VCON`.
    pub answer_result: &'static str,
    /// Final result of a stream: `OK` or `VCON`.
    pub stream_result: &'static str,
    /// What `<DLE><CAN>` does.
    pub cancel: Cancel,
    /// Bytes that the transmit and receive buffers hold.
    pub buffer: usize,
    /// Bytes a second to the host: 11 520 at 115 200 bit/s.
    pub host_rate: u32,
    /// Milliseconds from a command to its result.
    pub latency_ms: u64,
}

impl Persona {
    /// A modem that does what V.253 says and has every method.
    pub fn v253() -> Persona {
        const METHODS: [Method; 5] = [
            Method::new(1, "UNSIGNED PCM", Coding::Unsigned8),
            Method::new(0, "SIGNED PCM", Coding::Signed8),
            Method::new(131, "ULAW", Coding::ULaw),
            Method::new(132, "ALAW", Coding::ALaw),
            Method::new(133, "LINEAR", Coding::Linear16),
        ];
        Persona {
            name: "v253",
            dialect: Dialect::V253,
            manufacturer: "tapi-exchange",
            model: "Simulated V.253 modem",
            revision: "V1.0-V92",
            product: "56000",
            classes: "0,8",
            methods: &METHODS,
            listing: Listing::Lines,
            line_label: 1,
            silence_limit: 255,
            digits: Digits::Shielded,
            ring: RingReport::Code,
            identity: IdentityStyle::Spaced,
            waiting_identity: true,
            tone_identity: false,
            distinctive: false,
            never: b"",
            framing: Framing::Paired,
            lead: "\r\n",
            duplex: true,
            accepts: &["+VRID", "-SCID", "-STE"],
            answer_result: "OK",
            stream_result: "OK",
            cancel: Cancel::Clears,
            buffer: 2_048,
            host_rate: 46_080,
            latency_ms: 5,
        }
    }

    /// A controller-based chip as in many USB sticks: one method, `RING` in class 8, no caller's spaces, glued read-backs,
    /// one direction at a time, a silence sensitivity that goes no further than 127.
    pub fn cx93001() -> Persona {
        const METHODS: [Method; 2] =
            [Method::new(1, "UNSIGNED PCM", Coding::Unsigned8), Method::new(130, "UNSIGNED PCM", Coding::Unsigned8)];
        Persona {
            name: "cx93001",
            manufacturer: "CONEXANT",
            model: "CX93001",
            revision: "CX93001-EIS_V0.2002-V92",
            classes: "0,1,1.0,2,8",
            methods: &METHODS,
            silence_limit: 127,
            digits: Digits::Simple,
            never: b"vdK",
            ring: RingReport::Text,
            identity: IdentityStyle::Tight,
            framing: Framing::Glued,
            duplex: false,
            latency_ms: 12,
            ..Persona::v253()
        }
    }

    /// U.S. Robotics 5637: all of V.253's names, 16-bit samples and µ-law, half duplex, digits without shields.
    pub fn usr5637() -> Persona {
        const METHODS: [Method; 6] = [
            Method::new(130, "UNSIGNED PCM", Coding::Unsigned8),
            Method::new(1, "UNSIGNED PCM", Coding::Unsigned8),
            Method::new(128, "8-BIT LINEAR", Coding::Unsigned8),
            Method::new(131, "ULAW", Coding::ULaw),
            Method::new(132, "ALAW", Coding::ALaw),
            Method::new(133, "LINEAR", Coding::Linear16),
        ];
        Persona {
            name: "usr5637",
            manufacturer: "U.S. Robotics",
            model: "USB Voice Modem",
            revision: "U.S. Robotics 56K FAX USB V1.2.23",
            product: "5601",
            classes: "0,1,8",
            methods: &METHODS,
            digits: Digits::Simple,
            never: b"vdK",
            identity: IdentityStyle::Tight,
            duplex: false,
            cancel: Cancel::Ends,
            buffer: 1_024,
            latency_ms: 20,
            ..Persona::v253()
        }
    }

    /// Lucent or Agere: µ-law is 131, 8-bit linear 128, no way to carry both directions at once.
    pub fn agere() -> Persona {
        const METHODS: [Method; 4] = [
            Method::new(128, "8-BIT LINEAR", Coding::Unsigned8),
            Method::new(129, "16-BIT LINEAR", Coding::Linear16),
            Method::new(130, "8-BIT A-LAW", Coding::ALaw),
            Method::new(131, "8-BIT U-LAW", Coding::ULaw),
        ];
        Persona {
            name: "agere",
            manufacturer: "LUCENT TECHNOLOGIES",
            model: "Venus",
            revision: "LT V.92 1.0 MT5634SMI-92 Voice Modem Version 1.25c",
            product: "LT V.90 Data+Fax Modem",
            classes: "0,1,2,8",
            methods: &METHODS,
            digits: Digits::Shielded,
            duplex: false,
            latency_ms: 15,
            ..Persona::v253()
        }
    }

    /// A program on a sound card: no CR LF before its lines, µ-law called "1", no way to carry both directions at once.
    pub fn smartlink() -> Persona {
        const METHODS: [Method; 2] = [Method::new(0, "", Coding::Unsigned8), Method::new(1, "", Coding::ULaw)];
        Persona {
            name: "smartlink",
            manufacturer: "Smart Link Ltd.",
            model: "SmartLink Soft Modem",
            revision: "2.9.11 Mar 18 2007",
            product: "SmartLink Soft Modem",
            classes: "0,1,8",
            methods: &METHODS,
            listing: Listing::Ranges("+VSM=0-1,8000-8000"),
            digits: Digits::Simple,
            framing: Framing::Glued,
            lead: "",
            duplex: false,
            buffer: 4_096,
            latency_ms: 30,
            ..Persona::v253()
        }
    }

    /// Rockwell's own commands: 7200 samples a second of 8 bits, `VCON` for an answer and at the end of a stream.
    pub fn rockwell() -> Persona {
        const METHODS: [Method; 1] = [Method { label: 8, name: "", coding: Coding::Unsigned8, rate: 7_200 }];
        Persona {
            name: "rockwell",
            dialect: Dialect::Rockwell,
            manufacturer: "",
            model: "RCV56DPF-PLL",
            revision: "V1.210-V90_P21_FSH",
            product: "56000",
            classes: "0,1,2,8",
            methods: &METHODS,
            digits: Digits::Simple,
            duplex: false,
            waiting_identity: false,
            accepts: &[],
            answer_result: "VCON",
            stream_result: "VCON",
            buffer: 512,
            host_rate: 11_520,
            latency_ms: 25,
            ..Persona::v253()
        }
    }

    /// Every one.
    pub fn all() -> Vec<Persona> {
        vec![
            Persona::v253(),
            Persona::cx93001(),
            Persona::usr5637(),
            Persona::agere(),
            Persona::smartlink(),
            Persona::rockwell(),
        ]
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Persona> {
        Persona::all().into_iter().find(|persona| persona.name == name)
    }
}

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

/// A firmware.
#[derive(Clone, Debug)]
pub struct Persona {
    /// `+GMI`.
    pub manufacturer: &'static str,
    /// `+GMM`, `+FMM?`.
    pub model: &'static str,
    /// `+GMR`, `ATI3`.
    pub revision: &'static str,
    /// `ATI0`.
    pub product: &'static str,
    /// Compression methods; the first is the default.
    pub methods: &'static [Method],
    /// DTMF reports.
    pub digits: Digits,
    /// Ring reports in class 8.
    pub ring: RingReport,
    /// Caller identity.
    pub identity: IdentityStyle,
    /// Framing of read-backs.
    pub framing: Framing,
    /// Whether `+VTR` exists.
    pub duplex: bool,
    /// Final result of an answer or a dial in class 8: `OK` or `VCON`.
    pub answer_result: &'static str,
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
            Method { label: 1, name: "UNSIGNED PCM", coding: Coding::Unsigned8 },
            Method { label: 0, name: "SIGNED PCM", coding: Coding::Signed8 },
            Method { label: 131, name: "ULAW", coding: Coding::ULaw },
            Method { label: 132, name: "ALAW", coding: Coding::ALaw },
            Method { label: 133, name: "LINEAR", coding: Coding::Linear16 },
        ];
        Persona {
            manufacturer: "tapi-exchange",
            model: "Simulated V.253 modem",
            revision: "V1.0-V92",
            product: "56000",
            methods: &METHODS,
            digits: Digits::Shielded,
            ring: RingReport::Code,
            identity: IdentityStyle::Spaced,
            framing: Framing::Paired,
            duplex: true,
            answer_result: "OK",
            buffer: 2_048,
            host_rate: 46_080,
            latency_ms: 5,
        }
    }

    /// A controller-based chip as in many USB sticks: one method, `RING` in class 8, no caller's spaces, glued read-backs.
    pub fn cx93001() -> Persona {
        const METHODS: [Method; 2] = [
            Method { label: 1, name: "UNSIGNED PCM", coding: Coding::Unsigned8 },
            Method { label: 130, name: "UNSIGNED PCM", coding: Coding::Unsigned8 },
        ];
        Persona {
            manufacturer: "CONEXANT",
            model: "CX93001",
            revision: "CX93001-EIS_V0.2002-V92",
            methods: &METHODS,
            digits: Digits::Simple,
            ring: RingReport::Text,
            identity: IdentityStyle::Tight,
            framing: Framing::Glued,
            latency_ms: 12,
            ..Persona::v253()
        }
    }
}

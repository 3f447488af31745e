//! What is fuzzed.

/// Something that reads bytes from outside.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Feeds one input.
    pub run: fn(&[u8]),
}

/// All of them.
pub const ALL: &[Target] = &[
    Target { name: "sip-datagram", run: tsp_sip::fuzz::datagram },
    Target { name: "sip-stream", run: tsp_sip::fuzz::stream },
    Target { name: "sdp", run: tsp_sip::fuzz::sdp },
    Target { name: "at", run: tsp_modem::fuzz::at },
    Target { name: "clcc", run: tsp_modem::fuzz::clcc },
    Target { name: "dle", run: tsp_modem::fuzz::dle },
    Target { name: "caller-id", run: tsp_modem::fuzz::caller_id },
    Target { name: "pdu", run: tsp_modem::fuzz::pdu },
    Target { name: "rtp", run: msp_rtp::fuzz::rtp },
    Target { name: "rtcp", run: msp_rtp::fuzz::rtcp },
    Target { name: "srtp", run: msp_rtp::fuzz::srtp },
    Target { name: "socket-line", run: socket },
];

fn socket(bytes: &[u8]) {
    let mut lines = tapi::wire::Lines::new();
    for chunk in bytes.chunks(97) {
        lines.push(chunk);
        while let Some(line) = lines.next_line() {
            if let Ok(line) = line {
                drop(tapi::wire::decode_request(line));
            }
        }
    }
}

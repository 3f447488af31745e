//! A call's trace: a SIP ladder, or an AT transcript.

use crate::out::{Paint, Tone, clean};
use tapi::TraceEntry;
use tapi::reply::Trace;

/// Between the two uprights of a ladder, at least.
const RUNGS: usize = 40;
/// And at most.
const WIDEST: usize = 72;

/// The entries with the time since the first one, and whole messages where the trace has them.
pub fn render(trace: &Trace, paint: Paint) -> String {
    let Some(first) = trace.entries.first() else {
        return "no trace is kept\n".into();
    };
    let mut text = String::new();
    if trace.forgotten > 0 {
        text.push_str(&format!("({} older entries are not kept any more)\n", trace.forgotten));
    }
    let widest = trace.entries.iter().map(|entry| clean(&entry.summary).chars().count()).max().unwrap_or(0);
    let width = (widest + 8).clamp(RUNGS, WIDEST);
    let mut peer = None;
    for entry in &trace.entries {
        let ladder = is_network(&entry.peer);
        if peer != Some(&entry.peer) {
            text.push_str(&heading(&entry.peer, ladder, width, paint));
            peer = Some(&entry.peer);
        }
        let since = entry.time.since(first.time);
        let time = format!("{:>5}.{:03}", since.as_secs(), since.subsec_millis());
        let body = if ladder { rung(entry, width) } else { line(entry) };
        let tone = if entry.sent { Tone::Plain } else { Tone::Good };
        text.push_str(&format!("{}  {}\n", paint.tone(Tone::Faint, &time), paint.tone(tone, &body)));
        if let Some(whole) = &entry.text {
            text.push_str(&message(whole, paint));
        }
    }
    text
}

/// A socket's address, and not a port's name.
fn is_network(peer: &str) -> bool {
    let address = peer.split_once(' ').map_or(peer, |(_, rest)| rest);
    address.parse::<std::net::SocketAddr>().is_ok() || peer.parse::<std::net::SocketAddr>().is_ok()
}

fn heading(peer: &str, ladder: bool, width: usize, paint: Paint) -> String {
    let peer = clean(peer);
    let text = match ladder {
        true => format!("{:>11}tapid{peer:>width$}", "", width = width.saturating_sub(3)),
        false => format!("{:>9}  {peer}", ""),
    };
    format!("{}\n", paint.tone(Tone::Strong, &text))
}

/// `│── INVITE sip:100@example.org ──────────→│`
fn rung(entry: &TraceEntry, width: usize) -> String {
    let room = width.saturating_sub(8);
    let words = shorten(&clean(&entry.summary), room);
    let rest = "─".repeat(room.saturating_sub(words.chars().count()) + 2);
    match entry.sent {
        true => format!("│── {words} {rest}─→│"),
        false => format!("│←─ {words} {rest}──│"),
    }
}

/// `→ ATD…;`
fn line(entry: &TraceEntry) -> String {
    let arrow = if entry.sent { "→" } else { "←" };
    format!("{arrow} {}", clean(&entry.summary))
}

fn shorten(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

fn message(whole: &str, paint: Paint) -> String {
    let whole = whole.trim_end_matches(['\r', '\n']);
    whole.lines().map(|line| format!("{:>13}{}\n", "", paint.tone(Tone::Faint, &clean(line)))).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tapi::Time;

    fn entry(millis: u64, sent: bool, peer: &str, summary: &str, text: Option<&str>) -> TraceEntry {
        let (peer, summary, text) = (peer.to_owned(), summary.to_owned(), text.map(str::to_owned));
        TraceEntry { time: Time::from_millis(millis), wall: 0, sent, peer, summary, text }
    }

    #[test]
    fn sip_is_a_ladder_with_relative_times() {
        let peer = "192.0.2.7:5060";
        let entries = vec![
            entry(90_000, true, peer, "INVITE sip:100@example.org", None),
            entry(90_012, false, peer, "100 Trying", None),
            entry(91_250, false, peer, "200 OK", Some("SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n")),
            entry(91_251, true, peer, "ACK sip:100@example.org", None),
        ];
        let text = render(&Trace { entries, forgotten: 0 }, Paint::Plain);
        assert_eq!(
            text,
            "           tapid                       192.0.2.7:5060
    0.000  │── INVITE sip:100@example.org ─────────→│
    0.012  │←─ 100 Trying ──────────────────────────│
    1.250  │←─ 200 OK ──────────────────────────────│
             SIP/2.0 200 OK
             CSeq: 1 INVITE
    1.251  │── ACK sip:100@example.org ────────────→│
"
        );
    }

    #[test]
    fn at_is_a_transcript() {
        let entries = vec![
            entry(5, true, "/dev/ttyACM0", "ATD…;", None),
            entry(1_005, false, "/dev/ttyACM0", "OK\u{1b}[2J", None),
        ];
        let text = render(&Trace { entries, forgotten: 3 }, Paint::Plain);
        assert_eq!(
            text,
            "(3 older entries are not kept any more)
           /dev/ttyACM0
    0.000  → ATD…;
    1.000  ← OK\\u{1b}[2J
"
        );
    }

    #[test]
    fn a_long_summary_is_shortened_and_the_rungs_stay_aligned() {
        let peer = "[2001:db8::1]:5060";
        let long = format!("INVITE sip:{}@example.org", "9".repeat(100));
        let entries = vec![entry(0, true, peer, &long, None), entry(1, false, peer, "100 Trying", None)];
        let text = render(&Trace { entries, forgotten: 0 }, Paint::Plain);
        let widths: Vec<usize> = text.lines().skip(1).map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
        assert!(text.contains('…'));
    }
}

//! Whole walks against a table of answers.

use super::*;
use tspi::Records;

const V4: &str = "192.0.2.1";

/// A name, the kind of record asked for, and the answer.
type Row = (&'static str, RecordKind, Result<Vec<Record>, LookupError>);

/// A table of answers.
fn cache(rows: &[Row]) -> Cache {
    let mut cache = Cache::default();
    for (name, kind, answer) in rows {
        let query = Query { name: (*name).to_owned(), kind: *kind };
        cache.put(Time::ZERO, &query, answer.clone().map(|records| Records { records, ttl_s: 60 }));
    }
    cache
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Record {
    Record::Srv { priority, weight, port, target: target.to_owned() }
}

fn naptr(order: u16, preference: u16, service: &str, replacement: &str) -> Record {
    let (flags, service, replacement) = ("s".to_owned(), service.to_owned(), replacement.to_owned());
    Record::Naptr { order, preference, flags, service, replacement }
}

fn ip(text: &str) -> Record {
    Record::Address(text.parse().unwrap())
}

const NONE: LookupError = LookupError::None { ttl_s: 60 };

/// Searches for `to` among IPv4 addresses, at `seconds`.
fn search(cache: &Cache, to: &str, seconds: u64, seed: u64) -> Located {
    let mut random = Random::from_number(seed);
    let fits = |_: Transport, ip: IpAddr| ip.is_ipv4();
    let mut walk = Walk { now: Time::from_millis(seconds * 1_000), cache, random: &mut random, fits: &fits };
    locate(&mut walk, &Destination::parse(to).unwrap())
}

/// Candidates as text.
fn found(cache: &Cache, to: &str) -> Vec<String> {
    match search(cache, to, 0, 1) {
        Located::Ready(candidates) => {
            candidates.iter().map(|one| format!("{} {}", one.transport.param(), one.address)).collect()
        }
        Located::Wait(queries) => queries.iter().map(|query| format!("? {} {:?}", query.name, query.kind)).collect(),
        Located::Nowhere(why) => vec![format!("! {why}")],
    }
}

#[test]
fn addresses_ports_and_transports_shorten_the_walk() {
    let empty = Cache::default();
    for (to, wanted) in [
        ("192.0.2.7", "udp 192.0.2.7:5060"),
        ("sip:a@192.0.2.7:5070;transport=tcp", "tcp 192.0.2.7:5070"),
        ("sips:a@192.0.2.7", "tls 192.0.2.7:5061"),
        ("sips:a@192.0.2.7;transport=tcp", "tls 192.0.2.7:5061"),
        ("sip:a@x;maddr=192.0.2.8", "udp 192.0.2.8:5060"),
        ("[2001:db8::1]:5070", "! 2001:db8::1 is not of our family of addresses"),
        ("host.example:5070", "? host.example A"),
        ("host.example", "? host.example Naptr"),
        ("host.example;transport=tls", "? _sips._tcp.host.example Srv"),
    ] {
        assert_eq!(found(&empty, to), [wanted], "{to}");
    }
}

#[test]
fn naptr_chooses_the_transport_and_srv_the_server() {
    use RecordKind::{A, Naptr, Srv};
    let cache = cache(&[
        (
            "example.org",
            Naptr,
            Ok(vec![
                naptr(20, 1, "SIP+D2U", "_sip._udp.example.org"),
                naptr(10, 9, "SIPS+D2T", "_sips._tcp.example.org"),
                naptr(10, 5, "SIP+D2T", "tcp.example.org"),
                naptr(1, 1, "E2U+sip", "x"),
            ]),
        ),
        ("tcp.example.org", Srv, Ok(vec![srv(2, 0, 5070, "b.example.org"), srv(1, 0, 5080, "a.example.org")])),
        ("_sips._tcp.example.org", Srv, Ok(vec![srv(1, 0, 5061, "a.example.org")])),
        ("_sip._udp.example.org", Srv, Err(NONE)),
        ("a.example.org", A, Ok(vec![ip(V4)])),
        ("b.example.org", A, Ok(vec![ip("192.0.2.2"), ip("192.0.2.3")])),
    ]);
    let tls = "tls 192.0.2.1:5061";
    assert_eq!(
        found(&cache, "sip:x@example.org"),
        ["tcp 192.0.2.1:5080", "tcp 192.0.2.2:5070", "tcp 192.0.2.3:5070", tls]
    );
    assert_eq!(found(&cache, "sips:x@example.org"), [tls], "nothing but TLS will do");
}

#[test]
fn without_naptr_and_srv_the_host_itself_is_meant() {
    use RecordKind::{A, Naptr, Srv};
    let services = ["_sip._udp.h", "_sip._tcp.h", "_sips._tcp.h"];
    for failure in [NONE, LookupError::ServerFailed, LookupError::Refused, LookupError::Timeout] {
        let mut rows: Vec<_> = services.iter().map(|name| (*name, Srv, Err(failure))).collect();
        rows.extend([("h", Naptr, Err(failure)), ("h", A, Ok(vec![ip(V4)]))]);
        assert_eq!(found(&cache(&rows), "h"), ["udp 192.0.2.1:5060"], "{failure:?}");
        let last = rows.len() - 1;
        rows[last].2 = Err(failure);
        assert_eq!(found(&cache(&rows), "h"), [format!("! h: {}", words(failure))]);
    }
    let mut rows: Vec<_> = services.iter().map(|name| (*name, Srv, Err(NONE))).collect();
    rows.push(("h", Naptr, Err(NONE)));
    rows[0].2 = Ok(vec![srv(0, 0, 0, ".")]);
    assert_eq!(found(&cache(&rows), "h"), ["! h does not offer SIP"], "a root target says so");
}

#[test]
fn weights_are_shares_and_zero_is_a_small_one() {
    let servers = vec![(1, 0, 1, "zero".to_owned()), (1, 10, 2, "ten".to_owned()), (1, 30, 3, "thirty".to_owned())];
    let mut random = Random::from_number(7);
    let mut first = [0; 4];
    for _ in 0..4_000 {
        let ordered = by_weight(servers.clone(), &mut random);
        assert_eq!(ordered.len(), 3);
        first[usize::from(ordered[0].2)] += 1;
    }
    assert!((20..=200).contains(&first[1]), "{first:?}");
    assert!((850..=1_150).contains(&first[2]), "{first:?}");
    assert!((2_700..=3_100).contains(&first[3]), "{first:?}");
}

#[test]
fn an_answer_holds_for_its_time_to_live() {
    let known = cache(&[("h", RecordKind::A, Ok(vec![ip(V4)]))]);
    assert!(matches!(search(&known, "h:5060", 59, 1), Located::Ready(_)));
    assert!(matches!(search(&known, "h:5060", 60, 1), Located::Wait(_)));
    let none = cache(&[("h", RecordKind::A, Err(NONE))]);
    assert!(matches!(search(&none, "h:5060", 59, 1), Located::Nowhere(_)), "so does that there is none");
    let failed = cache(&[("h", RecordKind::A, Err(LookupError::ServerFailed))]);
    assert!(matches!(search(&failed, "h:5060", 4, 1), Located::Nowhere(_)));
    assert!(matches!(search(&failed, "h:5060", 5, 1), Located::Wait(_)), "a failure is asked again soon");
}

#[test]
fn the_dead_come_last_for_a_while() {
    let candidates = |ports: [u16; 3]| -> Vec<Candidate> {
        let of = |port| Candidate {
            transport: Transport::Udp,
            address: SocketAddr::new(V4.parse().unwrap(), port),
            name: String::new(),
        };
        ports.map(of).into()
    };
    let mut dead = Dead::default();
    dead.bury(Time::ZERO, Transport::Udp, SocketAddr::new(V4.parse().unwrap(), 1), None);
    let mut sorted = candidates([1, 2, 3]);
    dead.sort(Time::from_millis(31_999), &mut sorted);
    assert_eq!(sorted, candidates([2, 3, 1]));
    let mut sorted = candidates([1, 2, 3]);
    dead.sort(Time::from_millis(32_000), &mut sorted);
    assert_eq!(sorted, candidates([1, 2, 3]));
}

//! Names: the daemon asks a name server of ours, over real datagrams, and what it says moves real calls.

use crate::app::App;
use crate::daemon::{Daemon, Directory, free_port};
use crate::kamailio::{Kamailio, Options};
use crate::sipp::Sipp;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};
use tapi::CallId;
use tapi::request::CallTrace;
use tapi_sim::dns::{NameServer, Zone};
use tspi::{LookupError, Query, RecordKind};

/// Long enough for a loaded machine.
const SOON: Duration = Duration::from_secs(20);
/// The shortest time for which an answer holds.
const TTL: Duration = Duration::from_secs(5);
const US: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn query(name: &str, kind: RecordKind) -> Query {
    Query { name: name.into(), kind }
}

/// A daemon that asks these name servers, whose transactions fail after 3.2 s and whose candidates after 0.8 s.
fn daemon(servers: &[&NameServer], peers: &str, line: &str) -> Daemon {
    daemon_in(Directory::new(), servers, peers, line)
}

fn daemon_in(directory: Directory, servers: &[&NameServer], peers: &str, line: &str) -> Daemon {
    let servers: Vec<String> = servers.iter().map(|server| format!("\"{}\"", server.address)).collect();
    let sip = free_port();
    let sections = format!(
        "[[sip]]\nname = \"pbx\"\nlisten = \"127.0.0.1:{sip}\"\nnameservers = [{}]\n\
         timers = {{ t1_ms = 50, t2_ms = 400, t4_ms = 500 }}\n\n[[sip.lines]]\nname = \"sip:trunk\"\nuser = \"100\"\n\
         domain = \"127.0.0.1\"\npeers = [{peers}]\n{line}",
        servers.join(", ")
    );
    Daemon::start_lines(directory, sip, &sections)
}

/// Where our INVITEs of a call went, each once, in order.
fn asked(app: &mut App, call: CallId) -> Vec<String> {
    let entries = app.ask(CallTrace { call, full: false }).entries;
    let invites = entries.iter().filter(|entry| entry.sent && entry.summary.starts_with("INVITE"));
    let mut peers: Vec<String> = invites.map(|entry| entry.peer.clone()).collect();
    peers.dedup();
    peers
}

/// A call that somebody answers at this port, and where it was tried.
fn answered_at(app: &mut App, daemon: &Daemon, port: u16) -> Vec<String> {
    let sipp = Sipp::callee(daemon.directory.path(), "callee_answers", port);
    let call = app.make("sip:trunk", "200");
    app.states_to(call, "connected");
    let asked = asked(app, call);
    app.hang_up(call);
    sipp.finish();
    asked
}

#[test]
fn a_proxy_is_found_by_naptr_and_srv_and_the_second_answers_where_the_first_is_dead() {
    let (dead, alive) = (free_port(), free_port());
    let mut zone = Zone::new();
    zone.naptr("example.test", 300, &[(10, 10, "SIPS+D2X", "_x.example.test"), (20, 1, "SIP+D2U", "_sip._udp.v.test")]);
    zone.srv("_sip._udp.v.test", 300, &[(20, 0, alive, "b.v.test"), (10, 0, dead, "a.v.test")]);
    zone.host("a.v.test", 300, &[US]);
    zone.alias("b.v.test", 300, "c.v.test");
    zone.host("c.v.test", 300, &[US]);
    // What does not fit into a datagram is asked for again over TCP.
    zone.cut.insert(query("_sip._udp.v.test", RecordKind::Srv));
    let names = NameServer::start(zone).unwrap();
    let daemon = daemon(&[&names], "\"127.0.0.1\"", "proxy = \"example.test\"\n");
    let mut app = App::new(&daemon.socket());
    let (first, second) = (format!("127.0.0.1:{dead}"), format!("127.0.0.1:{alive}"));
    let asked = answered_at(&mut app, &daemon, alive);
    assert_eq!(asked, [first, second.clone()], "the first in order is tried first");
    assert_eq!(names.asked(&query("_sip._udp.v.test", RecordKind::Srv)), 2, "over UDP, and over TCP");

    let again = answered_at(&mut app, &daemon, alive);
    assert_eq!(again, [second], "who did not answer is left alone for a while");
    assert_eq!(names.asked(&query("example.test", RecordKind::Naptr)), 1, "and what is known is not asked again");
}

#[test]
fn an_answer_holds_for_its_time_to_live_and_not_longer() {
    let (before, after) = (free_port(), free_port());
    let mut zone = Zone::new();
    zone.srv("_sip._udp.example.test", 5, &[(1, 1, before, "a.example.test")]);
    zone.host("a.example.test", 300, &[US]);
    let names = NameServer::start(zone).unwrap();
    let daemon = daemon(&[&names], "\"127.0.0.1\"", "proxy = \"example.test\"\n");
    let mut app = App::new(&daemon.socket());
    let begun = Instant::now();
    assert_eq!(answered_at(&mut app, &daemon, before), [format!("127.0.0.1:{before}")]);
    names.zone(|zone| zone.srv("_sip._udp.example.test", 5, &[(1, 1, after, "a.example.test")]));
    std::thread::sleep((TTL + Duration::from_secs(1)).saturating_sub(begun.elapsed()));
    assert_eq!(answered_at(&mut app, &daemon, after), [format!("127.0.0.1:{after}")], "it moved");
    assert_eq!(names.asked(&query("a.example.test", RecordKind::A)), 1, "what still holds is not asked again");
}

#[test]
fn a_name_that_is_not_there_is_said_and_not_asked_for_again_and_again() {
    let port = free_port();
    let names = NameServer::start(Zone::new()).unwrap();
    let daemon = daemon(&[&names], "\"127.0.0.1\"", "proxy = \"gone.test\"\n");
    let mut app = App::new(&daemon.socket());
    for _ in 0..3 {
        let reason = app.refused("sip:trunk", "200");
        assert!(reason.contains("gone.test: no such name"), "{reason}");
    }
    let host = query("gone.test", RecordKind::A);
    assert_eq!(names.asked(&host), 1, "that there is none holds, too");

    let failing = |zone: &mut Zone| {
        for service in ["_sip._udp.ill.test", "_sip._tcp.ill.test", "_sips._tcp.ill.test"] {
            zone.set(service, RecordKind::Srv, Err(LookupError::ServerFailed));
        }
        for kind in [RecordKind::Naptr, RecordKind::A] {
            zone.set("ill.test", kind, Err(LookupError::ServerFailed));
        }
    };
    names.zone(failing);
    let reason = app.refused("sip:trunk", "sip:200@ill.test");
    assert!(reason.contains("gone.test"), "a proxy goes before the host of the URI: {reason}");
    drop(app);
    drop(daemon);

    let daemon = self::daemon(&[&names], "\"127.0.0.1\"", "proxy = \"ill.test\"\n");
    let mut app = App::new(&daemon.socket());
    let reason = app.refused("sip:trunk", "200");
    assert!(reason.contains("ill.test: the name server failed"), "{reason}");
    // A failure holds for five seconds, and "no such name" for as long as was said.
    names.zone(|zone| {
        zone.srv("_sip._udp.ill.test", 60, &[(1, 1, port, "a.ill.test")]);
        zone.host("a.ill.test", 60, &[US]);
        for service in ["_sip._tcp.ill.test", "_sips._tcp.ill.test"] {
            zone.set(service, RecordKind::Srv, Err(LookupError::None { ttl_s: 5 }));
        }
        zone.set("ill.test", RecordKind::Naptr, Err(LookupError::None { ttl_s: 5 }));
    });
    let sipp = Sipp::callee(daemon.directory.path(), "callee_answers", port);
    let deadline = Instant::now() + Duration::from_secs(40);
    let call = loop {
        match app.try_make("sip:trunk", "200") {
            Ok(call) => break call,
            Err(reason) => assert!(Instant::now() < deadline, "it does not recover: {reason}"),
        }
        std::thread::sleep(Duration::from_millis(500));
    };
    app.states_to(call, "connected");
    app.hang_up(call);
    sipp.finish();
}

#[test]
fn a_registrar_whose_name_is_lost_is_named_in_the_lines_reason_and_found_when_it_is_back() {
    let directory = Directory::new();
    let kamailio = Kamailio::start(directory.path(), Options::default());
    let names = NameServer::start(Zone::new()).unwrap();
    let none = Err(LookupError::None { ttl_s: 5 });
    let services = ["_sip._udp.reg.test", "_sip._tcp.reg.test", "_sips._tcp.reg.test"];
    names.zone(|zone| {
        for service in services {
            zone.set(service, RecordKind::Srv, none.clone());
        }
        zone.set("reg.test", RecordKind::Naptr, none.clone());
        zone.set("reg.test", RecordKind::A, none.clone());
    });
    let line = "register = { registrar = \"reg.test\", expires_s = 60, retry_s = 1 }\n\
                auth = { user = \"100\", password = \"of-100\" }\n";
    let daemon = daemon_in(directory, &[&names], "\"127.0.0.1\"", line);
    let mut app = App::new(&daemon.socket());
    let until = |app: &mut App, what: &str| {
        let deadline = Instant::now() + SOON;
        loop {
            let reason = app.wait_for_service("sip:trunk", false, SOON);
            if reason.contains(what) {
                return;
            }
            assert!(Instant::now() < deadline, "the line says: {reason}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until(&mut app, "the registrar reg.test is not reached: reg.test: no such name");
    names.zone(|zone| zone.set("reg.test", RecordKind::A, Err(LookupError::ServerFailed)));
    until(&mut app, "reg.test: the name server failed");
    names.zone(|zone| {
        zone.srv(services[0], 60, &[(1, 1, kamailio.port, "host.reg.test")]);
        zone.host("host.reg.test", 60, &[US]);
    });
    app.wait_for_service("sip:trunk", true, Duration::from_secs(40));
    assert!(kamailio.saw("saw REGISTER of 100") >= 2, "with a challenge");
}

#[test]
fn peers_by_name_are_looked_up_again() {
    let mut zone = Zone::new();
    let none = Err(LookupError::None { ttl_s: 5 });
    for service in ["_sip._udp.peer.test", "_sip._tcp.peer.test", "_sips._tcp.peer.test"] {
        zone.set(service, RecordKind::Srv, none.clone());
    }
    zone.host("peer.test", 5, &[US]);
    let names = NameServer::start(zone).unwrap();
    let daemon = daemon(&[&names], "\"peer.test\"", "");
    let mut app = App::new(&daemon.socket());
    let deadline = Instant::now() + SOON;
    while names.asked(&query("peer.test", RecordKind::Aaaa)) == 0 {
        assert!(Instant::now() < deadline, "nobody asks for the peer's addresses");
        std::thread::sleep(Duration::from_millis(10));
    }
    let call_from = |from: &str| {
        let to = format!("127.0.0.1:{}", daemon.sip);
        Sipp::caller_of(daemon.directory.path(), "caller", (from, &to), &["-m", "1", "-d", "100"])
    };
    let mut answered_from = |from: &str| {
        let sipp = call_from(from);
        let call = app.offered();
        app.ask(tapi::request::CallAnswer { call });
        app.wait_for_hang_up(call);
        sipp.finish();
    };
    answered_from("127.0.0.1");
    names.zone(|zone| zone.host("peer.test", 5, &[OTHER]));
    // Its own answer may have been taken just before the change: it holds once more for its time.
    std::thread::sleep(TTL + Duration::from_secs(2));
    answered_from("127.0.0.2");
    let stranger = call_from("127.0.0.1");
    app.nothing_is_offered(Duration::from_secs(2), "who was a peer and is one no longer gets silence");
    drop(stranger);
}

#[test]
fn a_name_server_that_is_silent_is_passed_over_for_the_next() {
    let port = free_port();
    let mut mute = Zone::new();
    let mut zone = Zone::new();
    for (name, kind) in [
        ("example.test", RecordKind::Naptr),
        ("_sip._udp.example.test", RecordKind::Srv),
        ("_sip._tcp.example.test", RecordKind::Srv),
        ("_sips._tcp.example.test", RecordKind::Srv),
        ("a.example.test", RecordKind::A),
    ] {
        mute.set(name, kind, Err(LookupError::Timeout));
    }
    zone.srv("_sip._udp.example.test", 60, &[(1, 1, port, "a.example.test")]);
    zone.host("a.example.test", 60, &[US]);
    let (mute, names) = (NameServer::start(mute).unwrap(), NameServer::start(zone).unwrap());
    let daemon = daemon(&[&mute, &names], "\"127.0.0.1\"", "proxy = \"example.test\"\n");
    let mut app = App::new(&daemon.socket());
    assert_eq!(answered_at(&mut app, &daemon, port), [format!("127.0.0.1:{port}")]);
    drop((app, daemon));

    let daemon = self::daemon(&[&mute], "\"127.0.0.1\"", "proxy = \"a.example.test:5060\"\n");
    let mut app = App::new(&daemon.socket());
    let reason = app.refused("sip:trunk", "200");
    assert!(reason.contains("a.example.test: no name server answered"), "{reason}");
}

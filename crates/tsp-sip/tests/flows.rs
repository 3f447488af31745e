//! The connection that a registration keeps (RFC 5626): calls come over it, and when it is gone it is made anew. In virtual time.
#![allow(clippy::unwrap_used, reason = "tests")]

mod net;

use net::*;
use tapi::Service;
use tsp_sip::{Account, Register};
use tspi::*;

const REGISTRAR: &str = "192.0.2.2:5061";

fn value(text: &str, name: &str) -> String {
    let begin = format!("{name}: ");
    let mut lines = text.split("\r\n");
    lines.find_map(|line| line.strip_prefix(&begin)).unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

fn registering(listens: bool, instance: bool) -> Net {
    let mut net = Net::empty(1);
    let mut config = config(ALICE, "192.0.2.2", None);
    let hop = format!("{REGISTRAR};transport=tls");
    let uuid = instance.then(|| "urn:uuid:00000000-0000-1000-8000-000a95a0e128".to_owned());
    let register = Register { registrar: Some(hop), instance: uuid, ..Register::default() };
    config.lines[0].account = Account { register: Some(register), ..Account::default() };
    config.transports.tls = listens.then(|| "192.0.2.1:5061".parse().unwrap());
    net.streams.scripted = vec![REGISTRAR.parse().unwrap()];
    net.add(config);
    net.run(100);
    net
}

/// The registrar binds what it was asked last; over which connection.
fn bind(net: &mut Net) -> PortId {
    let (port, bytes) = net.streams.written.last().unwrap().clone();
    let request = String::from_utf8(bytes).unwrap();
    assert!(request.starts_with("REGISTER "), "{request}");
    let text = format!(
        "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=r\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: {}\r\nContent-Length: 0\r\n\r\n",
        value(&request, "Via"),
        value(&request, "From"),
        value(&request, "To"),
        value(&request, "Call-ID"),
        value(&request, "CSeq"),
        value(&request, "Contact"),
    );
    net.feed(0, Input::Bytes { port, bytes: text.as_bytes() });
    assert_eq!(service(net), Service::In);
    port
}

fn service(net: &Net) -> Service {
    let told = net.agents[0].events.iter().rev().find_map(|event| match event {
        Event::LineChanged { change: LineChange::Service(service), .. } => Some(service.clone()),
        _ => None,
    });
    told.unwrap()
}

fn registers(net: &Net) -> usize {
    net.wrote(0, "REGISTER")
}

fn cut(net: &mut Net, port: PortId) {
    net.feed(0, Input::Closed { port, reason: "reset" });
    net.run(100);
}

#[test]
fn a_binding_is_made_anew_over_another_connection_when_its_own_is_gone() {
    let mut net = registering(false, false);
    let first = bind(&mut net);
    net.run(120_000);
    cut(&mut net, first);
    assert_eq!(registers(&net), 2, "at once");
    let second = bind(&mut net);
    assert_ne!(first, second);
    let calls: Vec<String> =
        net.streams.written.iter().map(|(_, bytes)| value(&String::from_utf8_lossy(bytes), "Call-ID")).collect();
    assert_eq!(calls[0], calls[1], "it is the same registration");
    net.run(120_000);
    cut(&mut net, first);
    assert_eq!(registers(&net), 2, "another connection is none of its business");
}

#[test]
fn a_registrar_that_closes_again_and_again_is_not_hammered_and_the_line_says_so() {
    let mut net = registering(false, false);
    for round in 1..=5 {
        let port = bind(&mut net);
        cut(&mut net, port);
        assert_eq!(registers(&net), round, "not at once");
        let Service::Out { reason } = service(&net) else { panic!("no call can come") };
        assert_eq!(reason, "the connection to the registrar is gone");
        net.run(14_000);
        assert_eq!(registers(&net), round, "nor within half of retry_s");
        net.run(17_000);
        assert_eq!(registers(&net), round + 1);
    }
}

#[test]
fn where_the_registrar_can_connect_to_us_the_connection_is_only_a_convenience_but_for_flows() {
    let mut net = registering(true, false);
    let port = bind(&mut net);
    net.run(120_000);
    cut(&mut net, port);
    assert_eq!((registers(&net), service(&net)), (1, Service::In));
    let mut net = registering(true, true);
    let port = bind(&mut net);
    net.run(120_000);
    cut(&mut net, port);
    assert_eq!(registers(&net), 2, "a flow was asked for, and is made anew");
}

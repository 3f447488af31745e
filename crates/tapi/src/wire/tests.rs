use super::*;
use crate::{
    CallId, CallState, DisconnectMode, Event, EventBody, LineId, LineSelector, Reply, RequestId, Time, reply,
    request::*,
};
use serde_json::{Value, json};

fn value(line: &[u8]) -> Value {
    assert_eq!(line.last(), Some(&b'\n'));
    assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
    serde_json::from_slice(line).unwrap()
}

fn refusal(line: &str) -> (Option<u64>, i32) {
    let (id, error) = decode_request(line.as_bytes()).unwrap_err();
    (id.map(|id| id.0), error.code)
}

#[test]
fn bytes_become_lines_in_whatever_pieces_they_come() {
    let text = b"one\n\r\n\ntwo\r\nthree\nfou";
    for size in 1..text.len() {
        let mut lines = Lines::new();
        let mut seen = Vec::new();
        for piece in text.chunks(size) {
            lines.push(piece);
            while let Some(line) = lines.next_line() {
                seen.push(String::from_utf8(line.unwrap().to_vec()).unwrap());
            }
        }
        assert_eq!(seen, ["one", "two", "three"], "in pieces of {size}");
        assert!(!lines.is_empty(), "a part of the fourth waits");
    }
}

#[test]
fn a_line_over_the_bound_is_told_once_and_the_next_one_is_read() {
    for size in 1..40 {
        let mut lines = Lines::with_max(8);
        let mut seen = Vec::new();
        for piece in b"1234567\n12345678\n123456789012345678901234567890\nok\n".chunks(size) {
            lines.push(piece);
            while let Some(line) = lines.next_line() {
                seen.push(line.map(|line| line.len()));
            }
        }
        let long = Err(TooLong { max: 8 });
        assert_eq!(seen, [Ok(7), long, long, Ok(2)], "in pieces of {size}");
        assert!(lines.is_empty());
    }
}

#[test]
fn an_endless_line_is_not_kept() {
    let mut lines = Lines::with_max(1 << 10);
    let mut told = 0;
    for _ in 0..1_000 {
        lines.push(&[b'x'; 4096]);
        while let Some(line) = lines.next_line() {
            line.unwrap_err();
            told += 1;
        }
        assert!(lines.bytes_held() <= (1 << 10) + 4096);
    }
    assert_eq!(told, 1);
    lines.push(b"\nback\n");
    assert_eq!(lines.next_line(), Some(Ok(&b"back"[..])));
    assert!(lines.is_empty());
}

#[test]
fn a_request_round_trips() {
    let make = CallMake {
        line: LineSelector::Name("sip:trunk".into()),
        to: "tel:+49\n30".into(),
        address: Default::default(),
        block_id: false,
        comment: None,
        bearer: None,
    };
    let (mut typed, mut any) = (Vec::new(), Vec::new());
    encode_request(&mut typed, RequestId(7), &make);
    encode_any_request(&mut any, RequestId(7), &Request::CallMake(make.clone()));
    assert_eq!(value(&typed), value(&any));
    assert_eq!(value(&typed)["jsonrpc"], "2.0");
    let (id, request) = decode_request(typed.trim_ascii_end()).unwrap();
    assert_eq!((id, request), (RequestId(7), Request::CallMake(make)));
}

#[test]
fn every_method_can_be_asked_without_params_or_says_which_it_misses() {
    for method in Request::METHODS {
        let line = format!(r#"{{"id":1,"method":"{method}"}}"#);
        match decode_request(line.as_bytes()) {
            Ok((id, request)) => assert_eq!((id, request.method()), (RequestId(1), *method)),
            Err((id, error)) => {
                assert_eq!((id, error.code), (Some(RequestId(1)), rpc::INVALID_PARAMS));
                assert!(error.message.starts_with(method) && error.message.contains("missing field"), "{error}");
            }
        }
    }
}

#[test]
fn what_is_no_request_is_answered_with_json_rpcs_codes() {
    assert_eq!(refusal("{"), (None, rpc::PARSE));
    assert_eq!(refusal("hello"), (None, rpc::PARSE));
    assert_eq!(refusal(""), (None, rpc::PARSE));
    assert_eq!(decode_request(b"{\"id\":1,\"method\":\"\xff\"}").unwrap_err().1.code, rpc::PARSE);
    assert_eq!(refusal("7"), (None, rpc::INVALID_REQUEST));
    assert_eq!(refusal(r#"[{"id":1,"method":"line.list"}]"#), (None, rpc::INVALID_REQUEST));
    assert_eq!(refusal(r#"["2.0",1,"line.list",{}]"#), (None, rpc::INVALID_REQUEST));
    assert_eq!(refusal(r#"{"method":"line.list"}"#), (None, rpc::INVALID_REQUEST));
    assert_eq!(refusal(r#"{"id":null,"method":"line.list"}"#), (None, rpc::INVALID_REQUEST));
    assert_eq!(refusal(r#"{"id":"a","method":"line.list"}"#), (None, rpc::INVALID_REQUEST));
    assert_eq!(refusal(r#"{"id":-1,"method":"line.list"}"#), (None, rpc::INVALID_REQUEST));
    assert_eq!(refusal(r#"{"id":5}"#), (Some(5), rpc::INVALID_REQUEST));
    assert_eq!(refusal(r#"{"id":5,"method":7}"#), (Some(5), rpc::INVALID_REQUEST));
    assert_eq!(refusal(r#"{"jsonrpc":"1.0","id":5,"method":"line.list"}"#), (Some(5), rpc::INVALID_REQUEST));
    assert_eq!(refusal(r#"{"id":5,"method":"line.eat"}"#), (Some(5), rpc::UNKNOWN_METHOD));
    assert_eq!(refusal(r#"{"id":5,"method":"call.get","params":[1]}"#), (Some(5), rpc::INVALID_PARAMS));
    assert_eq!(refusal(r#"{"id":5,"method":"call.get","params":{"call":"x"}}"#), (Some(5), rpc::INVALID_PARAMS));
}

#[test]
fn unknown_members_are_passed_over_at_any_depth() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let line = format!(r#"{{"x":{deep},"id":1,"method":"line.list","params":{{"y":{deep}}}}}"#);
    assert!(matches!(decode_request(line.as_bytes()), Ok((RequestId(1), Request::LineList(_)))));
    let line = format!(r#"{{"id":1,"method":"call.get","params":{{"call":{deep}}}}}"#);
    assert_eq!(refusal(&line), (Some(1), rpc::INVALID_PARAMS));
}

#[test]
fn an_answer_reaches_the_client_as_it_was_given() {
    let mut bytes = Vec::new();
    encode_reply(&mut bytes, RequestId(3), &Ok(Reply::Made(reply::Made { call: CallId(9) })));
    assert_eq!(value(&bytes), json!({"jsonrpc":"2.0","id":3,"result":{"call":9}}));
    bytes.clear();
    encode_reply(&mut bytes, RequestId(4), &Ok(Reply::Done(reply::Done {})));
    assert_eq!(value(&bytes), json!({"jsonrpc":"2.0","id":4,"result":{}}));
    bytes.clear();
    let error = ErrorCode::InvalCallState.because("call 9 is idle");
    encode_reply(&mut bytes, RequestId(5), &Err(error.clone()));
    let data = json!({"lineerr":"INVALCALLSTATE","hex":"0x8000001c"});
    let expected = json!({"code":-32000,"message":"call 9 is idle","data":data});
    assert_eq!(value(&bytes)["error"], expected);
    let Ok(ServerLine::Response { id: Some(RequestId(5)), result: Err(refused) }) = decode_server_line(&bytes) else {
        panic!("an error came as something else");
    };
    assert_eq!(refused.refusal(), Some(error));
    bytes.clear();
    encode_rpc_error(&mut bytes, None, rpc::PARSE, "line is not JSON");
    assert_eq!(value(&bytes)["id"], Value::Null);
    assert!(matches!(decode_server_line(&bytes), Ok(ServerLine::Response { id: None, result: Err(_) })));
}

#[test]
fn an_event_reaches_the_client_as_it_was_given() {
    let body = EventBody::CallState {
        call: CallId(9),
        line: LineId(2),
        state: CallState::Disconnected(DisconnectMode::Busy),
        features: Default::default(),
        privilege: None,
        cause: Some(crate::Cause { sip: Some(486), ..crate::Cause::new(DisconnectMode::Busy) }),
    };
    let event = Event { seq: 12, time: Time(5), wall: 1_795_386_549_344_123, body };
    let mut bytes = Vec::new();
    encode_event(&mut bytes, 10, &event);
    let params = value(&bytes)["params"].clone();
    assert_eq!((&params["kind"], &params["state"]), (&json!("call.state"), &json!("disconnected")));
    let Ok(ServerLine::Event(delivered)) = decode_server_line(&bytes) else { panic!("no event") };
    assert_eq!(*delivered, Delivered { prev: 10, event });
}

#[test]
fn what_a_newer_server_says_is_passed_over_but_counted() {
    let unknown = [
        r#"{"method":"event","params":{"prev":1,"seq":2,"time":3,"wall":4,"kind":"line.eaten","by":[1]}}"#,
        r#"{"method":"event","params":{"prev":1,"seq":2,"time":3,"wall":4,"kind":"call.state","state":"eaten"}}"#,
    ];
    for line in unknown {
        let Ok(ServerLine::Event(delivered)) = decode_server_line(line.as_bytes()) else { panic!("no event") };
        assert_eq!((delivered.prev, delivered.event.seq), (1, 2));
        assert_eq!(delivered.event.body, EventBody::Unrecognized);
    }
    assert!(matches!(decode_server_line(br#"{"method":"sing"}"#), Ok(ServerLine::Other { .. })));
    let newer = br#"{"id":1,"error":{"code":-32000,"message":"no","data":{"lineerr":"EATEN","hex":"0x1"}}}"#;
    let Ok(ServerLine::Response { result: Err(error), .. }) = decode_server_line(newer) else { panic!("no error") };
    assert_eq!((error.message.as_str(), error.data), ("no (EATEN)", None));
    for nonsense in ["", "7", "{}", "[]", r#"{"method":"event","params":{}}"#, r#"{"method":"hello"}"#] {
        decode_server_line(nonsense.as_bytes()).unwrap_err();
    }
}

#[test]
fn a_descriptor_is_named_by_the_request_that_needs_it() {
    let play = |source| Request::CallPlay(CallPlay { call: CallId(1), source, repeat: false });
    assert!(names_descriptor(&play(PlaySource::Descriptor)));
    assert!(!names_descriptor(&play(PlaySource::File("a.wav".into()))));
    let line = br#"{"id":1,"method":"call.record","params":{"call":1,"sink":"descriptor"}}"#;
    assert!(names_descriptor(&decode_request(line).unwrap().1));
}

/// Mutations of real lines, and noise: nothing may panic, and what is read as a request reads the same again.
#[test]
fn noise_is_answered_or_read() {
    let seeds: [&[u8]; 4] = [
        br#"{"jsonrpc":"2.0","id":1,"method":"call.make","params":{"line":3,"to":"sip:a@b","address":0}}"#,
        br#"{"id":1,"method":"call.play","params":{"call":9,"source":{"file":"a.wav"},"repeat":true}}"#,
        br#"{"method":"event","params":{"prev":1,"seq":2,"time":3,"wall":4,"kind":"call.digit","call":1,"digit":"5"}}"#,
        br#"{"id":1,"error":{"code":-32000,"message":"no","data":{"lineerr":"NOMEM","hex":"0x1"}}}"#,
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut lines = Lines::with_max(256);
    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].to_vec();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] = b"{}[]\",:\\\n\xff0-9e"[random(14)],
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, u8::try_from(random(256)).unwrap()),
                _ => bytes.extend_from_within(at..),
            }
        }
        lines.push(&bytes);
        lines.push(b"\n");
        while let Some(line) = lines.next_line() {
            let Ok(line) = line else { continue };
            let _ = decode_server_line(line);
            if let Ok((id, request)) = decode_request(line) {
                let mut again = Vec::new();
                encode_any_request(&mut again, id, &request);
                assert_eq!(decode_request(again.trim_ascii_end()).unwrap(), (id, request));
            }
        }
    }
}

//! Files that clients name.

use crate::caller::Caller;
use crate::daemon::{Daemon, Directory, Wire, free_port, with_sip};
use serde_json::{Value, json};

fn started() -> (Daemon, u16) {
    let directory = Directory::new();
    for name in ["media", "records"] {
        std::fs::create_dir(directory.path(name)).unwrap();
    }
    std::fs::write(directory.path("secret.wav"), b"x").unwrap();
    std::os::unix::fs::symlink(directory.path("secret.wav"), directory.path("media/link.wav")).unwrap();
    std::os::unix::fs::symlink("..", directory.path("media/up")).unwrap();
    let more = format!(
        "media_directories = [{:?}]\nrecord_directory = {:?}\n",
        directory.path("media"),
        directory.path("records")
    );
    let sip = free_port();
    let config = with_sip(&directory, sip, &more);
    (Daemon::start(directory, &config), sip)
}

fn ask(wire: &mut Wire, id: u64, method: &str, params: Value) -> Value {
    wire.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
    wire.answer(id)
}

#[test]
fn nothing_outside_the_directories_is_played_or_written() {
    let (daemon, _) = started();
    let mut wire = Wire::open(&daemon.socket());
    let absolute = daemon.directory.path("secret.wav").display().to_string();
    let names = ["../secret.wav", "up/secret.wav", "link.wav", "none.wav", "", ".", absolute.as_str(), "a\0b"];
    for (number, name) in names.into_iter().enumerate() {
        let id = 10 + 2 * number as u64;
        let answer = ask(&mut wire, id, "call.play", json!({"call": 1, "source": {"file": name}}));
        assert_eq!(answer["error"]["data"]["lineerr"], "INVALPARAM", "play {name:?}: {answer}");
    }
    for (number, name) in ["../new.wav", "/tmp/tapid-no.wav", "none/new.wav", ""].into_iter().enumerate() {
        let answer = ask(&mut wire, 50 + number as u64, "call.record", json!({"call": 1, "sink": {"file": name}}));
        assert_eq!(answer["error"]["data"]["lineerr"], "INVALPARAM", "record {name:?}: {answer}");
    }
    let answer = ask(&mut wire, 60, "call.play", json!({"call": 1, "source": "descriptor"}));
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("no descriptor came with the request"), "{answer}");
}

#[test]
fn a_recording_that_is_refused_leaves_no_file_behind() {
    let (daemon, _) = started();
    let mut wire = Wire::open(&daemon.socket());
    let answer = ask(&mut wire, 2, "call.record", json!({"call": 1, "sink": {"file": "call.wav"}}));
    assert_eq!(answer["error"]["data"]["lineerr"], "INVALCALLHANDLE", "{answer}");
    let deadline = std::time::Instant::now() + crate::daemon::PATIENCE;
    while daemon.directory.path("records/call.wav").exists() {
        assert!(std::time::Instant::now() < deadline, "the unused file is still there");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_recording_is_written_below_the_directory_and_no_file_is_overwritten() {
    let (daemon, sip) = started();
    let mut wire = Wire::open(&daemon.socket());
    let call = Caller::new(sip).answered(&mut wire);
    let sink = json!({"call": call.id, "sink": {"file": "call.wav"}, "max_ms": 300});
    let answer = ask(&mut wire, 20, "call.record", sink.clone());
    assert!(answer["result"]["operation"].is_u64(), "{answer}");
    loop {
        let line = wire.line();
        if line["params"]["kind"] == "call.recorded" {
            assert_eq!(line["params"]["end"], "done", "{line}");
            break;
        }
    }
    let bytes = std::fs::read(daemon.directory.path("records/call.wav")).unwrap();
    assert_eq!(bytes.get(..4), Some(&b"RIFF"[..]));
    assert!(bytes.len() > 8_000, "300 ms of two channels are {} bytes", bytes.len());
    let answer = ask(&mut wire, 21, "call.record", sink);
    assert!(answer["error"]["message"].as_str().unwrap().contains("exists"), "{answer}");
}

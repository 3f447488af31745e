//! A disk that fills up while a call is recorded.

use crate::caller::Caller;
use crate::daemon::{Daemon, Directory, Wire, free_port, with_sip};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The largest file that the daemon may write, in units of 512 bytes: a little over a second of a recording. Beyond it
/// the system answers as a full disk does, and unlike a full file system it can be had without privileges.
const LARGEST: u32 = 80;

/// The daemon as the shell starts it, with a limit on the files that it writes.
fn limited(directory: &Directory) -> std::path::PathBuf {
    let file = directory.path("tapid-limited");
    // POSIX counts in blocks of 512 bytes. The daemon must outlive the signal that comes with the error.
    let script = format!("#!/bin/sh\nulimit -f {LARGEST}\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_tapid"));
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    file
}

fn ask(wire: &mut Wire, id: u64, method: &str, params: Value) -> Value {
    wire.say(&json!({"id": id, "method": method, "params": params}).to_string());
    wire.answer(id)
}

fn recorded(wire: &mut Wire) -> Value {
    loop {
        let line = wire.line();
        assert_ne!(line["params"]["kind"], "call.state", "the call is not touched: {line}");
        if line["params"]["kind"] == "call.recorded" {
            return line["params"].clone();
        }
    }
}

fn is_wave(file: &Path) -> u64 {
    let bytes = std::fs::read(file).unwrap();
    assert_eq!((&bytes[..4], &bytes[8..12]), (&b"RIFF"[..], &b"WAVE"[..]));
    bytes.len() as u64
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_call() {
    let directory = Directory::new();
    std::fs::create_dir(directory.path("records")).unwrap();
    let more = format!("record_directory = {:?}\n", directory.path("records"));
    let sip = free_port();
    let config = with_sip(&directory, sip, &more);
    let program = limited(&directory);
    let daemon = Daemon::start_as(&program, directory, &config);
    let mut wire = Wire::open(&daemon.socket());
    let mut call = Caller::new(sip).answered(&mut wire);

    let sink = json!({"call": call.id, "sink": {"file": "long.wav"}});
    assert!(ask(&mut wire, 20, "call.record", sink)["result"]["operation"].is_u64());
    let ended = recorded(&mut wire);
    assert_eq!(ended["end"], "disk_full", "{ended}");
    assert!(ended["recorded_ms"].as_u64().unwrap() >= 1_000, "{ended}");
    let length = is_wave(&daemon.directory.path("records/long.wav"));
    assert!(length > 30_000, "what had room is kept: {length} bytes");

    // The call goes on, hears and is heard, and can be recorded again where there is room.
    let got = ask(&mut wire, 21, "call.get", json!({"call": call.id}));
    assert_eq!(got["result"]["status"]["state"], "connected", "{got}");
    assert!(ask(&mut wire, 22, "call.bridge", json!({"call": call.id, "with": call.id}))["error"].is_null());
    call.is_echoed(0x21);
    let short = json!({"call": call.id, "sink": {"file": "short.wav"}, "max_ms": 300});
    assert!(ask(&mut wire, 23, "call.record", short)["result"]["operation"].is_u64());
    assert_eq!(recorded(&mut wire)["end"], "done");
    is_wave(&daemon.directory.path("records/short.wav"));
    call.hang_up();
}

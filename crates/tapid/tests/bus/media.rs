//! What crosses in descriptors, and calls of several parties.

use crate::bus::OnBus;
use crate::daemon::Directory;
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A simulated modem on a terminal in the directory.
struct Modem(Child);

impl Modem {
    fn start(directory: &Directory) -> Modem {
        let mut command = Command::new(exchange());
        command.args(["--analogue", "4930100", "--no-orders", "--link-dir"]).arg(directory.path(""));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().contains("ready"));
        std::thread::spawn(move || lines.count());
        Modem(child)
    }
}

impl Drop for Modem {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// `tapi-exchange` beside the daemon, built if it is not there yet or older than its source.
fn exchange() -> PathBuf {
    let daemon = Path::new(env!("CARGO_BIN_EXE_tapid"));
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "tapi-sim", "--bin", "tapi-exchange", "--target-dir"]);
    build.arg(daemon.ancestors().nth(2).unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
    if daemon.parent().is_some_and(|profile| profile.ends_with("release")) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "tapi-exchange is built");
    daemon.with_file_name("tapi-exchange")
}

#[test]
fn a_descriptor_carries_a_modems_bytes() {
    let directory = Directory::new();
    let _modem = Modem::start(&directory);
    let more = format!(
        "[[modem]]\nname = \"raw\"\nline_name = \"modem:raw\"\ndevice = {:?}\nprofile = \"v253\"\n",
        directory.path("analogue0")
    );
    let on_bus = OnBus::start_in(directory, &more);
    let mut raw = on_bus.acts(&["through", "modem:raw"], None);
    let said = raw.tells();
    assert_eq!(said["step"], "done");
    assert!(said["said"].as_str().unwrap().contains("OK"), "{said}");
}

#[test]
fn descriptors_carry_a_calls_audio_both_ways() {
    let on_bus = OnBus::start("");
    let directory = on_bus.daemon.directory.path("");
    let mut speaker = on_bus.acts(&["speak", directory.to_str().unwrap()], None);
    assert_eq!(speaker.tells()["step"], "done");
}

#[test]
fn a_conference_is_an_object_with_its_members() {
    let on_bus = OnBus::start("[[loopback]]\nname = \"other\"\nlines = 2\n");
    let mut host = on_bus.acts(&["conference"], None);
    assert_eq!(host.tells(), json!({ "step": "done", "left": "connected" }));
}

//! `tapi-exchange` as a program: orders in, events out, modems on pseudo-terminals.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longest wait for anything.
const WAIT: Duration = Duration::from_secs(20);

struct Program {
    child: Child,
    orders: Option<ChildStdin>,
    events: Receiver<serde_json::Value>,
    dir: PathBuf,
}

impl Program {
    fn start(name: &str, options: &[&str]) -> Program {
        let dir = std::env::temp_dir().join(format!("tapi-exchange-{name}-{}", std::process::id()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapi-exchange"));
        command.args(options).arg("--link-dir").arg(&dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let orders = child.stdin.take();
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("each line is JSON");
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let program = Program { child, orders, events, dir };
        program.event("ready");
        program
    }

    fn order(&mut self, line: &str) {
        writeln!(self.orders.as_mut().expect("open"), "{line}").expect("it reads orders");
    }

    /// The next event of this kind; others are passed over.
    fn event(&self, kind: &str) -> serde_json::Value {
        let end = Instant::now() + WAIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).unwrap_or_else(|_| panic!("no event `{kind}`"));
            if event["event"] == kind {
                return event;
            }
        }
    }

    fn open(&self, name: &str) -> File {
        OpenOptions::new().read(true).write(true).open(self.dir.join(name)).expect("the port opens")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.orders = None;
        let end = Instant::now() + Duration::from_secs(5);
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Reads until the text ends so; the modem always answers, so the read ends.
fn until(port: &mut File, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let mut byte = [0];
        port.read_exact(&mut byte).expect("the port is open");
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn ask(port: &mut File, line: &str, end: &str) -> String {
    port.write_all(format!("{line}\r").as_bytes()).expect("the port is open");
    until(port, end)
}

#[test]
fn a_call_of_the_gsm_modem_is_seen_and_heard() {
    let options = ["--cellular", "4930200", "--subscriber", "4930300=tone:1004,answer:200ms"];
    let mut program = Program::start("gsm", &options);
    let mut port = program.open("cellular0");
    let mut audio = program.open("cellular0-audio");
    ask(&mut port, "ATE0", "OK\r\n");
    ask(&mut port, "ATD4930300;", "OK\r\n");
    assert_eq!(program.event("answered")["subscriber"], "4930300");
    let mut heard = Vec::new();
    for _ in 0..100 {
        // A write for each read: the modem's clock is the master.
        let mut frame = [0; 320];
        audio.read_exact(&mut frame).expect("the port is open");
        audio.write_all(&frame).expect("the port is open");
        heard.extend(frame.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
    }
    let reading = tapi_sim::exchange::meter::read(&heard[8_000..]);
    assert_eq!((reading.hz, reading.level_ddbm0), (1_004, -160));
    let looped = std::iter::repeat_with(|| program.event("heard")).take(4).find(|event| event["hz"] == 1_004);
    assert!(looped.is_some(), "the subscriber hears its own tone, which the host sent back");
    program.order("hangup 4930300");
    assert!(until(&mut port, "NO CARRIER\r\n").starts_with("\r\nNO CARRIER"));
    program.order("unplug cellular0");
    program.event("unplugged");
    assert!(!program.dir.join("cellular0").exists());
    program.order("plug cellular0");
    program.event("plugged");
    let mut port = program.open("cellular0");
    assert_eq!(ask(&mut port, "AT", "OK\r\n"), "AT\r\r\nOK\r\n");
}

#[test]
fn the_analogue_modem_rings_and_orders_are_answered() {
    let mut program = Program::start("analogue", &["--analogue", "4930100", "--subscriber", "4930300"]);
    let mut port = program.open("analogue0");
    ask(&mut port, "ATE0+VCID=1", "OK\r\n");
    program.order("call 4930300 4930100");
    program.event("ordered");
    assert_eq!(program.event("rings")["subscriber"], "4930100");
    until(&mut port, "\r\nRING\r\n");
    assert!(until(&mut port, "NMBR = 4930300\r\n").contains("DATE = 1122"));
    ask(&mut port, "AT+FCLASS=8;+VLS=1", "OK\r\n");
    program.event("answered");
    program.order("dance");
    assert!(program.event("error")["reason"].as_str().is_some_and(|reason| reason.contains("hangup")));
    program.order("call 4930300 4930100");
    assert_eq!(program.event("error")["reason"], "`4930300` has a call already");
    program.order("quit");
    let end = Instant::now() + WAIT;
    while program.child.try_wait().expect("it can be waited for").is_none() {
        assert!(Instant::now() < end, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!program.dir.join("analogue0").exists(), "links are taken away");
}

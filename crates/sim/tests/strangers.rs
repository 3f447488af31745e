//! Drivers that none of us wrote use the simulated modems: `ModemManager`, `oFono`, and `vm` of `mgetty-voice`. What they get
//! to work, the simulator does as they understand the standards, not as we do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]
#![allow(clippy::too_many_lines, reason = "a story is told in one piece")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longest wait for anything.
const WAIT: Duration = Duration::from_secs(60);
const PHONE: &str = "4930300";
const MODEM: &str = "4930200";

/// The path of a program, wherever daemons are installed.
fn tool(name: &str, package: &str) -> PathBuf {
    let dirs = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let found = dirs.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is missing: apt-get install {package}"))
}

/// How a process gets mounts of its own: `vm` gives its recordings to a group, which needs the real superuser; anybody
/// else is one in a name space, where it can but dial and listen.
fn alone() -> &'static str {
    use std::os::unix::fs::MetadataExt;
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if root { "-m" } else { "-rm" }
}

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("tapi-strangers-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Process {
    Process(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

/// The simulated exchange, by its orders and events.
struct Exchange {
    _process: Process,
    orders: ChildStdin,
    events: Receiver<serde_json::Value>,
    ready: serde_json::Value,
}

impl Exchange {
    fn start(dir: &Dir, options: &[&str]) -> Exchange {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapi-exchange"));
        command.args(options).arg("--link-dir").arg(&dir.0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = start(&mut command);
        let output = BufReader::new(process.0.stdout.take().unwrap());
        let orders = process.0.stdin.take().unwrap();
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str(&line) else { return };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let mut exchange = Exchange { _process: process, orders, events, ready: serde_json::Value::Null };
        exchange.ready = exchange.event("ready");
        exchange
    }

    fn order(&mut self, line: &str) {
        writeln!(self.orders, "{line}").unwrap();
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
}

/// A message bus of its own.
struct Bus {
    _process: Process,
    address: String,
}

impl Bus {
    fn start(dir: &Dir, kind: &str) -> Bus {
        let daemon = tool("dbus-daemon", "dbus-daemon");
        let (config, socket) = (dir.0.join("bus.conf"), dir.0.join("bus"));
        let text = format!(
            "<busconfig><type>{kind}</type><listen>unix:path={}</listen><policy context=\"default\">\
             <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/>\
             </policy></busconfig>",
            socket.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(daemon);
        command.arg(format!("--config-file={}", config.display())).args(["--nofork", "--print-address"]);
        let mut process = start(command.stdout(Stdio::piped()));
        let mut address = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Bus { _process: process, address: address.trim().to_string() }
    }

    fn call(&self, destination: &str, object: &str, method: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(tool("gdbus", "libglib2.0-bin"));
        command.args(["call", "--address", &self.address, "-t", "60", "-d", destination, "-o", object, "-m", method]);
        command.args(arguments).output().unwrap()
    }
}

/// Asks again until the answer is right.
fn until(what: &str, mut ask: impl FnMut() -> Output, right: impl Fn(&str) -> bool) -> String {
    let end = Instant::now() + WAIT;
    loop {
        let output = ask();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() && right(&text) {
            return text;
        }
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(Instant::now() < end, "{what}: {text} {error}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

const MM: &str = "org.freedesktop.ModemManager1";

#[test]
fn modem_manager_dials_answers_sends_digits_and_hangs_up() {
    let dir = Dir::new("mm");
    let bus = Bus::start(&dir, "session");
    let socket = format!("tapi-strangers-{}", std::process::id());
    // ModemManager's tests name their sockets so: the word is part of the name.
    let name = format!("abstract:{socket}");
    let mut exchange = Exchange::start(
        &dir,
        &[
            "--cellular",
            MODEM,
            "--socket",
            &format!("cellular0=abstract:{name}"),
            "--subscriber",
            &format!("{PHONE}=tone:440,answer:3s"),
        ],
    );
    let mut daemon = Command::new(tool("ModemManager", "modemmanager"));
    daemon.args(["--test-session", "--test-enable", "--no-auto-scan", "--debug"]);
    daemon.env("DBUS_SESSION_BUS_ADDRESS", &bus.address);
    let log = std::fs::File::create(dir.0.join("mm.log")).unwrap();
    daemon.stderr(log.try_clone().unwrap()).stdout(log);
    let _daemon = start(&mut daemon);
    let root = "/org/freedesktop/ModemManager1";
    let modem = format!("{root}/Modem/0");
    let profile = format!("['{name}']");
    until(
        "its test interface",
        || bus.call(MM, root, &format!("{MM}.Test.SetProfile"), &["test", "generic", &profile]),
        |_| true,
    );
    until("enabled", || bus.call(MM, &modem, &format!("{MM}.Modem.Enable"), &["true"]), |_| true);
    let voice = format!("{MM}.Modem.Voice.CreateCall");
    let number = format!("{{'number':<'{PHONE}'>}}");
    until("a call", || bus.call(MM, &modem, &voice, &[&number]), |text| text.contains("/Call/0"));
    let call = |index: u32, method: &str, arguments: &[&str]| {
        let object = format!("{root}/Call/{index}");
        let output = bus.call(MM, &object, &format!("{MM}.Call.{method}"), arguments);
        assert!(output.status.success(), "{method}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let state = |index: u32, wanted: &str| {
        let object = format!("{root}/Call/{index}");
        let arguments = [&format!("{MM}.Call"), "State"];
        let wanted = format!("<{wanted}>");
        until(
            &format!("call {index} in state {wanted}"),
            || bus.call(MM, &object, "org.freedesktop.DBus.Properties.Get", &arguments),
            |text| text.contains(&wanted),
        );
    };
    // It refuses to dial until it has found that it is registered.
    let place = [&format!("{MM}.Modem.Modem3gpp"), "RegistrationState"];
    until(
        "registered",
        || bus.call(MM, &modem, "org.freedesktop.DBus.Properties.Get", &place),
        |text| text.contains("<uint32 1>"),
    );
    call(0, "Start", &[]);
    assert_eq!(exchange.event("answered")["subscriber"], PHONE);
    state(0, "4");
    call(0, "SendDtmf", &["5"]);
    assert_eq!(exchange.event("digit")["digit"], "5");
    call(0, "Hangup", &[]);
    assert_eq!(exchange.event("hung_up")["subscriber"], MODEM);
    exchange.order(&format!("call {PHONE} {MODEM}"));
    state(1, "3");
    call(1, "Accept", &[]);
    assert_eq!(exchange.event("answered")["subscriber"], MODEM);
    state(1, "4");
    call(1, "Hangup", &[]);
    assert_eq!(exchange.event("hung_up")["subscriber"], MODEM);
    state(1, "7");
    // The far end hangs up: a call that rings, one that came in, and one that went out.
    exchange.order(&format!("call {PHONE} {MODEM}"));
    state(2, "3");
    exchange.order(&format!("hangup {PHONE}"));
    state(2, "7");
    exchange.order(&format!("call {PHONE} {MODEM}"));
    state(3, "3");
    call(3, "Accept", &[]);
    assert_eq!(exchange.event("answered")["subscriber"], MODEM);
    state(3, "4");
    exchange.order(&format!("hangup {PHONE}"));
    state(3, "7");
    until("a call", || bus.call(MM, &modem, &voice, &[&number]), |text| text.contains("/Call/4"));
    call(4, "Start", &[]);
    assert_eq!(exchange.event("answered")["subscriber"], PHONE);
    state(4, "4");
    exchange.order(&format!("hangup {PHONE}"));
    state(4, "7");
}

#[test]
fn ofono_dials_is_called_and_hangs_up_over_tcp() {
    let dir = Dir::new("ofono");
    let bus = Bus::start(&dir, "system");
    let mut exchange = Exchange::start(
        &dir,
        &[
            "--cellular",
            MODEM,
            "--socket",
            "cellular0=tcp:127.0.0.1:0",
            "--subscriber",
            &format!("{PHONE}=tone:440,answer:3s"),
        ],
    );
    let socket = exchange.ready["sockets"][0]["socket"].as_str().unwrap().to_string();
    let port = socket.rsplit(':').next().unwrap();
    let config = dir.0.join("phonesim.conf");
    std::fs::write(&config, format!("[phonesim]\nAddress=127.0.0.1\nPort={port}\n")).unwrap();
    // Its driver of TCP modems reads this file alone: it gets its own in a mount namespace of its own.
    let daemon = tool("ofonod", "ofono");
    let script =
        format!("mount --bind {} /etc/ofono/phonesim.conf && exec {} -n -d", config.display(), daemon.display());
    let mut command = Command::new(tool("unshare", "util-linux"));
    command.args([alone(), "sh", "-c", &script]).env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address);
    command.env("OFONO_AT_DEBUG", "1");
    let log = std::fs::File::create(dir.0.join("ofono.log")).unwrap();
    command.stderr(log.try_clone().unwrap()).stdout(log);
    let _daemon = start(&mut command);
    let set = |property: &str| {
        let arguments = [property, "<true>"];
        until(property, || bus.call("org.ofono", "/phonesim", "org.ofono.Modem.SetProperty", &arguments), |_| true);
    };
    set("Powered");
    set("Online");
    let manager = "org.ofono.VoiceCallManager";
    let calls = |wanted: &str| {
        until(
            wanted,
            || bus.call("org.ofono", "/phonesim", &format!("{manager}.GetCalls"), &[]),
            |text| text.contains(wanted),
        )
    };
    until("dials", || bus.call("org.ofono", "/phonesim", &format!("{manager}.Dial"), &[PHONE, "default"]), |_| true);
    assert_eq!(exchange.event("answered")["subscriber"], PHONE);
    calls("'active'");
    let tones = bus.call("org.ofono", "/phonesim", &format!("{manager}.SendTones"), &["5"]);
    assert!(tones.status.success(), "{}", String::from_utf8_lossy(&tones.stderr));
    assert_eq!(exchange.event("digit")["digit"], "5");
    let ended = bus.call("org.ofono", "/phonesim", &format!("{manager}.HangupAll"), &[]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(exchange.event("hung_up")["subscriber"], MODEM);
    exchange.order(&format!("call {PHONE} {MODEM}"));
    let told = calls("'incoming'");
    assert!(told.contains(PHONE), "{told}");
    let path = told.split('\'').find(|word| word.starts_with("/phonesim/voicecall")).unwrap();
    let answered = bus.call("org.ofono", path, "org.ofono.VoiceCall.Answer", &[]);
    assert!(answered.status.success(), "{}", String::from_utf8_lossy(&answered.stderr));
    assert_eq!(exchange.event("answered")["subscriber"], MODEM);
    exchange.order(&format!("hangup {PHONE}"));
    until(
        "no call",
        || bus.call("org.ofono", "/phonesim", &format!("{manager}.GetCalls"), &[]),
        |text| !text.contains("voicecall"),
    );
}

#[test]
fn vm_dials_plays_records_and_hears_digits() {
    let vm = tool("vm", "mgetty-voice");
    let dir = Dir::new("vm");
    let mut exchange = Exchange::start(
        &dir,
        &["--analogue", "usr5637@4930100", "--subscriber", &format!("{PHONE}=tone:440,answer:500ms")],
    );
    let tty = exchange.ready["ports"][0]["tty"].as_str().unwrap().trim_start_matches("/dev/").to_string();
    // Its configuration has a fixed place: it gets its own in a mount namespace of its own, and a directory for its log.
    let config = dir.0.join("mgetty");
    std::fs::create_dir_all(&config).unwrap();
    let text = std::fs::read_to_string("/etc/mgetty/voice.conf").expect("apt-get install mgetty-voice");
    let lines = text.lines().filter(|line| !line.starts_with("port ")).map(|line| match line {
        line if line.starts_with("port_speed ") => "port_speed 115200".to_string(),
        line if line.starts_with("part generic") => format!("{line}\nforceV253subset true"),
        line => line.to_string(),
    });
    std::fs::write(config.join("voice.conf"), lines.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let run = |arguments: &str| {
        let script =
            format!("mount --bind {} /etc/mgetty && exec timeout 40 {} {arguments}", config.display(), vm.display());
        let mut command = Command::new(tool("unshare", "util-linux"));
        command.args([alone(), "sh", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped());
        start(&mut command)
    };
    let finished = |mut process: Process| {
        let mut output = String::new();
        let piped = process.0.stdout.take().unwrap();
        BufReader::new(piped).lines().map_while(Result::ok).for_each(|line| output += &format!("{line}\n"));
        (process.0.wait().unwrap(), output)
    };
    // It dials, and hangs up.
    let (status, output) = finished(run(&format!("dial -l {tty} {PHONE}")));
    assert!(status.success(), "{status}: {output}");
    assert_eq!(exchange.event("called")["to"], PHONE);
    assert_eq!(exchange.event("hung_up")["subscriber"], "4930100");
    // It answers, by seizing the line, and records; the caller's tone is in the recording,
    let recording = dir.0.join("message.rmd");
    exchange.order(&format!("call {PHONE} 4930100"));
    exchange.event("rings");
    let recorder = run(&format!("record -c 1 -l {tty} -t -L 4 {}", recording.display()));
    exchange.event("answered");
    let (status, output) = finished(recorder);
    assert!(status.success(), "{status}: {output}");
    assert_eq!(exchange.event("hung_up")["subscriber"], "4930100");
    let length = std::fs::metadata(&recording).map(|file| file.len()).unwrap_or(0);
    assert!(length > 8_000, "{length} bytes were recorded");
    // It tells the first digit. When it begins to listen is its own matter: the caller presses the key until then.
    exchange.order(&format!("call {PHONE} 4930100"));
    exchange.event("rings");
    let listener = run(&format!("wait -P -t -l {tty} 12"));
    exchange.event("answered");
    for _ in 0..5 {
        std::thread::sleep(Duration::from_secs(1));
        exchange.order(&format!("dtmf {PHONE} 5"));
    }
    let (status, output) = finished(listener);
    assert!(status.success(), "{status}: {output}");
    assert!(output.contains('5'), "the digit was not told: {output}");
    let _ = exchange.event("hung_up");
    // It plays what it recorded to a caller.
    exchange.order(&format!("call {PHONE} 4930100"));
    exchange.event("rings");
    let player = run(&format!("play -l {tty} -t {}", recording.display()));
    exchange.event("answered");
    let end = Instant::now() + WAIT;
    loop {
        let heard = exchange.event("heard");
        if heard["hz"].as_u64().unwrap().abs_diff(440) < 10 {
            break;
        }
        assert!(Instant::now() < end, "what it plays is not heard");
    }
    let (status, output) = finished(player);
    assert!(status.success(), "{status}: {output}");
    assert_eq!(exchange.event("hung_up")["subscriber"], "4930100");
}

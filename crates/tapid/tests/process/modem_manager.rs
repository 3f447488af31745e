//! ModemManager beside the daemon: a stand-in for it, and it itself in its test session.

use crate::bus::Bus;
use crate::daemon::{Daemon, Directory, PATIENCE, Wire};
use crate::modem::{Exchange, line_of, until_in_service};
use crate::restart::Managed;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use zbus::export::futures_core::Stream;
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream, ObjectPath, Variant, connection};

const NAME: &str = "org.freedesktop.ModemManager1";
const UID: &str = "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-2";

/// Its `Modem.State`: registered in a network, and with a data connection.
const REGISTERED: i32 = 8;
const CONNECTED: i32 = 11;

/// How the stand-in behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// It does what it is asked; its modem is in that state.
    Obliging(i32),
    /// It answers nothing.
    Wedged,
}

/// A stand-in for ModemManager that has one modem, and tells what it was asked.
struct StandIn {
    asked: Receiver<(String, bool)>,
    /// Who asked last.
    inhibitor: Arc<Mutex<String>>,
    manner: Arc<Mutex<Manner>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl StandIn {
    fn start(bus: &Bus, manner: Manner) -> StandIn {
        let (sender, asked) = channel();
        let manner = Arc::new(Mutex::new(manner));
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = channel();
        let (address, of) = (bus.address.clone(), Arc::clone(&manner));
        let inhibitor = Arc::new(Mutex::new(String::new()));
        let by = Arc::clone(&inhibitor);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let builder = connection::Builder::address(address.as_str());
                let connection = builder.build().await.unwrap();
                let stream = MessageStream::from(&connection);
                connection.request_name(NAME).await.unwrap();
                ready.send(()).unwrap();
                tokio::select! {
                    () = serve(&connection, stream, (&sender, &by), &of) => {}
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv_timeout(PATIENCE).unwrap();
        StandIn { asked, inhibitor, manner, stop: Some(stop), thread: Some(thread) }
    }

    fn set(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Who asked last, by its name on the bus.
    fn inhibitor(&self) -> String {
        self.inhibitor.lock().unwrap().clone()
    }

    fn is_asked(&self, inhibit: bool) {
        assert_eq!(self.asked.recv_timeout(PATIENCE), Ok((UID.to_owned(), inhibit)));
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let (Some(stop), Some(thread)) = (self.stop.take(), self.thread.take()) {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

async fn serve(
    connection: &Connection,
    mut stream: MessageStream,
    asked: (&Sender<(String, bool)>, &Mutex<String>),
    manner: &Mutex<Manner>,
) {
    while let Some(Ok(message)) = poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await {
        let now = *manner.lock().unwrap();
        if let (Type::MethodCall, Manner::Obliging(state)) = (message.message_type(), now) {
            answer(connection, &message, state, asked).await;
        }
    }
}

async fn answer(
    connection: &Connection,
    message: &Message,
    state: i32,
    (asked, by): (&Sender<(String, bool)>, &Mutex<String>),
) {
    let header = message.header();
    match header.member().map(zbus::names::MemberName::as_str) {
        Some("GetManagedObjects") => {
            let modem = BTreeMap::from([("Device", Variant::from(UID)), ("State", Variant::from(state))]);
            let interfaces = BTreeMap::from([(format!("{NAME}.Modem"), modem)]);
            let path = ObjectPath::try_from("/org/freedesktop/ModemManager1/Modem/0").unwrap();
            connection.reply(&header, &HashMap::from([(path, interfaces)])).await.unwrap();
        }
        Some("InhibitDevice") => {
            let (uid, inhibit): (String, bool) = message.body().deserialize().unwrap();
            *by.lock().unwrap() = header.sender().unwrap().to_string();
            if !header.primary().flags().contains(zbus::message::Flags::NO_REPLY_EXPECTED) {
                connection.reply(&header, &()).await.unwrap();
            }
            drop(asked.send((uid, inhibit)));
        }
        _ => {}
    }
}

/// A configuration with one modem that ModemManager knows by this.
fn config(directory: &Directory, bus: &str, uid: &str) -> PathBuf {
    let config = format!(
        "[daemon]\nsocket = {:?}\n[dbus]\nbus = \"off\"\n[modems]\ndiscover = false\nprofiles = []\nsettle_ms = 20\n\
         modem_manager = {bus:?}\n[[modem]]\nname = \"desk\"\ndevice = {:?}\nprofile = \"v253\"\n\
         physical_device = {uid:?}\n",
        directory.path("api.sock"),
        directory.path("analogue0")
    );
    let file = directory.path("tapid.toml");
    std::fs::write(&file, config).unwrap();
    file
}

/// A bus, an exchange with one modem, and a daemon that is told by what ModemManager knows it.
struct Beside {
    daemon: Daemon,
    exchange: Exchange,
}

impl Beside {
    fn start(directory: Directory, bus: &str, uid: &str) -> Beside {
        let exchange = Exchange::with(&directory, &["--analogue", "4930100"].map(str::to_owned));
        let file = config(&directory, bus, uid);
        Beside { daemon: Daemon::start(directory, &file), exchange }
    }

    fn until_service(&self, state: &str) -> Value {
        let mut wire = Wire::open(&self.daemon.socket());
        let deadline = Instant::now() + PATIENCE;
        for id in 10.. {
            let found = line_of(&mut wire, id, "modem:desk").unwrap();
            if found["status"]["service"] == state {
                return found;
            }
            assert!(Instant::now() < deadline, "not {state}: {found}");
            std::thread::sleep(Duration::from_millis(20));
        }
        unreachable!("the numbers of requests do not end")
    }

    fn until_reason(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.until_service("out");
            if line["status"]["reason"].as_str().is_some_and(|reason| reason.contains(words)) {
                return;
            }
            assert!(Instant::now() < deadline, "no reason with {words:?}: {line}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn modem_manager_keeps_off_a_modem_while_it_is_ours() {
    let directory = Directory::new();
    let bus = Bus::start(&directory);
    let manager = StandIn::start(&bus, Manner::Obliging(REGISTERED));
    let mut beside = Beside::start(directory, &bus.address, UID);
    manager.is_asked(true);
    beside.until_service("in");
    // Started anew, it does not know any more what it was told.
    drop(manager);
    let manager = StandIn::start(&bus, Manner::Obliging(REGISTERED));
    manager.is_asked(true);
    beside.exchange.order("unplug analogue0");
    manager.is_asked(false);
    beside.exchange.order("plug analogue0");
    manager.is_asked(true);
    beside.until_service("in");
}

/// Whether a connection is on the bus.
fn is_on(bus: &Bus, name: &str) -> bool {
    let mut command = Command::new("gdbus");
    command.args(["call", "--address", &bus.address, "-d", "org.freedesktop.DBus", "-o", "/org/freedesktop/DBus"]);
    command.args(["-m", "org.freedesktop.DBus.NameHasOwner", name]);
    let output = command.output().expect("gdbus is missing: apt-get install libglib2.0-bin");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).contains("true")
}

#[test]
fn modem_manager_keeps_off_over_restarts_and_lets_go_of_what_is_then_unplugged() {
    let (directory, place) = (Directory::new(), Directory::new());
    let (bus, socket) = (Bus::start(&place), directory.path("api.sock"));
    let manager = StandIn::start(&bus, Manner::Obliging(REGISTERED));
    let mut exchange = Exchange::with(&directory, &["--analogue", "4930100"].map(str::to_owned));
    let mut managed = {
        let file = config(&directory, &bus.address, UID);
        Managed::start(directory, &file)
    };
    manager.is_asked(true);
    let until_in = || until_in_service(&mut Wire::open(&socket), "modem:desk");
    until_in();
    let held = manager.inhibitor();
    for _ in 0..2 {
        managed.restart();
        until_in();
        // It was not asked again, and who asked is on the bus still.
        assert!(manager.asked.try_recv().is_err());
        assert!(is_on(&bus, &held), "{held} is not on the bus any more");
    }
    exchange.order("unplug analogue0");
    manager.is_asked(false);
    assert_eq!(manager.inhibitor(), held, "who asked for it ended it");
    exchange.order("plug analogue0");
    manager.is_asked(true);
    until_in();
    let held = manager.inhibitor();
    let log = managed.stop();
    assert!(!log.contains("ERROR"), "{log}");
    // With the daemon its connection ends.
    let deadline = Instant::now() + PATIENCE;
    while is_on(&bus, &held) {
        assert!(Instant::now() < deadline, "{held} is on the bus still");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_modem_manager_that_hangs_or_is_not_there_holds_no_line_up() {
    let directory = Directory::new();
    let bus = Bus::start(&directory);
    let manager = StandIn::start(&bus, Manner::Wedged);
    let beside = Beside::start(directory, &bus.address, UID);
    beside.until_service("in");
    assert!(manager.asked.try_recv().is_err());
    drop((manager, beside, bus));
    // Neither is the bus.
    let directory = Directory::new();
    let nowhere = format!("unix:path={}", directory.path("no-bus").display());
    Beside::start(directory, &nowhere, UID).until_service("in");
}

#[test]
fn a_data_connection_is_not_taken_away() {
    let directory = Directory::new();
    let bus = Bus::start(&directory);
    let manager = StandIn::start(&bus, Manner::Obliging(CONNECTED));
    let beside = Beside::start(directory, &bus.address, UID);
    beside.until_reason("data connection");
    assert!(manager.asked.try_recv().is_err());
    manager.set(Manner::Obliging(REGISTERED));
    manager.is_asked(true);
    beside.until_service("in");
}

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn start(bus: &Bus, places: &[&str], package: &str, arguments: &[&str]) -> Process {
        let found = places.iter().find(|place| Path::new(place).exists());
        let program = found.unwrap_or_else(|| panic!("{} is missing: apt-get install {package}", places[0]));
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address).env("DBUS_SESSION_BUS_ADDRESS", &bus.address);
        Process(command.spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Asks ModemManager until it answers so.
fn until_said(bus: &Bus, method: &str, arguments: &[&str], right: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + PATIENCE * 3;
    loop {
        let mut command = Command::new("gdbus");
        command.args([
            "call",
            "--address",
            &bus.address,
            "-d",
            NAME,
            "-o",
            "/org/freedesktop/ModemManager1",
            "-m",
            method,
        ]);
        let output = command.args(arguments).output().expect("gdbus is missing: apt-get install libglib2.0-bin");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() && right(&said) {
            return;
        }
        assert!(Instant::now() < deadline, "{method}: {said}{}", String::from_utf8_lossy(&output.stderr));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_real_modem_manager_lets_go_of_a_modem_while_it_is_ours() {
    assert!(nix::unistd::geteuid().is_root(), "polkit's daemon becomes another user: run it as root");
    let (directory, place) = (Directory::new(), Directory::new());
    let bus = Bus::start(&place);
    let places = ["/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd"];
    let _polkit = Process::start(&bus, &places, "polkitd", &["--no-debug"]);
    let arguments = ["--test-session", "--test-enable", "--no-auto-scan"];
    let _manager = Process::start(&bus, &["/usr/sbin/ModemManager"], "modemmanager", &arguments);
    // Its modem is another one than ours: it knows both as the same device.
    let other = Directory::new();
    let socket = format!("abstract:tapid-{}", std::process::id());
    let words = ["--cellular", "4930200", "--socket", &format!("cellular0=abstract:{socket}")].map(str::to_owned);
    let _exchange = Exchange::with(&other, &words);
    until_said(&bus, &format!("{NAME}.Test.SetProfile"), &["test", "generic", &format!("['{socket}']")], |_| true);
    let objects = "org.freedesktop.DBus.ObjectManager.GetManagedObjects";
    let has_modem = |said: &str| said.contains("ModemManager1/Modem/");
    until_said(&bus, objects, &[], has_modem);
    let mut beside = Beside::start(directory, &bus.address, "/virtual/test");
    beside.until_service("in");
    until_said(&bus, objects, &[], |said| !has_modem(said));
    beside.exchange.order("unplug analogue0");
    until_said(&bus, objects, &[], has_modem);
    beside.exchange.order("plug analogue0");
    until_said(&bus, objects, &[], |said| !has_modem(said));
    // Whatever becomes of the daemon, ModemManager has its modem back.
    drop(beside);
    until_said(&bus, objects, &[], has_modem);
}

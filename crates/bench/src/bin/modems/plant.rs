//! The daemon with simulated modems at an exchange of this process, and calls that join each to a SIP telephone.

use crate::phone::Phone;
use crate::tap::{Marks, Tapped};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tapi::client::blocking::Client;
use tapi::request::{CallBridge, CallDrop, CallMake, ClientOpen, LineList, LineOpen};
use tapi::{AddressId, CallId, CallState, EventBody, LineSelector, Names};
use tapi_sim::exchange::{Config, Exchange};
use tapi_sim::pty::Bench;

const SIP: &str = "sip:bench";

/// How many were started.
static PLANTS: AtomicU32 = AtomicU32::new(0);

/// What goes wrong is told and ends the run.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// All of it.
pub struct Plant {
    daemon: Child,
    directory: PathBuf,
    ended: Arc<AtomicBool>,
    client: Client,
    states: BTreeMap<CallId, CallState>,
    /// The telephone.
    pub phone: Phone,
    /// Marks at the first modem.
    pub marks: Arc<Mutex<Marks>>,
}

impl Plant {
    /// Starts everything, and waits until so many modems are in service.
    pub fn start(program: &Path, modems: usize) -> Outcome<Plant> {
        // The exchange before may still be taking its links away.
        let number = PLANTS.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("tapi-bench-modems-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let (ended, marks) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Marks::default())));
        exchange(&directory, modems, &ended, &marks)?;
        let socket = directory.join("api.sock");
        drop(std::fs::remove_file(&socket));
        let config = directory.join("tapid.toml");
        std::fs::write(&config, configuration(&directory, modems)?)?;
        let mut daemon = Command::new(program)
            .arg("--config")
            .arg(&config)
            .env("TAPID_LOG", "error")
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let client = match connect(&socket, modems) {
            Ok(client) => client,
            Err(error) => {
                drop(daemon.kill());
                drop(daemon.wait());
                return Err(error);
            }
        };
        Ok(Plant { daemon, directory, ended, client, states: BTreeMap::new(), phone: Phone::start()?, marks })
    }

    /// CPU time of the daemon so far, in steps of 10 ms.
    pub fn cpu(&self) -> Outcome<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.daemon.id()))?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap_or(0)).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Joins a call of each of so many modems to one over SIP: all calls.
    pub fn bridged(&mut self, modems: usize) -> Outcome<Vec<CallId>> {
        let mut calls = Vec::new();
        for modem in 0..modems {
            calls.push(self.place(&format!("modem:{modem}"), &subscriber(modem))?);
            calls.push(self.place(SIP, &format!("sip:bench@127.0.0.1:{}", self.phone.port))?);
        }
        for call in &calls {
            self.until(*call, |state| matches!(state, CallState::Connected(_)))?;
        }
        for pair in calls.chunks_exact(2) {
            self.client.call(CallBridge { call: pair[0], with: pair[1] })?;
        }
        Ok(calls)
    }

    /// Ends calls, and waits until they are over.
    pub fn drop_calls(&mut self, calls: &[CallId]) -> Outcome<()> {
        for call in calls {
            self.client.call(CallDrop { call: *call, reason: None })?;
        }
        for call in calls {
            self.until(*call, |state| *state == CallState::Idle)?;
        }
        Ok(())
    }

    fn place(&mut self, line: &str, to: &str) -> Outcome<CallId> {
        let request = CallMake {
            line: LineSelector::Name(line.into()),
            to: to.into(),
            address: AddressId::default(),
            block_id: false,
            comment: None,
            bearer: None,
        };
        Ok(self.client.call(request)?.call)
    }

    fn until(&mut self, call: CallId, done: impl Fn(&CallState) -> bool) -> Outcome<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.states.get(&call).is_some_and(&done) {
            if Instant::now() > deadline {
                return Err(format!("call {call:?} is {:?}", self.states.get(&call)).into());
            }
            self.listen(Duration::from_millis(200))?;
        }
        Ok(())
    }

    /// Takes an event, if one comes.
    fn listen(&mut self, limit: Duration) -> Outcome<()> {
        if let Some(delivered) = self.client.next_event(Some(limit))?
            && let EventBody::CallState { call, state, .. } = delivered.event.body
        {
            self.states.insert(call, state);
        }
        Ok(())
    }

    /// Time goes on, and events are read.
    pub fn rest(&mut self, time: Duration) -> Outcome<()> {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            self.listen(deadline.saturating_duration_since(Instant::now()))?;
        }
        Ok(())
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(self.daemon.kill());
        drop(self.daemon.wait());
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

fn subscriber(modem: usize) -> String {
    format!("4980{modem:03}")
}

/// An exchange in a thread of its own: its CPU is not the daemon's.
fn exchange(directory: &Path, modems: usize, ended: &Arc<AtomicBool>, marks: &Arc<Mutex<Marks>>) -> Outcome<()> {
    let (directory, ended, marks) = (directory.to_path_buf(), Arc::clone(ended), Arc::clone(marks));
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut exchange = Exchange::new(Config::default());
        let attached: Vec<_> = (0..modems)
            .map(|at| {
                let marks = if at == 0 { Arc::clone(&marks) } else { Arc::default() };
                exchange.subscribe(&subscriber(at), "tone:1000,answer:200ms".parse().unwrap_or_default());
                (exchange.attach(&format!("modem{at}"), &format!("4970{at:03}"), Box::new(Tapped::new(marks))), 1)
            })
            .collect();
        let mut bench = match Bench::new(exchange, &attached, &directory) {
            Ok(bench) => bench,
            Err(error) => return drop(ready.send(Err(error))),
        };
        drop(ready.send(Ok(())));
        while !ended.load(Ordering::Relaxed) && bench.step(None, Duration::from_millis(100)).is_ok() {}
    });
    Ok(is_ready.recv()??)
}

fn configuration(directory: &Path, modems: usize) -> Outcome<String> {
    let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut text = format!(
        "[daemon]\nsocket = {:?}\nidle_grace_s = 1\n[rtp]\naddress = \"127.0.0.1\"\nports = \"26000-{}\"\n\
         [[sip]]\nname = \"bench\"\nlisten = \"127.0.0.1:{port}\"\n[[sip.lines]]\nname = \"{SIP}\"\nuser = \"100\"\n\
         domain = \"127.0.0.1\"\npeers = [\"127.0.0.1\"]\nmax_calls = 1000\n",
        directory.join("api.sock"),
        26_001 + modems * 4,
    );
    for at in 0..modems {
        let device = directory.join(format!("modem{at}"));
        write!(
            text,
            "[[modem]]\nname = \"{at}\"\nline_name = \"modem:{at}\"\nprofile = \"v253\"\ndevice = {device:?}\n"
        )?;
    }
    Ok(text)
}

fn connect(socket: &Path, modems: usize) -> Outcome<Client> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !socket.exists() {
        if Instant::now() > deadline {
            return Err("the daemon did not come up".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut client = Client::connect(socket)?;
    client.call(ClientOpen { app: "bench".into(), ..ClientOpen::default() })?;
    for line in client.call(LineList {})?.lines {
        client.call(LineOpen {
            line: LineSelector::Id(line.line),
            privileges: Names::new(),
            media_modes: Names::new(),
        })?;
    }
    while client.call(LineList {})?.lines.iter().filter(|line| line.status.service.is_in()).count() <= modems {
        if Instant::now() > deadline {
            return Err("not every modem came into service".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(client)
}

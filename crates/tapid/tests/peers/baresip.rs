//! baresip without a sound card: its microphone is a file, what it hears and says is written to files, its keys come
//! over UDP.

use crate::daemon::free_port;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running baresip.
pub struct Baresip {
    child: Child,
    directory: PathBuf,
    control: TcpStream,
    keys: u16,
    pub sip: u16,
}

impl Baresip {
    /// Starts one as user `100`, whose microphone is `wav`; it answers by itself.
    pub fn start(parent: &Path, wav: &Path) -> Baresip {
        Baresip::start_with(parent, wav, "", "")
    }

    /// The same with further lines of its configuration, and parameters of its account's URI.
    pub fn start_with(parent: &Path, wav: &Path, further: &str, uri: &str) -> Baresip {
        Baresip::start_as(parent, wav, further, &format!("<sip:100@127.0.0.1{uri}>;regint=0;answermode=auto"))
    }

    /// The same with an account of its own.
    pub fn start_as(parent: &Path, wav: &Path, further: &str, account: &str) -> Baresip {
        let directory = parent.join("baresip");
        std::fs::create_dir_all(directory.join("dump")).unwrap();
        let (sip, control, keys) = (free_port(), free_port(), free_port());
        let config = format!(
            "sip_listen 127.0.0.1:{sip}\naudio_player aubridge,nil\naudio_alert aubridge,nil\naudio_source aufile,{}\n\
             module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule uuid.so\nmodule aufile.so\nmodule aubridge.so\n\
             module sndfile.so\nmodule_app account.so\nmodule_app ctrl_tcp.so\nmodule_app menu.so\nmodule cons.so\n\
             cons_listen 127.0.0.1:{keys}\nctrl_tcp_listen 127.0.0.1:{control}\nsnd_path {}\n{further}",
            wav.display(),
            directory.join("dump").display()
        );
        std::fs::write(directory.join("config"), config).unwrap();
        std::fs::write(directory.join("accounts"), format!("{account}\n")).unwrap();
        let log = std::fs::File::create(directory.join("log")).unwrap();
        let child = Command::new("baresip")
            .arg("-f")
            .arg(&directory)
            .arg("-v")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("baresip: {error}: run 'apt-get install baresip-core'"));
        let deadline = Instant::now() + Duration::from_secs(15);
        let control = loop {
            match TcpStream::connect(("127.0.0.1", control)) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "baresip does not come up: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        control.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Baresip { child, directory, control, keys, sip }
    }

    /// Gives a command.
    pub fn command(&mut self, command: &str, parameters: &str) {
        let json = format!("{{\"command\":\"{command}\",\"params\":\"{parameters}\",\"token\":\"t\"}}");
        write!(self.control, "{}:{json},", json.len()).unwrap();
        // Its events are not read for their content; but an unread socket would stall it.
        let mut unread = [0; 65536];
        drop(self.control.read(&mut unread));
    }

    /// Presses a key.
    pub fn key(&self, key: char) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(key.to_string().as_bytes(), ("127.0.0.1", self.keys)).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(120));
        // The key is released: until then its event goes on.
        socket.send_to(b"\x04", ("127.0.0.1", self.keys)).unwrap();
    }

    pub fn log(&self) -> String {
        let log = std::fs::read(self.directory.join("log")).unwrap_or_default();
        // Its progress display, several times a second, says nothing.
        let telling = |part: &&str| !part.trim().is_empty() && !part.contains("(bit/s)");
        String::from_utf8_lossy(&log).split(['\n', '\r']).filter(telling).collect::<Vec<_>>().join("\n")
    }

    /// What it heard during each of its calls, once they are over.
    pub fn heard(&self) -> Vec<Vec<i16>> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.directory.join("dump"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .collect();
        files.sort();
        assert!(!files.is_empty(), "baresip heard nothing: {}", self.log());
        files.iter().map(|file| crate::sound::read(file)).collect()
    }

    /// Ends it, so that its files are complete.
    pub fn stop(&mut self) {
        self.command("quit", "");
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.child.try_wait().unwrap().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("baresip: {}", self.log());
        }
    }
}

//! A bus of one's own, and a client on it.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use zbus::connection::Builder;
use zbus::{Connection, Structure};

/// A running bus.
pub struct Bus {
    child: Child,
    /// Where it is.
    pub address: String,
}

impl Bus {
    /// Starts one.
    pub fn start(directory: &Path) -> io::Result<Bus> {
        std::fs::create_dir_all(directory)?;
        let config = directory.join("bus.conf");
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
             <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            directory.join("bus").display()
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new("dbus-daemon");
        command.arg("--config-file").arg(&config).args(["--nofork", "--print-address=1"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("dbus-daemon: {error} (apt-get install dbus-daemon)"))
        })?;
        let mut address = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut address)?;
        }
        Ok(Bus { child, address: address.trim().to_string() })
    }

    /// Round trips of `Server.ListLines`, each with its time.
    pub fn round_trips(&self, count: usize) -> zbus::Result<Vec<Duration>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(zbus::Error::from)?;
        runtime.block_on(async {
            let connection = Builder::address(self.address.as_str()).build().await?;
            let deadline = Instant::now() + Duration::from_secs(10);
            while let Err(error) = list_lines(&connection).await {
                if Instant::now() > deadline {
                    return Err(error);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let mut times = Vec::with_capacity(count);
            for _ in 0..count {
                let began = Instant::now();
                list_lines(&connection).await?;
                times.push(began.elapsed());
            }
            Ok(times)
        })
    }
}

/// Asks, and reads the answer; tells how many values it has.
async fn list_lines(connection: &Connection) -> zbus::Result<usize> {
    let (name, path) = ("org.tapid.Telephony1", "/org/tapid/Telephony1");
    let interface = Some("org.tapid.Telephony1.Server");
    let reply = connection.call_method(Some(name), path, interface, "ListLines", &()).await?;
    let body = reply.body();
    let lines: Structure<'_> = body.deserialize()?;
    Ok(lines.fields().len())
}

impl Drop for Bus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

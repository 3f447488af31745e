//! Connections between agents: ordered, cut into portions anywhere, refused where nobody listens.

use super::*;

pub enum Streamed {
    Connected { agent: usize, port: PortId, local: SocketAddr },
    Accepted { agent: usize, listener: PortId, port: PortId, from: SocketAddr },
    Bytes { agent: usize, port: PortId, bytes: Vec<u8> },
    Closed { agent: usize, port: PortId },
}

#[derive(Default)]
pub struct Streams {
    pub under_way: BTreeMap<(Time, u64), Streamed>,
    /// The other end of each.
    pub ends: BTreeMap<(usize, PortId), (usize, PortId)>,
    /// When the last thing for an end arrives: nothing overtakes.
    last: BTreeMap<(usize, PortId), Time>,
    /// Addresses at which connecting comes to nothing, without an answer.
    pub black_holes: Vec<SocketAddr>,
    next: u64,
    accepted: u32,
    /// What was asked for: address and name.
    pub connects: Vec<(SocketAddr, Security)>,
    /// Addresses whose connections the test plays by itself.
    pub scripted: Vec<SocketAddr>,
    /// What was written, whole.
    pub written: Vec<(PortId, Vec<u8>)>,
}

const DELAY: Duration = Duration::from_millis(5);

impl Streams {
    fn put(&mut self, now: Time, end: (usize, PortId), what: Streamed) {
        let at = self.last.get(&end).copied().unwrap_or(now).max(now + DELAY);
        self.last.insert(end, at);
        self.next += 1;
        self.under_way.insert((at, self.next), what);
    }
}

impl Net {
    pub(super) fn connect(&mut self, agent: usize, port: PortId, to: SocketAddr, security: Security) {
        let secured = matches!(security, Security::Tls { .. });
        self.streams.connects.push((to, security));
        if self.streams.black_holes.contains(&to) {
            return;
        }
        if self.streams.scripted.contains(&to) {
            let local = self.agents[agent].address;
            return self.streams.put(self.now, (agent, port), Streamed::Connected { agent, port, local });
        }
        let listens = |other: &Agent| {
            let transports = &other.transports;
            if secured { transports.tls == Some(to) } else { transports.tcp == Some(to) }
        };
        let Some(other) = self.agents.iter().position(listens) else {
            return self.streams.put(self.now, (agent, port), Streamed::Closed { agent, port });
        };
        self.streams.accepted += 1;
        let there = PortId(PortId::ACCEPTED.0 + self.streams.accepted);
        let from = SocketAddr::new(self.agents[agent].address.ip(), 40_000 + self.streams.accepted as u16);
        self.streams.ends.insert((agent, port), (other, there));
        self.streams.ends.insert((other, there), (agent, port));
        let listener = if secured { tsp_sip::TLS_PORT } else { tsp_sip::TCP_PORT };
        self.streams.put(self.now, (agent, port), Streamed::Connected { agent, port, local: from });
        self.streams.put(self.now, (other, there), Streamed::Accepted { agent: other, listener, port: there, from });
    }

    pub(super) fn write(&mut self, agent: usize, port: PortId, bytes: Vec<u8>) {
        let line = String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned();
        self.streamed.push((self.now, agent, line));
        self.streams.written.push((port, bytes.clone()));
        let Some(end) = self.streams.ends.get(&(agent, port)).copied() else { return };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let size = (1 + self.random.below(self.portion)) as usize;
            let (now, later) = rest.split_at(size.min(rest.len()));
            self.streams.put(self.now, end, Streamed::Bytes { agent: end.0, port: end.1, bytes: now.to_vec() });
            rest = later;
        }
    }

    /// Closes one end: the other hears of it.
    pub fn close(&mut self, agent: usize, port: PortId) {
        if let Some(end) = self.streams.ends.remove(&(agent, port)) {
            self.streams.ends.remove(&end);
            self.streams.put(self.now, end, Streamed::Closed { agent: end.0, port: end.1 });
        }
    }

    /// Everything that an agent holds is gone, as after a restart: it is told so, and so are the others.
    pub fn cut_all(&mut self, agent: usize) {
        let ports: Vec<PortId> = self.streams.ends.keys().filter(|end| end.0 == agent).map(|end| end.1).collect();
        for port in ports {
            self.close(agent, port);
            self.feed(agent, Input::Closed { port, reason: "lost in a restart" });
        }
    }

    pub(super) fn deliver(&mut self, what: Streamed) {
        match what {
            Streamed::Connected { agent, port, local } => self.feed(agent, Input::Connected { port, local }),
            Streamed::Accepted { agent, listener, port, from } => {
                let local = self.agents[agent].address;
                self.feed(agent, Input::Accepted { listener, port, local, from, names: &[] });
            }
            Streamed::Bytes { agent, port, bytes } => self.feed(agent, Input::Bytes { port, bytes: &bytes }),
            Streamed::Closed { agent, port } => self.feed(agent, Input::Closed { port, reason: "refused" }),
        }
    }

    /// First lines that an agent wrote to connections, those that begin so.
    pub fn wrote(&self, agent: usize, begin: &str) -> usize {
        self.streamed.iter().filter(|(_, who, line)| *who == agent && line.starts_with(begin)).count()
    }

    /// Answers what the agents ask of names, from a table.
    pub fn answer_names(&mut self, agent: usize, answer: impl Fn(&Query) -> Result<Records, LookupError>) {
        for _ in 0..20 {
            let asked = std::mem::take(&mut self.agents[agent].asked);
            if asked.is_empty() {
                return;
            }
            for query in asked {
                let result = answer(&query);
                self.feed(agent, Input::Found { query: &query, result: &result });
            }
        }
        panic!("it asks without end");
    }
}

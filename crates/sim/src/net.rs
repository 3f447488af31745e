//! A network of datagrams in virtual time: delay, loss, reordering and duplication by seed.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;
use tapi::Time;
use tspi::Random;

/// How the network treats a datagram. Chances are in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// What every datagram takes.
    pub delay: Duration,
    /// What some of them take longer, evenly spread: more than the distance between two of them reorders them.
    pub jitter: Duration,
    /// Chance of being lost.
    pub loss: u64,
    /// Chance of arriving twice.
    pub duplicate: u64,
    /// Chance of being overtaken: four times the delay and the jitter on top.
    pub reorder: u64,
}

impl Conditions {
    /// A local network: 1 ms, and everything arrives in order.
    pub const LAN: Conditions =
        Conditions { delay: Duration::from_millis(1), jitter: Duration::ZERO, loss: 0, duplicate: 0, reorder: 0 };

    /// A bad access network: 40 ms ± 10 ms, one in ten lost, some twice, some late.
    pub const BAD: Conditions = Conditions {
        delay: Duration::from_millis(30),
        jitter: Duration::from_millis(20),
        loss: 10,
        duplicate: 2,
        reorder: 2,
    };

    /// These conditions with this chance of loss, in percent.
    pub const fn with_loss(self, loss: u64) -> Conditions {
        Conditions { loss, ..self }
    }
}

/// A datagram under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What happened to the datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Given to the network.
    pub sent: u64,
    /// Lost by chance, or cut off.
    pub lost: u64,
    /// Sent on twice.
    pub duplicated: u64,
    /// Handed out.
    pub delivered: u64,
}

/// The network.
#[derive(Clone, Debug)]
pub struct Net {
    random: Random,
    conditions: Conditions,
    cut: BTreeSet<SocketAddr>,
    /// By time of arrival, then by order of sending.
    under_way: BTreeMap<(Time, u64), Datagram>,
    next: u64,
    counters: Counters,
}

impl Net {
    /// A network under these conditions. The same seed treats the same traffic in the same way.
    pub fn new(seed: u64, conditions: Conditions) -> Net {
        let random = Random::from_number(seed);
        let counters = Counters::default();
        Net { random, conditions, cut: BTreeSet::new(), under_way: BTreeMap::new(), next: 0, counters }
    }

    /// Other conditions from now on.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Cuts an address off: nothing from it or to it arrives until [`Net::mend`].
    pub fn cut(&mut self, address: SocketAddr) {
        self.cut.insert(address);
    }

    /// Takes a cut back.
    pub fn mend(&mut self, address: SocketAddr) {
        self.cut.remove(&address);
    }

    /// Takes a datagram.
    pub fn send(&mut self, now: Time, datagram: Datagram) {
        self.counters.sent += 1;
        // Always the same number of draws for a datagram, so that one condition does not shift the chances of another.
        let (lost, twice, late) = (self.chance(), self.chance(), self.chance());
        let first = self.arrival(now, late < self.conditions.reorder);
        let second = self.arrival(now, false);
        if lost < self.conditions.loss || self.cut.contains(&datagram.from) || self.cut.contains(&datagram.to) {
            self.counters.lost += 1;
            return;
        }
        if twice < self.conditions.duplicate {
            self.counters.duplicated += 1;
            self.put(second, datagram.clone());
        }
        self.put(first, datagram);
    }

    fn chance(&mut self) -> u64 {
        self.random.below(100)
    }

    fn arrival(&mut self, now: Time, late: bool) -> Time {
        let Conditions { delay, jitter, .. } = self.conditions;
        let micros = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX);
        let spread = Duration::from_micros(self.random.below(micros.saturating_add(1)));
        now + delay + spread + if late { (delay + jitter) * 4 } else { Duration::ZERO }
    }

    fn put(&mut self, arrival: Time, datagram: Datagram) {
        self.under_way.insert((arrival, self.next), datagram);
        self.next += 1;
    }

    /// When the next datagram arrives.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.under_way.keys().next().map(|(time, _)| *time)
    }

    /// The next datagram that has arrived.
    pub fn receive(&mut self, now: Time) -> Option<Datagram> {
        let entry = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        let datagram = entry.remove();
        if self.cut.contains(&datagram.to) {
            self.counters.lost += 1;
            return self.receive(now);
        }
        self.counters.delivered += 1;
        Some(datagram)
    }

    /// What happened up to now.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether nothing is under way.
    pub fn is_quiet(&self) -> bool {
        self.under_way.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn run(seed: u64, conditions: Conditions) -> (Vec<(Time, u8)>, Counters) {
        let mut net = Net::new(seed, conditions);
        for number in 0..200u8 {
            let datagram = Datagram { from: address(1), to: address(2), bytes: vec![number] };
            net.send(Time::from_millis(u64::from(number) * 20), datagram);
        }
        let mut arrived = Vec::new();
        while let Some(time) = net.poll_timeout() {
            arrived.extend(net.receive(time).map(|datagram| (time, datagram.bytes[0])));
        }
        (arrived, net.counters())
    }

    #[test]
    fn a_good_network_delivers_everything_in_order_and_on_time() {
        let (arrived, _) = run(1, Conditions::LAN);
        let sent: Vec<(Time, u8)> =
            (0..200u8).map(|number| (Time::from_millis(u64::from(number) * 20 + 1), number)).collect();
        assert_eq!(arrived, sent);
    }

    #[test]
    fn a_bad_network_loses_repeats_and_reorders_the_same_way_for_the_same_seed() {
        let (arrived, counters) = run(7, Conditions::BAD);
        assert_eq!((arrived.clone(), counters), run(7, Conditions::BAD));
        assert_ne!(arrived, run(8, Conditions::BAD).0);
        assert!((10..=30).contains(&counters.lost), "{counters:?}");
        assert!(counters.duplicated > 0, "{counters:?}");
        assert!(arrived.windows(2).any(|pair| pair[1].1 < pair[0].1), "none was overtaken");
    }

    #[test]
    fn nothing_reaches_an_address_that_is_cut_off_until_it_is_mended() {
        let mut net = Net::new(1, Conditions::LAN);
        let datagram = |number| Datagram { from: address(1), to: address(2), bytes: vec![number] };
        net.send(Time::ZERO, datagram(1));
        net.cut(address(2));
        net.send(Time::ZERO, datagram(2));
        assert_eq!(net.receive(Time::from_millis(5)), None);
        net.mend(address(2));
        net.send(Time::from_millis(5), datagram(3));
        assert_eq!(net.receive(Time::from_millis(6)), Some(datagram(3)));
        assert_eq!(net.counters().lost, 2);
    }
}

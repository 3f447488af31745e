//! Operations from a seed.

use super::{LINES, NUMBERS, Op};
use tspi::Random;

/// Makes so many operations from a seed.
pub fn generate(seed: u64, count: usize) -> Vec<Op> {
    let mut random = Random::from_number(seed);
    let mut ops = Vec::with_capacity(count * 2);
    while ops.len() < count {
        ops.push(one(&mut random));
        match random.below(8) {
            0..=1 => (),
            2..=4 => ops.push(Op::Wait { tenths: 0 }),
            5..=6 => ops.push(Op::Wait { tenths: pick(&mut random) % 8 }),
            _ => ops.push(Op::Wait { tenths: pick(&mut random) % 60 }),
        }
    }
    ops
}

fn pick(random: &mut Random) -> u8 {
    (random.next_u32() & 0xff) as u8
}

fn one(random: &mut Random) -> Op {
    let (app, call) = (pick(random) % 3, pick(random) % 4);
    let line = pick(random) % LINES.len() as u8;
    match random.below(140) {
        0..=1 => Op::Open { app },
        2..=4 => Op::Resume { app },
        5 => Op::Close { app },
        6..=7 => Op::Die { app },
        8 => Op::Overrun { app },
        9..=11 => Op::OpenLine { app, line, privilege: pick(random) % 4 },
        12 => Op::CloseLine { app, line },
        13..=28 => Op::Make { app, line, to: pick(random) % NUMBERS.len() as u8 },
        29..=31 => Op::Accept { app, call },
        32..=44 => Op::Answer { app, call },
        45..=54 => Op::Drop { app, call, reason: pick(random) % 3 },
        55..=57 => Op::Deallocate { app, call },
        58..=60 => Op::Hold { app, call },
        61..=63 => Op::Unhold { app, call },
        64..=66 => Op::Digits { app, call },
        67..=68 => Op::Tone { app, call },
        69..=71 => Op::Play { app, call },
        72..=74 => Op::Record { app, call },
        75 => Op::Stop { app, call, operation: pick(random) },
        76..=77 => Op::Monitor { app, call, on: pick(random) % 2 },
        78..=80 => Op::Bridge { app, call, with: pick(random) % 4 },
        81 => Op::Part { app, call },
        82..=83 => Op::Privilege { app, call, owner: pick(random) % 2 },
        84 => Op::List { app },
        85..=86 => Op::Snapshot { app },
        other @ 0..=99 => far(random, other, call),
        other => control(random, other, (app, line, call)),
    }
}

/// Calls that are moved.
fn control(random: &mut Random, which: u64, (app, line, call): (u8, u8, u8)) -> Op {
    let (to, with, how) = (pick(random) % NUMBERS.len() as u8, pick(random) % 4, pick(random) % 8);
    match which {
        100..=102 => Op::Early { app, call },
        103..=107 => Op::Blind { app, call, to, how },
        108..=112 => Op::Consult { app, call, to },
        113..=117 => Op::Complete { app, call, with, how },
        118..=119 => Op::Redirect { app, call, to },
        120..=121 => Op::Swap { app, call, with },
        122..=124 => Op::Decide { app, call, accept: how % 2 },
        125 => Op::Handoff { app, call, to: with % 3 },
        126..=127 => Op::Device { app, line, what: how },
        128..=130 => Op::Confer { app, call, to },
        131..=132 => Op::Prepare { app, call, to },
        133..=134 => Op::AddTo { app, call, with },
        135 => Op::RemoveFrom { app, call },
        136..=137 => Op::PeerRefers { call },
        _ => Op::PeerOnRefer { policy: how },
    }
}

/// What others than applications do.
fn far(random: &mut Random, which: u64, call: u8) -> Op {
    let modem = pick(random) % 2;
    match which {
        87..=89 => Op::PeerCalls,
        90 => Op::PeerHangsUp { call },
        91 => Op::PeerHolds { call, hold: pick(random) % 2 },
        92 => Op::PeerPolicy { policy: pick(random) % 3 },
        93..=94 => Op::SubscriberCalls { modem },
        95 => Op::SubscriberHangsUp { subscriber: pick(random) % 3 },
        96 => Op::SubscriberPresses { subscriber: pick(random) % 3 },
        97 => {
            if random.below(2) == 0 {
                Op::Unplug { modem }
            } else {
                Op::Plug { modem }
            }
        }
        98 => Op::Kill,
        _ => Op::Restart,
    }
}

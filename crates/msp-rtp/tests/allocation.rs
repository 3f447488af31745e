//! Packets and ticks take no memory once a stream runs.

#![allow(unsafe_code, clippy::unwrap_used, reason = "an allocator cannot be counted otherwise")]

mod common;

use common::{Far, Node, address, remote};
use msp_rtp::Msp;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use tspi::media::{Codec, Input, MediaProvider, StreamId};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations while two joined streams get a second of packets and ticks.
fn allocations(one: &Codec, other: &Codec) -> u64 {
    let mut node = Node::new(1);
    node.open(1, remote(11, one));
    node.open(2, remote(12, other));
    node.join(1, 2);
    let mut far = Far::new(one);
    let packets: Vec<Vec<u8>> = (0..150).map(|_| far.packet(&[0x55; 160])).collect();
    let mut now = node.now;
    let run = |msp: &mut Msp, now: &mut tapi::Time, packets: &[Vec<u8>]| {
        for bytes in packets {
            msp.handle(*now, Input::Packet { stream: StreamId(1), from: address(11), bytes });
            *now += std::time::Duration::from_millis(20);
            msp.handle(*now, Input::Timeout);
            while msp.poll_output().is_some() {}
        }
    };
    run(&mut node.msp, &mut now, &packets[..100]);
    let before = ALLOCATIONS.with(Cell::get);
    run(&mut node.msp, &mut now, &packets[100..]);
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn a_relayed_packet_allocates_nothing() {
    assert_eq!(allocations(&Codec::Pcma, &Codec::Pcma), 0);
}

#[test]
fn a_transcoded_tick_allocates_nothing() {
    assert_eq!(allocations(&Codec::Pcmu, &Codec::Pcma), 0);
}

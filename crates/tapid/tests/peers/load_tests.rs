//! Many calls at once.

use crate::app::App;
use crate::daemon::{Daemon, Directory, free_port};
use crate::sipp::Sipp;
use std::collections::BTreeSet;
use tapi::request::{CallAnswer, CallDeallocate, CallDrop, CallList, LineList};
use tapi::{CallState, EventBody};

const CALLS: usize = 200;

/// Answers all of them; returns how many were connected at one time.
fn answer_all(app: &mut App) -> usize {
    let (mut up, mut most, mut over) = (BTreeSet::new(), 0, 0);
    while over < CALLS {
        let (call, state) = app.wait("state", |body| match body {
            EventBody::CallState { call, state, .. } => Some((*call, state.clone())),
            _ => None,
        });
        match state {
            CallState::Offering(_) => drop(app.ask(CallAnswer { call })),
            CallState::Connected(_) => {
                up.insert(call);
                most = most.max(up.len());
            }
            CallState::Disconnected(_) => {
                up.remove(&call);
                app.ask(CallDrop { call, reason: None });
            }
            CallState::Idle => {
                app.ask(CallDeallocate { call });
                over += 1;
            }
            _ => {}
        }
    }
    most
}

#[test]
fn two_hundred_calls_at_once_are_answered_and_cleared_and_leave_nothing() {
    let directory = Directory::new();
    let at = directory.path().to_path_buf();
    let sip = free_port();
    let line =
        "name = \"sip:trunk\"\nuser = \"100\"\ndomain = \"127.0.0.1\"\npeers = [\"127.0.0.1\"]\nmax_calls = 200\n";
    let sections = format!("[[sip]]\nname = \"trunk\"\nlisten = \"127.0.0.1:{sip}\"\n\n[[sip.lines]]\n{line}");
    // As many ports as two hundred calls need, and no more: the second wave can only have those of the first.
    let daemon = Daemon::start_ports(directory, sip, (22_000, 22_399), &sections);
    let mut app = App::new(&daemon.socket());
    for _ in 0..2 {
        let arguments = ["-m", "200", "-l", "200", "-r", "50", "-d", "8000"];
        let sipp = Sipp::caller(&at, "caller", sip, &arguments);
        assert_eq!(answer_all(&mut app), CALLS, "all were up at the same time");
        sipp.finish();
        let line = app.ask(LineList {}).lines.remove(0);
        assert_eq!((line.status.active_calls, line.status.held_calls), (0, 0));
        assert!(app.ask(CallList { line: None }).calls.is_empty(), "no call is left");
    }
}

//! Audio before the answer, as a caller hears it.

use crate::app::App;
use crate::baresip::Baresip;
use crate::baresip_tests::{be_heard, microphone, were_heard};
use crate::daemon::Daemon;
use std::time::{Duration, Instant};
use tapi::CallState;
use tapi::request::{CallAccept, CallAnswer};

#[test]
fn a_caller_hears_us_before_the_answer_and_after_it() {
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let mut baresip = Baresip::start(daemon.directory.path(), &microphone(&daemon.directory));
    baresip.command("dial", &format!("sip:100@127.0.0.1:{}", daemon.sip));
    let call = app.offered();
    app.ask(CallAccept { call, early_media: true });
    assert_eq!(app.state(call), CallState::Accepted);
    be_heard(&mut app, call);
    assert!(!baresip.log().contains("Call established"), "not answered yet: {}", baresip.log());
    app.ask(CallAnswer { call });
    assert_eq!(app.states_to(call, "connected"), ["connected (active)"]);
    be_heard(&mut app, call);
    app.hang_up(call);
    baresip.stop();
    were_heard(&baresip, 2);
}

#[test]
fn a_caller_that_is_turned_away_has_heard_why() {
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let mut baresip = Baresip::start(daemon.directory.path(), &microphone(&daemon.directory));
    baresip.command("dial", &format!("sip:100@127.0.0.1:{}", daemon.sip));
    let call = app.offered();
    app.ask(CallAccept { call, early_media: true });
    assert_eq!(app.state(call), CallState::Accepted);
    be_heard(&mut app, call);
    app.hang_up(call);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !baresip.log().contains("session closed") {
        assert!(Instant::now() < deadline, "the call does not end: {}", baresip.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!baresip.log().contains("Call established"), "it was never answered: {}", baresip.log());
    baresip.stop();
    were_heard(&baresip, 1);
}

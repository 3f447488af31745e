//! `tapictl events`: everything this user may see, as it happens.

use crate::args::Args;
use crate::failure::{Code, Failure};
use crate::out::Out;
use crate::session::{Moment, Session};
use crate::show;
use tapi::request::LineSetStatusMessages;
use tapi::{EventBody, InfoKind, LineId, LineSelector, LineStateKind, Names, Privilege};

/// Opens every line, those that come later too, and tells until Ctrl-C. People are spared who looks at what, unless
/// they ask for `all`: every look of a monitor changes the number of monitors.
pub fn run(args: &Args, all: bool, out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    session.hold_signals()?;
    let lines = session.open_lines()?;
    for line in &lines {
        watch(&mut session, line.line)?;
    }
    if !out.json {
        eprintln!("{} lines; Ctrl-C ends this", lines.len());
    }
    loop {
        match session.moment(None)? {
            Moment::Event(delivered) => {
                match out.json {
                    true => out.object(&delivered)?,
                    false if all || !is_company(&delivered.event.body) => {
                        out.line(&show::event(&delivered, out.paint))?;
                    }
                    false => {}
                }
                if let EventBody::LineAdded { line } = &delivered.event.body {
                    added(&mut session, line.line)?;
                }
            }
            Moment::Missed => {
                eprintln!("tapictl: the daemon was out of reach for a while; events may be missing here");
            }
            Moment::Interrupted => {
                session.close()?;
                return Ok(Code::Done);
            }
            Moment::Late => {}
        }
    }
}

/// Only about which programs are there.
fn is_company(body: &EventBody) -> bool {
    match body {
        EventBody::LineState { change, .. } => matches!(change, LineStateKind::Open | LineStateKind::Close),
        EventBody::CallInfo { changed, .. } => changed
            .iter()
            .all(|kind| matches!(kind, InfoKind::Monitors | InfoKind::OwnersIncreased | InfoKind::OwnersDecreased)),
        _ => false,
    }
}

/// A line that goes again at once, or is not for us, is no reason to end.
fn added(session: &mut Session, line: LineId) -> Result<(), Failure> {
    let opened = session.open_line(line, Privilege::Monitor).and_then(|()| watch(session, line));
    match opened {
        Err(failure) if failure.reason.is_none() => Err(failure),
        _ => Ok(()),
    }
}

fn watch(session: &mut Session, line: LineId) -> Result<(), Failure> {
    let states: Names<LineStateKind> = LineStateKind::KNOWN.iter().cloned().collect();
    match session.call(LineSetStatusMessages { line: LineSelector::Id(line), states }) {
        Err(failure) if failure.reason.is_none() => Err(failure),
        _ => Ok(()),
    }
}

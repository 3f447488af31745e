//! What the policy kit of the system allows beside the rules of the configuration (`org.freedesktop.PolicyKit1`).

use std::collections::HashMap;
use std::time::Duration;
use tapi::{DeviceRequest, Names, Privilege, Request, Right};
use zbus::message::{Message, Type};
use zbus::{Connection, Variant};

const SERVICE: &str = "org.freedesktop.PolicyKit1";

/// What tells that it may answer otherwise from now on: rules were changed, somebody logged in or out.
pub const CHANGED: &str = "type='signal',sender='org.freedesktop.PolicyKit1',\
                           interface='org.freedesktop.PolicyKit1.Authority',member='Changed'";

/// Whether this is that. Only what was said to all: that alone the bus compares with who has the name.
pub fn is_change(message: &Message) -> bool {
    let header = message.header();
    message.message_type() == Type::Signal
        && header.destination().is_none()
        && header.interface().is_some_and(|of| of.as_str() == "org.freedesktop.PolicyKit1.Authority")
        && header.member().is_some_and(|member| member.as_str() == "Changed")
}

/// How long it may think: its person may have to type a password.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a request needs.
pub fn needed(request: &Request) -> Names<Right> {
    match request {
        Request::LineOpen(open) => {
            let of = |privilege: &Privilege| match privilege {
                Privilege::Monitor => Some(Right::Monitor),
                Privilege::Owner => Some(Right::Own),
                _ => None,
            };
            open.privileges.iter().filter_map(of).collect()
        }
        Request::CallSetPrivilege(set) if set.privilege == Privilege::Owner => Names::from([Right::Own]),
        Request::CallList(_) | Request::LineTrace(_) => Names::from([Right::Monitor]),
        Request::CallMake(_)
        | Request::CallRedirect(_)
        | Request::CallBlindTransfer(_)
        | Request::CallSetupTransfer(_)
        | Request::CallAcceptTransfer(_)
        | Request::CallSetupConference(_)
        | Request::CallPrepareAdd(_) => Names::from([Right::Originate]),
        Request::LineDevice(device) => match device.request {
            DeviceRequest::EnterPin { .. } => Names::from([Right::Administer]),
            _ => Names::from([Right::Originate]),
        },
        Request::LineForward(_) | Request::LineSetPolicy(_) => Names::from([Right::Administer]),
        Request::CallRecord(_) => Names::from([Right::Record]),
        Request::CallPlay(_)
        | Request::CallGatherDigits(_)
        | Request::CallMonitorDigits(_)
        | Request::CallMonitorTones(_)
        | Request::CallMonitorMedia(_)
        | Request::CallAudio(_) => Names::from([Right::Listen]),
        _ => Names::new(),
    }
}

/// A question.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who wants it, by its unique name.
    pub sender: String,
    /// What.
    pub right: Right,
    /// On which line, by its permanent name.
    pub line: Option<String>,
    /// Whether its person may be asked.
    pub interactive: bool,
}

/// Asks. Nobody there, no answer in time and an error are all a no.
pub async fn allows(connection: &Connection, question: &Question) -> bool {
    let asked = tokio::time::timeout(PATIENCE, ask(connection, question)).await;
    match asked {
        Ok(Ok(allowed)) => {
            tracing::debug!(sender = question.sender, right = %question.right, allowed, "the policy kit was asked");
            allowed
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "the policy kit does not answer: no");
            false
        }
        Err(_) => {
            tracing::warn!(right = %question.right, "the policy kit does not answer in time: no");
            false
        }
    }
}

async fn ask(connection: &Connection, question: &Question) -> zbus::Result<bool> {
    let subject = ("system-bus-name", HashMap::from([("name", Variant::from(question.sender.as_str()))]));
    let action = format!("org.tapid.telephony1.{}", question.right);
    let details: HashMap<&str, &str> = question.line.iter().map(|line| ("line", line.as_str())).collect();
    let body = (subject, action, details, u32::from(question.interactive), "");
    let path = "/org/freedesktop/PolicyKit1/Authority";
    let interface = Some("org.freedesktop.PolicyKit1.Authority");
    let reply = connection.call_method(Some(SERVICE), path, interface, "CheckAuthorization", &body).await?;
    let body = reply.body();
    let (allowed, _, _): (bool, bool, HashMap<String, String>) = body.deserialize()?;
    Ok(allowed)
}

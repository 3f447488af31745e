//! The server on D-Bus: the same requests, replies and events as on the socket, as objects, methods and signals.
//!
//! `surface` has the tables of everything there is, which dispatch, introspection and tests share; `convert` writes
//! values from one front to the other; `router` has the connection to the bus; and each client of the bus has a
//! `session`, which is one more client of the core.

mod authority;
mod convert;
mod inbox;
mod path;
mod router;
mod said;
mod session;
mod surface;
mod tree;

pub use inbox::Inbox;
pub use router::{Front, builder, serve};

/// The name on the bus.
pub const NAME: &str = "org.tapid.Telephony1";

/// The bus on which the server is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bus {
    /// The system bus where there is one.
    #[default]
    SystemIfAny,
    /// The system bus: waited for.
    System,
    /// The bus of the login session.
    Session,
    /// The bus at this address.
    Address(String),
    /// None.
    Off,
}

impl Bus {
    /// As configured.
    pub fn parse(text: &str) -> Option<Bus> {
        match text {
            "system" => Some(Bus::System),
            "session" => Some(Bus::Session),
            "off" => Some(Bus::Off),
            address if address.contains(':') && address.parse::<zbus::Address>().is_ok() => {
                Some(Bus::Address(address.to_string()))
            }
            _ => None,
        }
    }
}

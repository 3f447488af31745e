//! Ids. Each is a 64-bit number that this node never uses again, not after a restart either (and below 2^53, so that
//! every JSON reader keeps it whole).

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident),* $(,)?) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// A line, as clients name it (TAPI's device id; never used again once the line is removed).
    LineId,
    /// A call, as clients name it. All clients use the same id; what a client may do with it is its privilege.
    CallId,
    /// A client's registration (TAPI's hLineApp). It outlives its connection when the client asked to linger.
    SessionId,
    /// A client's own name for a request, unique among its outstanding ones (the JSON-RPC `id`).
    RequestId,
    /// A media operation on a call: one playback, one recording, one tone, one run of digits.
    OperationId,
    /// One generation of the server's state: event sequence numbers are gap-free within it. It changes on a cold start
    /// and stays over a restart that kept the state.
    Generation,
}

/// Number of an address on its line, from 0; fixed for the life of the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AddressId(pub u32);

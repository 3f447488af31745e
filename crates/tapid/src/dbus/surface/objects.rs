//! Every interface on the bus: its methods, each a method of the protocol, and its properties.

use super::shape::{Field, Shape, camel, maybe, one};
use super::types::{CALL_INFO, CALL_STATUS, LINE as LINE_FIELDS, LINE_CAPS, LINE_STATUS};
use super::verbs::{VERBS, Verb};
use Shape::{Call as CallRef, File, Line as LineId, List, Provider as ProviderRef, Text, U32, U64};

/// The server, at the root.
pub const SERVER: &str = "org.tapid.Telephony1.Server";
/// The session of whoever asks, at the root.
pub const CLIENT: &str = "org.tapid.Telephony1.Client";
/// A provider.
pub const PROVIDER: &str = "org.tapid.Telephony1.Provider";
/// A line.
pub const LINE: &str = "org.tapid.Telephony1.Line";
/// An address of a line.
pub const ADDRESS: &str = "org.tapid.Telephony1.Address";
/// A call.
pub const CALL: &str = "org.tapid.Telephony1.Call";
/// What a call has beside, if it is a conference.
pub const CONFERENCE: &str = "org.tapid.Telephony1.Conference";
/// A source or sink of a call's audio: a playback, a recording, a tone, digits, an application.
pub const TERMINAL: &str = "org.tapid.Telephony1.Terminal";

/// An interface.
#[derive(Debug)]
pub struct Interface {
    /// Its name.
    pub name: &'static str,
    /// Parameters that its objects' paths say.
    pub path: &'static [&'static str],
    /// Where in what is known of an object its properties stand.
    pub properties: &'static [(&'static str, &'static [Field])],
    /// What it is.
    pub doc: &'static str,
}

/// Every interface.
pub const INTERFACES: &[Interface] = &[
    Interface {
        name: SERVER,
        path: &[],
        properties: &[(
            "",
            &[
                one("version", Text),
                one("api_version", List(&U32)),
                one("generation", U64),
                one("seq", U64),
                one("providers", List(&ProviderRef)),
                one("lines", List(&LineId)),
                one("calls", List(&CallRef)),
            ],
        )],
        doc: "The server. Lines and calls are those that whoever asks may see.",
    },
    Interface { name: CLIENT, path: &[], properties: &[], doc: "The session of whoever asks." },
    Interface {
        name: PROVIDER,
        path: &["provider"],
        properties: &[("", &[one("name", Text), one("lines", List(&LineId))])],
        doc: "What lines come from: a SIP user agent, a modem.",
    },
    Interface {
        name: LINE,
        path: &["line"],
        properties: &[("", LINE_FIELDS), ("caps", LINE_CAPS), ("status", LINE_STATUS)],
        doc: "A line. Changes are told while it is open.",
    },
    Interface {
        name: ADDRESS,
        path: &["line", "address"],
        properties: &[("", &[one("line", LineId), one("id", U32), one("address", Text)])],
        doc: "A number or URI of a line.",
    },
    Interface {
        name: CALL,
        path: &["call"],
        properties: &[("info", CALL_INFO), ("status", CALL_STATUS)],
        doc: "A call, as whoever asks sees it.",
    },
    Interface {
        name: CONFERENCE,
        path: &["conference"],
        properties: &[("", &[one("members", List(&CallRef))])],
        doc: "What a call has beside, if it is a conference.",
    },
    Interface {
        name: TERMINAL,
        path: &["call", "operation"],
        properties: &[("", &[one("call", CallRef), one("kind", Text), maybe("file", Text)])],
        doc: "A source or sink of a call's audio: a playback, a recording, a tone, digits, an application.",
    },
];

/// How a method of the bus differs from the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// It does not.
    None,
    /// This parameter names a file of the server's.
    File(&'static str),
    /// The server makes the pair of sockets, and gives one end.
    Pair,
    /// The same for a call in passthrough: the bytes of its device.
    Through,
    /// The parameters are those of this kind of device request.
    Device(&'static str, &'static [&'static str]),
}

/// A method on the bus.
#[derive(Debug)]
pub struct Member {
    /// Its interface.
    pub interface: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The protocol's method.
    pub method: &'static str,
    /// How it differs.
    pub twist: Twist,
}

const fn member(interface: &'static str, name: &'static str, method: &'static str) -> Member {
    Member { interface, name, method, twist: Twist::None }
}

const fn twisted(interface: &'static str, name: &'static str, method: &'static str, twist: Twist) -> Member {
    Member { interface, name, method, twist }
}

/// Every method on the bus.
pub const MEMBERS: &[Member] = &[
    member(CLIENT, "Open", "client.open"),
    member(CLIENT, "Resume", "client.resume"),
    member(CLIENT, "Close", "client.close"),
    member(CLIENT, "SetPriority", "client.set_priority"),
    member(CLIENT, "GetPriority", "client.get_priority"),
    member(SERVER, "GetState", "state.get"),
    member(SERVER, "ListLines", "line.list"),
    member(SERVER, "ListCalls", "call.list"),
    member(LINE, "Open", "line.open"),
    member(LINE, "Close", "line.close"),
    member(LINE, "SetStatusMessages", "line.set_status_messages"),
    member(LINE, "MakeCall", "call.make"),
    twisted(LINE, "PassThrough", "call.make", Twist::Through),
    member(LINE, "ListCalls", "call.list"),
    member(LINE, "Forward", "line.forward"),
    member(LINE, "GetTrace", "line.trace"),
    member(LINE, "SetPolicy", "line.set_policy"),
    member(LINE, "GetPolicy", "line.get_policy"),
    twisted(LINE, "SendMessage", "line.device", Twist::Device("send_message", &["to", "text"])),
    twisted(LINE, "SendServiceCode", "line.device", Twist::Device("ussd", &["text"])),
    twisted(LINE, "EndServiceCodes", "line.device", Twist::Device("ussd_cancel", &[])),
    twisted(LINE, "EnterPin", "line.device", Twist::Device("enter_pin", &["pin"])),
    member(ADDRESS, "MakeCall", "call.make"),
    member(CALL, "Accept", "call.accept"),
    member(CALL, "Answer", "call.answer"),
    member(CALL, "Drop", "call.drop"),
    member(CALL, "Deallocate", "call.deallocate"),
    member(CALL, "Hold", "call.hold"),
    member(CALL, "Unhold", "call.unhold"),
    member(CALL, "Describe", "call.get"),
    member(CALL, "SetPrivilege", "call.set_privilege"),
    member(CALL, "SendDigits", "call.send_digits"),
    member(CALL, "MonitorDigits", "call.monitor_digits"),
    member(CALL, "MakeTone", "call.tone"),
    member(CALL, "MonitorTones", "call.monitor_tones"),
    member(CALL, "Play", "call.play"),
    twisted(CALL, "PlayFile", "call.play", Twist::File("source")),
    member(CALL, "Record", "call.record"),
    twisted(CALL, "RecordFile", "call.record", Twist::File("sink")),
    member(CALL, "Bridge", "call.bridge"),
    member(CALL, "Part", "call.part"),
    member(CALL, "GetTrace", "call.trace"),
    member(CALL, "Redirect", "call.redirect"),
    member(CALL, "Dial", "call.dial"),
    member(CALL, "SwapHold", "call.swap_hold"),
    member(CALL, "BlindTransfer", "call.blind_transfer"),
    member(CALL, "SetupTransfer", "call.setup_transfer"),
    member(CALL, "CompleteTransfer", "call.complete_transfer"),
    member(CALL, "AcceptTransfer", "call.accept_transfer"),
    member(CALL, "RejectTransfer", "call.reject_transfer"),
    member(CALL, "SetupConference", "call.setup_conference"),
    member(CONFERENCE, "PrepareAdd", "call.prepare_add_to_conference"),
    member(CONFERENCE, "Add", "call.add_to_conference"),
    member(CALL, "RemoveFromConference", "call.remove_from_conference"),
    member(CALL, "GatherDigits", "call.gather_digits"),
    member(CALL, "MonitorMedia", "call.monitor_media"),
    twisted(CALL, "AcquireAudio", "call.audio", Twist::Pair),
    member(CALL, "Handoff", "call.handoff"),
    member(CALL, "SetAppData", "call.set_app_data"),
    member(TERMINAL, "Stop", "call.stop"),
    member(TERMINAL, "Pause", "call.pause"),
    member(TERMINAL, "Resume", "call.resume"),
];

/// An argument.
#[derive(Debug)]
pub struct Argument {
    /// Its name in JSON.
    pub key: &'static str,
    /// Its type.
    pub shape: &'static Shape,
}

const FILE: &Shape = &File;

impl Member {
    /// The protocol's method.
    pub fn verb(&self) -> &'static Verb {
        VERBS.iter().find(|verb| verb.method == self.method).expect("the tables are compared by a test")
    }

    /// Parameters that the object's path says.
    pub fn path(&self) -> &'static [&'static str] {
        interface(self.interface).map_or(&[], |interface| interface.path)
    }

    /// What goes in, in order, beside the options.
    pub fn arguments(&self) -> Vec<Argument> {
        if self.twist == Twist::Through {
            return Vec::new();
        }
        if let Twist::Device(_, keys) = self.twist {
            return keys.iter().map(|key| Argument { key, shape: &Text }).collect();
        }
        let said = |field: &&Field| !field.optional && !self.path().contains(&field.key);
        self.verb().params.iter().filter(said).map(|field| self.argument(field)).collect()
    }

    /// What may be given beside, by name.
    pub fn options(&self) -> Vec<Argument> {
        let left = |field: &&Field| field.optional && !self.path().contains(&field.key);
        match self.twist {
            Twist::Device(..) => Vec::new(),
            _ => self.verb().params.iter().filter(left).map(|field| self.argument(field)).collect(),
        }
    }

    fn argument(&self, field: &'static Field) -> Argument {
        let shape = match self.twist {
            Twist::File(key) if key == field.key => FILE,
            _ => &field.shape,
        };
        Argument { key: field.key, shape }
    }
}

/// An interface by its name.
pub fn interface(name: &str) -> Option<&'static Interface> {
    INTERFACES.iter().find(|interface| interface.name == name)
}

/// A method by its interface and name; without an interface, the first of that name among `interfaces`.
pub fn find(interfaces: &[&str], interface: Option<&str>, name: &str) -> Option<&'static Member> {
    let here =
        |member: &&Member| interfaces.contains(&member.interface) && interface.is_none_or(|of| of == member.interface);
    MEMBERS.iter().filter(here).find(|member| member.name == name)
}

/// A property.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// The member of what is known of the object in which it stands; empty: of itself.
    pub within: &'static str,
    /// It there.
    pub field: &'static Field,
}

impl Property {
    /// Its name on the bus.
    pub fn name(&self) -> String {
        match (self.within, self.field.key) {
            ("status", "mode") => "StateMode".to_string(),
            ("status", "reason") => "ServiceReason".to_string(),
            (_, key) => camel(key),
        }
    }
}

impl Interface {
    /// Its properties.
    pub fn properties(&self) -> impl Iterator<Item = Property> {
        let itself = match self.name {
            LINE => "line",
            CALL => "call",
            _ => "",
        };
        let all = self
            .properties
            .iter()
            .flat_map(|(within, fields)| fields.iter().map(move |field| Property { within, field }));
        all.filter(move |property| property.field.key != itself)
    }
}

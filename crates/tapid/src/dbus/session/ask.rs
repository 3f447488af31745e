//! From calls on the bus to requests.

use super::{Back, MAX_REQUESTS, Pending, Ready, Session, Standing, Then};
use crate::attach;
use crate::core::Message as ToCore;
use crate::dbus::authority::{self, Question, needed};
use crate::dbus::convert;
use crate::dbus::path::Object;
use crate::dbus::said::{self, OBJECT_MANAGER, PROPERTIES};
use crate::dbus::surface::objects::{self, Member, Twist};
use crate::dbus::tree::interfaces;
use serde_json::{Map, Value as Json, json};
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use tapi::request::{ClientClose, ClientOpen, StateGet};
use tapi::{CallId, ErrorCode, LineSelector, Names, Request, RequestId};
use tapi_core::ClientId;
use tokio::sync::{mpsc, oneshot};
use zbus::message::{Flags, Message};
use zbus::{Connection, Structure, Variant};

const UNKNOWN_OBJECT: &str = "org.freedesktop.DBus.Error.UnknownObject";
const UNKNOWN_METHOD: &str = "org.freedesktop.DBus.Error.UnknownMethod";
const INVALID_ARGS: &str = "org.freedesktop.DBus.Error.InvalidArgs";
const READ_ONLY: &str = "org.freedesktop.DBus.Error.PropertyReadOnly";

/// Why a call is refused before it is a request.
type Refused = (&'static str, String);

/// A call that is read: what to ask, what to do with the answer, and descriptors.
type Read = (Then, Request, VecDeque<OwnedFd>);

impl Session {
    pub(super) async fn take_call(&mut self, call: Message) {
        let header = call.header();
        let (path, member) = (header.path().map(ToString::to_string), header.member().map(ToString::to_string));
        let interface = header.interface().map(ToString::to_string);
        let (path, member) = (path.unwrap_or_default(), member.unwrap_or_default());
        if interface.as_deref() == Some("org.freedesktop.DBus.Peer") {
            return self.peer_call(&call, &member);
        }
        let read = match Object::parse(&path) {
            Some(object) => self.read(&call, object, interface.as_deref(), &member),
            None => Err((UNKNOWN_OBJECT, format!("there is no object {path}"))),
        };
        match read {
            Ok((then, request, passed)) => {
                let ready = Ready { call: Some(call.clone()), then, request, passed };
                self.admit(ready).await;
            }
            Err((name, words)) => self.reply(said::named_refusal(&call, name, &words)),
        }
    }

    fn peer_call(&mut self, call: &Message, member: &str) {
        let answer = match member {
            "Ping" => said::answer(call, Vec::new()),
            "GetMachineId" => {
                let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
                said::answer(call, vec![convert::text(id.trim())])
            }
            other => said::named_refusal(call, UNKNOWN_METHOD, &format!("Peer has no {other}")),
        };
        self.reply(answer);
    }

    fn read(&mut self, call: &Message, object: Object, interface: Option<&str>, name: &str) -> Result<Read, Refused> {
        let state = || Request::StateGet(StateGet {});
        let plain = |then, request| Ok((then, request, VecDeque::new()));
        match (interface, name) {
            (Some("org.freedesktop.DBus.Introspectable") | None, "Introspect") => {
                plain(Then::Introspect(object), state())
            }
            (Some(OBJECT_MANAGER) | None, "GetManagedObjects") if object == Object::Root => {
                plain(Then::Objects, state())
            }
            (Some(PROPERTIES) | None, "Get" | "GetAll" | "Set") => {
                let (then, request) = properties(call, object, name)?;
                plain(then, request)
            }
            _ => {
                let member = objects::find(interfaces(&object), interface, name).ok_or_else(|| {
                    let of = interface.unwrap_or("any of its interfaces");
                    (UNKNOWN_METHOD, format!("{} has no method {name} of {of}", object.path()))
                })?;
                method(call, &object, member)
            }
        }
    }

    /// Sends a request at once if the client may do everything; else asks first what it may, and the policy kit.
    async fn admit(&mut self, ready: Ready) {
        let right = needed(&ready.request);
        if right.is_empty() || self.peer.uid == 0 {
            return self.send(ready).await;
        }
        self.stand(&ready.request).await;
        let question = Asking {
            connection: self.around.connection.clone(),
            core: self.around.core.clone(),
            client: self.around.client,
            sender: self.name.clone(),
            back: self.back.clone(),
        };
        tokio::spawn(question.ask(ready));
    }

    /// Gives the core a request.
    pub(super) async fn send(&mut self, ready: Ready) {
        let Ready { call, then, request, mut passed } = ready;
        let refused = if self.pending.len() >= MAX_REQUESTS {
            Some(ErrorCode::RequestOverrun.because(format!("{MAX_REQUESTS} requests are unanswered")))
        } else {
            None
        };
        let file = match refused {
            Some(error) => Err(error),
            None => attach::file(&request, &mut passed, &self.around.directories).await,
        };
        match file {
            Ok(file) => {
                self.stand(&request).await;
                let id = self.fresh();
                let (client, core) = (self.around.client, self.around.core.clone());
                self.pending.insert(id.0, Pending { call, then, request: request.clone() });
                let _ = core.send(ToCore::Request { client, id, request, file }).await;
            }
            Err(error) => {
                if let Some(call) = call {
                    self.reply(said::refusal(&call, &error));
                }
            }
        }
    }

    fn fresh(&mut self) -> RequestId {
        let id = RequestId(self.next);
        self.next += 1;
        id
    }

    /// Asks something for the session itself.
    pub(super) async fn on_behalf(&mut self, request: Request, then: Then) {
        self.send_now(request, then).await;
    }

    async fn send_now(&mut self, request: Request, then: Then) {
        let id = self.fresh();
        self.pending.insert(id.0, Pending { call: None, then, request: request.clone() });
        let message = ToCore::Request { client: self.around.client, id, request, file: None };
        let _ = self.around.core.send(message).await;
    }

    /// Sees to it that there is a session for what is asked: reading makes one, opening ends that one.
    async fn stand(&mut self, request: &Request) {
        match (request, self.standing) {
            (Request::ClientOpen(_) | Request::ClientResume(_), Standing::Reading) => {
                self.standing = Standing::Open;
                self.send_now(Request::ClientClose(ClientClose {}), Then::Nothing).await;
            }
            (Request::ClientOpen(_) | Request::ClientResume(_), _) => self.standing = Standing::Open,
            (Request::ClientClose(_), _) | (_, Standing::Open | Standing::Reading) => {}
            (_, Standing::None) => {
                self.standing = Standing::Reading;
                let open = ClientOpen { app: self.name.clone(), api: None, linger_ms: 0 };
                self.send_now(Request::ClientOpen(open), Then::Nothing).await;
            }
        }
    }
}

/// What asking the policy kit takes.
struct Asking {
    connection: Connection,
    core: mpsc::Sender<ToCore>,
    client: ClientId,
    sender: String,
    back: mpsc::UnboundedSender<Back>,
}

impl Asking {
    /// Grants what is missing and allowed; the core has the last word in any case.
    async fn ask(self, ready: Ready) {
        let (answer, answered) = oneshot::channel();
        let (call, line) = about(&ready.request);
        let _ = self.core.send(ToCore::RightsOn { client: self.client, call, line, answer }).await;
        if let Ok(Some((line, name, has))) = answered.await {
            let interactive = ready
                .call
                .as_ref()
                .is_some_and(|call| call.primary_header().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH));
            for right in needed(&ready.request).difference(&has) {
                let question = Question {
                    sender: self.sender.clone(),
                    right: right.clone(),
                    line: Some(name.clone()),
                    interactive,
                };
                if authority::allows(&self.connection, &question).await {
                    let rights = Names::from([tapi::Right::See, right.clone()]);
                    let granted = ToCore::Granted { client: self.client, line: Some(line), rights };
                    let _ = self.core.send(granted).await;
                }
            }
        }
        let _ = self.back.send(Back::Asked(Box::new(ready)));
    }
}

/// The call and the line that a request names.
fn about(request: &Request) -> (Option<CallId>, Option<LineSelector>) {
    let params = serde_json::to_value(request).unwrap_or_default();
    let of = |key: &str| params.get("params").and_then(|params| params.get(key)).cloned();
    let call = of("call").or_else(|| of("conference")).and_then(|call| serde_json::from_value(call).ok());
    (call, of("line").and_then(|line| serde_json::from_value(line).ok()))
}

fn arguments(call: &Message) -> Result<Vec<Variant<'static>>, Refused> {
    let body = call.body();
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let unreadable = |error: zbus::Error| (INVALID_ARGS, error.to_string());
    let structure: Structure<'_> = body.deserialize().map_err(unreadable)?;
    structure.fields().iter().map(|field| field.try_to_owned().map(Into::into).map_err(unreadable)).collect()
}

fn properties(call: &Message, object: Object, name: &str) -> Result<(Then, Request), Refused> {
    let mut words = arguments(call)?.into_iter().map(|argument| match argument {
        Variant::Str(text) => text.to_string(),
        _ => String::new(),
    });
    let interface = words.next().unwrap_or_default();
    let then = match name {
        "Get" => Then::Get(object, interface, words.next().unwrap_or_default()),
        "GetAll" => Then::GetAll(object, interface),
        _ => return Err((READ_ONLY, "properties are read; methods change what they say".to_string())),
    };
    Ok((then, Request::StateGet(StateGet {})))
}

fn method(call: &Message, object: &Object, member: &'static Member) -> Result<Read, Refused> {
    let unfit = |words: String| (INVALID_ARGS, words);
    let mut params = from_path(object, member);
    let mut passed = VecDeque::new();
    let mut values = arguments(call)?.into_iter();
    let mut own = Map::new();
    for argument in member.arguments() {
        let value = values.next().ok_or_else(|| unfit(format!("{} is missing", argument.key)))?;
        let json = convert::to_json(argument.shape, &value).map_err(|why| unfit(format!("{}: {why}", argument.key)))?;
        own.insert(argument.key.to_string(), json);
        if let Variant::Fd(descriptor) = &value {
            let owned = descriptor.as_fd().try_clone_to_owned();
            passed.push_back(owned.map_err(|error| unfit(error.to_string()))?);
        }
    }
    let options = member.options();
    match values.next() {
        Some(Variant::Dict(dict)) if !options.is_empty() => {
            let named = convert::named(options.iter().map(|option| (option.key, option.shape)), &dict);
            own.extend(named.map_err(unfit)?.as_object().cloned().unwrap_or_default());
        }
        Some(_) => return Err(unfit(format!("{} takes no such argument", member.name))),
        None => {}
    }
    if values.next().is_some() {
        return Err(unfit(format!("{} takes fewer arguments", member.name)));
    }
    match member.twist {
        Twist::Device(kind, _) => {
            own.insert("kind".to_string(), Json::from(kind));
            params.insert("request".to_string(), Json::Object(own));
        }
        Twist::Through => {
            params.extend(own);
            params.insert("to".to_string(), Json::from(""));
            params.insert("bearer".to_string(), Json::from("passthrough"));
        }
        // An empty a{sv} stands for one that is absent.
        _ => params.extend(own.into_iter().filter(|(key, value)| key != "policy" || *value != json!({}))),
    }
    let socket = match member.twist {
        Twist::Pair | Twist::Through => {
            let (ours, theirs) = pair(member.twist).map_err(|error| unfit(error.to_string()))?;
            passed.push_back(ours);
            Some(theirs)
        }
        _ => None,
    };
    let call_id = params.get("call").and_then(Json::as_u64);
    let request = serde_json::from_value(json!({ "method": member.method, "params": params }));
    let request = request.map_err(|error| unfit(error.to_string()))?;
    Ok((Then::Answer(member, call_id, socket), request, passed))
}

/// Parameters that the path says, under the names that they have for the member.
fn from_path(object: &Object, member: &Member) -> Map<String, Json> {
    let said: Vec<u64> = match object {
        Object::Line(line) => vec![*line],
        Object::Address(line, address) => vec![*line, u64::from(*address)],
        Object::Call(call) => vec![*call],
        Object::Terminal(call, operation) => vec![*call, *operation],
        _ => Vec::new(),
    };
    let named = member.path().iter().zip(said).map(|(key, id)| ((*key).to_string(), Json::from(id)));
    named.collect()
}

/// Two ends of a socket: of one that keeps the borders of messages for audio, of a stream for a device's bytes.
fn pair(twist: Twist) -> std::io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    let kind = if twist == Twist::Through { SocketType::STREAM } else { SocketType::SEQPACKET };
    Ok(socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?)
}

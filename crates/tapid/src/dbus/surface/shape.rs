//! Types that a value has on both fronts: in JSON on the socket, and as a D-Bus type here.

/// The type of a value.
#[derive(Debug)]
pub enum Shape {
    /// `b`.
    Bool,
    /// `u`: below 2^32.
    U32,
    /// `i`.
    I32,
    /// `t`.
    U64,
    /// `s`: words and names of open sets.
    Text,
    /// `o`: a line's id in JSON.
    Line,
    /// `o`: a line's id or permanent name in JSON.
    LineRef,
    /// `o`: a provider's name in JSON.
    Provider,
    /// `o`: a call's id in JSON.
    Call,
    /// `o`: an operation's id in JSON; its call stands beside it.
    Operation,
    /// `s`: a file below the server's directories; `{"file": name}` in JSON.
    File,
    /// `h`: `"descriptor"` in JSON, and the descriptor beside it.
    Descriptor,
    /// `a…`.
    List(&'static Shape),
    /// `a{s…}`.
    Map(&'static Shape),
    /// `a{sv}`: an object in JSON.
    Dict(&'static [Field]),
    /// `(…)`: an object in JSON with all members.
    Tuple(&'static [Field]),
    /// `(oa{sv})`: a line and its properties.
    LineView,
    /// `(oa{sv})`: a call and its properties.
    CallView,
}

/// A member of an object.
#[derive(Debug)]
pub struct Field {
    /// Its name in JSON.
    pub key: &'static str,
    /// Its type.
    pub shape: Shape,
    /// Whether it may be absent.
    pub optional: bool,
}

/// A member that is always there.
pub const fn one(key: &'static str, shape: Shape) -> Field {
    Field { key, shape, optional: false }
}

/// A member that may be absent.
pub const fn maybe(key: &'static str, shape: Shape) -> Field {
    Field { key, shape, optional: true }
}

impl Shape {
    /// The D-Bus signature.
    pub fn signature(&self) -> String {
        match self {
            Shape::Bool => "b".to_string(),
            Shape::U32 => "u".to_string(),
            Shape::I32 => "i".to_string(),
            Shape::U64 => "t".to_string(),
            Shape::Text | Shape::File => "s".to_string(),
            Shape::Provider | Shape::Line | Shape::LineRef | Shape::Call | Shape::Operation => "o".to_string(),
            Shape::Descriptor => "h".to_string(),
            Shape::List(of) => format!("a{}", of.signature()),
            Shape::Map(of) => format!("a{{s{}}}", of.signature()),
            Shape::Dict(_) => "a{sv}".to_string(),
            Shape::Tuple(fields) => {
                format!("({})", fields.iter().map(|field| field.shape.signature()).collect::<String>())
            }
            Shape::LineView | Shape::CallView => "(oa{sv})".to_string(),
        }
    }
}

/// A name of JSON as D-Bus writes names: `bearer_modes` is `BearerModes`.
pub fn camel(key: &str) -> String {
    key.split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<Vec<char>>()
        })
        .collect()
}

//! Command lines of ITU-T V.250: from bytes to a line, from a line to commands.

/// Longest command line that is taken.
const LONGEST: usize = 512;

/// What a byte completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Nothing yet.
    More,
    /// The body of a command line, without `AT` and the terminator.
    Line(String),
    /// A line that is too long.
    TooLong,
}

/// Where in a command line the host is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Before,
    A,
    Body(Vec<u8>),
}

/// Assembles command lines (V.250 5.2).
#[derive(Clone, Debug, Default)]
pub(crate) struct Typist {
    place: Place,
    last: String,
}

impl Typist {
    /// Takes a byte; `end` is S3, `erase` is S5.
    pub(crate) fn take(&mut self, byte: u8, end: u8, erase: u8) -> Typed {
        match &mut self.place {
            Place::Before | Place::A if byte.eq_ignore_ascii_case(&b'a') => self.place = Place::A,
            Place::Before => {}
            Place::A if byte.eq_ignore_ascii_case(&b't') => self.place = Place::Body(Vec::new()),
            Place::A => {
                self.place = Place::Before;
                if byte == b'/' {
                    return Typed::Line(self.last.clone());
                }
            }
            Place::Body(body) if byte == end => {
                let line = String::from_utf8_lossy(body).into_owned();
                self.place = Place::Before;
                if line.len() > LONGEST {
                    return Typed::TooLong;
                }
                self.last.clone_from(&line);
                return Typed::Line(line);
            }
            Place::Body(body) if byte == erase => drop(body.pop()),
            Place::Body(body) if byte >= 0x20 && body.len() <= LONGEST => body.push(byte),
            Place::Body(_) => {}
        }
        Typed::More
    }
}

/// What is asked of a parameter or action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// `+X`
    Do,
    /// `+X?`
    Read,
    /// `+X=?`
    Test,
    /// `+X=…`
    Set(String),
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// A letter, or `&`, `\`, `%` and a letter, with a number (0 when left out).
    Basic(String, u32),
    /// `Sn=v`, `Sn?`.
    Register(u8, Ask),
    /// `D` and the rest of the line.
    Dial(String),
    /// A command with a prefix: name with the prefix, in upper case.
    Extended(String, Ask),
}

/// Cuts the body of a command line into commands; `None` when it is no such thing.
pub(crate) fn commands(body: &str) -> Option<Vec<Command>> {
    let mut commands = Vec::new();
    let mut rest = body.trim_start();
    while let Some(first) = rest.chars().next() {
        let command;
        (command, rest) = match first {
            ' ' | ';' => {
                rest = &rest[1..];
                continue;
            }
            'd' | 'D' => (Command::Dial(rest[1..].to_string()), ""),
            's' | 'S' => register(&rest[1..])?,
            '+' | '^' | '*' | '#' | '$' | '-' => extended(rest)?,
            '&' | '\\' | '%' => basic(rest, 2)?,
            'a'..='z' | 'A'..='Z' => basic(rest, 1)?,
            _ => return None,
        };
        commands.push(command);
    }
    Some(commands)
}

fn number(text: &str) -> (Option<u32>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}

fn basic(text: &str, letters: usize) -> Option<(Command, &str)> {
    let name = text.get(..letters)?.to_ascii_uppercase();
    let (value, rest) = number(text.get(letters..)?);
    Some((Command::Basic(name, value.unwrap_or(0)), rest))
}

fn register(text: &str) -> Option<(Command, &str)> {
    let (register, rest) = number(text);
    let register = u8::try_from(register?).ok()?;
    if let Some(rest) = rest.strip_prefix('?') {
        return Some((Command::Register(register, Ask::Read), rest));
    }
    let (value, rest) = number(rest.strip_prefix('=')?);
    Some((Command::Register(register, Ask::Set(value.unwrap_or(0).to_string())), rest))
}

fn extended(text: &str) -> Option<(Command, &str)> {
    let end = text[1..].find(|c: char| !c.is_ascii_alphanumeric()).map_or(text.len(), |at| at + 1);
    let name = text[..end].to_ascii_uppercase();
    let mut quoted = false;
    let stop = text[end..].find(|c: char| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    let stop = stop.map_or(text.len(), |at| at + end);
    let ask = match text[end..stop].trim() {
        "" => Ask::Do,
        "?" => Ask::Read,
        "=?" => Ask::Test,
        set => Ask::Set(set.strip_prefix('=')?.to_string()),
    };
    (name.len() > 1).then_some((Command::Extended(name, ask), &text[stop..]))
}

/// The fields of a value, split at commas outside quotation marks, which are taken off.
pub(crate) fn fields(value: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in value.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            ' ' if !quoted => {}
            c => fields.last_mut().expect("there is always one").push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_assembled_from_any_pieces_and_repeated() {
        let mut typist = Typist::default();
        let mut lines = Vec::new();
        for byte in b"xxAaTE0V1\r\nat+vts=1\x08\x082\rA/" {
            if let Typed::Line(line) = typist.take(*byte, 13, 8) {
                lines.push(line);
            }
        }
        assert_eq!(lines, ["E0V1", "+vts2", "+vts2"]);
    }

    #[test]
    fn bodies_are_cut_into_commands() {
        let parsed = commands("E0S0=1S7?&K3+FCLASS=8;+VLS?;DT1,2;").unwrap();
        let expected = [
            Command::Basic("E".into(), 0),
            Command::Register(0, Ask::Set("1".into())),
            Command::Register(7, Ask::Read),
            Command::Basic("&K".into(), 3),
            Command::Extended("+FCLASS".into(), Ask::Set("8".into())),
            Command::Extended("+VLS".into(), Ask::Read),
            Command::Dial("T1,2;".into()),
        ];
        assert_eq!(parsed, expected);
        assert_eq!(commands("=1"), None);
        assert_eq!(fields("1,\"a,b\", 3"), ["1", "a,b", "3"]);
    }
}

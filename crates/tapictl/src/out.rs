//! What stands on the screen: colour, tables, times. Text from the network is never trusted to be harmless there.

use crate::failure::{Code, Failure};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Where output goes, and in which form.
pub struct Out {
    to: Box<dyn Write>,
    /// JSON, one object a line.
    pub json: bool,
    /// Whether text may be coloured.
    pub paint: Paint,
}

impl Out {
    pub fn stdout(json: bool) -> Out {
        let stdout = std::io::stdout();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let paint = if !json && wanted && stdout.is_terminal() { Paint::Colour } else { Paint::Plain };
        Out { to: Box::new(stdout), json, paint }
    }

    /// Writes text that ends with a line feed, at once.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        let result = self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush());
        result.map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::reader_gone(),
            _ => Failure::new(Code::Failed, format!("standard output: {error}")).with_hint("another place for it"),
        })
    }

    /// Writes one line of text.
    pub fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.text(&format!("{line}\n"))
    }

    /// Writes one JSON object as a line.
    pub fn object(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(value)
            .map_err(|error| Failure::new(Code::Failed, format!("cannot be written as JSON: {error}")))?;
        self.line(&line)
    }
}

/// Whether colour is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    Plain,
    Colour,
}

/// What a text says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Strong,
    Faint,
    Good,
    Notice,
    Bad,
}

impl Paint {
    /// The text in its tone.
    pub fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Notice => "33",
            Tone::Bad => "31",
        };
        match self {
            Paint::Plain => text.to_owned(),
            Paint::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// Text of strangers, with everything that could move the cursor or change the screen made visible.
pub fn clean(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.chars().any(hidden) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if hidden(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

/// Rows of aligned columns; a head only where there are rows.
#[derive(Debug)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<(Tone, String)>>,
}

impl Table {
    pub fn new(head: impl Into<Vec<&'static str>>) -> Table {
        Table { head: head.into(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl Into<Vec<(Tone, String)>>) {
        let clean = |(tone, text): (Tone, String)| (tone, clean(&text));
        self.rows.push(cells.into().into_iter().map(clean).collect());
    }

    pub fn render(&self, paint: Paint) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|(_, text)| text.chars().count());
            cells.chain(self.head.get(column).map(|head| head.chars().count())).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let head = self.head.iter().map(|head| (Tone::Faint, (*head).to_owned())).collect();
        let mut text = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            let mut gap = 0;
            for ((tone, cell), width) in row.iter().zip(&widths) {
                line.push_str(&" ".repeat(gap));
                line.push_str(&paint.tone(*tone, cell));
                gap = width.saturating_sub(cell.chars().count()) + 2;
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// `0:07`, `12:34`, `1:02:03`.
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Time of day in UTC of microseconds since 1970: `09:15:49.344`.
pub fn time_of_day(wall: u64) -> String {
    let millis = wall / 1_000 % 86_400_000;
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", millis / 1_000 % 60, millis % 1_000)
}

/// Microseconds since 1970 by this machine's clock.
pub fn wall_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let mut table = Table::new(["LINE", "STATE", "NOTE"]);
        table.row([(Tone::Plain, "1".into()), (Tone::Good, "in".into()), (Tone::Plain, "".into())]);
        table.row([(Tone::Plain, "1234567".into()), (Tone::Bad, "out".into()), (Tone::Plain, "no tone".into())]);
        assert_eq!(
            table.render(Paint::Plain),
            "LINE     STATE  NOTE\n\
             1        in\n\
             1234567  out    no tone\n"
        );
        assert!(table.render(Paint::Colour).contains("\x1b[31mout\x1b[0m    no tone"));
    }

    #[test]
    fn a_name_from_the_network_cannot_touch_the_screen() {
        assert_eq!(clean("Ann\x1b[2J\r\n\u{202e}bob"), "Ann\\u{1b}[2J\\r\\n\\u{202e}bob");
        assert_eq!(clean("Jürgen ☎"), "Jürgen ☎");
        let mut table = Table::new(["NAME"]);
        table.row([(Tone::Plain, "a\nb".into())]);
        assert_eq!(table.render(Paint::Plain), "NAME\na\\nb\n");
    }

    #[test]
    fn times_read_as_people_write_them() {
        assert_eq!(clock(Duration::from_secs(7)), "0:07");
        assert_eq!(clock(Duration::from_secs(3_723)), "1:02:03");
        assert_eq!(time_of_day(1_795_386_549_344_123), "22:29:09.344");
    }
}

//! `tapi-exchange`: a small telephone exchange with simulated modems on pseudo-terminals.

use clap::Parser;
use rustix::fd::AsFd;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tapi_sim::Address;
use tapi_sim::exchange::{
    Behaviour, Clearing, Config, Country, Exchange, IdentitySent, MessageFormat, ModemId, OrderError, TROUBLES, Trouble,
};
use tapi_sim::modem::analogue::{self, Analogue};
use tapi_sim::modem::cellular::{self, Cellular};
use tapi_sim::pty::{Bench, Happened};
use tapi_sim::replay::Replay;

const AFTER: &str = "\
What a SUBSCRIBER does is a list of words after `=`:
  tone:HZ[@DDBM0]   says a tone (default -160: -16.0 dBm0)     echo[:TIME]    says what it hears
  silence           says nothing (default)                     answer:TIME    answers after TIME (default 500ms)
  never             rings and never answers                    busy           is always engaged
  reject[:TIME]     refuses the call                           hangup:TIME    hangs up TIME after the answer
  withheld          withholds its number when it calls         name:TEXT      sends a name when it calls
A TIME is like 500ms or 2s.

Orders, one a line on standard input; each is answered by {\"event\":\"ordered\"} or {\"event\":\"error\"}:
  call FROM TO          a subscriber calls a number            hangup NUMBER        a subscriber hangs up
  dtmf NUMBER DIGITS    a subscriber sends digits              tone NUMBER HZ MS    a subscriber plays a tone
  unplug NAME           pulls a modem out (analogue0, …)       plug NAME            plugs it in again
  restart NAME          a modem starts anew: gone for 4 s      faults NAME KIND     makes its link faulty, or clean
  sms FROM TO TEXT…     a text message to a cellular modem     sim NUMBER [in]      its SIM card is pulled out, or put back
  register NUMBER STAT  its network: 0 none, 1 home, 2 searching, 3 denied, 5 roaming
  signal NUMBER RSSI    how strong it is: 0 to 31              waiting NUMBER on|off  a second call may come in
  fallback NUMBER MS    each of its calls takes so much longer jump MS              the clock leaps so far ahead
  quit                  ends; so does the end of the input, unless --no-orders is given

Events come as lines of JSON on standard output, `at_ms` is the time since the start:
  ready (with the ports), off_hook, called, rings, answered, failed (with a Q.850 cause), hung_up,
  digit (a subscriber heard it), heard (frequency and level that a subscriber heard, once a second),
  echoed (a tone that was ordered came back, and after how long), diverted, transferred, message (a text message was sent),
  unplugged, plugged. Levels are in tenths of dBm0; 0 dBm0 is 3.17 dB below full scale of G.711 mu-law.

Example: a V.253 modem and a GSM modem, a telephone that answers with 440 Hz, one that is engaged, one that echoes:
  tapi-exchange --link-dir /run/user/1000/modems --analogue 4930100 --cellular 4930200 \\
      --subscriber 4930300=tone:440,answer:500ms --subscriber 4930301=busy --subscriber 4930302=echo
The modems are then /run/user/1000/modems/analogue0, cellular0 and cellular0-audio.

Families of modems are chosen by number, before or behind it: --analogue usr5637@4930100, --cellular ec25@4930200.
  analogue: v253, cx93001, usr5637, agere, smartlink, rockwell
  cellular: generic, e1550, ec25, sim7600, sara, wavecom
A PORT is named as its link would be: cellular0, cellular0-audio. On a socket one host at a time is connected:
  --socket cellular0=tcp:127.0.0.1:12345 --socket cellular1=abstract:modem (a NUL and `modem`)
A KIND of faults is one of `tapi-exchange --list-faults`, or `any`: then the seed picks one, and it is told which.
A modem of --replay says what a transcript has (docs/adding-a-modem.md), and has no line.";

/// A small telephone exchange with simulated modems on pseudo-terminals.
///
/// Programs open the modems as they would open /dev/ttyACM0; the exchange rings, plays its tones, joins the parties and
/// carries their audio in real time.
#[derive(Debug, Parser)]
#[command(name = "tapi-exchange", version, after_help = AFTER)]
struct Options {
    /// A voice modem on a two-wire line with this number; again for more.
    #[arg(long, value_name = "[FAMILY@]NUMBER")]
    analogue: Vec<String>,
    /// A cellular modem (3GPP TS 27.007) with this number; again for more.
    #[arg(long, value_name = "[FAMILY@]NUMBER")]
    cellular: Vec<String>,
    /// A telephone with this number, and what it does; again for more.
    #[arg(long, value_name = "NUMBER[=WORDS]")]
    subscriber: Vec<String>,
    /// Where the links to the modems' terminals are made.
    #[arg(long, value_name = "DIR", default_value = ".")]
    link_dir: PathBuf,
    /// A modem that says what this transcript has; again for more. They are replay0, replay1, ….
    #[arg(long, value_name = "FILE")]
    replay: Vec<PathBuf>,
    /// A modem whose link, network or manners are bad from the start: analogue0=slow, cellular0=any; again for more.
    #[arg(long, value_name = "NAME=KIND")]
    faults: Vec<String>,
    /// Prints what can be wrong, and ends.
    #[arg(long)]
    list_faults: bool,
    /// A port on a socket instead of a pseudo-terminal: tcp:ADDRESS:PORT or abstract:NAME; again for more.
    #[arg(long, value_name = "PORT=SOCKET")]
    socket: Vec<String>,
    /// The SIM card of a cellular modem wants this PIN; again for more.
    #[arg(long, value_name = "NUMBER=PIN")]
    pin: Vec<String>,
    /// A line's audio clock runs fast by so many parts in a million, or slow; again for more.
    #[arg(long, value_name = "NUMBER=PPM", allow_hyphen_values = true)]
    skew: Vec<String>,
    /// Tones, ringing and caller identities of this country.
    #[arg(long, value_name = "NAME", default_value = "us", value_parser = ["us", "de", "gb", "dk"])]
    country: String,
    /// When two-wire lines are told who calls, where it is not as in that country.
    #[arg(long, value_name = "WHEN", value_parser = ["after-ring", "before-ring", "tones", "never"])]
    caller_id: Option<String>,
    /// Data of who calls are date and number alone (SDMF), as older exchanges send them.
    #[arg(long)]
    single_message: bool,
    /// Family of the analogue modems that name none.
    #[arg(long, value_name = "NAME", default_value = "v253")]
    persona: String,
    /// How a line is cleared whose far end hung up: a loop break and dial tone, or busy tone.
    #[arg(long, value_name = "HOW", default_value = "loop-break", value_parser = ["loop-break", "busy-tone"])]
    clearing: String,
    /// Two-wire lines without dial tone: nothing is connected at the other end.
    #[arg(long)]
    no_dial_tone: bool,
    /// Reads no orders from standard input: runs until it is ended by a signal.
    #[arg(long)]
    no_orders: bool,
    /// Chance of the exchange.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tapi-exchange: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    if options.list_faults {
        let mut output = io::stdout().lock();
        return TROUBLES.iter().try_for_each(|(name, what)| writeln!(output, "{name:<17} {what}"));
    }
    let clearing = if options.clearing == "busy-tone" { Clearing::BusyTone } else { Clearing::LoopBreak };
    let country = country(options);
    let dial_tone = !options.no_dial_tone;
    let mut exchange = Exchange::new(Config { country, seed: options.seed, clearing, dial_tone, ..Config::default() });
    let modems = populate(&mut exchange, options)?;
    for faults in &options.faults {
        let (name, kind) = faults.split_once('=').unwrap_or((faults, ""));
        let modem = modem(&exchange, name).map_err(io::Error::other)?;
        let kind = trouble(&mut exchange, modem, kind).map_err(io::Error::other)?;
        eprintln!("tapi-exchange: {name}: {kind}");
    }
    let mut bench = Bench::with_sockets(exchange, &modems, &options.link_dir, &sockets(options)?)?;
    let ports: Vec<_> = bench.links().iter().map(|(link, tty)| json!({ "link": link, "tty": tty })).collect();
    let sockets: Vec<_> =
        bench.sockets().iter().map(|(port, at)| json!({ "port": port, "socket": at.to_string() })).collect();
    say(&json!({ "event": "ready", "at_ms": 0, "ports": ports, "sockets": sockets }))?;
    let input = io::stdin();
    let mut orders = Orders::default();
    loop {
        let also = (!options.no_orders).then(|| input.as_fd());
        let happened = bench.step(also, Duration::from_secs(60))?;
        let readable = happened.iter().any(|what| matches!(what, Happened::Readable));
        tell(happened)?;
        if readable && orders.read(&input)? == Stream::Ended {
            return Ok(());
        }
        while let Some(line) = orders.next() {
            match order(&mut bench, &line) {
                Ok(Next::Quit) => return Ok(()),
                Ok(Next::Go) => say(&json!({ "event": "ordered", "order": line }))?,
                Ok(Next::Troubled(kind)) => say(&json!({ "event": "ordered", "order": line, "kind": kind }))?,
                Err(reason) => say(&json!({ "event": "error", "order": line, "reason": reason }))?,
            }
            let happened = bench.carry()?;
            tell(happened)?;
        }
    }
}

fn country(options: &Options) -> Country {
    let mut country = Country::named(&options.country).unwrap_or(Country::US);
    country.identity = match options.caller_id.as_deref() {
        Some("after-ring") => IdentitySent::AfterFirstRing,
        Some("before-ring") => IdentitySent::BeforeRing,
        Some("tones") => IdentitySent::AsTones,
        Some("never") => IdentitySent::Never,
        _ => country.identity,
    };
    if options.single_message {
        country.message = MessageFormat::Single;
    }
    country
}

fn populate(exchange: &mut Exchange, options: &Options) -> io::Result<Vec<(ModemId, u32)>> {
    let mut numbers: Vec<&str> = Vec::new();
    let mut modems = Vec::new();
    let fresh = |number: &str| {
        let good = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || matches!(c, '*' | '#'));
        good.then_some(()).ok_or_else(|| io::Error::other(format!("`{number}`: a number is digits, `*` and `#`")))
    };
    for (at, modem) in options.analogue.iter().enumerate() {
        let (family, number) = modem.split_once('@').unwrap_or((&options.persona, modem));
        fresh(number)?;
        numbers.push(number);
        let persona = analogue::Persona::named(family).ok_or_else(|| no_family(family))?;
        modems.push((exchange.attach(&format!("analogue{at}"), number, Box::new(Analogue::new(persona))), 1));
    }
    for (at, modem) in options.cellular.iter().enumerate() {
        let (family, number) = modem.split_once('@').unwrap_or(("generic", modem));
        fresh(number)?;
        numbers.push(number);
        let family = cellular::Persona::named(family).ok_or_else(|| no_family(family))?;
        let imei = with_check_digit(&format!("{}{at:02}", &family.imei[..12]));
        let ports = if family.audio == cellular::Audio::None { 1 } else { 2 };
        let mut persona = cellular::Persona { number: Some(number.to_string()), imei, ..family };
        let pins = options.pin.iter().filter_map(|pin| pin.split_once('='));
        for (_, pin) in pins.filter(|(of, _)| *of == number) {
            persona.sim = "SIM PIN";
            persona.pin.0 = pin.to_string();
        }
        modems.push((exchange.attach(&format!("cellular{at}"), number, Box::new(Cellular::new(persona))), ports));
    }
    for (at, file) in options.replay.iter().enumerate() {
        let explain = |reason: String| io::Error::other(format!("{}: {reason}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| explain(error.to_string()))?;
        let replay = Replay::new(&text).map_err(|error| explain(error.to_string()))?;
        modems.push((exchange.attach(&format!("replay{at}"), &format!("replay{at}"), Box::new(replay)), 1));
    }
    for subscriber in &options.subscriber {
        let (number, words) = subscriber.split_once('=').unwrap_or((subscriber, ""));
        fresh(number)?;
        numbers.push(number);
        let behaviour: Behaviour = words.parse().map_err(io::Error::other)?;
        exchange.subscribe(number, behaviour);
    }
    numbers.sort_unstable();
    for skew in &options.skew {
        let (number, ppm) = skew.split_once('=').unwrap_or((skew, ""));
        let ppm = ppm.parse().map_err(|_| io::Error::other(format!("`{skew}`: expected NUMBER=PPM")))?;
        exchange.skew(number, ppm).map_err(io::Error::other)?;
    }
    match numbers.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(io::Error::other(format!("`{}` is given twice", pair[0]))),
        None => Ok(modems),
    }
}

fn no_family(name: &str) -> io::Error {
    io::Error::other(format!("`{name}`: no such family of modems; --help has them"))
}

fn sockets(options: &Options) -> io::Result<BTreeMap<String, Address>> {
    let parse = |text: &String| {
        let (port, address) = text.split_once('=').ok_or_else(|| format!("`{text}`: expected PORT=SOCKET"))?;
        Ok((port.to_string(), address.parse::<Address>()?))
    };
    options.socket.iter().map(|text| parse(text).map_err(|reason: String| io::Error::other(reason))).collect()
}

/// Lets a modem have a trouble, by its name or by chance; its name.
fn trouble(exchange: &mut Exchange, modem: ModemId, kind: &str) -> Result<String, String> {
    let kind = if kind == "any" { exchange.any_trouble() } else { kind };
    let trouble = Trouble::named(kind).ok_or_else(|| format!("`{kind}`: no such kind of faults"))?;
    exchange.trouble(modem, &trouble).map_err(|error| error.to_string())?;
    Ok(kind.to_string())
}

fn modem(exchange: &Exchange, name: &str) -> Result<ModemId, String> {
    exchange.modem(name).ok_or_else(|| format!("`{name}`: no such modem"))
}

/// An IMEI with its Luhn digit.
fn with_check_digit(digits: &str) -> String {
    let values = digits.chars().filter_map(|c| c.to_digit(10)).enumerate();
    let sum: u32 = values.map(|(at, value)| if at % 2 == 1 { value * 2 / 10 + value * 2 % 10 } else { value }).sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

fn say(line: &serde_json::Value) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

fn tell(happened: Vec<Happened>) -> io::Result<()> {
    for what in happened {
        if let Happened::Event(at, event) = what {
            let mut line = serde_json::to_value(&event)?;
            line["at_ms"] = json!(at.as_millis());
            say(&line)?;
        }
    }
    Ok(())
}

/// Whether the loop goes on.
enum Next {
    Go,
    /// It goes on, and a modem has this trouble.
    Troubled(String),
    Quit,
}

/// Whether more orders may come.
#[derive(PartialEq, Eq)]
enum Stream {
    Open,
    Ended,
}

/// Lines of the input.
#[derive(Default)]
struct Orders {
    bytes: Vec<u8>,
}

impl Orders {
    fn read(&mut self, input: &io::Stdin) -> io::Result<Stream> {
        let mut piece = [0; 4_096];
        let count = rustix::io::read(input, &mut piece)?;
        self.bytes.extend_from_slice(&piece[..count]);
        if self.bytes.len() > 65_536 {
            self.bytes.clear();
        }
        Ok(if count == 0 { Stream::Ended } else { Stream::Open })
    }

    fn next(&mut self) -> Option<String> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim().to_string())
    }
}

fn order(bench: &mut Bench, line: &str) -> Result<Next, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let now = bench.now();
    if let ["jump", millis] = words.as_slice() {
        bench.jump(Duration::from_millis(whole(millis)?));
        return Ok(Next::Go);
    }
    let exchange = &mut bench.exchange;
    let done = match words.as_slice() {
        [] => return Ok(Next::Go),
        ["quit"] => return Ok(Next::Quit),
        ["call", from, to] => exchange.call(now, from, to),
        ["hangup", number] => exchange.hang_up(now, number),
        ["dtmf", number, digits] => exchange.dtmf(now, number, digits),
        ["tone", number, hz, millis] => {
            let hz: u32 = hz.parse().map_err(|_| format!("`{hz}`: a frequency in Hz is a whole number"))?;
            exchange.tone(now, number, hz, Duration::from_millis(whole(millis)?))
        }
        ["unplug" | "plug" | "restart" | "faults", name, ..] => {
            let modem = modem(exchange, name)?;
            return at_modem(exchange, now, modem, &words);
        }
        words => at_network(exchange, now, words)?,
    };
    done.map(|()| Next::Go).map_err(|error| error.to_string())
}

fn whole(millis: &str) -> Result<u64, String> {
    millis.parse().map_err(|_| format!("`{millis}`: milliseconds are a whole number"))
}

/// Orders for a modem.
fn at_modem(exchange: &mut Exchange, now: tapi::Time, modem: ModemId, words: &[&str]) -> Result<Next, String> {
    match words {
        ["unplug", _] => exchange.unplug(now, modem),
        ["plug", _] => exchange.plug(now, modem),
        ["restart", _] => exchange.restart(now, modem),
        ["faults", _, kind] => {
            return Ok(Next::Troubled(trouble(exchange, modem, kind)?));
        }
        _ => return Err(UNKNOWN.to_string()),
    }
    Ok(Next::Go)
}

/// Orders for the mobile network and the exchange's services.
fn at_network(exchange: &mut Exchange, now: tapi::Time, words: &[&str]) -> Result<Result<(), OrderError>, String> {
    let number = |text: &str| text.parse::<u8>().map_err(|_| format!("`{text}`: expected a small whole number"));
    Ok(match words {
        ["sms", from, to, text @ ..] if !text.is_empty() => exchange.message(now, from, to, &text.join(" ")),
        ["sim", to] => exchange.remove_sim(now, to),
        ["sim", to, "in"] => exchange.insert_sim(now, to),
        ["fallback", to, millis] => exchange.fallback(to, Duration::from_millis(whole(millis)?)),
        ["register", to, state] => exchange.registration(now, to, number(state)?),
        ["signal", to, rssi] => exchange.level(now, to, number(rssi)?),
        ["waiting", to, how @ ("on" | "off")] => exchange.waiting(to, *how == "on"),
        _ => return Err(UNKNOWN.to_string()),
    })
}

const UNKNOWN: &str = "orders are call, hangup, dtmf, tone, unplug, plug, restart, faults, sms, sim, register, signal, waiting, fallback, jump, \
                       quit; --help explains them";

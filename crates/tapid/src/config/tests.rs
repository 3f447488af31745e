use super::*;

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse(Path::new("tapid.toml"), text)
}

fn problem(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

const SIP: &str = r#"
[[sip]]
name = "office"
listen = "127.0.0.1:5070"
lines = [{ name = "sip:trunk", user = "100", domain = "example.org", peers = ["192.0.2.0/24"] }]
"#;

#[test]
fn an_empty_file_is_a_quiet_daemon() {
    let config = parse("").unwrap();
    // Whoever runs the daemon may do everything.
    let options = config.options.clone();
    assert_eq!(config, Config { options, ..Config::default() });
}

#[test]
fn a_sip_provider_is_read_whole() {
    let config = parse(SIP).unwrap();
    let [ProviderConfig { name, kind: Kind::Sip(sip), .. }] = &config.providers[..] else { panic!("{config:?}") };
    assert_eq!(name, "office");
    assert_eq!(sip.listen, "127.0.0.1:5070".parse().unwrap());
    assert_eq!(sip.lines[0].peers, ["192.0.2.0/24"]);
    assert_eq!(sip.lines[0].max_calls, 100);
    assert_eq!(sip.timers, tsp_sip::Timers::default());
}

#[test]
fn a_syntax_error_tells_where() {
    let message = problem("[daemon]\nsocket = \n");
    assert!(message.starts_with("tapid.toml:2:"), "{message}");
}

#[test]
fn an_unknown_key_tells_where_and_what_was_meant() {
    let message = problem("[rtp]\naddress = \"127.0.0.1\"\nprots = \"20000-20010\"\n");
    assert!(message.starts_with("tapid.toml:3:1: unknown field `prots`"), "{message}");
    assert!(message.ends_with("did you mean `ports`?"), "{message}");
}

#[test]
fn what_the_shape_cannot_say_is_told_all_at_once() {
    let text = r#"[daemon]
socket = "api.sock"
socket_mode = "rw"
[rtp]
address = "0.0.0.0"
ports = "20-10"
[[sip]]
name = "a"
listen = "0.0.0.0:5060"
lines = [{ name = "sip:a", user = "a", domain = "x", peers = ["10.0.0.0/33"] }]
[[sip]]
name = "a"
listen = "127.0.0.1"
lines = [{ name = "sip:a", user = "a", domain = "x", proxy = "no host" }]
"#;
    let message = problem(text);
    let lines: Vec<&str> = message.lines().collect();
    for (line, what) in [
        ("2:10", "socket: expected a path from the root"),
        ("3:15", "socket_mode"),
        ("5:11", "address: 0.0.0.0 cannot be told to a peer"),
        ("6:9", "ports: expected a range"),
        ("9:10", "listen: name one address"),
        ("10:63", "network's length is 0 to 32"),
        ("12:8", "provider a is there already, in line 8"),
        ("14:19", "line sip:a is there already, in line 10"),
        ("14:62", "proxy: expected host"),
    ] {
        let found = lines.iter().any(|said| said.starts_with(&format!("tapid.toml:{line}: ")) && said.contains(what));
        assert!(found, "no message at {line} with {what:?} in:\n{message}");
    }
    assert_eq!(lines.len(), 9, "{message}");
}

#[test]
fn a_modem_has_a_profile_and_a_line_of_its_own() {
    let config = parse("[[modem]]\nname = \"desk\"\ndevice = \"/dev/ttyACM0\"\n").unwrap();
    let [ProviderConfig { kind: Kind::Modem(modem), .. }] = &config.providers[..] else { panic!("{config:?}") };
    assert_eq!(modem.modem.line_name, "modem:desk");
    assert!(matches!(modem.profile, ProfileSource::Auto { .. }));
    assert_eq!((modem.baud, modem.flow, &modem.transcript), (None, None, &None));
    let text = "[[modem]]\nname = \"desk\"\ndevice = \"/dev/ttyACM0\"\n";
    let config = parse(&format!("{text}profile = \"usr5637\"\n")).unwrap();
    let [ProviderConfig { kind: Kind::Modem(modem), .. }] = &config.providers[..] else { panic!("{config:?}") };
    assert!(matches!(&modem.profile, ProfileSource::Is(profile) if profile.id == "usr5637"));
    let message = problem(&format!("{text}profile = \"x\"\n"));
    assert!(message.starts_with("tapid.toml:4:11: profile: there is no `x`; there are auto, 27007, "), "{message}");
    let message = problem("[[modem]]\nname = \"desk\"\ndevice = \"/dev/ttyACM0\"\nprofile_file = \"none.toml\"\n");
    assert!(message.starts_with("tapid.toml:4:16: profile_file: none.toml"), "{message}");
}

#[test]
fn an_analogue_line_has_the_services_of_its_exchange() {
    let modem = |key: &str| parse(&format!("[[modem]]\nname = \"desk\"\ndevice = \"/dev/ttyACM0\"\n{key}\n"));
    let office = |key: &str| match &modem(key).unwrap().providers[..] {
        [ProviderConfig { kind: Kind::Modem(modem), .. }] => modem.modem.office.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(office(""), tsp_modem::Office::default());
    assert_eq!(office("office = \"etsi\"").swap, "!2");
    let own = office("office = { inherits = \"pbx\", transfer = \"!7\" }");
    assert_eq!((own.hold.as_str(), own.transfer.as_str()), ("!", "!7"));
    let message = problem("[[modem]]\nname = \"desk\"\ndevice = \"/dev/ttyACM0\"\noffice = \"x\"\n");
    assert!(message.contains("office: inherits: there is no `x`; there are none, pbx,"), "{message}");
}

#[test]
fn a_modem_may_complete_the_name_of_its_line() {
    let modem = |name: &str, line: &str| {
        format!("[[modem]]\nname = {name:?}\ndevice = \"/dev/{name}\"\nline_name = {line:?}\n")
    };
    let two = modem("a", "gsm:{imei}") + &modem("b", "gsm:{imei}");
    assert_eq!(parse(&two).unwrap().providers.len(), 2, "each has an IMEI of its own");
    let message = problem(&modem("a", "gsm:{imie}"));
    assert!(message.starts_with("tapid.toml:4:") && message.contains("{imei}, {serial} or {name}"), "{message}");
    let message = problem("[modems]\nline_name = \"gsm\"\nmodem_manager = \"here\"\n");
    assert!(message.contains("a name of its own") && message.contains("modem_manager: expected"), "{message}");
    let config = parse("[modems]\nline_name = \"gsm:{imei}\"\nmodem_manager = \"off\"\n").unwrap();
    assert_eq!(config.modems.line_name.as_deref(), Some("gsm:{imei}"));
    assert_eq!(config.modems.modem_manager, crate::dbus::Bus::Off);
}

#[test]
fn a_cellular_modem_has_a_pin_that_no_message_shows() {
    let with =
        |keys: &str| format!("[[modem]]\nname = \"dongle\"\ndevice = \"/dev/ttyUSB2\"\ncellular = {{ {keys} }}\n");
    let config = parse(&with("pin = \"0942\", allow_emergency = true, emergency_numbers = [\"112\"]")).unwrap();
    let [ProviderConfig { kind: Kind::Modem(modem), .. }] = &config.providers[..] else { panic!("{config:?}") };
    let cellular = &modem.modem.cellular;
    assert_eq!(cellular.pin.clone().map(String::from).as_deref(), Some("0942"));
    assert_eq!((cellular.allow_emergency, &cellular.emergency_numbers[..]), (true, &["112".to_string()][..]));
    assert!(!format!("{config:?}").contains("0942"));
    for (keys, said) in [
        ("pin = 8642", "tapid.toml:4:20: pin: expected 4 to 8 digits in quotation marks"),
        ("pin = \"86x42\"", "tapid.toml:4:20: pin: a PIN has 4 to 8 digits"),
        ("pin = \"8642\", pin_file = \"pin\"", "tapid.toml:4:39: at most one of pin, pin_file"),
        ("pin_file = \"none\"", "tapid.toml:4:25: pin_file: none: "),
        ("emergency_numbers = [\"a\"]", "tapid.toml:4:35: emergency_numbers: expected digits"),
        ("allow_emergencies = true", "tapid.toml:4:14: unknown field `allow_emergencies`"),
    ] {
        let message = problem(&with(keys));
        assert!(message.starts_with(said) && !message.contains("86"), "{message}");
    }
}

#[test]
fn profiles_of_directories_are_read_and_what_is_wrong_with_them_is_told() {
    let directory = std::env::temp_dir().join(format!("tapid-profiles-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("mine.toml"), "inherits = \"v253\"\nid = \"mine\"\ndescription = \"mine\"\n")
        .unwrap();
    let text = format!("[modems]\nprofiles = [{directory:?}]\n");
    let modem = "[[modem]]\nname = \"desk\"\ndevice = \"/dev/ttyACM0\"\nprofile = \"mine\"\n";
    let config = parse(&format!("{text}{modem}")).unwrap();
    let [ProviderConfig { kind: Kind::Modem(modem), .. }] = &config.providers[..] else { panic!("{config:?}") };
    assert!(matches!(&modem.profile, ProfileSource::Is(profile) if profile.id == "mine"));
    std::fs::write(directory.join("other.toml"), "inherits = \"v253\"\nid = \"other\"\nbaud = 5\n").unwrap();
    let message = problem(&text);
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(message.starts_with("tapid.toml:2:13: profiles: ") && message.contains("other.toml: line 3"), "{message}");
    let message = problem("[modems]\ndirectory = \"/nonexistent\"\nsettle_ms = 0\ntranscript = true\n");
    for said in ["2:13: directory: /nonexistent", "3:13: settle_ms: expected 1", "4:14: transcript: name a path"] {
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn loopback_lines_are_counted_and_named() {
    let config = parse("[[loopback]]\nname = \"loop\"\n[[loopback]]\nname = \"more\"\nlines = 3\n").unwrap();
    let lines = |provider: &ProviderConfig| match &provider.kind {
        Kind::Loopback(loopback) => (loopback.name.clone(), loopback.lines),
        other => panic!("{other:?}"),
    };
    let lines: Vec<_> = config.providers.iter().map(lines).collect();
    assert_eq!(lines, [("loop".to_string(), 2), ("more".to_string(), 3)]);
    for (text, said) in [
        ("[[loopback]]\nname = \"a\"\nlines = 0\n", "tapid.toml:3:9: lines: expected 1 to 100"),
        ("[[loopback]]\nname = \"a\"\nlines = 4000000000\n", "tapid.toml:3:9: lines: expected 1 to 100"),
        ("[[loopback]]\nlines = 2\nname = \"a b\"\n", "tapid.toml:3:8: name: expected 1 to 64 letters"),
        ("[[loopback]]\nname = \"a\"\nline = 2\n", "tapid.toml:3:1: unknown field `line`"),
        (
            "[[modem]]\nname = \"m\"\ndevice = \"/dev/ttyACM0\"\nline_name = \"a:1\"\n[[loopback]]\nname = \"a\"\n",
            "tapid.toml:6:8: line a:1 is there already, in line 4",
        ),
    ] {
        let message = problem(text);
        assert!(message.starts_with(said), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let error = Config::load(Some(Path::new("/nonexistent/tapid.toml"))).unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent/tapid.toml: "), "{error}");
}

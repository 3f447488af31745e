//! Profiles: reading, inheriting, and what is wrong with them.

use super::catalogue::BUILTIN;
use super::*;

#[test]
fn the_profiles_of_the_crate_are_good() {
    for (id, toml) in BUILTIN {
        let profile = Profile::parse(toml).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(profile.id, *id);
        let kept: Profile = serde_json::from_str(&serde_json::to_string(&profile).unwrap()).unwrap();
        assert_eq!(kept, profile);
    }
    assert_eq!(Profile::builtin("nothing"), None);
}

#[test]
fn errors_name_their_place() {
    let good = BUILTIN[0].1;
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        Profile::parse(&good.replacen(from, to, 1)).unwrap_err()
    };
    let line_of = |text: &str| good[..good.find(text).unwrap()].matches('\n').count() + 1;

    let unknown = with("[voice]\n", "[voice]\nvoise = 1\n");
    assert_eq!((unknown.line, unknown.column), (line_of("[voice]") + 1, 1), "{unknown}");
    assert!(unknown.message.contains("voise"), "{unknown}");

    let bad_type = with("retry = ", "retry = \"x\" #");
    assert_eq!(bad_type.line, line_of("retry = "), "{bad_type}");

    let no_hole = with("ATDT{n}", "ATDT");
    assert_eq!((no_hole.line, no_hole.column), (line_of("dial = \"ATDT"), 1), "{no_hole}");

    let rate = with("rate = 8000", "rate = 4000");
    assert!(rate.message.contains("4000"), "{rate}");
    assert_eq!(rate.line, line_of("methods = "), "{rate}");
}

#[test]
fn a_profile_changes_the_one_that_it_inherits() {
    let own = "inherits = \"v253\"\nid = \"desk\"\ndescription = \"the one on the desk\"\n[voice]\nhangup = [\"AT+VLS=0\"]\n\
               supervise = { ringback_gone_ms = 5500 }\n[timeouts_ms]\ninter_cmd = 100\n";
    let base = Profile::builtin("v253").unwrap();
    let mut expected = Profile {
        id: "desk".into(),
        description: "the one on the desk".into(),
        confirmed: String::new(),
        score: 0,
        matches: Vec::new(),
        ..base
    };
    expected.timeouts_ms.inter_cmd = 100;
    let voice = expected.voice.as_mut().unwrap();
    voice.hangup = vec!["AT+VLS=0".into()];
    voice.supervise.ringback_gone_ms = 5_500;
    assert_eq!(Profile::parse(own).unwrap(), expected);

    for (from, to, line, words) in [
        ("inherits = \"v253\"", "inherits = \"v254\"", 1, "there is no profile \"v254\""),
        ("inherits = \"v253\"", "inherits = 1", 1, "name of a profile"),
        ("inter_cmd = 100", "inter_cmd = \"x\"", 8, "expected u32"),
        ("inter_cmd = 100", "inter_command = 1", 8, "unknown field `inter_command`"),
        ("hangup = [\"AT+VLS=0\"]", "hangup = []", 5, "no command hangs up"),
        ("[voice]", "scores = 1\n[voice]", 4, "unknown field `scores`"),
        ("hangup = [", "hangup = ", 5, ""),
    ] {
        let error = Profile::parse(&own.replacen(from, to, 1)).unwrap_err();
        assert_eq!(error.line, line, "{to}: {error}");
        assert!(error.message.contains(words), "{to}: {error}");
    }
}

#[test]
fn layers_lie_above_one_another() {
    let mut catalogue = Catalogue::builtin().clone();
    let desk = "inherits = \"v253\"\nid = \"desk\"\ndescription = \"desk\"\nscore = 99\nmatch = [{ usb = \"0572:*\" }]\n\
                [timeouts_ms]\ninter_cmd = 70\n";
    let child = "inherits = \"desk\"\nid = \"child\"\ndescription = \"child\"\n";
    // In any order; what matches a device is not inherited.
    assert_eq!(catalogue.add_layer(&[("child", child), ("desk", desk)]), []);
    let read = catalogue.named("child").unwrap();
    assert_eq!((read.timeouts_ms.inter_cmd, read.score, read.matches.len()), (70, 0, 0));
    // A layer above may change the profile of the same name.
    let above = "inherits = \"v253\"\nid = \"v253\"\n[timeouts_ms]\nhangup = 9000\n";
    let bad = "inherits = \"nobody\"\nid = \"x\"\n";
    let wrong = catalogue.add_layer(&[("above", above), ("bad", bad), ("worse", "id = ")]);
    assert_eq!(catalogue.named("v253").unwrap().timeouts_ms.hangup, 9_000);
    let wrong: Vec<_> = wrong.iter().map(|(name, error)| format!("{name}: {error}")).collect();
    assert!(wrong[1].starts_with("bad: line 1, column 1: there is no profile \"nobody\""), "{wrong:?}");
    assert!(wrong[0].starts_with("worse: line 1, column "), "{wrong:?}");
    // A circle.
    let circle = |id: &str, base: &str| format!("inherits = \"{base}\"\nid = \"{id}\"\ndescription = \"\"\n");
    let (a, b) = (circle("a", "b"), circle("b", "a"));
    let wrong = catalogue.add_layer(&[("a", &a), ("b", &b)]);
    assert_eq!(wrong.len(), 2);
    assert!(wrong[0].1.message.contains("inherits itself"), "{wrong:?}");
}

#[test]
fn directories_are_layers() {
    let dir = std::env::temp_dir().join(format!("tsp-modem-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("desk.toml"), "inherits = \"v253\"\nid = \"desk\"\ndescription = \"desk\"\n").unwrap();
    std::fs::write(dir.join("bad.toml"), "id = 1").unwrap();
    std::fs::write(dir.join("README"), "no profile").unwrap();
    let (catalogue, wrong) = Catalogue::load(&[std::path::Path::new("/nowhere/at/all"), &dir]);
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(catalogue.named("desk").is_some() && catalogue.named("v253").is_some());
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].to_string().contains("bad.toml: line 1"), "{}", wrong[0]);
}

#[test]
fn a_device_is_asked_no_more_than_can_matter() {
    let mut catalogue = Catalogue::builtin().clone();
    let profile = |id: &str, score: u32, rules: &str| {
        format!("inherits = \"v253\"\nid = \"{id}\"\ndescription = \"\"\nscore = {score}\nmatch = [{rules}]\n")
    };
    let usb = profile("by-usb", 900, "{ usb = \"0572:13*\", driver = \"cdc_acm\" }");
    let ident = profile("by-ident", 800, "{ ati0 = \"56000\", ati3 = \"CX930*\" }");
    assert_eq!(catalogue.add_layer(&[("a", &usb), ("b", &ident)]), []);
    let clues = Clues::new().usb(0x0572, 0x1329).driver("cdc_acm");
    assert_eq!(catalogue.pick(&clues).unwrap().id, "by-usb");
    assert_eq!(catalogue.question(&clues), None, "nothing that it says could change that");

    let mut clues = Clues::new().usb(0x0572, 0x1329);
    let mut asked = Vec::new();
    while let Some(question) = catalogue.question(&clues) {
        let lines: &[&str] = match question {
            Question::Ati0 => &["56000"],
            Question::Ati3 => &["CX93001-EIS_V0.2002-V92"],
            _ => &[],
        };
        clues.answered(question, &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        asked.push(question);
        assert!(asked.len() < 20, "{asked:?}");
    }
    assert_eq!(catalogue.pick(&clues).unwrap().id, "by-ident");
    assert!(asked.ends_with(&[Question::Ati3]), "{asked:?}");

    let mut clues = Clues::new();
    while let Some(question) = catalogue.question(&clues) {
        let answer = if question == Question::Fclass { "0,1,8" } else { "" };
        clues.answered(question, &[answer.to_owned()]);
    }
    assert_eq!(catalogue.pick(&clues).unwrap().id, "v253");
}

/// What is said of itself by devices of a family, and the profile that they get.
#[test]
fn devices_get_the_profile_of_their_family() {
    let answers = |rows: &'static [(Question, &'static str)]| {
        move |question: Question| -> Vec<String> {
            let line = rows.iter().find(|(asked, _)| *asked == question);
            line.map(|(_, line)| (*line).to_owned()).into_iter().collect()
        }
    };
    type Say<'a> = &'a dyn Fn(Question) -> Vec<String>;
    let conexant = answers(&[
        (Question::Ati0, "56000"),
        (Question::Ati3, "CX93001-EIS_V0.2002-V92"),
        (Question::Fclass, "0,1,1.0,2,8"),
    ]);
    let smartlink = answers(&[
        (Question::Ati, "SmartLink Soft Modem"),
        (Question::Gmi, "Smart Link Ltd."),
        (Question::Fclass, "0,1,8"),
    ]);
    let iaxmodem =
        answers(&[(Question::Ati, "spandsp"), (Question::Ati3, "www.soft-switch.org"), (Question::Fclass, "0,1,1.0")]);
    let rockwell = answers(&[(Question::Ati3, "V1.300-V34_DS"), (Question::Fclass, "0,1,2"), (Question::Cls, "0,1,8")]);
    let plain = answers(&[(Question::Fclass, "0,1,8")]);
    let silent = answers(&[]);
    let rows: [(Clues, Say<'_>, Option<&str>); 9] = [
        (Clues::new(), &conexant, Some("conexant-cx93001")),
        (Clues::new().usb(0x0572, 0x1329).driver("cdc_acm"), &silent, Some("conexant-cx93001")),
        (Clues::new().usb(0x0803, 0x3095).driver("cdc_acm"), &conexant, Some("zoom-3095")),
        (Clues::new().usb(0x0baf, 0x0303), &silent, Some("usr5637")),
        (Clues::new(), &smartlink, Some("smartlink")),
        (Clues::new(), &rockwell, Some("rockwell-hashv")),
        (Clues::new(), &plain, Some("v253")),
        (Clues::new(), &iaxmodem, None),
        (Clues::new(), &silent, None),
    ];
    for (mut clues, say, expected) in rows {
        while let Some(question) = Catalogue::builtin().question(&clues) {
            clues.answered(question, &say(question));
        }
        assert_eq!(Catalogue::builtin().pick(&clues).map(|profile| profile.id.as_str()), expected, "{clues:?}");
    }
}

#[test]
fn every_profile_keeps_to_the_rules() {
    for profile in Catalogue::builtin().profiles() {
        let id = &profile.id;
        assert!(
            !profile.description.is_empty() && !profile.confirmed.is_empty(),
            "{id}: what is confirmed is not said"
        );
        assert!(profile.matches.iter().all(|one| !one.0.is_empty()), "{id}: an empty match holds for everything");
        assert!(id == "phonesim" || !profile.matches.is_empty(), "{id}: nothing picks it");
    }
}

/// What a user writes is checked as much as what comes with the crate.
#[test]
fn a_users_profile_is_held_to_the_rules_too() {
    let read = |section: &str, line: &str| {
        let base = if section.starts_with("cell") || section == "recover" { "27007" } else { "v253" };
        let text = format!("inherits = \"{base}\"\nid = \"x\"\ndescription = \"x\"\n[{section}]\n{line}\n");
        Profile::parse(&text)
    };
    for (section, line, wrong) in [
        ("cell", "dial = \"ATD{number};\"", "has no {n}"),
        ("cell", "dial = \"ATD{n}{x};\"", "nobody fills: known are {n}"),
        ("cell", "answer = \"A\"", "does not begin with AT"),
        ("cell", "answer = \"\"", "must not be empty"),
        ("cell", "swap = \"AT+CHLD=2{i}\"", "known are none"),
        ("cell", "split = \"AT+CHLD=2\"", "has no {i}"),
        ("cell", "audio_start = [\"AT+CPCMREG=1\", \"CPCM\"]", "does not begin with AT"),
        (
            "cell",
            "voice_check = { ask = \"^CVOICE?\", prefix = \"^CVOICE:\", able = [\"0\"] }",
            "does not begin with AT",
        ),
        ("cell.sms", "setup = [\"CMGF=0\"]", "does not begin with AT"),
        ("recover", "reset = [\"CFUN\"]", "does not begin with AT"),
        ("recover", "reset_ms = 10", "must be between 1000 and 120000"),
        ("timeouts_ms", "dial = 900", "must be between 10000 and 180000"),
        ("timeouts_ms", "ring_gone = 900", "must be between 6500 and 20000"),
        ("voice", "answer = \"AT+VLS={1}\"", "nobody fills"),
        ("voice", "setup = [\"AT+VIT=0\\u0007\"]", "characters of ASCII"),
        ("audio", "duplex = \"VTR\"", "does not begin with AT"),
    ] {
        let error = read(section, line).expect_err(line);
        assert!(error.message.contains(wrong), "{section} {line}: {error}");
        assert!(section == "cell.sms" || error.line == 5, "{section} {line}: {error}");
    }
    assert_eq!(read("cell", "own_number = \"\"").map(|profile| profile.id), Ok("x".to_owned()));
}

/// What would only show when a call is made is told when the profile is read, with its place.
#[test]
fn a_profile_that_cannot_work_is_told_when_it_is_read() {
    for (section, line, why) in [
        ("voice", "enter = \"FCLASS=8\"", "does not begin with AT"),
        ("voice", "answer = \"AT+VLS={label}\"", "nobody fills"),
        ("voice", "dial = \"ATDT{n}{x};\"", "nobody fills: known are {n}"),
        ("voice", "hangup = [\"ATH\", \"AT\\u0007\"]", "characters of ASCII"),
        ("voice", "distinctive = \"AT+VDR=1,1|VDR\"", "does not begin with AT"),
        ("voice", "answer_ok = []", "no result would ever mean that it worked"),
        ("audio", "record = \"+VRX\"", "does not begin with AT"),
        ("audio", "methods = [{ vsm = \"AT+VSM={n}\", fmt = \"u8\", rate = 8000 }]", "has a hole"),
        ("audio", "turn_ms = 10", "must be between 100 and 10000"),
        ("timeouts_ms", "default = 50", "must be between"),
        ("timeouts_ms", "dial = 4000000", "must be between"),
        ("init", "seq = [\"ATZ\", \"AT{x}\"]\noptional = []", "has a hole"),
    ] {
        let text = format!("inherits = \"v253\"\nid = \"own\"\n[{section}]\n{line}\n");
        let error = Profile::parse(&text).unwrap_err();
        assert!(error.message.contains(why), "{line}: {error}");
        assert_eq!((error.line, error.column), (4, 1), "{line}: {error}");
    }
}

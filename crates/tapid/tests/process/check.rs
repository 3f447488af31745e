//! `--check`, `--version`, `--help`.

use crate::daemon::Directory;
use std::process::{Command, Output};

fn tapid(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tapid")).args(arguments).output().unwrap()
}

fn check(text: &str) -> (Option<i32>, String) {
    let directory = Directory::new();
    let file = directory.path("tapid.toml");
    std::fs::write(&file, text).unwrap();
    let output = tapid(&["--check", "--config", file.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap().replace(file.to_str().unwrap(), "tapid.toml");
    (output.status.code(), said)
}

#[test]
fn a_good_configuration_is_0_and_silent_on_standard_error() {
    assert_eq!(check("[rtp]\nports = \"20000-20009\"\n"), (Some(0), String::new()));
}

#[test]
fn a_bad_one_is_1_and_says_file_line_and_column() {
    let (code, said) = check("[daemon]\nsocket = \"/tmp/x\"\nsocket_mod = \"0660\"\n");
    assert_eq!(code, Some(1));
    assert!(said.starts_with("tapid.toml:3:1: unknown field `socket_mod`"), "{said}");
    assert!(said.trim_end().ends_with("did you mean `socket_mode`?"), "{said}");

    let (code, said) = check("[[sip]]\nname = \"a\"\nlisten = \"127.0.0.1\"\nlines = []\n[[sip]]\nlisten = 5\n");
    assert_eq!(code, Some(1));
    assert!(said.starts_with("tapid.toml:6:10: "), "{said}");

    let (code, said) = check("[rtp\n");
    assert_eq!(code, Some(1));
    assert!(said.starts_with("tapid.toml:1:"), "{said}");
}

#[test]
fn a_file_that_is_missing_is_1_and_wrong_arguments_are_2() {
    let output = tapid(&["--check", "--config", "/nonexistent.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("/nonexistent.toml: "));
    assert_eq!(tapid(&["--chekc"]).status.code(), Some(2));
}

#[test]
fn version_and_help_are_told() {
    let version = tapid(&["--version"]);
    assert!(version.status.success());
    assert_eq!(String::from_utf8(version.stdout).unwrap(), format!("tapid {}\n", env!("CARGO_PKG_VERSION")));
    let help = String::from_utf8(tapid(&["--help"]).stdout).unwrap();
    for what in ["--config", "--check", "--socket", "--log-format", "USR2"] {
        assert!(help.contains(what), "{what} is missing in:\n{help}");
    }
}

#[test]
fn the_example_configuration_is_good() {
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tapid.toml.example");
    let output = tapid(&["--check", "--config", example.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_configurations_of_trunks_are_good() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/trunks.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 5, "{}", blocks.len());
    for block in blocks {
        let (code, said) = check(block);
        assert_eq!(code, Some(0), "{said}\n{block}");
    }
}

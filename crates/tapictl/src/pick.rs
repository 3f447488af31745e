//! Which line or call is meant.

use crate::failure::{Code, Failure};
use tapi::{Call, Line};

/// The call that an id names, or the beginning or end of one; a `uid` does as well.
pub fn call<'a>(calls: &'a [Call], wanted: &str) -> Result<&'a Call, Failure> {
    let id = |call: &Call| call.info.call.to_string();
    let tries: [&dyn Fn(&Call) -> bool; 4] = [
        &|call| id(call) == wanted || call.info.uid == wanted,
        &|call| id(call).starts_with(wanted),
        &|call| id(call).ends_with(wanted),
        &|call| call.info.uid.ends_with(wanted),
    ];
    pick(calls, wanted, &tries)
        .map_err(|fits| fail("call", wanted, &fits.iter().map(|call| id(call)).collect::<Vec<_>>()))
}

/// The line that an id or a name names, or the beginning of a name, with or without its scheme.
pub fn line<'a>(lines: &'a [Line], wanted: &str) -> Result<&'a Line, Failure> {
    let tries: [&dyn Fn(&Line) -> bool; 4] = [
        &|line| line.line.to_string() == wanted,
        &|line| line.name == wanted,
        &|line| line.name.starts_with(wanted),
        &|line| line.name.split_once(':').is_some_and(|(_, rest)| rest.starts_with(wanted)),
    ];
    pick(lines, wanted, &tries)
        .map_err(|fits| fail("line", wanted, &fits.iter().map(|line| line.name.clone()).collect::<Vec<_>>()))
}

/// The only one that the first fitting try finds, or all those it finds.
fn pick<'a, T>(items: &'a [T], wanted: &str, tries: &[&dyn Fn(&T) -> bool]) -> Result<&'a T, Vec<&'a T>> {
    if wanted.is_empty() {
        return Err(Vec::new());
    }
    for fits in tries {
        let found: Vec<&T> = items.iter().filter(|item| fits(item)).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one),
            _ => return Err(found),
        }
    }
    Err(Vec::new())
}

fn fail(what: &str, wanted: &str, fits: &[String]) -> Failure {
    match fits {
        [] => Failure::new(Code::NoSuchObject, format!("there is no {what} {wanted:?}"))
            .with_hint(format!("tapictl {what}s")),
        _ => Failure::new(Code::NoSuchObject, format!("{what} {wanted:?} may be any of {}", fits.join(", ")))
            .with_hint("more of it, so that only one fits"),
    }
}

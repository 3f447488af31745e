//! Asks a cellular modem for its IMEI (27.007 clause 5.4), which is its name for ever: once, before it becomes a line.

use crate::provider::ports::Serial;
use std::future::poll_fn;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;
use tsp_modem::profile::Flow;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(3);

/// The most that is read of it, in bytes.
const LONGEST: usize = 4_096;

/// The IMEI, asked at a port whose lock file is in `locks`; none where the modem does not tell it.
pub async fn ask(node: PathBuf, locks: Option<PathBuf>) -> Option<String> {
    let mut port = match Serial::open(node, 115_200, Flow::None, locks).await {
        Ok(port) => port,
        Err(error) => {
            tracing::info!(%error, "a modem cannot be asked for its IMEI");
            return None;
        }
    };
    // The first command ends whatever was begun; its answer tells that somebody is there.
    for command in ["ATE0V1\r", "AT+CGSN\r"] {
        port.write(command.as_bytes()).ok()?;
        let answer = timeout(ANSWER, read(&mut port)).await.ok()??;
        if let Some(imei) = find(&answer) {
            return Some(imei);
        }
    }
    None
}

/// Reads until a final result.
async fn read(port: &mut Serial) -> Option<String> {
    let (mut text, mut buffer) = (String::new(), [0; 256]);
    while text.len() < LONGEST {
        let count = poll_fn(|context| port.poll(context, &mut buffer)).await.ok()?;
        text.push_str(&String::from_utf8_lossy(buffer.get(..count)?));
        if text.lines().any(|line| matches!(line.trim(), "OK" | "ERROR") || line.starts_with("+CME ERROR")) {
            break;
        }
    }
    Some(text)
}

/// A line of 14 to 16 digits, perhaps with `+CGSN:` before it, perhaps quoted.
fn find(answer: &str) -> Option<String> {
    let plain = |line: &str| line.trim().trim_start_matches("+CGSN:").trim().trim_matches('"').to_owned();
    let is = |line: &String| (14..=16).contains(&line.len()) && line.bytes().all(|byte| byte.is_ascii_digit());
    answer.lines().map(plain).find(is)
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn an_imei_is_found_however_it_is_written() {
        for (answer, imei) in [
            ("\r\n356938035643809\r\n\r\nOK\r\n", Some("356938035643809")),
            ("+CGSN: \"356938035643809\"\r\nOK\r\n", Some("356938035643809")),
            ("\r\nERROR\r\n", None),
            ("\r\n12345\r\nOK\r\n", None),
        ] {
            assert_eq!(find(answer).as_deref(), imei, "{answer:?}");
        }
    }
}

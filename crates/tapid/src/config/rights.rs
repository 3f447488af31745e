//! Who may do what, what becomes of calls that nobody takes, and what is written down of calls.

use super::Config;
use super::check::{Checker, group_id, user_id};
use super::file::{File, LinePolicy, RightsRule};
use crate::dbus::Bus;
use tapi::{DisconnectMode, IncomingPolicy, Names, Right, TransferWay};
use tapi_core::{Rights, Rule};
use toml::Spanned;

impl Checker<'_> {
    /// A bus.
    pub(super) fn bus(&mut self, text: &Spanned<String>, key: &str) -> Option<Bus> {
        let bus = Bus::parse(text.as_ref());
        if bus.is_none() {
            let expected = "expected \"system\", \"session\", \"off\" or an address such as \"unix:path=/run/bus\"";
            self.wrong(text, format!("{key}: {expected}"));
        }
        bus
    }

    /// `[[rights]]`, `[[policy]]`, and what of `[daemon]` goes with them.
    pub(super) fn options(&mut self, config: &mut Config, file: &File) {
        if let Some(ledger) = &file.daemon.ledger {
            self.absolute(ledger, "ledger");
            config.ledger = Some(ledger.as_ref().clone());
        }
        if let Some(bus) = &file.dbus.bus {
            config.bus = self.bus(bus, "bus").unwrap_or_default();
        }
        if let Some(country) = &file.daemon.country {
            let text = country.as_ref().to_ascii_lowercase();
            if text.len() != 2 || !text.bytes().all(|byte| byte.is_ascii_lowercase()) {
                self.wrong(country, "country: expected two letters such as \"de\"");
            }
            config.options.country = text;
        }
        config.options.opus = cfg!(feature = "opus");
        config.options.priorities = file.daemon.priority.iter().map(|app| app.as_ref().clone()).collect();
        let rules = file.rights.iter().map(|rule| self.rule(rule)).collect();
        config.options.rights = Rights::Rules {
            everything: vec![0, nix::unistd::geteuid().as_raw()],
            users: config.allow_users.clone(),
            groups: config.allow_groups.clone(),
            rules,
        };
        for policy in &file.policy {
            let lines = self.globs(&policy.lines);
            if let Some(policy) = self.policy(policy) {
                config.options.policies.push(tapi_core::LinePolicy { lines, policy });
            }
        }
    }

    fn globs(&mut self, lines: &[Spanned<String>]) -> Vec<String> {
        for line in lines.iter().filter(|line| line.as_ref().is_empty()) {
            self.wrong(line, "lines: expected names of lines, * for any text");
        }
        lines.iter().map(|line| line.as_ref().clone()).collect()
    }

    fn rule(&mut self, rule: &RightsRule) -> Rule {
        let mut allow = Names::new();
        for name in &rule.allow {
            let right = Right::from(name.as_ref().as_str());
            if let Right::Other(_) = right {
                let known: Vec<&str> = Right::KNOWN.iter().map(Right::as_str).collect();
                self.wrong(
                    name,
                    format!("allow: there is no right `{}`; there are {}", name.as_ref(), known.join(", ")),
                );
            } else {
                allow.insert(right);
            }
        }
        Rule {
            lines: self.globs(&rule.lines),
            users: rule.users.iter().filter_map(|user| self.account(user, "user", user_id)).collect(),
            groups: rule.groups.iter().filter_map(|group| self.account(group, "group", group_id)).collect(),
            allow,
        }
    }

    fn policy(&mut self, policy: &LinePolicy) -> Option<IncomingPolicy> {
        let text = |field: &Option<Spanned<String>>| field.as_ref().map(|field| field.as_ref().clone());
        match policy.action.as_ref().as_str() {
            "reject" => {
                let cause = policy.cause.as_ref().map(|cause| {
                    let mode = DisconnectMode::from(cause.as_ref().as_str());
                    if let DisconnectMode::Other(_) = mode {
                        self.wrong(cause, format!("cause: there is no `{}`", cause.as_ref()));
                    }
                    mode
                });
                Some(IncomingPolicy::Reject { cause })
            }
            "ring" => {
                if let Some(timeout) = &policy.timeout_s {
                    self.within(timeout, "timeout_s", 1..=600);
                }
                let timeout_s = policy.timeout_s.as_ref().map_or(60, |timeout| *timeout.as_ref());
                Some(IncomingPolicy::Ring { timeout_s })
            }
            "play" => match text(&policy.file).filter(|file| !file.is_empty()) {
                Some(file) => Some(IncomingPolicy::Play { file }),
                None => {
                    self.wrong(&policy.action, "action \"play\" needs a file");
                    None
                }
            },
            "forward" => {
                let how = policy.how.as_ref().map(|how| {
                    let way = TransferWay::from(how.as_ref().as_str());
                    if let TransferWay::Other(_) = way {
                        self.wrong(how, "how: expected \"network\" or \"bridge\"");
                    }
                    way
                });
                let Some(to) = text(&policy.to).filter(|to| !to.is_empty()) else {
                    self.wrong(&policy.action, "action \"forward\" needs to");
                    return None;
                };
                Some(IncomingPolicy::Forward { to, line: text(&policy.line), how })
            }
            other => {
                let what = format!("action: `{other}` is neither reject, ring, play nor forward");
                self.wrong(&policy.action, what);
                None
            }
        }
    }
}

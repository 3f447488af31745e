//! How the calls of a SIP line are made.

use super::check::Checker;
use super::file::SipLine;
use tspi::media::Codec;

/// Names that `codecs` may hold.
const CODECS: [Codec; 4] = [Codec::Pcma, Codec::Pcmu, Codec::G722, Codec::Opus];

impl Checker<'_> {
    pub(super) fn calls(&mut self, line: &SipLine) -> tsp_sip::CallPolicy {
        let mut policy = tsp_sip::CallPolicy {
            reliable: line.reliable,
            refresher: line.refresher,
            offer: line.offer,
            hold_by: line.hold_by,
            srtp: line.srtp,
            trust_identity: line.trust_identity,
            identity: line.identity,
            digits: line.digits,
            redirects: line.redirects,
            transfers: line.transfers,
            refer: line.refer,
            ..tsp_sip::CallPolicy::default()
        };
        if let Some(least) = &line.min_se_s {
            self.within(least, "min_se_s", 90..=86_400);
            policy.min_se_s = *least.as_ref();
        }
        if let Some(expires) = &line.session_expires_s {
            let seconds = *expires.as_ref();
            if seconds != 0 && !(policy.min_se_s..=86_400).contains(&seconds) {
                let least = policy.min_se_s;
                self.wrong(expires, format!("session_expires_s: expected 0 (none), or {least} to 86400"));
            }
            policy.session_expires_s = Some(seconds).filter(|seconds| *seconds != 0);
        } else {
            policy.session_expires_s = policy.session_expires_s.map(|seconds| seconds.max(policy.min_se_s));
        }
        if let Some(ptime) = &line.ptime_ms {
            let millis = *ptime.as_ref();
            if !(10..=60).contains(&millis) || millis % 10 != 0 {
                self.wrong(ptime, "ptime_ms: expected 10, 20, 30, 40, 50 or 60");
            }
            policy.ptime_ms = millis;
        }
        for name in &line.codecs {
            match CODECS.iter().find(|codec| codec.as_str().eq_ignore_ascii_case(name.as_ref())) {
                Some(codec) if policy.codecs.contains(codec) => self.wrong(name, format!("codecs: {codec} twice")),
                Some(codec) => policy.codecs.push(codec.clone()),
                None => {
                    let known = CODECS.map(|codec| codec.to_string()).join(", ");
                    self.wrong(name, format!("codecs: no codec {}; there are {known}", name.as_ref()));
                }
            }
        }
        policy
    }
}

//! What the line is and can do.

use crate::profile::Kind;
use crate::{Config, Office, Profile};
use tapi::{BearerMode, Feature, LineCaps, LineFlag, MediaMode, Names, Service};
use tspi::{DigitsBy, LineDescription, MediaWire};

/// The line's description.
pub(crate) fn line(config: &Config, profile: &Profile, service: Service) -> LineDescription {
    let audible = profile.kind == Kind::Analogue || config.audio;
    LineDescription {
        name: config.line_name.clone(),
        description: profile.description.clone(),
        addresses: config.address.iter().cloned().collect(),
        caps: caps(profile, &config.office, audible),
        service,
        media: if audible { MediaWire::Frames } else { MediaWire::None },
        digits: match profile.kind {
            Kind::Analogue => DigitsBy::Media,
            Kind::Cellular => DigitsBy::Provider,
        },
    }
}

/// What it can do, with audio or without.
pub(crate) fn caps(profile: &Profile, office: &Office, audible: bool) -> LineCaps {
    let mut features = Names::from([Feature::Accept, Feature::Answer, Feature::Drop]);
    // The digits of an analogue line are tones in its audio.
    if audible || profile.kind == Kind::Cellular {
        features.extend([Feature::GenerateDigits]);
    }
    // A voice modem tells digits by its codes, too.
    if audible || profile.kind == Kind::Analogue {
        features.extend([Feature::MonitorDigits]);
    }
    if audible {
        features.extend([Feature::Play, Feature::Record, Feature::Bridge, Feature::Part]);
    }
    let mut flags = Names::new();
    let analogue = profile.kind == Kind::Analogue;
    for (able, flag) in [
        (profile.line.dialtone, LineFlag::DialDialtone),
        (profile.line.quiet, LineFlag::DialQuiet),
        (profile.line.billing, LineFlag::DialBilling),
        (analogue, LineFlag::AnswerGuessed),
        (analogue && !audible, LineFlag::Silent),
    ] {
        if able {
            flags.insert(flag);
        }
    }
    if !analogue {
        features.extend([Feature::Hold, Feature::Unhold, Feature::SwapHold]);
    } else {
        features.extend(recall_features(office));
    }
    let cell = profile.cell.as_ref();
    if cell.is_some_and(|cell| cell.transfer.is_some()) {
        features.extend([Feature::SetupTransfer, Feature::CompleteTransfer]);
    }
    if cell.is_some_and(|cell| cell.deflect.is_some()) {
        features.extend([Feature::Redirect]);
    }
    // Five in a conference of the network, and one beside it (TS 22.084).
    let conference = cell.is_some_and(|cell| cell.conference.is_some());
    LineCaps {
        bearer_modes: Names::from([BearerMode::Voice, BearerMode::Passthrough]),
        media_modes: Names::from([MediaMode::InteractiveVoice, MediaMode::AutomatedVoice]),
        call_features: features,
        flags,
        max_calls: if analogue {
            if office.has_second() { 2 } else { 1 }
        } else if conference {
            6
        } else {
            2
        },
        max_held_calls: if analogue {
            u32::from(office.has_second())
        } else if conference {
            5
        } else {
            1
        },
    }
}

/// What an analogue line can do by register recall, and by dialling in parts.
fn recall_features(office: &Office) -> Vec<Feature> {
    let swaps = [&office.swap, &office.swap_waiting].iter().any(|code| !code.is_empty());
    let table = [
        (true, Feature::Dial),
        (!office.hold.is_empty(), Feature::Hold),
        (office.has_second() && !office.back.is_empty(), Feature::Unhold),
        (office.has_second() && swaps, Feature::SwapHold),
        (!office.transfer.is_empty(), Feature::SetupTransfer),
        (!office.transfer.is_empty(), Feature::CompleteTransfer),
    ];
    table.into_iter().filter(|(able, _)| *able).map(|(_, feature)| feature).collect()
}

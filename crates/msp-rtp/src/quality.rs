//! How well a call is heard: an estimate by the E-model (ITU-T G.107) from what a stream measures.

use crate::codec::Audio;

/// Transmission rating without any impairment by packets (G.107 defaults).
const BASE: f64 = 93.2;
/// What a codec costs, and how well it bears loss (ITU-T G.113 appendix I, Ie and Bpl).
fn impairment(audio: Option<Audio>) -> (f64, f64) {
    match audio {
        // With concealment.
        Some(Audio::G711(_)) | None => (0.0, 25.1),
        // Not in the table for its lower band, which is ADPCM of 48 kbit/s: the row of ADPCM of 40 kbit/s. A loss is
        // concealed as with G.711.
        Some(Audio::G722) => (2.0, 25.1),
        // Not in the table: GSM-EFR's, the best of those that predict from the past, is no better.
        Some(Audio::Opus) => (5.0, 10.0),
    }
}

/// Hundredths of a mean opinion score, 100 to 450, from the delay from mouth to ear in milliseconds and the share of
/// frames that were not heard as they were said (0 to 1).
pub(crate) fn mos_x100(audio: Option<Audio>, delay_ms: f64, loss: f64) -> u16 {
    let (codec, robustness) = impairment(audio);
    let delay = 0.024 * delay_ms + if delay_ms > 177.3 { 0.11 * (delay_ms - 177.3) } else { 0.0 };
    let percent = loss.clamp(0.0, 1.0) * 100.0;
    let equipment = codec + (95.0 - codec) * percent / (percent + robustness);
    let rating = (BASE - delay - equipment).clamp(0.0, 100.0);
    let mos = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6;
    (mos.clamp(1.0, 4.5) * 100.0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::g711::Law;

    fn mos_x100(delay_ms: f64, loss: f64) -> u16 {
        super::mos_x100(Some(Audio::G711(Law::A)), delay_ms, loss)
    }

    #[test]
    fn a_codec_that_costs_more_or_bears_less_loss_is_worse() {
        let at = |audio, loss| super::mos_x100(Some(audio), 60.0, loss);
        for loss in [0.0, 0.02, 0.1] {
            assert!(at(Audio::G711(Law::A), loss) > at(Audio::G722, loss), "{loss}");
            assert!(at(Audio::G722, loss) > at(Audio::Opus, loss), "{loss}");
        }
    }

    #[test]
    fn the_estimate_falls_with_delay_and_loss() {
        assert!((435..=445).contains(&mos_x100(20.0, 0.0)), "{}", mos_x100(20.0, 0.0));
        let rows: Vec<u16> = [0.0, 0.01, 0.05, 0.2, 1.0].iter().map(|loss| mos_x100(60.0, *loss)).collect();
        assert!(rows.windows(2).all(|pair| pair[0] > pair[1]), "{rows:?}");
        assert!(rows[2] < 390 && rows[2] > 330, "5 % is heard, and bearable: {rows:?}");
        assert!(mos_x100(500.0, 0.0) < 320);
        assert_eq!(mos_x100(10_000.0, 1.0), 100);
    }
}

//! How well a call is heard: an estimate by the E-model (ITU-T G.107) from what a stream measures.

/// Transmission rating without any impairment by packets (G.107 defaults).
const BASE: f64 = 93.2;
/// Robustness against loss of G.711 with concealment (ITU-T G.113 appendix I).
const ROBUSTNESS: f64 = 25.1;

/// Hundredths of a mean opinion score, 100 to 450, from the delay from mouth to ear in milliseconds and the share of
/// frames that were not heard as they were said (0 to 1).
pub(crate) fn mos_x100(delay_ms: f64, loss: f64) -> u16 {
    let delay = 0.024 * delay_ms + if delay_ms > 177.3 { 0.11 * (delay_ms - 177.3) } else { 0.0 };
    let percent = loss.clamp(0.0, 1.0) * 100.0;
    let equipment = 95.0 * percent / (percent + ROBUSTNESS);
    let rating = (BASE - delay - equipment).clamp(0.0, 100.0);
    let mos = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6;
    (mos.clamp(1.0, 4.5) * 100.0) as u16
}

#[cfg(test)]
mod tests {
    use super::mos_x100;

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

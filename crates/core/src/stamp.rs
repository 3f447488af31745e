//! The year of a network's date that has none.

const DAY_US: i64 = 86_400_000_000;

/// `08-01T18:01` with the year that brings it nearest to `wall` (microseconds since 1970); a text with a year as it is.
pub(crate) fn with_year(wall: u64, time: &str) -> String {
    let field = |at: usize| time.get(at..at + 2).and_then(|text| text.parse::<i64>().ok());
    let (Some(month @ 1..=12), Some(day @ 1..=31), Some("-")) = (field(0), field(3), time.get(2..3)) else {
        return time.to_owned();
    };
    let today = i64::try_from(wall).unwrap_or(i64::MAX) / DAY_US;
    let about = 1970 + today / 365;
    let nearest = (about - 2..=about + 1).min_by_key(|year| (days(*year, month, day) - today).abs());
    format!("{:04}-{time}", nearest.unwrap_or(about))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_is_the_one_that_is_nearest() {
        assert_eq!((days(1970, 1, 1), days(2000, 3, 1), days(2026, 11, 23)), (0, 11_017, 20_780));
        let at = |year, month, day| u64::try_from(days(year, month, day) * DAY_US).unwrap();
        for (wall, told, expected) in [
            (at(2026, 11, 23), "11-23T09:20", "2026-11-23T09:20"),
            (at(2026, 12, 31), "01-01T00:01", "2027-01-01T00:01"),
            (at(2027, 1, 1), "12-31T23:59", "2026-12-31T23:59"),
            (at(2028, 2, 29), "02-29T10:00", "2028-02-29T10:00"),
            (at(2026, 11, 23), "2026-11-23T09:20", "2026-11-23T09:20"),
            (at(2026, 11, 23), "later", "later"),
            (0, "01-01T00:00", "1970-01-01T00:00"),
        ] {
            assert_eq!(with_year(wall, told), expected);
        }
    }
}

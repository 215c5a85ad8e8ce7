//! Times as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A time of day with its date, here.
pub(crate) fn date(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(at) => {
            let here = at.to_zoned(jiff::tz::TimeZone::system());
            here.strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
        Err(_) => format!("{ms} ms"),
    }
}

/// A length of time in its two largest units: `3m12s`, `2d4h`.
pub(crate) fn length(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let Some(first) = units.iter().position(|(size, _)| seconds >= *size) else {
        return if ms > 0 {
            format!("{ms}ms")
        } else {
            "0s".to_owned()
        };
    };
    let mut left = seconds;
    let mut text = String::new();
    for (size, unit) in units.iter().skip(first).take(2) {
        let count = left / size;
        left %= size;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short() {
        let cases = [
            (0, "0s"),
            (40, "40ms"),
            (1_500, "1s"),
            (192_000, "3m12s"),
            (187_200_000, "2d4h"),
            (3_600_000, "1h"),
        ];
        for (ms, text) in cases {
            assert_eq!(length(ms), text);
        }
    }
}

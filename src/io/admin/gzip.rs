//! Owns gzip for large answers. Refuses every other coding: no scraper needs one.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_ENCODING;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// Whether the client takes gzip: named, or covered by `*`, and not with a weight of zero.
pub(super) fn is_accepted(headers: &HeaderMap) -> bool {
    let weight = |coding: &str| {
        let listed =
            headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        listed.flat_map(|value| value.split(',')).find_map(|entry| {
            let (name, parameters) = entry.split_once(';').unwrap_or((entry, ""));
            let quality = parameters.trim().strip_prefix("q=").unwrap_or("1");
            name.trim().eq_ignore_ascii_case(coding).then(|| quality.parse().unwrap_or(0.0))
        })
    };
    weight("gzip").or_else(|| weight("*")).is_some_and(|quality: f32| quality > 0.0)
}

/// `body`, compressed fast; `None` if the encoder failed, which memory alone could cause.
pub(super) fn compress(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn clients_say_whether_they_take_gzip() {
        let check = |header: &str, expected| {
            let headers =
                HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(header).unwrap())]);
            assert_eq!(is_accepted(&headers), expected, "{header}");
        };
        check("gzip", true);
        check("deflate, GZIP;q=0.5", true);
        check("*", true);
        check("*;q=0.1, gzip;q=0", false);
        check("gzip; q=0.0", false);
        check("gzip;q=nonsense", false);
        check("br, zstd", false);
        check("", false);
        assert!(!is_accepted(&HeaderMap::new()));
    }
}

//! Owns the choice between the two text formats, by what a scraper says that it takes. Refuses to
//! refuse: whoever asks for neither gets text 0.0.4, which everything reads.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// Whether OpenMetrics 1.0 is taken, and rather than text 0.0.4. Source: RFC 9110, 12.5.1.
pub(super) fn prefers_openmetrics(headers: &HeaderMap) -> bool {
    let values = || headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = || values().flat_map(|value| value.split(','));
    let weight = |media: &str, version: &str| {
        let weights = ranges().filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media));
            let mut quality = 1.0;
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.to_ascii_lowercase().as_str() {
                    "q" => quality = value.parse().unwrap_or(0.0),
                    "version" if value != version => return None,
                    _ => {}
                }
            }
            named.then_some(quality)
        });
        weights.fold(0.0_f32, f32::max)
    };
    let openmetrics = weight("application/openmetrics-text", "1.0.0");
    openmetrics > 0.0 && openmetrics >= weight("text/plain", "0.0.4")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn scrapers_say_which_format_they_take() {
        let check = |header: &str, expected| {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_str(header).unwrap())]);
            assert_eq!(prefers_openmetrics(&headers), expected, "{header}");
        };
        // Prometheus 2.42, 3.5, a browser, curl.
        check(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
             version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            true,
        );
        check(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            true,
        );
        check("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false);
        check("*/*", false);
        check("application/openmetrics-text", true);
        check("application/openmetrics-text; version=0.0.1", false);
        check("application/openmetrics-text;q=0", false);
        check("application/openmetrics-text;q=0.2, text/plain", false);
        check("", false);
        assert!(!prefers_openmetrics(&HeaderMap::new()));
    }
}

//! Owns the demo's reading of its sidecars' own pages, as a Prometheus or a person would. Refuses to
//! look inside them.

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::Empty;
use http_body_util::Limited;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

const ANSWER_MAX: Duration = Duration::from_secs(3);
const PAGE_BYTES_MAX: usize = 16 << 20;
const FAMILY: &str = "kinescope_dropped_total";

/// The sum of `kinescope_dropped_total` over all these `/metrics`, by labels, without the zeros;
/// `None` when one could not be read.
pub(super) async fn dropped(admins: &[Option<SocketAddr>]) -> Option<BTreeMap<String, u64>> {
    let mut sums = BTreeMap::new();
    for admin in admins {
        let text = page((*admin)?, "/metrics").await?;
        for (labels, count) in samples(&text) {
            *sums.entry(labels.to_owned()).or_default() += count;
        }
    }
    Some(sums)
}

/// A page of an admin listener; `None` when it could not be read.
pub(super) async fn page(admin: SocketAddr, path: &str) -> Option<String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let page = format!("http://{admin}{path}").parse().ok()?;
    let fetch = async {
        let answer = client.get(page).await.ok()?;
        let ok = answer.status().is_success();
        let body = Limited::new(answer.into_body(), PAGE_BYTES_MAX).collect().await.ok()?;
        String::from_utf8(body.to_bytes().to_vec()).ok().filter(|_| ok)
    };
    tokio::time::timeout(ANSWER_MAX, fetch).await.ok()?
}

/// The family's samples that are not zero: labels and value.
fn samples(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let sample = line.strip_prefix(FAMILY)?;
        let (labels, value) = sample.strip_prefix('{')?.rsplit_once("} ")?;
        let value: f64 = value.split(' ').next()?.parse().ok()?;
        (value > 0.0).then_some((labels, value as u64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_family_and_only_what_was_dropped() {
        let page = "# TYPE kinescope_dropped_total counter\n\
                    kinescope_dropped_total{queue=\"spans\",reason=\"full\"} 3\n\
                    kinescope_dropped_total{queue=\"observer\",reason=\"full\"} 0\n\
                    kinescope_dropped_total_of_another{a=\"b\"} 9\n\
                    other{queue=\"x\"} 7\n";
        let expected = [("queue=\"spans\",reason=\"full\"", 3)];
        assert_eq!(samples(page).collect::<Vec<_>>(), expected);
    }
}

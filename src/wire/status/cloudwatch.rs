//! Owns what CloudWatch said of each thing beside a stream's five metrics, as JSON, in CloudWatch's
//! own words and units, so that it can be held against its console. Refuses to convert.

use super::PointDoc;
use crate::domain::snapshot::SubjectView;
use serde::Serialize;
use std::collections::BTreeMap;

/// One thing and the newest point of each metric, by name and statistic.
#[derive(Serialize)]
pub(super) struct SubjectDoc<'a> {
    namespace: &'static str,
    dimensions: BTreeMap<&'a str, &'a str>,
    metrics: BTreeMap<String, PointDoc>,
}

impl<'a> From<&'a SubjectView> for SubjectDoc<'a> {
    fn from(view: &'a SubjectView) -> Self {
        let metrics = view.points.iter().map(|(metric, point)| {
            (format!("{} {}", metric.name(), metric.statistic().as_str()), PointDoc::from(*point))
        });
        Self {
            namespace: view.subject.kind().namespace(),
            dimensions: view.subject.dimensions().into_iter().collect(),
            metrics: metrics.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::cloudwatch::{Metric, Subject};
    use crate::domain::snapshot::{CloudWatchPoint, SubjectView};
    use crate::domain::time::Wall;
    use crate::wire::status::{json, sample};
    use std::time::Duration;

    #[test]
    fn a_shard_is_told_as_cloudwatch_has_it() {
        let mut snapshot = sample::snapshot();
        let point = CloudWatchPoint {
            at: Wall::from_ms(1_700_000_100_000),
            period: Duration::from_secs(60),
            value: 1_500.0,
        };
        snapshot.cloudwatch = vec![SubjectView {
            subject: Subject::Shard("orders".into(), "shardId-7".into()),
            points: vec![(Metric::ShardIteratorAge, point)],
        }];
        let told: serde_json::Value =
            serde_json::from_slice(&json(&snapshot, &sample::identity())).unwrap();
        let expected = serde_json::json!([{
            "namespace": "AWS/Kinesis",
            "dimensions": { "StreamName": "orders", "ShardId": "shardId-7" },
            "metrics": { "IteratorAgeMilliseconds Maximum": {
                "at": "2023-11-14T22:15:00.000Z", "period_seconds": 60.0, "value": 1_500.0,
            } },
        }]);
        assert_eq!(told["cloudwatch"], expected);
    }
}

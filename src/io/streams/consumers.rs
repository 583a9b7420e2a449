//! Owns asking who is registered with a stream for enhanced fan-out. Refuses to take "may not ask"
//! for "nobody".

use crate::domain::snapshot::FanOutConsumer;
use crate::domain::time::Wall;
use crate::io::credentials::fault::Fault;
use crate::io::streams::pace::{Operation, Pacer};
use aws_sdk_kinesis::types::Consumer;

/// A stream has 50 of them at most, and a page holds 100.
const PAGES_MAX: u32 = 3;

/// Every registered consumer of the stream of this ARN.
pub(super) async fn list(
    client: &aws_sdk_kinesis::Client,
    pacer: &Pacer,
    stream_arn: &str,
) -> Result<Vec<FanOutConsumer>, Fault> {
    let (mut consumers, mut token) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        pacer.turn(Operation::ListStreamConsumers).await;
        let call = client.list_stream_consumers().stream_arn(stream_arn).set_next_token(token);
        let answer = call.send().await.map_err(|error| {
            let fault = Fault::of(&error);
            pacer.outcome(Operation::ListStreamConsumers, stream_arn, Some(fault));
            fault
        })?;
        pacer.outcome(Operation::ListStreamConsumers, stream_arn, None);
        consumers.extend(answer.consumers().iter().map(consumer));
        token = answer.next_token;
        if token.is_none() {
            break;
        }
    }
    Ok(consumers)
}

fn consumer(consumer: &Consumer) -> FanOutConsumer {
    let created = consumer.consumer_creation_timestamp().as_secs_f64();
    FanOutConsumer {
        name: consumer.consumer_name().to_owned(),
        arn: consumer.consumer_arn().to_owned(),
        status: consumer.consumer_status().as_str().to_owned(),
        created_at: Wall::from_seconds_f64(created),
    }
}

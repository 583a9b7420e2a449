#!/usr/bin/env python3
"""Owns the five dashboards: `python3 dashboards/build.py` writes their JSON beside it. Families are
those of the reference; figures that only a hub exports are never summed over pods, nor are a consumer's,
which two pods may both tell while a shard changes hands. Refuses to know Grafana's shapes: grafana.py's."""

import json
import pathlib

import grafana
from grafana import heatmap, lines, row, row_link, series_link, stat, table, thresholds, timeline, variable

FLEET, STREAM, CONSUMER, TRACES, SIDECAR = (
    f"kinescope-{name}" for name in ("fleet", "stream", "consumer", "traces", "sidecar"))

REGION = 'job=~"$job",region=~"$region"'
ON_STREAM = f'{REGION},stream=~"$stream"'
OF_CONSUMER = f'{ON_STREAM},consumer=~"$consumer"'
OF_PROCESS = 'job=~"$job",instance=~"$instance"'
BEHIND = 'status=~"lagging|falling_behind|stalled|stopped|losing_data"'
RATE = "[$__rate_interval]"

# A hub without sidecars has only what CloudWatch and the control plane tell; a sidecar only the wire.
STREAMS = 'job=~"$job",__name__=~"kinesis_records_total|kinesis_consumer_status|kinesis_stream_info"'
CONSUMERS = 'job=~"$job",__name__=~"kinesis_consumer_status|kinesis_consumer_checkpoint_lag_seconds"'
JOB = variable("job", "Job", "label_values(kinescope_build_info, job)")
INSTANCE = variable("instance", "Instance", 'label_values(kinescope_build_info{job=~"$job"}, instance)')
REGIONS = variable("region", "Region", f"label_values({{{STREAMS}}}, region)")
STREAM_NAMES = variable("stream", "Stream", f'label_values({{{STREAMS},region=~"$region"}}, stream)')
CONSUMER_NAMES = variable(
    "consumer", "Consumer", f'label_values({{{CONSUMERS},region=~"$region",stream=~"$stream"}}, consumer)')
# The board of one: the first is chosen, and a link chooses another.
ONE = {"multi": False, "includeAll": False, "allValue": None, "current": {}}
ONE_STREAM, ONE_CONSUMER = STREAM_NAMES | ONE, CONSUMER_NAMES | ONE

GOOD_BAD = thresholds((None, "green"), (1, "red"))
LAG = thresholds((None, "green"), (60, "orange"), (300, "red"))
SHARE = thresholds((None, "green"), (0.5, "orange"), (0.8, "red"))


def worst(family, matchers, *by):
    return f"max by ({', '.join(by)}) ({family}{{{matchers}}})"


def rate(family, matchers, *by):
    return f"sum by ({', '.join(by)}) (rate({family}{{{matchers}}}{RATE}))"


def quantiles(family, matchers, *by, of=(0.5, 0.99)):
    """One query a quantile; each is of all pods together."""
    name = " ".join(f"{{{{{label}}}}}" for label in by)
    return [(f"histogram_quantile({q}, {rate(family + '_bucket', matchers, *by, 'le')})",
             f"{name} p{round(q * 100)}".strip()) for q in of]


def hot(family, matchers):
    return f"sum by (le) (increase({family}_bucket{{{matchers}}}{RATE}))"


def fleet():
    to_consumer = "This consumer"
    status = f"max by (region, stream, consumer, status) (kinesis_consumer_status{{{OF_CONSUMER}}}) == 1"
    return grafana.board(FLEET, "Kinescope / Fleet", "Every stream and consumer: who is behind, and why.", [
        JOB, REGIONS, STREAM_NAMES, CONSUMER_NAMES], [
        stat("Streams", "Streams with traffic through a sidecar.", "short",
             f"count({rate('kinesis_records_total', ON_STREAM, 'region', 'stream')})"),
        stat("Consumers", "Consumers that a sidecar saw reading, or whose checkpoints are watched.", "short",
             f"count(count by (region, stream, consumer) (kinesis_consumer_status{{{OF_CONSUMER}}}))"),
        stat("Consumers in trouble", "Consumers whose worst shard is lagging, falling behind, stalled, "
             "stopped or losing data.", "short",
             f"sum(max by (region, stream, consumer) (kinesis_consumer_status{{{OF_CONSUMER},{BEHIND}}}))",
             thresholds=GOOD_BAD),
        stat("Worst lag", "The largest delivery lag of any shard, as the wire shows it.", "s",
             f"max(kinesis_consumer_delivery_lag_seconds{{{OF_CONSUMER}}})", thresholds=LAG),
        stat("Alerts firing", "Alerts of Kinescope's own engine that fire now.", "short",
             'sum(kinescope_alerts{job=~"$job",state="firing"})', thresholds=GOOD_BAD),
        stat("Sagas stuck", "Sagas that have been silent for more than five minutes.", "short",
             f'sum(max by (region, saga) (kinesis_sagas{{{REGION},state="stuck"}}))', thresholds=GOOD_BAD),
        table("Consumers now", "The status of each consumer's worst shard, its lag, and how fast that grows: "
              "seconds of lag gained per second. A row leads to the consumer.", "none",
              [status,
               worst("kinesis_consumer_delivery_lag_seconds", OF_CONSUMER, "region", "stream", "consumer"),
               worst("kinesis_consumer_lag_velocity_ratio", OF_CONSUMER, "region", "stream", "consumer"),
               worst("kinesis_consumer_retention_used_ratio", OF_CONSUMER, "region", "stream", "consumer")],
              {"stream": "stream", "consumer": "consumer", "region": "region", "status": "status",
               "Value #B": "lag", "Value #C": "velocity", "Value #D": "retention used"},
              units={"lag": "s", "retention used": "percentunit"},
              links=[row_link(to_consumer, CONSUMER, "region", "stream", "consumer")]),
        lines("Delivery lag", "How far each consumer's worst shard is behind the tip, as the wire shows it.", "s",
              (worst("kinesis_consumer_delivery_lag_seconds", OF_CONSUMER, "region", "stream", "consumer"),
               "{{consumer}} on {{stream}}"),
              links=[series_link(to_consumer, CONSUMER, "region", "stream", "consumer")]),
        lines("Time to data loss", "Until records expire unread at the present velocity; no line where the "
              "lag does not grow or the retention is not known.", "s",
              (f"min by (region, stream, consumer) (kinesis_consumer_time_to_data_loss_seconds{{{OF_CONSUMER}}})",
               "{{consumer}} on {{stream}}")),
        lines("Retention used", "The worst shard's lag as a share of how long the stream keeps records.",
              "percentunit",
              (worst("kinesis_consumer_retention_used_ratio", OF_CONSUMER, "region", "stream", "consumer"),
               "{{consumer}} on {{stream}}"), thresholds=SHARE),
        row("Traffic"),
        lines("Records per second", "Records put and got through sidecars.", "cps",
              (rate("kinesis_records_total", ON_STREAM, "region", "stream", "direction"), "{{stream}} {{direction}}"),
              links=[series_link("This stream", STREAM, "region", "stream")]),
        lines("Put failures per second", "Records that Kinesis did not store, those inside a 200 too; no line "
              "before the first.", "cps",
              (rate("kinesis_put_failures_total", ON_STREAM, "region", "stream", "error"), "{{stream}} {{error}}")),
        lines("Hottest shards", "Share of a shard's write limit in use, 1 MB/s or 1,000 records/s, whichever is "
              "nearer. Told by a hub.", "percentunit",
              (f"topk(10, {worst('kinesis_shard_write_utilization_ratio', ON_STREAM, 'region', 'stream', 'shard')})",
               "{{stream}} {{shard}}"), thresholds=SHARE),
        lines("Throttles per second", "Throttled reads and writes as CloudWatch counts them, minutes late. "
              "Told by a hub.", "cps",
              (worst("kinesis_cloudwatch_read_throttles_per_second", ON_STREAM, "region", "stream"), "{{stream}} reads"),
              (worst("kinesis_cloudwatch_write_throttles_per_second", ON_STREAM, "region", "stream"), "{{stream}} writes")),
        lines("Iterator age", "CloudWatch's oldest iterator age of each stream, over all who read it, minutes "
              "late. Told by a hub.", "s",
              (worst("kinesis_cloudwatch_iterator_age_seconds", ON_STREAM, "region", "stream"), "{{stream}}")),
        lines("Alerts", "Alerts of Kinescope's own engine, pending and firing.", "short",
              ('sum by (state, severity) (kinescope_alerts{job=~"$job",state=~"pending|firing"})',
               "{{severity}} {{state}}"), stacked=True),
        row("Readers without a sidecar, where a hub asks CloudWatch for them"),
        lines("Lambda", "Iterator age of each function's Kinesis event sources, minutes late.", "s",
              (worst("kinesis_cloudwatch_lambda_iterator_age_seconds", REGION, "region", "function"), "{{function}}"),
              width=8),
        lines("Firehose", "How far each delivery stream's reads are behind, and the age of the oldest record that is "
              "not delivered, minutes late.", "s",
              (worst("kinesis_cloudwatch_firehose_behind_seconds", REGION, "region", "delivery_stream"),
               "{{delivery_stream}} behind"),
              (worst("kinesis_cloudwatch_firehose_freshness_seconds", REGION, "region", "delivery_stream", "destination"),
               "{{delivery_stream}} to {{destination}}"), width=8),
        lines("Flink", "How far each application's sources are behind, minutes late.", "s",
              (worst("kinesis_cloudwatch_flink_behind_seconds", REGION, "region", "application", "source"),
               "{{application}} {{source}}"), width=8),
    ])


def stream():
    of_stream = ON_STREAM
    return grafana.board(STREAM, "Kinescope / Stream", "One stream: what goes in, who reads it, which shards are hot.", [
        JOB, REGIONS, ONE_STREAM], [
        stat("Open shards", "As the control plane described them. Told by a hub.", "short",
             worst("kinesis_stream_open_shards", of_stream, "stream")),
        stat("Retention", "How long the stream keeps records. Told by a hub.", "s",
             worst("kinesis_stream_retention_seconds", of_stream, "stream")),
        stat("Capacity mode", "Provisioned or on-demand, as the control plane described it. Told by a hub.", "none",
             worst("kinesis_stream_info", of_stream, "mode", "status"), "{{mode}} {{status}}", shows="name"),
        stat("Worst lag", "The largest delivery lag of any consumer's shard.", "s",
             worst("kinesis_consumer_delivery_lag_seconds", of_stream, "stream"), thresholds=LAG),
        stat("Put", "Records put through sidecars.", "cps",
             rate("kinesis_records_total", of_stream + ',direction="put"', "stream")),
        stat("Got", "Records got through sidecars, by all consumers together.", "cps",
             rate("kinesis_records_total", of_stream + ',direction="get"', "stream")),
        lines("Consumers' lag", "How far each consumer's worst shard is behind the tip, as the wire shows it.", "s",
              (worst("kinesis_consumer_delivery_lag_seconds", of_stream, "region", "stream", "consumer"), "{{consumer}}"),
              links=[series_link("This consumer", CONSUMER, "region", "stream", "consumer")]),
        lines("Lag on the wire and iterator age", "What sidecars see at once beside what CloudWatch tells minutes "
              "later, the stream's worst of each. An iterator age far above is a reader without a sidecar.", "s",
              (worst("kinesis_consumer_delivery_lag_seconds", of_stream, "stream"), "on the wire"),
              (worst("kinesis_cloudwatch_iterator_age_seconds", of_stream, "stream"), "CloudWatch")),
        row("Writing"),
        lines("Records put, by verdict", "What became of each record's context on the way; the README says what "
              "each verdict means.", "cps",
              (rate("kinesis_records_total", of_stream + ',direction="put"', "verdict"), "{{verdict}}"), stacked=True),
        lines("Records put, by who counts", "Puts through sidecars beside CloudWatch's IncomingRecords. What only "
              "CloudWatch sees is written by a producer without a sidecar.", "cps",
              (rate("kinesis_records_total", of_stream + ',direction="put"', "stream"), "sidecars"),
              (worst("kinesis_cloudwatch_incoming_records_per_second", of_stream, "stream"), "CloudWatch")),
        lines("Put failures per second", "Records that Kinesis did not store, those inside a 200 too, and reasons of "
              "our own; no line before the first.", "cps",
              (rate("kinesis_put_failures_total", of_stream, "error"), "{{error}}"), stacked=True),
        lines("Throttles per second", "As CloudWatch counts them, minutes late. Told by a hub.", "cps",
              (worst("kinesis_cloudwatch_read_throttles_per_second", of_stream, "stream"), "reads"),
              (worst("kinesis_cloudwatch_write_throttles_per_second", of_stream, "stream"), "writes")),
        lines("Bytes", "CloudWatch's IncomingBytes, minutes late, and the payload bytes that context added.", "Bps",
              (worst("kinesis_cloudwatch_incoming_bytes_per_second", of_stream, "stream"), "incoming"),
              (rate("kinesis_injected_bytes_total", of_stream, "stream"), "context")),
        row("Shards"),
        lines("Write utilization", "Share of the shard's write limit in use, 1 MB/s or 1,000 records/s, whichever is "
              "nearer. Told by a hub.", "percentunit",
              (worst("kinesis_shard_write_utilization_ratio", of_stream, "shard"), "{{shard}}"), thresholds=SHARE),
        lines("Records put, by shard", "The busiest shards by name, the rest as `other`; only what went through "
              "sidecars.", "cps",
              (rate("kinesis_shard_put_records_total", of_stream, "shard"), "{{shard}}"), stacked=True),
        lines("Bytes put, by shard", "The busiest shards by name, the rest as `other`; only what went through "
              "sidecars.", "Bps",
              (rate("kinesis_shard_put_bytes_total", of_stream, "shard"), "{{shard}}"), stacked=True),
        lines("Throttles, by shard", "As CloudWatch counts them, minutes late, where a hub asks for shards.", "cps",
              (worst("kinesis_cloudwatch_shard_write_throttles_per_second", of_stream, "shard"), "{{shard}} writes"),
              (worst("kinesis_cloudwatch_shard_read_throttles_per_second", of_stream, "shard"), "{{shard}} reads")),
        row("Reading"),
        lines("Iterator age, by shard", "As CloudWatch tells it, over all who read the shard, minutes late, where a hub "
              "asks for shards.", "s",
              (worst("kinesis_cloudwatch_shard_iterator_age_seconds", of_stream, "shard"), "{{shard}}")),
        lines("Records got, by verdict", "Whether the records that consumers got carry a context.", "cps",
              (rate("kinesis_records_total", of_stream + ',direction="get"', "verdict"), "{{verdict}}"), stacked=True),
        lines("Age of records at delivery", "From a record's arrival in Kinesis to its delivery, of each consumer. "
              "A point leads to its trace.", "s",
              *quantiles("kinesis_record_age_seconds", of_stream, "consumer"), exemplars=True),
        lines("Ends of fan-out subscriptions", "How SubscribeToShard streams ended; no line before the first.", "cps",
              (rate("kinesis_subscriptions_ended_total", of_stream, "consumer", "how"), "{{consumer}} {{how}}")),
    ])


def consumer():
    of = OF_CONSUMER
    by_age = "kinesis_record_age_seconds"
    return grafana.board(CONSUMER, "Kinescope / Consumer", "One consumer of one stream: how far behind, since when, why.", [
        JOB, REGIONS, ONE_STREAM, ONE_CONSUMER], [
        stat("Status", "The worst shard's, as the wire shows it.", "none",
             f"max by (status) (kinesis_consumer_status{{{of}}}) == 1", "{{status}}", shows="name"),
        stat("Worst lag", "How far the worst shard is behind the tip.", "s",
             worst("kinesis_consumer_delivery_lag_seconds", of, "consumer"), thresholds=LAG),
        stat("Velocity", "Seconds of lag gained per second on the worst shard: 1 is a reader that stands, below 0 "
             "it catches up.", "none",
             worst("kinesis_consumer_lag_velocity_ratio", of, "consumer"), decimals=2),
        stat("Time to catch up", "At the present velocity; nothing unless the lag shrinks.", "s",
             worst("kinesis_consumer_time_to_catch_up_seconds", of, "consumer"), noValue="-"),
        stat("Time to data loss", "At the present velocity; nothing unless the lag grows and the retention is known.",
             "s", f"min by (consumer) (kinesis_consumer_time_to_data_loss_seconds{{{of}}})", noValue="-",
             thresholds=thresholds((None, "red"), (3600, "orange"), (21600, "green"))),
        stat("Retention used", "The worst shard's lag as a share of how long the stream keeps records.", "percentunit",
             worst("kinesis_consumer_retention_used_ratio", of, "consumer"), thresholds=SHARE),
        timeline("Status over time", "Which status was in force; more than one where pods differ.",
                 f"max by (status) (kinesis_consumer_status{{{of}}})", "{{status}}",
                 {0: ("-", "transparent"), 1: ("in force", "blue")}),
        lines("Delivery lag, by shard", "How far reads are behind the tip, plus the time since the reader fell "
              "silent.", "s", (worst("kinesis_consumer_delivery_lag_seconds", of, "shard"), "{{shard}}")),
        lines("Shards, by status", "Shards that the consumer's pods read. One that two pods tell counts twice while "
              "it changes hands.", "short",
              (f"sum by (status) (kinesis_consumer_shards{{{of}}})", "{{status}}"), stacked=True),
        lines("Velocity over time", "Seconds of lag gained per second on the worst shard.", "none",
              (worst("kinesis_consumer_lag_velocity_ratio", of, "consumer"), "velocity")),
        lines("Time since the last read, by shard", "A line that climbs steadily is a reader that stopped.", "s",
              (f"time() - {worst('kinesis_consumer_last_observed_timestamp_seconds', of, 'shard')}", "{{shard}}")),
        row("Reading"),
        lines("Age of records at delivery", "From a record's arrival in Kinesis to its delivery. A point leads to its "
              "trace.", "s", *quantiles(by_age, of, of=(0.5, 0.95, 0.99)), exemplars=True),
        heatmap("Age of records at delivery, spread", "Each cell: records of this age. A point leads to its trace.",
                "s", hot(by_age, of)),
        lines("Age of events at delivery", "From when an event says that it was made, by its producer's clock, to its "
              "delivery; of events that carry a context. A point leads to its trace.", "s",
              *quantiles("kinesis_event_end_to_end_seconds", of), exemplars=True),
        lines("Pause between reads", "From the delivery of a batch to the reader's next call on that iterator: what "
              "the consumer needs to process a batch, or waits on purpose.", "s",
              *quantiles("kinesis_consumer_poll_interval_seconds", of), exemplars=True),
        lines("Delivery, checkpoint and KCL lag", "How far reads are behind, how far the checkpoint in the lease table "
              "is (told by a hub), and what KCL itself says, where it exports by OTLP. A checkpoint far behind the "
              "reads means much is read again after a crash.", "s",
              (worst("kinesis_consumer_delivery_lag_seconds", of, "consumer"), "delivery"),
              (worst("kinesis_consumer_checkpoint_lag_seconds", of, "method"), "checkpoint, {{method}}"),
              (worst("kinesis_consumer_kcl_lag_seconds", of, "consumer"), "KCL")),
        row("Processing, where the consumer reports it"),
        lines("Processing time, by event type", "As the consumer reported to /envelope/v1/processed. A point leads to "
              "its trace.", "s", *quantiles("kinesis_event_process_seconds", of, "event_type"), exemplars=True),
        lines("Errors per second, by event type", "As the consumer reported; no line before the first.", "cps",
              (rate("kinesis_event_errors_total", of, "event_type"), "{{event_type}}"), stacked=True),
        lines("Events per second, by event type", "As the consumer reported.", "cps",
              (rate("kinesis_event_process_seconds_count", of, "event_type"), "{{event_type}}"), stacked=True),
        lines("Redelivered records per second", "Records that a queue delivered again; no line before the first.", "cps",
              (rate("kinesis_queue_redelivered_records_total", of, "consumer"), "redelivered")),
        lines("Ends of fan-out subscriptions", "How SubscribeToShard streams ended; no line before the first.", "cps",
              (rate("kinesis_subscriptions_ended_total", of, "how"), "{{how}}")),
        lines("Fan-out, as CloudWatch tells it", "How far the registered consumer of this name is behind, minutes late. "
              "Told by a hub.", "s", (worst("kinesis_cloudwatch_fan_out_behind_seconds", of, "consumer"), "behind")),
    ])


def traces():
    carried = rate("kinesis_records_total", ON_STREAM + ',verdict="linked"', "region", "stream")
    all_got = rate("kinesis_records_total", ON_STREAM + ',direction="get"', "region", "stream")
    spans = "kinescope_spans_exported_total"
    return grafana.board(TRACES, "Kinescope / Traces and sagas", "How sagas end, whether traces are whole, and a way from "
                         "slow records to their traces.", [JOB, REGIONS, STREAM_NAMES, CONSUMER_NAMES], [
        stat("Running", "Sagas that have begun and not ended.", "short",
             f'sum(max by (region, saga) (kinesis_sagas{{{REGION},state="running"}}))'),
        stat("Compensating", "Sagas that take their steps back.", "short",
             f'sum(max by (region, saga) (kinesis_sagas{{{REGION},state="compensating"}}))'),
        stat("Stuck", "Sagas that have been silent for more than five minutes.", "short",
             f'sum(max by (region, saga) (kinesis_sagas{{{REGION},state="stuck"}}))', thresholds=GOOD_BAD),
        stat("Compensated", "Share of the ended sagas of the last day that were taken back.", "percentunit",
             f'sum(max by (region, saga) (kinesis_sagas{{{REGION},state="compensated"}})) / '
             f'sum(max by (region, saga, state) (kinesis_sagas{{{REGION},state=~"compensated|completed"}}))'),
        stat("Records with context", "Share of the records that consumers got.", "percentunit",
             f"sum({carried}) / sum({all_got})"),
        stat("Spans lost", "Spans per second that no collector took.", "cps",
             'sum(rate(kinescope_spans_exported_total{job=~"$job",outcome!="accepted"}[$__rate_interval]))',
             thresholds=thresholds((None, "green"), (0.01, "red"))),
        lines("Sagas, by state", "Sagas that are remembered, by what they came to; they are forgotten after a day.",
              "short", (worst("kinesis_sagas", REGION, "saga", "state"), "{{saga}} {{state}}")),
        lines("Sagas ended per second", "By how they ended.", "cps",
              (rate("kinesis_saga_duration_seconds_count", REGION, "saga", "outcome"), "{{saga}} {{outcome}}"),
              stacked=True),
        lines("Duration of sagas", "From a saga's first step to its end. A point leads to its trace.", "s",
              *quantiles("kinesis_saga_duration_seconds", REGION, "saga", "outcome"), exemplars=True),
        heatmap("Duration of sagas, spread", "Each cell: sagas of this length. A point leads to its trace.", "s",
                hot("kinesis_saga_duration_seconds", REGION)),
        row("From slow records to their traces"),
        heatmap("Age of records at delivery", "Each cell: records of this age. A point leads to its trace.", "s",
                hot("kinesis_record_age_seconds", OF_CONSUMER)),
        heatmap("Age of events at delivery", "Each cell: events this old by their own word, when they were delivered. A "
                "point leads to its trace.", "s", hot("kinesis_event_end_to_end_seconds", OF_CONSUMER)),
        heatmap("Processing time", "Each cell: events that took this long, as consumers reported. A point leads to its "
                "trace.", "s", hot("kinesis_event_process_seconds", OF_CONSUMER)),
        row("Whether traces are whole"),
        lines("Records with context, by stream", "Share of the records that consumers got. What lacks one was written "
              "without a sidecar, or is no envelope.", "percentunit",
              (f"{carried} / {all_got}", "{{stream}}"), min=0, max=1),
        lines("Records put, by verdict", "Which got a context, and why the others got none.", "cps",
              (rate("kinesis_records_total", ON_STREAM + ',direction="put"', "stream", "verdict"),
               "{{stream}} {{verdict}}"), stacked=True),
        lines("Spans per second", "Spans that went to the collector and to the hub, and what the hub took.", "cps",
              (rate(spans, 'job=~"$job"', "outcome"), "collector, {{outcome}}"),
              (rate("kinescope_hub_spans_total", 'job=~"$job"', "outcome"), "hub, {{outcome}}"),
              (rate("kinescope_otlp_received_total", 'job=~"$job"', "signal", "outcome"), "received, {{signal}} {{outcome}}")),
        lines("Spans dropped per second", "What full queues, collectors and the bound on strangers' flags cost.", "cps",
              (rate("kinescope_dropped_total", 'job=~"$job",queue=~"spans|hub|traces|otlp_receive|otlp_forward"',
                    "queue", "reason"), "{{queue}} {{reason}}"), stacked=True),
        lines("Forgotten per second", "What full memories forgot: traces, sagas and their parts.", "cps",
              (rate("kinescope_forgotten_total", 'job=~"$job"', "what"), "{{what}}"), stacked=True),
    ])


def sidecar():
    of = OF_PROCESS
    return grafana.board(SIDECAR, "Kinescope / Sidecar", "Kinescope itself: what it adds, drops and costs.", [
        JOB, INSTANCE], [
        stat("Processes", "Sidecars and hubs that are scraped.", "short", f"count(kinescope_build_info{{{of}}})"),
        stat("Requests", "Of all applications, through these sidecars.", "reqps",
             f"sum(rate(kinescope_proxy_requests_total{{{of}}}{RATE}))"),
        stat("Added, p99", "Time inside the sidecar before the request was sent on.", "s",
             quantiles("kinescope_proxy_overhead_seconds", of, of=(0.99,))[0][0]),
        stat("Refused by us", "Requests that the sidecar answered itself: overload, a wrong key, a loop.", "reqps",
             f'sum(rate(kinescope_proxy_requests_total{{{of},outcome!~"ok|client_error|server_error"}}{RATE})) or '
             f"sum(rate(kinescope_proxy_requests_total{{{of}}}{RATE})) * 0",
             thresholds=thresholds((None, "green"), (0.01, "red"))),
        stat("Dropped", "What bounded queues could not take; nothing of an application's is ever in them.", "cps",
             f"sum(rate(kinescope_dropped_total{{{of}}}{RATE}))", thresholds=thresholds((None, "green"), (0.01, "orange"))),
        stat("CloudWatch", "What the hub's questions cost at list price, in the time shown.", "currencyUSD",
             f'sum(increase(kinescope_cloudwatch_estimated_cost_dollars_total{{{of},billing="per_metric"}}[$__range]))'),
        lines("Requests, by operation and outcome", "`client_error` and `server_error` are Kinesis's answers; any other "
              "word but `ok` is a reason of our own.", "reqps",
              (rate("kinescope_proxy_requests_total", of, "operation", "outcome"), "{{operation}} {{outcome}}")),
        lines("Time inside the sidecar", "Before the request was sent on.", "s",
              *quantiles("kinescope_proxy_overhead_seconds", of, "operation"), exemplars=True),
        lines("Waiting for Kinesis", "From sending to the head of its answer.", "s",
              *quantiles("kinescope_proxy_upstream_seconds", of, "operation"), exemplars=True),
        lines("Sent a second time", "Requests that a complete refusal proved to have stored nothing; no line before "
              "the first.", "reqps", (rate("kinescope_proxy_resends_total", of, "reason"), "{{reason}}"), stacked=True),
        lines("Dropped per second", "What bounded queues could not take, by queue and reason.", "cps",
              (rate("kinescope_dropped_total", of, "queue", "reason"), "{{queue}} {{reason}}"), stacked=True),
        lines("Series left out", "Per-shard series over metrics.max_series, by family; no line where there were none.",
              "short", (f"sum by (family) (increase(kinescope_series_left_out_total{{{of}}}{RATE}))", "{{family}}")),
        row("Telling others"),
        lines("Notifications", "By receiver; `retried` is a receiver that did not answer, `undeliverable` one that "
              "refused.", "short",
              (f"sum by (receiver, outcome) (increase(kinescope_notifications_total{{{of}}}{RATE}))",
               "{{receiver}} {{outcome}}")),
        lines("Spans exported per second", "By what the collector did with them.", "cps",
              (rate("kinescope_spans_exported_total", of, "outcome"), "{{outcome}}"), stacked=True),
        lines("Notices waiting", "By receiver; and how long the oldest has waited is beside it.", "short",
              (worst("kinescope_notification_queue_length", of, "receiver"), "{{receiver}}")),
        lines("Oldest notice", "How long it has waited for its receiver; no line while none does.", "s",
              (worst("kinescope_notification_oldest_seconds", of, "receiver"), "{{receiver}}")),
        row("CloudWatch, where a hub asks it"),
        lines("Calls per second", "By operation and outcome.", "reqps",
              (rate("kinescope_cloudwatch_requests_total", of, "operation", "outcome"), "{{operation}} {{outcome}}")),
        lines("Results per second", "Metrics in its answers, by their status.", "cps",
              (rate("kinescope_cloudwatch_results_total", of, "status"), "{{status}}"), stacked=True),
        lines("Metrics asked for per second", "By both readings of the price list.", "cps",
              (rate("kinescope_cloudwatch_metrics_requested_total", of, "billing"), "{{billing}}")),
        # Prometheus keeps `job` for its own and renames the family's.
        lines("Since the last good poll", "A line that climbs is a poll that fails.", "s",
              (f"time() - {worst('kinescope_cloudwatch_last_success_timestamp_seconds', of, 'exported_job', 'instance')}",
               "{{exported_job}} {{instance}}")),
        lines("Cost of this month", "At list price, by the dearer reading, and the budget of each hub.", "currencyUSD",
              (worst("kinescope_cloudwatch_month_cost_dollars", of, "instance"), "{{instance}}"),
              (worst("kinescope_cloudwatch_budget_dollars", of, "instance"), "{{instance}} budget")),
        lines("Given up for the budget", "1 for a detail that is not asked for.", "none",
              (worst("kinescope_cloudwatch_given_up", of, "detail"), "{{detail}}"), min=0, max=1),
        row("Checkpoints, where a hub watches lease tables"),
        lines("Since the last good reading", "Of each application's lease table.", "s",
              (f"time() - {worst('kinescope_lease_last_success_timestamp_seconds', of, 'application')}",
               "{{application}}")),
        lines("Read units per second", "What reading lease tables uses up in DynamoDB.", "cps",
              (rate("kinescope_lease_read_units_total", of, "application"), "{{application}}")),
        lines("Sequence clock", "1 where the seconds inside sequence numbers agree with arrivals on the wire and may be "
              "used, 0 where not; no line where too few records were seen.", "none",
              (worst("kinescope_sequence_clock_usable", of, "stream"), "{{stream}}"), min=0, max=1),
        row("Configuration"),
        table("Versions", "What runs where, and whether its last reload was taken (1) or refused (0).", "none",
              [f"max by (instance, version, revision) (kinescope_build_info{{{of}}})",
               f"max by (instance) (kinescope_config_last_reload_successful{{{of}}})"],
              {"instance": "instance", "version": "version", "revision": "revision", "Value #B": "reload taken"}),
        lines("Since the configuration was read", "Of each process; a drop to zero is a reload.", "s",
              (f"time() - max by (instance) (kinescope_config_last_reload_success_timestamp_seconds{{{of}}})",
               "{{instance}}")),
    ])


BOARDS = (fleet, stream, consumer, traces, sidecar)


def written(board):
    return json.dumps(board(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for board in BOARDS:
        (pathlib.Path(__file__).parent / f"{board.__name__}.json").write_text(written(board), encoding="utf-8")

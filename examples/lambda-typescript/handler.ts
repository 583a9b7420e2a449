// A Lambda consumer of a Kinesis stream: finds the context that each record carries, processes the
// record and says so in one line of JSON, with the fields that Kinescope's own lines have, so that the
// queries in deploy/cloudwatch/ read both. No sidecar listens inside Lambda, and none is needed.
//
// Left out: KPL aggregates (take them apart with aws-kinesis-agg before `events`).
//
// The types can be stripped without a compiler (node 22.6 --experimental-strip-types): no enum, no
// namespace, no parameter property.

import { randomBytes } from "node:crypto";

interface KinesisRecord {
  eventID: string;
  eventSourceARN: string;
  kinesis: { data: string; sequenceNumber: string; partitionKey: string };
}

interface KinesisEvent {
  Records: KinesisRecord[];
}

interface BatchResponse {
  batchItemFailures: { itemIdentifier: string }[];
}

type Envelope = Record<string, unknown>;

const CONSUMER = process.env["OTEL_SERVICE_NAME"] || process.env["AWS_LAMBDA_FUNCTION_NAME"] || "unknown";
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;
const XRAY_ROOT = /Root=1-([0-9a-f]{8})-([0-9a-f]{24})/;

/** Put the work here; whatever it throws is reported, and Lambda tries the batch again. */
async function work(event: Envelope): Promise<void> {}

export async function handler(event: KinesisEvent): Promise<BatchResponse> {
  for (const record of event.Records) {
    for (const envelope of events(record.kinesis.data)) {
      try {
        await reported(record, envelope);
      } catch {
        // With ReportBatchItemFailures, Lambda goes on from this one.
        return { batchItemFailures: [{ itemIdentifier: record.kinesis.sequenceNumber }] };
      }
    }
  }
  return { batchItemFailures: [] };
}

/** The record's envelopes: one JSON object, or one a line. Anything else is one without fields. */
function events(data: string): Envelope[] {
  const text: string = Buffer.from(data, "base64").toString("utf8").replace(/^\uFEFF/, "");
  const lines = () => text.split("\n").filter((line) => line.trim() !== "");
  const found = parsed([text]) ?? parsed(lines()) ?? [];
  return found.length > 0 ? found : [{}];
}

function parsed(texts: string[]): Envelope[] | undefined {
  try {
    const values: unknown[] = texts.map((text) => JSON.parse(text));
    const isObject = (value: unknown): value is Envelope =>
      typeof value === "object" && value !== null && !Array.isArray(value);
    return values.every(isObject) ? values : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Trace id and span id of the record's context. They are a link: this function's own trace is
 * Lambda's, and a record that is read again years later must not reopen its producer's trace.
 */
function carried(envelope: Envelope): [string?, string?] {
  const given = text(envelope["traceparent"]);
  const match = given?.match(TRACEPARENT);
  // Version 00 has nothing behind its flags.
  return match && !(given?.startsWith("00") && match[3]) ? [match[1], match[2]] : [];
}

/** The invocation's trace in W3C's form, out of X-Ray's; a new one where X-Ray is not on. */
function ownTrace(): string {
  const match = process.env["_X_AMZN_TRACE_ID"]?.match(XRAY_ROOT);
  return match ? `${match[1]}${match[2]}` : randomBytes(16).toString("hex");
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function errorType(thrown: unknown): string {
  return thrown instanceof Error ? thrown.name : typeof thrown;
}

/** Processes one envelope and says how that went, also when it throws. */
async function reported(record: KinesisRecord, envelope: Envelope): Promise<void> {
  const began = performance.now();
  let failure: { thrown: unknown } | undefined;
  try {
    await work(envelope);
  } catch (thrown) {
    failure = { thrown };
    throw thrown;
  } finally {
    const [recordTraceId, recordSpanId] = carried(envelope);
    const payload = (envelope["payload"] ?? {}) as Envelope;
    // What is undefined is left out by JSON.stringify.
    const line = {
      timestamp: new Date().toISOString(),
      level: failure ? "ERROR" : "INFO",
      message: "processed",
      eventType: text(envelope["eventType"]) ?? text(envelope["commandType"]),
      processingTime: Math.round((performance.now() - began) * 1000) / 1000,
      error: failure !== undefined,
      errorType: failure && errorType(failure.thrown),
      stream: record.eventSourceARN.split(":stream/").at(-1),
      shard: record.eventID.split(":")[0],
      sequenceNumber: record.kinesis.sequenceNumber,
      consumer: CONSUMER,
      trace_id: ownTrace(),
      span_id: randomBytes(8).toString("hex"),
      record_trace_id: recordTraceId,
      record_span_id: recordSpanId,
      eventId: text(envelope["eventId"]),
      sagaId: text(envelope["sagaId"]) ?? text(payload["sagaId"]),
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
}

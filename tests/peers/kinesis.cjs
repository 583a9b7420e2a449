// The AWS SDK for JavaScript v3 as a program: one call a line in, one answer a line out, JSON.
//   {"operation": "PutRecord", "input": {…, "Data": {"base64": "…"}}, "headers": {"traceparent": "…"}}
//   {"output": {…}} or {"error": {"name": "…", "status": 400}}, both with "attempts".
// Its default handler speaks HTTP/2 with prior knowledge to http:// endpoints; HANDLER=h1 asks for
// HTTP/1.1, which kinesis-mock needs when it is called without the sidecar.
// SubscribeToShard answers once it has Count records. With TRACER the SDK is instrumented: by dd-trace, or
// by clients/otel.cjs, which then tells its Spans.
const tracer = process.env.TRACER ? require(process.env.TRACER) : undefined
if (tracer) tracer.init()
const sdk = require('@aws-sdk/client-kinesis')
const readline = require('node:readline')

const options = { endpoint: process.argv[2], maxAttempts: Number(process.env.MAX_ATTEMPTS || 3) }
if (process.env.HANDLER === 'h1') {
  options.requestHandler = new (require('@smithy/node-http-handler').NodeHttpHandler)()
}
const client = new sdk.KinesisClient(options)

const fromJson = (_, value) =>
  value && typeof value.base64 === 'string' ? Buffer.from(value.base64, 'base64') : value
// Dates and bytes have a toJSON of their own, so the raw value is read from its holder.
function toJson (key, value) {
  const raw = this[key]
  if (raw instanceof Uint8Array) return { base64: Buffer.from(raw).toString('base64') }
  return raw instanceof Date ? raw.getTime() / 1000 : value
}

// The first records of a shard by enhanced fan-out.
async function subscribe ({ Count, ...input }) {
  const abort = new AbortController()
  const command = new sdk.SubscribeToShardCommand({ ...input, StartingPosition: { Type: 'TRIM_HORIZON' } })
  const { EventStream, $metadata } = await client.send(command, { abortSignal: abort.signal })
  const Records = []
  for await (const { SubscribeToShardEvent: event } of EventStream) {
    Records.push(...event.Records)
    if (Records.length >= Count) {
      abort.abort()
      return { Records, MillisBehindLatest: event.MillisBehindLatest, $metadata }
    }
  }
  throw new Error('the subscription ended early')
}

// The aggregation library works on records as a Lambda function gets them.
const agg = process.env.AGGREGATION ? require('aws-kinesis-agg') : undefined
const aggregation = {
  Aggregate: ({ Records }) => new Promise((resolve, reject) => {
    const records = Records.map(({ PartitionKey, Data }) => ({ partitionKey: PartitionKey, data: Data }))
    agg.aggregate(records, (made, done) => { resolve({ PartitionKey: made.partitionKey, Data: made.data }); done() },
      () => {}, reject)
  }),
  Deaggregate: ({ Data }) => {
    let records
    agg.deaggregateSync({ data: Data.toString('base64'), kinesisSchemaVersion: '1.0' }, true, (error, found) => {
      if (error) throw error
      records = found
    })
    return { Records: records.map((one) => ({ PartitionKey: one.partitionKey, Data: Buffer.from(one.data, 'base64') })) }
  }
}

async function call ({ operation, input, headers }) {
  if (aggregation[operation]) return { output: await aggregation[operation](input) }
  if (operation === 'Spans') return { output: { Spans: tracer.spans() } }
  if (operation === 'SubscribeToShard') return { output: await subscribe(input) }
  const command = new sdk[`${operation}Command`](input)
  command.middlewareStack.add(
    (next) => (args) => {
      Object.assign(args.request.headers, headers) // before signing, as an instrumentation does
      return next(args)
    },
    { step: 'build' }
  )
  try {
    const output = await client.send(command)
    return { output, attempts: output.$metadata.attempts }
  } catch (error) {
    const metadata = error.$metadata || {}
    return {
      error: { name: error.name, message: error.message, status: metadata.httpStatusCode },
      attempts: metadata.attempts
    }
  }
}

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const answer = await call(JSON.parse(line, fromJson))
  process.stdout.write(JSON.stringify(answer, toJson) + '\n')
})

// Owns OpenTelemetry's instrumentation of the AWS SDK for JavaScript, as its users set it up: the SDK's
// own span, and below it that of Node's http module, which sends the header. The spans stay here.
const { NodeTracerProvider, SimpleSpanProcessor, InMemorySpanExporter } = require('@opentelemetry/sdk-trace-node')
const { registerInstrumentations } = require('@opentelemetry/instrumentation')
const { AwsInstrumentation } = require('@opentelemetry/instrumentation-aws-sdk')
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http')

const exporter = new InMemorySpanExporter()

exports.init = () => {
  new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register()
  registerInstrumentations({ instrumentations: [new AwsInstrumentation(), new HttpInstrumentation()] })
}

exports.spans = () => exporter.getFinishedSpans().map((span) => ({
  name: span.name,
  trace: span.spanContext().traceId,
  span: span.spanContext().spanId,
  parent: span.parentSpanContext ? span.parentSpanContext.spanId : ''
}))

// SPDX-License-Identifier: Apache-2.0
// Sends one trace, logs and metrics through OpenTelemetry's SDK for Node, and prints what it sent.
// Usage: node send.mjs grpc|protobuf|json ENDPOINT SERVICE
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const [protocol, endpoint, service] = process.argv.slice(2);
const kind = { grpc: 'grpc', protobuf: 'proto', json: 'http' }[protocol];
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${kind}`);
const { OTLPLogExporter } = await import(`@opentelemetry/exporter-logs-otlp-${kind}`);
const { OTLPMetricExporter } = await import(`@opentelemetry/exporter-metrics-otlp-${kind}`);
const options = (signal) => ({
  url: protocol === 'grpc' ? endpoint : `${endpoint}/v1/${signal}`,
  compression: protocol === 'json' ? 'gzip' : 'none',
});

const resource = resourceFromAttributes({
  'service.name': service,
  'service.version': '1.2.3',
  'deployment.environment.name': 'test',
});
const tracing = new NodeTracerProvider({
  resource,
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(options('traces')))],
});
const logging = new LoggerProvider({
  resource,
  processors: [new BatchLogRecordProcessor(new OTLPLogExporter(options('logs')))],
});
const metering = new MeterProvider({
  resource,
  readers: [
    new PeriodicExportingMetricReader({
      exporter: new OTLPMetricExporter(options('metrics')),
      exportIntervalMillis: 3600_000,
    }),
  ],
});
tracing.register();

const attributes = { text: 'grün ☃', flag: true, whole: 42, part: 1.5, list: ['a', 'b'] };
const nanos = ([s, n]) => (BigInt(s) * 1000000000n + BigInt(n)).toString();
const sent = { spans: [], logs: [] };
const note = (span, kindName, status) =>
  sent.spans.push({
    trace_id: span.spanContext().traceId,
    span_id: span.spanContext().spanId,
    parent_id: span.parentSpanContext?.spanId ?? '',
    name: span.name,
    kind: kindName,
    start_ns: nanos(span.startTime),
    end_ns: nanos(span.endTime),
    status,
    attributes: span.attributes,
    events: span.events.map((e) => ({ name: e.name, time_ns: nanos(e.time), attributes: e.attributes })),
    links: span.links.map((l) => ({ trace_id: l.context.traceId, span_id: l.context.spanId })),
  });

const tracer = tracing.getTracer('interop', '9.9');
const linked = tracer.startSpan('linked');
linked.end();
note(linked, 'internal', '');
const root = tracer.startSpan('GET /things/{id}', {
  kind: SpanKind.SERVER,
  attributes,
  links: [{ context: linked.spanContext() }],
});
const inside = trace.setSpan(context.active(), root);
const child = tracer.startSpan('SELECT things', { kind: SpanKind.CLIENT }, inside);
child.addEvent('retry', { attempt: 2 });
child.setStatus({ code: SpanStatusCode.ERROR, message: 'deadlock' });
child.end();
note(child, 'client', 'ERROR');
root.setStatus({ code: SpanStatusCode.OK });
root.end();
note(root, 'server', 'OK');

const logger = logging.getLogger('interop');
const severities = ['DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
severities.forEach((severityText, i) => {
  const body = `line ${i} "quoted" ☃`;
  logger.emit({
    severityNumber: SeverityNumber[severityText],
    severityText,
    body,
    attributes: { number: i, flag: i % 2 === 0, ratio: i / 4 },
    context: inside,
  });
  sent.logs.push({
    level: severityText.toLowerCase(),
    body,
    attributes: { number: i, flag: i % 2 === 0, ratio: i / 4 },
    trace_id: root.spanContext().traceId,
    span_id: root.spanContext().spanId,
  });
});

const meter = metering.getMeter('interop');
const counter = meter.createCounter('interop.requests', { unit: '{request}', description: 'Requests.' });
counter.add(3, { route: '/a' });
counter.add(4, { route: '/b' });
const open = meter.createUpDownCounter('interop.open');
open.add(5);
open.add(-7);
meter.createGauge('interop.temperature', { unit: 'Cel' }).record(21.5, { room: 'küche' });
const durations = meter.createHistogram('interop.duration', {
  unit: 's',
  advice: { explicitBucketBoundaries: [0.1, 0.5, 1] },
});
for (const v of [0.05, 0.3, 0.7, 3]) durations.record(v);
sent.metrics = [
  ['interop_requests_total{route="/a"}', 3],
  ['interop_requests_total{route="/b"}', 4],
  ['interop_open', -2],
  ['interop_temperature_celsius{room="küche"}', 21.5],
  ['interop_duration_seconds_bucket{le="0.1"}', 1],
  ['interop_duration_seconds_bucket{le="0.5"}', 2],
  ['interop_duration_seconds_bucket{le="1"}', 3],
  ['interop_duration_seconds_bucket{le="+Inf"}', 4],
  ['interop_duration_seconds_count', 4],
  ['interop_duration_seconds_sum', 4.05],
];

await tracing.forceFlush();
await logging.forceFlush();
await metering.forceFlush();
await Promise.all([tracing.shutdown(), logging.shutdown(), metering.shutdown()]);
console.log(JSON.stringify(sent));

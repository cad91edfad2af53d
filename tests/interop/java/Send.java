// SPDX-License-Identifier: Apache-2.0

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.logs.Logger;
import io.opentelemetry.api.logs.Severity;
import io.opentelemetry.api.metrics.Meter;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.logs.OtlpHttpLogRecordExporter;
import io.opentelemetry.exporter.otlp.http.metrics.OtlpHttpMetricExporter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.logs.OtlpGrpcLogRecordExporter;
import io.opentelemetry.exporter.otlp.metrics.OtlpGrpcMetricExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.logs.SdkLoggerProvider;
import io.opentelemetry.sdk.logs.export.BatchLogRecordProcessor;
import io.opentelemetry.sdk.logs.export.LogRecordExporter;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.export.MetricExporter;
import io.opentelemetry.sdk.metrics.export.PeriodicMetricReader;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.ReadableSpan;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/**
 * Sends one trace, logs and metrics through OpenTelemetry's SDK for Java, and prints what it sent.
 * Usage: Send grpc|protobuf ENDPOINT SERVICE
 */
class Send {
    private static final List<Object> spans = new ArrayList<>();
    private static final List<Object> logs = new ArrayList<>();

    /** Maps, lists, numbers, booleans and strings as JSON. */
    private static String json(Object value) {
        if (value instanceof Map<?, ?> map) {
            return map.entrySet().stream()
                    .map(e -> json(e.getKey().toString()) + ":" + json(e.getValue()))
                    .collect(Collectors.joining(",", "{", "}"));
        }
        if (value instanceof List<?> list) {
            return list.stream().map(Send::json).collect(Collectors.joining(",", "[", "]"));
        }
        if (value instanceof String text) {
            return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
        }
        return String.valueOf(value);
    }

    private static Map<String, Object> object(Object... pairs) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            map.put((String) pairs[i], pairs[i + 1]);
        }
        return map;
    }

    private static Map<String, Object> attributesOf(Attributes attributes) {
        Map<String, Object> map = new LinkedHashMap<>();
        attributes.forEach((key, value) -> map.put(key.getKey(), value));
        return map;
    }

    private static void note(Span span, String kind, String status) {
        SpanData data = ((ReadableSpan) span).toSpanData();
        String parent = data.getParentSpanContext().isValid() ? data.getParentSpanId() : "";
        List<Object> events = new ArrayList<>();
        List<Object> links = new ArrayList<>();
        data.getEvents().forEach(e -> events.add(object("name", e.getName(),
                "time_ns", String.valueOf(e.getEpochNanos()), "attributes", attributesOf(e.getAttributes()))));
        data.getLinks().forEach(l -> links.add(object("trace_id", l.getSpanContext().getTraceId(),
                "span_id", l.getSpanContext().getSpanId())));
        spans.add(object("trace_id", data.getTraceId(), "span_id", data.getSpanId(), "parent_id", parent,
                "name", data.getName(), "kind", kind, "status", status,
                "start_ns", String.valueOf(data.getStartEpochNanos()),
                "end_ns", String.valueOf(data.getEndEpochNanos()),
                "attributes", attributesOf(data.getAttributes()), "events", events, "links", links));
    }

    private static Context sendSpans(Tracer tracer) {
        Span linked = tracer.spanBuilder("linked").startSpan();
        linked.end();
        note(linked, "internal", "");
        Span root = tracer.spanBuilder("GET /things/{id}").setSpanKind(SpanKind.SERVER)
                .addLink(linked.getSpanContext()).setAttribute("text", "grün ☃").setAttribute("flag", true)
                .setAttribute("whole", 42).setAttribute("part", 1.5)
                .setAttribute(AttributeKey.stringArrayKey("list"), List.of("a", "b")).startSpan();
        Context inside = Context.root().with(root);
        Span child = tracer.spanBuilder("SELECT things").setSpanKind(SpanKind.CLIENT).setParent(inside)
                .startSpan();
        child.addEvent("retry", Attributes.of(AttributeKey.longKey("attempt"), 2L));
        child.setStatus(StatusCode.ERROR, "deadlock");
        child.end();
        note(child, "client", "ERROR");
        root.setStatus(StatusCode.OK);
        root.end();
        note(root, "server", "OK");
        return inside;
    }

    private static void sendLogs(Logger logger, Context inside) {
        Severity[] levels = {Severity.DEBUG, Severity.INFO, Severity.WARN, Severity.ERROR, Severity.FATAL};
        for (int i = 0; i < levels.length; i++) {
            String body = "line " + i + " \"quoted\" ☃";
            logger.logRecordBuilder().setContext(inside).setSeverity(levels[i])
                    .setSeverityText(levels[i].name()).setBody(body)
                    .setTimestamp(System.currentTimeMillis(), TimeUnit.MILLISECONDS)
                    .setAttribute(AttributeKey.longKey("number"), (long) i)
                    .setAttribute(AttributeKey.booleanKey("flag"), i % 2 == 0)
                    .setAttribute(AttributeKey.doubleKey("ratio"), i / 4.0).emit();
            var at = Span.fromContext(inside).getSpanContext();
            logs.add(object("level", levels[i].name().toLowerCase(Locale.ROOT), "body", body,
                    "attributes", object("number", i, "flag", i % 2 == 0, "ratio", i / 4.0),
                    "trace_id", at.getTraceId(), "span_id", at.getSpanId()));
        }
    }

    private static void sendMetrics(Meter meter) {
        var counter = meter.counterBuilder("interop.requests").setUnit("{request}").build();
        counter.add(3, Attributes.of(AttributeKey.stringKey("route"), "/a"));
        counter.add(4, Attributes.of(AttributeKey.stringKey("route"), "/b"));
        var opened = meter.upDownCounterBuilder("interop.open").build();
        opened.add(5);
        opened.add(-7);
        meter.gaugeBuilder("interop.temperature").setUnit("Cel").build()
                .set(21.5, Attributes.of(AttributeKey.stringKey("room"), "küche"));
        var durations = meter.histogramBuilder("interop.duration").setUnit("s")
                .setExplicitBucketBoundariesAdvice(List.of(0.1, 0.5, 1.0)).build();
        for (double v : new double[] {0.05, 0.3, 0.7, 3}) {
            durations.record(v);
        }
    }

    public static void main(String[] args) {
        boolean grpc = args[0].equals("grpc");
        String to = args[1];
        SpanExporter toTraces = grpc
                ? OtlpGrpcSpanExporter.builder().setEndpoint(to).setCompression("gzip").build()
                : OtlpHttpSpanExporter.builder().setEndpoint(to + "/v1/traces").setCompression("gzip").build();
        LogRecordExporter toLogs = grpc
                ? OtlpGrpcLogRecordExporter.builder().setEndpoint(to).setCompression("gzip").build()
                : OtlpHttpLogRecordExporter.builder().setEndpoint(to + "/v1/logs").setCompression("gzip").build();
        MetricExporter toMetrics = grpc
                ? OtlpGrpcMetricExporter.builder().setEndpoint(to).setCompression("gzip").build()
                : OtlpHttpMetricExporter.builder().setEndpoint(to + "/v1/metrics").setCompression("gzip").build();
        Resource about = Resource.create(Attributes.of(AttributeKey.stringKey("service.name"), args[2],
                AttributeKey.stringKey("service.version"), "1.2.3",
                AttributeKey.stringKey("deployment.environment.name"), "test"));
        var tracing = SdkTracerProvider.builder().setResource(about)
                .addSpanProcessor(BatchSpanProcessor.builder(toTraces).build()).build();
        var logging = SdkLoggerProvider.builder().setResource(about)
                .addLogRecordProcessor(BatchLogRecordProcessor.builder(toLogs).build()).build();
        var metering = SdkMeterProvider.builder().setResource(about).registerMetricReader(
                PeriodicMetricReader.builder(toMetrics).setInterval(Duration.ofHours(1)).build()).build();
        Context inside = sendSpans(tracing.get("interop", "9.9"));
        sendLogs(logging.get("interop"), inside);
        sendMetrics(metering.get("interop"));
        boolean sent = tracing.shutdown().join(30, TimeUnit.SECONDS).isSuccess()
                & logging.shutdown().join(30, TimeUnit.SECONDS).isSuccess()
                & metering.shutdown().join(30, TimeUnit.SECONDS).isSuccess();
        new PrintStream(System.out, true, StandardCharsets.UTF_8)
                .println(json(object("spans", spans, "logs", logs)));
        System.exit(sent ? 0 : 1);
    }
}

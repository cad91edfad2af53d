// SPDX-License-Identifier: Apache-2.0

// Sends one trace, logs and metrics through OpenTelemetry's SDK for Go, and prints what it sent.
// Usage: send grpc|protobuf ENDPOINT SERVICE
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

type object = map[string]any

var spans, logs []object

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func exporters(ctx context.Context, protocol, endpoint string) (sdktrace.SpanExporter, sdklog.Exporter,
	sdkmetric.Exporter) {
	host := strings.TrimPrefix(endpoint, "http://")
	if protocol == "grpc" {
		return must(otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(host), otlptracegrpc.WithInsecure(),
				otlptracegrpc.WithCompressor("gzip"))),
			must(otlploggrpc.New(ctx, otlploggrpc.WithEndpoint(host), otlploggrpc.WithInsecure(),
				otlploggrpc.WithCompressor("gzip"))),
			must(otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpoint(host), otlpmetricgrpc.WithInsecure(),
				otlpmetricgrpc.WithCompressor("gzip")))
	}
	return must(otlptrace.New(ctx, otlptracehttp.NewClient(otlptracehttp.WithEndpoint(host),
			otlptracehttp.WithInsecure(), otlptracehttp.WithCompression(otlptracehttp.GzipCompression)))),
		must(otlploghttp.New(ctx, otlploghttp.WithEndpoint(host), otlploghttp.WithInsecure(),
			otlploghttp.WithCompression(otlploghttp.GzipCompression))),
		must(otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpoint(host), otlpmetrichttp.WithInsecure(),
			otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression)))
}

func attributesOf(list []attribute.KeyValue) object {
	result := object{}
	for _, a := range list {
		result[string(a.Key)] = a.Value.AsInterface()
	}
	return result
}

func nanoseconds(t time.Time) string {
	return fmt.Sprint(t.UnixNano())
}

func note(span trace.Span, kind, status string) {
	s := span.(sdktrace.ReadOnlySpan)
	events, links := []object{}, []object{}
	for _, e := range s.Events() {
		events = append(events, object{"name": e.Name, "time_ns": nanoseconds(e.Time),
			"attributes": attributesOf(e.Attributes)})
	}
	for _, l := range s.Links() {
		links = append(links, object{"trace_id": l.SpanContext.TraceID().String(),
			"span_id": l.SpanContext.SpanID().String()})
	}
	parent := ""
	if s.Parent().HasSpanID() {
		parent = s.Parent().SpanID().String()
	}
	spans = append(spans, object{"trace_id": s.SpanContext().TraceID().String(),
		"span_id": s.SpanContext().SpanID().String(), "parent_id": parent, "name": s.Name(), "kind": kind,
		"status": status, "start_ns": nanoseconds(s.StartTime()), "end_ns": nanoseconds(s.EndTime()),
		"attributes": attributesOf(s.Attributes()), "events": events, "links": links})
}

func sendSpans(tracer trace.Tracer) context.Context {
	_, linked := tracer.Start(context.Background(), "linked")
	linked.End()
	note(linked, "internal", "")
	inside, root := tracer.Start(context.Background(), "GET /things/{id}",
		trace.WithSpanKind(trace.SpanKindServer), trace.WithLinks(trace.Link{SpanContext: linked.SpanContext()}),
		trace.WithAttributes(attribute.String("text", "grün ☃"), attribute.Bool("flag", true),
			attribute.Int("whole", 42), attribute.Float64("part", 1.5),
			attribute.StringSlice("list", []string{"a", "b"})))
	_, child := tracer.Start(inside, "SELECT things", trace.WithSpanKind(trace.SpanKindClient))
	child.AddEvent("retry", trace.WithAttributes(attribute.Int("attempt", 2)))
	child.SetStatus(codes.Error, "deadlock")
	child.End()
	note(child, "client", "ERROR")
	root.SetStatus(codes.Ok, "")
	root.End()
	note(root, "server", "OK")
	return inside
}

func sendLogs(ctx context.Context, logger log.Logger) {
	severities := []log.Severity{log.SeverityDebug, log.SeverityInfo, log.SeverityWarn, log.SeverityError,
		log.SeverityFatal}
	for i, severity := range severities {
		var record log.Record
		body := fmt.Sprintf("line %d \"quoted\" ☃", i)
		record.SetTimestamp(time.Now())
		record.SetSeverity(severity)
		record.SetSeverityText(severity.String())
		record.SetBody(log.StringValue(body))
		record.AddAttributes(log.Int("number", i), log.Bool("flag", i%2 == 0),
			log.Float64("ratio", float64(i)/4))
		logger.Emit(ctx, record)
		at := trace.SpanContextFromContext(ctx)
		logs = append(logs, object{"level": strings.ToLower(severity.String()), "body": body,
			"attributes": object{"number": i, "flag": i%2 == 0, "ratio": float64(i) / 4},
			"trace_id":   at.TraceID().String(), "span_id": at.SpanID().String()})
	}
}

func sendMetrics(ctx context.Context, meter metric.Meter) {
	counter := must(meter.Int64Counter("interop.requests", metric.WithUnit("{request}")))
	counter.Add(ctx, 3, metric.WithAttributes(attribute.String("route", "/a")))
	counter.Add(ctx, 4, metric.WithAttributes(attribute.String("route", "/b")))
	opened := must(meter.Int64UpDownCounter("interop.open"))
	opened.Add(ctx, 5)
	opened.Add(ctx, -7)
	must(meter.Float64Gauge("interop.temperature", metric.WithUnit("Cel"))).Record(ctx, 21.5,
		metric.WithAttributes(attribute.String("room", "küche")))
	durations := must(meter.Float64Histogram("interop.duration", metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(0.1, 0.5, 1)))
	for _, v := range []float64{0.05, 0.3, 0.7, 3} {
		durations.Record(ctx, v)
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	toTraces, toLogs, toMetrics := exporters(ctx, os.Args[1], os.Args[2])
	about := resource.NewSchemaless(attribute.String("service.name", os.Args[3]),
		attribute.String("service.version", "1.2.3"), attribute.String("deployment.environment.name", "test"))
	tracing := sdktrace.NewTracerProvider(sdktrace.WithBatcher(toTraces), sdktrace.WithResource(about))
	logging := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(toLogs)),
		sdklog.WithResource(about))
	metering := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(toMetrics,
		sdkmetric.WithInterval(time.Hour))), sdkmetric.WithResource(about))
	inside := sendSpans(tracing.Tracer("interop", trace.WithInstrumentationVersion("9.9")))
	sendLogs(inside, logging.Logger("interop"))
	// Without a span: exemplars would be compared otherwise.
	sendMetrics(ctx, metering.Meter("interop"))
	check(tracing.Shutdown(ctx))
	check(logging.Shutdown(ctx))
	check(metering.Shutdown(ctx))
	check(json.NewEncoder(os.Stdout).Encode(object{"spans": spans, "logs": logs}))
}

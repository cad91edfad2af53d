// SPDX-License-Identifier: Apache-2.0

//! Sends one trace, logs and metrics through OpenTelemetry's SDK for Rust, and prints what it sent.
//! Usage: send grpc|protobuf ENDPOINT SERVICE
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry::trace::{Link, Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Array, Context, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_otlp::{
    Compression, LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
    WithTonicConfig,
};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use opentelemetry_sdk::Resource;
use serde_json::{json, Map, Value as Json};

/// Each exporter's builder is a type of its own with the same methods.
macro_rules! exporter {
    ($kind:ident, $grpc:expr, $endpoint:expr, $path:expr) => {
        if $grpc {
            $kind::builder()
                .with_tonic()
                .with_compression(Compression::Gzip)
                .with_endpoint($endpoint)
                .build()
                .expect("a gRPC exporter")
        } else {
            $kind::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_compression(Compression::Gzip)
                .with_endpoint(format!("{}/v1/{}", $endpoint, $path))
                .build()
                .expect("an HTTP exporter")
        }
    };
}

fn nanoseconds(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).expect("a time").as_nanos().to_string()
}

fn value_of(value: &Value) -> Json {
    match value {
        Value::Bool(v) => json!(v),
        Value::I64(v) => json!(v),
        Value::F64(v) => json!(v),
        Value::Array(Array::String(items)) => items.iter().map(StringValue::as_str).collect(),
        other => json!(other.as_str()),
    }
}

fn attributes_of(list: &[KeyValue]) -> Json {
    let pairs: Map<String, Json> = list.iter().map(|a| (a.key.to_string(), value_of(&a.value))).collect();
    Json::Object(pairs)
}

fn describe(span: &SpanData) -> Json {
    let none = span.parent_span_id == opentelemetry::SpanId::INVALID;
    let (status, kind) = match (&span.status, &span.span_kind) {
        (Status::Error { .. }, kind) => ("ERROR", kind),
        (Status::Ok, kind) => ("OK", kind),
        (Status::Unset, kind) => ("", kind),
    };
    let events: Vec<Json> = (span.events.iter())
        .map(|e| {
            json!({"name": e.name, "time_ns": nanoseconds(e.timestamp),
                   "attributes": attributes_of(&e.attributes)})
        })
        .collect();
    let links: Vec<Json> = (span.links.iter())
        .map(|l| {
            json!({"trace_id": l.span_context.trace_id().to_string(),
                   "span_id": l.span_context.span_id().to_string()})
        })
        .collect();
    json!({"trace_id": span.span_context.trace_id().to_string(),
           "span_id": span.span_context.span_id().to_string(),
           "parent_id": if none { String::new() } else { span.parent_span_id.to_string() },
           "name": span.name, "kind": format!("{kind:?}").to_lowercase(), "status": status,
           "start_ns": nanoseconds(span.start_time), "end_ns": nanoseconds(span.end_time),
           "attributes": attributes_of(&span.attributes), "events": events, "links": links})
}

/// The context of the span that the logs belong to.
fn send_spans(tracer: &impl Tracer<Span: Send + Sync + 'static>) -> Context {
    let mut linked = tracer.start("linked");
    linked.end();
    let root = tracer
        .span_builder("GET /things/{id}")
        .with_kind(SpanKind::Server)
        .with_links(vec![Link::with_context(linked.span_context().clone())])
        .with_attributes([
            KeyValue::new("text", "grün ☃"),
            KeyValue::new("flag", true),
            KeyValue::new("whole", 42),
            KeyValue::new("part", 1.5),
            KeyValue::new("list", Value::Array(Array::String(vec!["a".into(), "b".into()]))),
        ])
        .start(tracer);
    let inside = Context::new().with_span(root);
    let mut child = tracer
        .span_builder("SELECT things")
        .with_kind(SpanKind::Client)
        .start_with_context(tracer, &inside);
    child.add_event("retry", vec![KeyValue::new("attempt", 2)]);
    child.set_status(Status::error("deadlock"));
    child.end();
    inside.span().set_status(Status::Ok);
    inside.span().end();
    inside
}

fn send_logs(logger: &impl Logger, inside: &Context) -> Vec<Json> {
    let at = inside.span().span_context().clone();
    let levels = [
        (Severity::Debug, "DEBUG"),
        (Severity::Info, "INFO"),
        (Severity::Warn, "WARN"),
        (Severity::Error, "ERROR"),
        (Severity::Fatal, "FATAL"),
    ];
    let mut sent = Vec::new();
    for (i, (severity, name)) in levels.into_iter().enumerate() {
        let body = format!("line {i} \"quoted\" ☃");
        let mut record = logger.create_log_record();
        record.set_timestamp(SystemTime::now());
        record.set_severity_number(severity);
        record.set_severity_text(name);
        record.set_body(AnyValue::String(body.clone().into()));
        record.add_attribute("number", i as i64);
        record.add_attribute("flag", i % 2 == 0);
        record.add_attribute("ratio", i as f64 / 4.0);
        record.set_trace_context(at.trace_id(), at.span_id(), Some(at.trace_flags()));
        logger.emit(record);
        sent.push(json!({"level": name.to_lowercase(), "body": body,
            "attributes": {"number": i, "flag": i % 2 == 0, "ratio": i as f64 / 4.0},
            "trace_id": at.trace_id().to_string(), "span_id": at.span_id().to_string()}));
    }
    sent
}

fn send_metrics(meter: &Meter) {
    let counter = meter.u64_counter("interop.requests").with_unit("{request}").build();
    counter.add(3, &[KeyValue::new("route", "/a")]);
    counter.add(4, &[KeyValue::new("route", "/b")]);
    let opened = meter.i64_up_down_counter("interop.open").build();
    opened.add(5, &[]);
    opened.add(-7, &[]);
    let temperature = meter.f64_gauge("interop.temperature").with_unit("Cel").build();
    temperature.record(21.5, &[KeyValue::new("room", "küche")]);
    let durations = meter
        .f64_histogram("interop.duration")
        .with_unit("s")
        .with_boundaries(vec![0.1, 0.5, 1.0])
        .build();
    for v in [0.05, 0.3, 0.7, 3.0] {
        durations.record(v, &[]);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (grpc, endpoint) = (args[1] == "grpc", args[2].as_str());
    // tonic needs a runtime around it, and reqwest's blocking client none.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = grpc.then(|| runtime.enter());
    let about = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", args[3].clone()),
            KeyValue::new("service.version", "1.2.3"),
            KeyValue::new("deployment.environment.name", "test"),
        ])
        .build();
    let seen = InMemorySpanExporter::default();
    let tracing = SdkTracerProvider::builder()
        .with_resource(about.clone())
        .with_simple_exporter(seen.clone())
        .with_batch_exporter(exporter!(SpanExporter, grpc, endpoint, "traces"))
        .build();
    let logging = SdkLoggerProvider::builder()
        .with_resource(about.clone())
        .with_batch_exporter(exporter!(LogExporter, grpc, endpoint, "logs"))
        .build();
    let reader = PeriodicReader::builder(exporter!(MetricExporter, grpc, endpoint, "metrics"))
        .with_interval(Duration::from_secs(3600))
        .build();
    let metering = SdkMeterProvider::builder().with_resource(about).with_reader(reader).build();
    let scope = InstrumentationScope::builder("interop").with_version("9.9").build();
    let inside = send_spans(&tracing.tracer_with_scope(scope));
    let logs = send_logs(&logging.logger("interop"), &inside);
    send_metrics(&metering.meter("interop"));
    let spans: Vec<Json> = seen.get_finished_spans().expect("spans").iter().map(describe).collect();
    tracing.shutdown().expect("spans sent");
    logging.shutdown().expect("logs sent");
    metering.shutdown().expect("metrics sent");
    println!("{}", json!({"spans": spans, "logs": logs}));
}

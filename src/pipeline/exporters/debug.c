// SPDX-License-Identifier: Apache-2.0
/* The exporter `debug` (once `logging`): shows on stderr what passes by, to people. It keeps no
 * place in the log and never holds anything up. Attributes are shown as they are: what must not be
 * seen is taken out before it, by the processor `redaction`. */
#include "base/clock.h"
#include "base/file.h"
#include "codec/batch_rows.h"
#include "pipeline/component.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TEXT_MAX MiB(4) /* of one batch */

enum { BASIC, NORMAL, DETAILED };

typedef struct {
    exporter_settings exporter;
    int verbosity;
    int level; /* of `logging` */
    int64_t sampling_initial, sampling_thereafter;
} debug_settings;

typedef struct {
    component *component;
    int verbosity;
    int64_t second; /* of the batches that `seen` counts */
    int64_t seen;
} debug_printer;

static const char *const verbosities[] = { "basic", "normal", "detailed", NULL };
static const char *const levels[] = { "info", "debug", "warn", "error", NULL };

#define AT(member) offsetof(debug_settings, member)
#define VERBOSITY(fallback_) \
    { \
        .name = "verbosity", .type = OPTION_CHOICE, .offset = AT(verbosity), \
        .fallback = (fallback_), .choices = verbosities, \
        .help = "basic: how many; normal: a line for each item; detailed: all of each item" \
    }
#define COMMON_ROWS \
    { .name = "sampling_initial", \
      .type = OPTION_INT, \
      .offset = AT(sampling_initial), \
      .fallback = "2", \
      .max = 1e9, \
      .help = "batches of each second that are shown in any case" }, \
        { .name = "sampling_thereafter", \
          .type = OPTION_INT, \
          .offset = AT(sampling_thereafter), \
          .fallback = "1", \
          .max = 1e9, \
          .help = "of the others each such one; 1: all; 0: none" }, \
        { .name = "use_internal_logger", \
          .type = OPTION_IGNORED, \
          .help = "what is shown goes to stderr" }, \
        { .name = "output_paths", \
          .type = OPTION_IGNORED, \
          .help = "what is shown goes to stderr" }, \
    { \
        .type = OPTION_INLINE, .offset = AT(exporter), .table = &exporter_options \
    }

static const option debug_rows[] = { VERBOSITY("basic"), COMMON_ROWS };
static const option logging_rows[] = {
    VERBOSITY("normal"),
    { .name = "loglevel",
      .type = OPTION_CHOICE,
      .offset = AT(level),
      .fallback = "info",
      .choices = levels,
      .help = "the older name of verbosity: debug is detailed, info normal, warn and error basic" },
    COMMON_ROWS,
};
#undef AT

/* ---- values ---- */

static void put_value(buf *out, arena *a, const value *v)
{
    str text = value_text(a, v);
    buf_str(out, text.ptr ? text : STR("?"));
}

static void put_time(buf *out, int64_t ns)
{
    if (ns)
        clock_format_rfc3339(out, ns, 9);
}

static void put_pairs(buf *out, arena *a, const attrs *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        buf_fmt(out, " %.*s=", STR_ARG(list->items[i].key));
        put_value(out, a, &list->items[i].value);
    }
}

static const char *type_name(value_type t)
{
    static const char *const names[] = {
        [VALUE_EMPTY] = "Empty", [VALUE_STR] = "Str",    [VALUE_BOOL] = "Bool",
        [VALUE_I64] = "Int",     [VALUE_F64] = "Double", [VALUE_BYTES] = "Bytes",
        [VALUE_ARRAY] = "Slice", [VALUE_MAP] = "Map",
    };
    return names[t];
}

static void put_attributes(buf *out, arena *a, const char *title, const attrs *list)
{
    if (list->count)
        buf_fmt(out, "%s:\n", title);
    for (uint32_t i = 0; i < list->count; i++) {
        const attr *one = &list->items[i];
        buf_fmt(out, "     -> %.*s: %s(", STR_ARG(one->key), type_name(one->value.type));
        put_value(out, a, &one->value);
        buf_lit(out, ")\n");
    }
}

static void put_id(buf *out, const uint8_t *bytes, size_t n)
{
    static const uint8_t none[16];
    if (memcmp(bytes, none, n) != 0)
        buf_hex(out, bytes, n);
}

#define FIELD(out, name, put) \
    do { \
        buf_fmt((out), "    %-15s: ", name); \
        put; \
        buf_char((out), '\n'); \
    } while (0)

/* ---- points ---- */

static const char *metric_type_name(metric_type t)
{
    static const char *const names[] = {
        [METRIC_NONE] = "Empty",
        [METRIC_GAUGE] = "Gauge",
        [METRIC_SUM] = "Sum",
        [METRIC_HISTOGRAM] = "Histogram",
        [METRIC_EXP_HISTOGRAM] = "ExponentialHistogram",
        [METRIC_SUMMARY] = "Summary",
    };
    return names[t];
}

static void put_point(buf *out, metric_type type, const point_value *v)
{
    switch (type) {
    case METRIC_GAUGE:
    case METRIC_SUM:
        if (v->is_int)
            buf_i64(out, v->i64);
        else
            buf_f64(out, v->f64);
        break;
    case METRIC_HISTOGRAM:
        buf_fmt(out, "count=%llu sum=", (unsigned long long)v->histogram->count);
        buf_f64(out, v->histogram->sum);
        for (uint32_t i = 0; i < v->histogram->bucket_count; i++) {
            buf_lit(out, " le");
            buf_f64(out, i < v->histogram->bound_count ? v->histogram->bounds[i]
                                                       : (double)__builtin_inff());
            buf_fmt(out, "=%llu", (unsigned long long)v->histogram->buckets[i]);
        }
        break;
    case METRIC_EXP_HISTOGRAM:
        buf_fmt(out, "count=%llu scale=%d zero=%llu buckets=%u+%u sum=",
                (unsigned long long)v->exp->count, v->exp->scale,
                (unsigned long long)v->exp->zero_count, v->exp->positive.count,
                v->exp->negative.count);
        buf_f64(out, v->exp->sum);
        break;
    case METRIC_SUMMARY:
        buf_fmt(out, "count=%llu sum=", (unsigned long long)v->summary->count);
        buf_f64(out, v->summary->sum);
        for (uint32_t i = 0; i < v->summary->quantile_count; i++) {
            buf_lit(out, " q");
            buf_f64(out, v->summary->quantiles[i].quantile);
            buf_char(out, '=');
            buf_f64(out, v->summary->quantiles[i].value);
        }
        break;
    default:
        break;
    }
}

/* ---- a line for each item ---- */

static void line_of(buf *out, arena *a, const batch *b, uint32_t i)
{
    if (b->signal == SIGNAL_LOGS) {
        put_value(out, a, &b->logs.body[i]);
        put_pairs(out, a, &b->logs.attributes[i]);
    } else if (b->signal == SIGNAL_TRACES) {
        buf_str(out, b->spans.name[i]);
        buf_char(out, ' ');
        buf_hex(out, b->spans.trace[i].bytes, 16);
        buf_char(out, ' ');
        buf_hex(out, b->spans.span[i].bytes, 8);
        put_pairs(out, a, &b->spans.attributes[i]);
    } else {
        const batch_metric *m = &b->metrics[b->points.metric[i]];
        buf_str(out, m->name);
        put_pairs(out, a, &b->points.attributes[i]);
        buf_char(out, ' ');
        put_point(out, m->type, &b->points.value[i]);
    }
    buf_char(out, '\n');
}

/* ---- all of each item ---- */

static void detail_log(buf *out, arena *a, const batch *b, uint32_t i)
{
    const log_rows *r = &b->logs;
    buf_fmt(out, "LogRecord #%u\n", i);
    FIELD(out, "Timestamp", put_time(out, r->time_ns[i]));
    FIELD(out, "Observed", put_time(out, r->observed_ns[i]));
    FIELD(out, "Severity", buf_fmt(out, "%.*s(%u)", STR_ARG(r->severity_text[i]), r->severity[i]));
    FIELD(out, "Body", buf_fmt(out, "%s(", type_name(r->body[i].type));
          put_value(out, a, &r->body[i]); buf_char(out, ')'));
    FIELD(out, "Trace ID", put_id(out, r->trace[i].bytes, 16));
    FIELD(out, "Span ID", put_id(out, r->span[i].bytes, 8));
    FIELD(out, "Event name", buf_str(out, r->event_name[i]));
    put_attributes(out, a, "Attributes", &r->attributes[i]);
}

static void detail_span(buf *out, arena *a, const batch *b, uint32_t i)
{
    static const char *const kinds[] = { "Unspecified", "Internal", "Server",
                                         "Client",      "Producer", "Consumer" };
    static const char *const statuses[] = { "Unset", "Ok", "Error" };
    const span_rows *r = &b->spans;
    buf_fmt(out, "Span #%u\n", i);
    FIELD(out, "Trace ID", put_id(out, r->trace[i].bytes, 16));
    FIELD(out, "Parent ID", put_id(out, r->parent[i].bytes, 8));
    FIELD(out, "ID", put_id(out, r->span[i].bytes, 8));
    FIELD(out, "Name", buf_str(out, r->name[i]));
    FIELD(out, "Kind", buf_fmt(out, "%s", r->kind[i] < ARRAY_LEN(kinds) ? kinds[r->kind[i]] : "?"));
    FIELD(out, "Start time", put_time(out, r->start_ns[i]));
    FIELD(out, "End time", put_time(out, r->end_ns[i]));
    FIELD(out, "Status code",
          buf_fmt(out, "%s", r->status[i] < ARRAY_LEN(statuses) ? statuses[r->status[i]] : "?"));
    FIELD(out, "Status message", buf_str(out, r->status_message[i]));
    put_attributes(out, a, "Attributes", &r->attributes[i]);
    for (uint32_t k = 0; k < r->events[i].count; k++) {
        const span_event *e = &r->events[i].items[k];
        buf_fmt(out, "SpanEvent #%u\n", k);
        FIELD(out, "Name", buf_str(out, e->name));
        FIELD(out, "Timestamp", put_time(out, e->time_ns));
        put_attributes(out, a, "Attributes", &e->attributes);
    }
    for (uint32_t k = 0; k < r->links[i].count; k++) {
        const span_link *l = &r->links[i].items[k];
        buf_fmt(out, "SpanLink #%u\n", k);
        FIELD(out, "Trace ID", put_id(out, l->trace.bytes, 16));
        FIELD(out, "ID", put_id(out, l->span.bytes, 8));
        put_attributes(out, a, "Attributes", &l->attributes);
    }
}

static void detail_point(buf *out, arena *a, const batch *b, uint32_t i)
{
    static const char *const temporalities[] = { "", "Delta", "Cumulative" };
    const point_rows *r = &b->points;
    const batch_metric *m = &b->metrics[r->metric[i]];
    if (i == 0 || r->metric[i - 1] != r->metric[i]) {
        buf_fmt(out, "Metric #%u\n", r->metric[i]);
        FIELD(out, "Name", buf_str(out, m->name));
        FIELD(out, "Description", buf_str(out, m->description));
        FIELD(out, "Unit", buf_str(out, m->unit));
        FIELD(out, "DataType", buf_fmt(out, "%s", metric_type_name(m->type)));
        FIELD(out, "Temporality", buf_fmt(out, "%s", temporalities[m->temporality % 3]));
    }
    buf_fmt(out, "DataPoint #%u\n", i);
    FIELD(out, "StartTimestamp", put_time(out, r->start_ns[i]));
    FIELD(out, "Timestamp", put_time(out, r->time_ns[i]));
    FIELD(out, "Value", put_point(out, m->type, &r->value[i]));
    put_attributes(out, a, "Attributes", &r->attributes[i]);
}

/* The resource and scope where they are others than the row's before. */
static void detail_of(buf *out, arena *a, const batch *b, uint32_t i)
{
    static void (*const details[SIGNAL_COUNT])(buf *, arena *, const batch *, uint32_t) = {
        [SIGNAL_LOGS] = detail_log, [SIGNAL_METRICS] = detail_point, [SIGNAL_TRACES] = detail_span
    };
    const batch_scope *scope = batch_row_scope(b, i);
    const batch_scope *before = i ? batch_row_scope(b, i - 1) : NULL;
    if (!before || scope->resource != before->resource) {
        const batch_resource *r = &b->resources[scope->resource];
        buf_fmt(out, "Resource #%u %.*s\n", scope->resource, STR_ARG(r->schema_url));
        put_attributes(out, a, "Resource attributes", &r->attributes);
    }
    if (scope != before) {
        buf_fmt(out, "InstrumentationScope %.*s %.*s\n", STR_ARG(scope->name),
                STR_ARG(scope->version));
        put_attributes(out, a, "Scope attributes", &scope->attributes);
    }
    details[b->signal](out, a, b, i);
}

/* ---- the exporter ---- */

static bool is_shown(debug_printer *p)
{
    const debug_settings *s = p->component->settings;
    int64_t second = clock_mono_ns() / NS_PER_S;
    if (second != p->second) {
        p->second = second;
        p->seen = 0;
    }
    int64_t beyond = ++p->seen - s->sampling_initial;
    return beyond <= 0 || (s->sampling_thereafter && beyond % s->sampling_thereafter == 0);
}

static void put_batch(const debug_printer *p, const batch *b, buf *out)
{
    static const char *const items[] = {
        [SIGNAL_LOGS] = "log records", [SIGNAL_METRICS] = "data points", [SIGNAL_TRACES] = "spans"
    };
    uint32_t count = batch_row_count(b);
    arena a;
    clock_format_rfc3339(out, clock_now_ns(), 3);
    buf_fmt(out, " %s: %s: %u resources, ", p->component->id, signal_name(b->signal),
            b->resource_count);
    if (b->signal == SIGNAL_METRICS)
        buf_fmt(out, "%u metrics, ", b->metric_count);
    buf_fmt(out, "%u %s\n", count, items[b->signal]);
    arena_init(&a, MiB(16));
    for (uint32_t i = 0; p->verbosity != BASIC && i < count && !out->failed; i++) {
        if (p->verbosity == NORMAL)
            line_of(out, &a, b, i);
        else
            detail_of(out, &a, b, i);
        arena_clear(&a);
    }
    arena_done(&a);
}

static status debug_send(void *self, const batch *b, send_result *ret, error *err)
{
    static const str more = STR_INIT("\n(and more than can be shown)\n");
    debug_printer *p = self;
    buf out;
    *ret = (send_result){ 0 };
    if (!is_shown(p))
        return STATUS_OK;
    buf_init(&out, TEXT_MAX);
    put_batch(p, b, &out);
    status st = file_write_all(STDERR_FILENO, out.ptr, out.len, err);
    if (st == STATUS_OK && out.failed)
        st = file_write_all(STDERR_FILENO, more.ptr, more.len, err);
    buf_done(&out);
    return st == STATUS_OK ? st : (err->code = STATUS_INVALID); /* nobody to show it to: gone */
}

static status open_printer(void **ret_self, component *c, int verbosity, error *err)
{
    debug_printer *p = calloc(1, sizeof(*p));
    if (!p)
        return fail(err, STATUS_NO_MEMORY, "no memory for an exporter");
    *p = (debug_printer){ .component = c, .verbosity = verbosity };
    *ret_self = p;
    return STATUS_OK;
}

static status debug_open(void **ret_self, component *c, error *err)
{
    const debug_settings *s = c->settings;
    return open_printer(ret_self, c, s->verbosity, err);
}

static status logging_open(void **ret_self, component *c, error *err)
{
    static const int of_level[] = { NORMAL, DETAILED, BASIC, BASIC };
    const debug_settings *s = c->settings;
    return open_printer(ret_self, c, s->level ? of_level[s->level] : s->verbosity, err);
}

#define DEBUG_HELP \
    "Shows what passes by on stderr. Nothing is left out: secrets are taken out by `redaction` " \
    "before it."
const component_type debug_exporter = {
    .type = "debug",
    .kind = COMPONENT_EXPORTER,
    .signals = SIGNALS_ALL,
    .help = DEBUG_HELP,
    .options = OPTION_TABLE(debug_rows, debug_settings),
    .open = debug_open,
    .close = free,
    .send = debug_send,
    .ephemeral = true,
};

const component_type logging_exporter = {
    .type = "logging",
    .kind = COMPONENT_EXPORTER,
    .signals = SIGNALS_ALL,
    .help = "The older name of `debug`.",
    .options = OPTION_TABLE(logging_rows, debug_settings),
    .open = logging_open,
    .close = free,
    .send = debug_send,
    .ephemeral = true,
};

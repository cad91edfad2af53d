// SPDX-License-Identifier: Apache-2.0
/* For tests of processors and connectors: a component opened with settings from YAML, and rows that
 * are written as JSON, one object a row:
 *   spans    {"name": "a", "kind": 2, "status": 2, "trace": 7, "span": 1, "parent": 1, "start": 0,
 *             "end": 5, "state": "ot=th:8", "flags": 1, "events": [{"name": "e", "time": 1, …}]}
 *   points   {"metric": "m", "type": "sum", "value": 1}
 *   logs     {"body": …, "severity": 9, "text": "INFO", "trace": 7}
 * and all of them {"attributes": {…}, "resource": {…}, "scope": "lib"}. Ids are numbers, or text of
 * 32 digits; times are milliseconds; what is not said is zero or empty, and is not printed. */
#ifndef SONDE_TESTS_PROCESSOR_ROWS_H
#define SONDE_TESTS_PROCESSOR_ROWS_H

#include "support.h"

#include "codec/batch_rows.h"
#include "codec/json_value.h"
#include "pipeline/counts.h"
#include "pipeline/pipelines_internal.h"

#include <math.h>

/* ---- a component ---- */

typedef struct {
    config file;
    collector collector;
    pipelines pipelines;
    component component;
    char said[4096]; /* what was wrong with the file */
} rig;

static void rig_issue(void *user, bool warning, const char *text)
{
    rig *r = user;
    size_t used = strlen(r->said);
    if (!warning)
        snprintf(r->said + used, sizeof(r->said) - used, "%s\n", text);
}

/* `yaml` is the settings as they stand below the component's name, each line indented by two. False
 * when they are refused; r->said tells. */
static bool rig_open(rig *r, component_kind kind, const char *type, signal_kind signal, str yaml)
{
    error err;
    buf text;
    *r = (rig){ 0 };
    buf_init(&text, 0);
    bool connector = kind == COMPONENT_CONNECTOR;
    buf_fmt(&text,
            "receivers: {otlp: {protocols: {http: {}}}}\nexporters: {debug: {}}\n%s:\n  %s:\n",
            connector ? "connectors" : "processors", type);
    for (str rest = yaml; rest.len;) {
        str line = str_cut(rest, '\n', &rest);
        buf_fmt(&text, "  %.*s\n", STR_ARG(line));
    }
    buf_fmt(&text,
            "service:\n  pipelines:\n    %s/in: {receivers: [otlp], processors: [%s], exporters: "
            "[%s]}\n",
            signal_name(signal), connector ? "" : type, connector ? type : "debug");
    if (connector)
        buf_fmt(&text, "    metrics/out: {receivers: [%s], exporters: [debug]}\n", type);
    status st = config_parse(&r->file, "f", buf_view(&text), NULL, rig_issue, r, &err);
    buf_done(&text);
    if (st != STATUS_OK)
        return false;
    r->pipelines.owner = &r->collector;
    for (uint32_t i = 0; i < r->file.component_count; i++) {
        const config_component *c = &r->file.components[i];
        if (c->type->kind == kind && strcmp(c->id, type) == 0)
            r->component = (component){ .type = c->type, .id = c->id, .settings = c->settings };
    }
    component *c = &r->component;
    assert_non_null(c->type);
    c->owner = &r->pipelines;
    c->counts = counts_new(kind, c->id);
    assert_non_null(c->counts);
    assert_ok(c->type->open(&c->self, c, &err));
    return true;
}

static void rig_close(rig *r)
{
    r->component.type->close(r->component.self);
    counts_free(r->component.counts);
    config_done(&r->file);
}

/* ---- rows from JSON ---- */

static const value *row_member(const value *row, const char *name)
{
    return attrs_get(&row->map, str_c(name));
}

static int64_t row_int(const value *row, const char *name)
{
    const value *v = row_member(row, name);
    return v && v->type == VALUE_I64 ? v->i64 : 0;
}

static str row_str(const value *row, const char *name)
{
    const value *v = row_member(row, name);
    return v && v->type == VALUE_STR ? v->s : STR_EMPTY;
}

static attrs row_attrs(const value *row, const char *name)
{
    const value *v = row_member(row, name);
    return v && v->type == VALUE_MAP ? v->map : (attrs){ 0 };
}

static void row_id(const value *row, const char *name, uint8_t *bytes, size_t n)
{
    int64_t number = row_int(row, name);
    str text = row_str(row, name);
    memset(bytes, 0, n);
    if (text.len) {
        assert_true(str_from_hex(text, bytes, n));
        return;
    }
    for (size_t i = 0; i < 8; i++)
        bytes[n - 1 - i] = (uint8_t)((uint64_t)number >> (8 * i));
}

/* Each row has a resource of its own unless it is that of the row before. */
static uint32_t row_scope(batch *b, const value *row)
{
    const value *resource = row_member(row, "resource");
    attrs wanted = row_attrs(row, "resource");
    str name = row_str(row, "scope");
    if (b->scope_count) {
        const batch_scope *last = &b->scopes[b->scope_count - 1];
        const attrs *old = &b->resources[last->resource].attributes;
        bool same = old->count == wanted.count && str_eq(last->name, name);
        for (uint32_t i = 0; i < wanted.count && same; i++)
            same = str_eq(value_text(&b->arena, &old->items[i].value),
                          value_text(&b->arena, &wanted.items[i].value));
        if (same)
            return b->scope_count - 1;
    }
    (void)resource;
    uint32_t own = batch_add_resource(b);
    b->resources[own].attributes = wanted;
    uint32_t scope = batch_add_scope(b, own);
    b->scopes[scope].name = name;
    return scope;
}

static void row_span(batch *b, const value *row)
{
    uint32_t i = batch_add_span(b, row_scope(b, row));
    span_rows *s = &b->spans;
    row_id(row, "trace", s->trace[i].bytes, 16);
    row_id(row, "span", s->span[i].bytes, 8);
    row_id(row, "parent", s->parent[i].bytes, 8);
    s->name[i] = row_str(row, "name");
    s->kind[i] = (uint8_t)row_int(row, "kind");
    s->status[i] = (uint8_t)row_int(row, "status");
    s->flags[i] = (uint32_t)row_int(row, "flags");
    s->trace_state[i] = row_str(row, "state");
    s->start_ns[i] = row_int(row, "start") * NS_PER_MS;
    s->end_ns[i] = row_int(row, "end") * NS_PER_MS;
    s->attributes[i] = row_attrs(row, "attributes");
    const value *events = row_member(row, "events");
    if (!events)
        return;
    s->events[i].items = ARENA_ARRAY(&b->arena, span_event, events->array.count);
    s->events[i].count = events->array.count;
    for (uint32_t k = 0; k < events->array.count; k++)
        s->events[i].items[k] =
            (span_event){ .name = row_str(&events->array.items[k], "name"),
                          .time_ns = row_int(&events->array.items[k], "time") * NS_PER_MS,
                          .attributes = row_attrs(&events->array.items[k], "attributes") };
}

static void row_log(batch *b, const value *row)
{
    uint32_t i = batch_add_log(b, row_scope(b, row));
    const value *body = row_member(row, "body");
    row_id(row, "trace", b->logs.trace[i].bytes, 16);
    b->logs.severity[i] = (uint8_t)row_int(row, "severity");
    b->logs.severity_text[i] = row_str(row, "text");
    b->logs.time_ns[i] = row_int(row, "time") * NS_PER_MS;
    b->logs.body[i] = body ? *body : (value){ 0 };
    b->logs.attributes[i] = row_attrs(row, "attributes");
}

static void row_point(batch *b, const value *row)
{
    uint32_t scope = row_scope(b, row), metric = 0;
    str name = row_str(row, "metric");
    while (metric < b->metric_count &&
           !(b->metrics[metric].scope == scope && str_eq(b->metrics[metric].name, name)))
        metric++;
    if (metric == b->metric_count)
        metric = batch_add_metric(b, scope);
    bool sum = str_is(row_str(row, "type"), "sum");
    b->metrics[metric].name = name;
    b->metrics[metric].type = sum ? METRIC_SUM : METRIC_GAUGE;
    uint32_t i = batch_add_point(b, metric);
    b->points.value[i] = (point_value){ .is_int = true, .i64 = row_int(row, "value") };
    b->points.time_ns[i] = row_int(row, "time") * NS_PER_MS;
    b->points.attributes[i] = row_attrs(row, "attributes");
}

/* One row; fails the test when it is no JSON. */
static void rows_add(batch *b, const value *row)
{
    static void (*const by_signal[SIGNAL_COUNT])(batch *, const value *) = {
        [SIGNAL_LOGS] = row_log, [SIGNAL_METRICS] = row_point, [SIGNAL_TRACES] = row_span
    };
    by_signal[b->signal](b, row);
}

static value rows_json(arena *a, str text)
{
    error err;
    json_reader r;
    value v = { 0 };
    json_read(&r, text, a, 0);
    if (!value_from_json(&r, a, &v)) {
        json_fail_status(&r, &err, "row");
        fail_msg("%s: %.*s", err.message, STR_ARG(text));
    }
    return v;
}

/* ---- rows as JSON ---- */

static void row_put(attr *list, uint32_t *count, const char *name, value v)
{
    bool empty = v.type == VALUE_EMPTY || (v.type == VALUE_STR && !v.s.len) ||
                 (v.type == VALUE_I64 && !v.i64) || (v.type == VALUE_MAP && !v.map.count) ||
                 (v.type == VALUE_ARRAY && !v.array.count);
    if (!empty)
        list[(*count)++] = (attr){ str_c(name), v };
}

static value row_id_value(arena *a, const uint8_t *bytes, size_t n)
{
    uint64_t number = 0;
    for (size_t i = 0; i < n; i++)
        number = i + 8 >= n ? number << 8 | bytes[i] : number;
    for (size_t i = 0; i + 8 < n; i++)
        if (bytes[i]) {
            char *text = arena_alloc(a, 2 * n);
            str_to_hex(bytes, n, text);
            return VALUE_S(str_n(text, 2 * n));
        }
    return VALUE_I((int64_t)number);
}

#define MAP_OF(attrs_) ((value){ .type = VALUE_MAP, .map = (attrs_) })

static value row_events(arena *a, const span_events *events)
{
    value *items = ARENA_ARRAY(a, value, MAX(events->count, 1u));
    for (uint32_t k = 0; k < events->count; k++) {
        uint32_t n = 0;
        attr *of = ARENA_ARRAY(a, attr, 3);
        row_put(of, &n, "name", VALUE_S(events->items[k].name));
        row_put(of, &n, "time", VALUE_I(events->items[k].time_ns / NS_PER_MS));
        row_put(of, &n, "attributes", MAP_OF(events->items[k].attributes));
        items[k] = MAP_OF(((attrs){ of, n, 0 }));
    }
    return (value){ .type = VALUE_ARRAY, .array = { items, events->count } };
}

/* The text of a row; in `a`. */
UNUSED static str row_text(arena *a, const batch *b, uint32_t i)
{
    uint32_t n = 0;
    attr *list = ARENA_ARRAY(a, attr, 20);
    if (b->signal == SIGNAL_TRACES) {
        const span_rows *s = &b->spans;
        row_put(list, &n, "name", VALUE_S(s->name[i]));
        row_put(list, &n, "trace", row_id_value(a, s->trace[i].bytes, 16));
        row_put(list, &n, "span", row_id_value(a, s->span[i].bytes, 8));
        row_put(list, &n, "parent", row_id_value(a, s->parent[i].bytes, 8));
        row_put(list, &n, "kind", VALUE_I(s->kind[i]));
        row_put(list, &n, "status", VALUE_I(s->status[i]));
        row_put(list, &n, "flags", VALUE_I(s->flags[i]));
        row_put(list, &n, "state", VALUE_S(s->trace_state[i]));
        row_put(list, &n, "start", VALUE_I(s->start_ns[i] / NS_PER_MS));
        row_put(list, &n, "end", VALUE_I(s->end_ns[i] / NS_PER_MS));
        row_put(list, &n, "events", row_events(a, &s->events[i]));
    } else if (b->signal == SIGNAL_LOGS) {
        row_put(list, &n, "body", b->logs.body[i]);
        row_put(list, &n, "trace", row_id_value(a, b->logs.trace[i].bytes, 16));
        row_put(list, &n, "severity", VALUE_I(b->logs.severity[i]));
        row_put(list, &n, "text", VALUE_S(b->logs.severity_text[i]));
        row_put(list, &n, "time", VALUE_I(b->logs.time_ns[i] / NS_PER_MS));
    } else {
        const batch_metric *m = &b->metrics[b->points.metric[i]];
        int64_t time = b->points.time_ns[i] / NS_PER_MS;
        row_put(list, &n, "metric", VALUE_S(m->name));
        row_put(list, &n, "type", VALUE_S(m->type == METRIC_SUM ? STR("sum") : STR_EMPTY));
        row_put(list, &n, "value", VALUE_I(b->points.value[i].i64));
        row_put(list, &n, "time",
                VALUE_I(time < 1000000 ? time : 0)); /* the clock's are left out */
    }
    row_put(list, &n, "attributes", MAP_OF(*batch_row_attributes(b, i)));
    row_put(list, &n, "resource", MAP_OF(batch_row_resource(b, i)->attributes));
    str scope = batch_row_scope(b, i)->name;
    row_put(list, &n, "scope", VALUE_S(str_starts(scope, STR("github.com")) ? STR_EMPTY : scope));
    buf out;
    buf_init(&out, 0);
    json_writer w = json_write(&out);
    attrs_to_json(&(attrs){ list, n, 0 }, &w);
    str text = arena_str(a, buf_view(&out));
    buf_done(&out);
    return text;
}

#endif

// SPDX-License-Identifier: Apache-2.0
/* The connector "count": how many spans, events of spans, metrics, data points and log records
 * passed, as delta sums, one for each resource, metric and combination of attributes of a batch. */
#include "pipeline/component.h"
#include "pipeline/ottl.h"

#include "base/clock.h"
#include "base/map.h"
#include "codec/batch_rows.h"

#include <stdio.h>
#include <stdlib.h>

#define SCRATCH_LIMIT MiB(16)
#define SCOPE_NAME \
    "github.com/open-telemetry/opentelemetry-collector-contrib/connector/countconnector"

typedef struct {
    str key, default_value;
} count_attribute;

typedef struct {
    str name, description;
    text_list conditions;
    section_list attributes; /* count_attribute */
} count_metric;

typedef enum {
    COUNT_SPANS,
    COUNT_SPANEVENTS,
    COUNT_METRICS,
    COUNT_DATAPOINTS,
    COUNT_LOGS,
    COUNTED
} counted;

typedef struct {
    section_list metrics[COUNTED]; /* count_metric */
} count_settings;

static const struct {
    const char *option;
    ottl_context context;
    signal_kind signal;
    count_metric fallback;
} kinds[COUNTED] = {
    [COUNT_SPANS] = { "spans",
                      OTTL_SPAN,
                      SIGNAL_TRACES,
                      { STR_INIT("trace.span.count"), STR_INIT("The number of spans observed.") } },
    [COUNT_SPANEVENTS] = { "spanevents",
                           OTTL_SPANEVENT,
                           SIGNAL_TRACES,
                           { STR_INIT("trace.span.event.count"),
                             STR_INIT("The number of span events observed.") } },
    [COUNT_METRICS] = { "metrics",
                        OTTL_METRIC,
                        SIGNAL_METRICS,
                        { STR_INIT("metric.count"), STR_INIT("The number of metrics observed.") } },
    [COUNT_DATAPOINTS] = { "datapoints",
                           OTTL_DATAPOINT,
                           SIGNAL_METRICS,
                           { STR_INIT("metric.datapoint.count"),
                             STR_INIT("The number of data points observed.") } },
    [COUNT_LOGS] = { "logs",
                     OTTL_LOG,
                     SIGNAL_LOGS,
                     { STR_INIT("log.record.count"),
                       STR_INIT("The number of log records observed.") } },
};

/* ---- options ---- */

static const option attribute_rows[] = {
    { .name = "key",
      .type = OPTION_TEXT,
      .offset = offsetof(count_attribute, key),
      .required = true,
      .help =
          "attribute of the item, its scope or its resource; items without it are not counted" },
    { .name = "default_value",
      .type = OPTION_TEXT,
      .offset = offsetof(count_attribute, default_value),
      .help = "value for items that do not have it" },
};
static const option_table attribute_options = OPTION_TABLE(attribute_rows, count_attribute);

static const option metric_rows[] = {
    { .name = "description",
      .type = OPTION_TEXT,
      .offset = offsetof(count_metric, description),
      .help = "description of the metric" },
    { .name = "conditions",
      .type = OPTION_TEXTS,
      .offset = offsetof(count_metric, conditions),
      .help = "items for which one of them (OTTL) holds are counted; all when there is none" },
    { .name = "attributes",
      .type = OPTION_SECTIONS,
      .offset = offsetof(count_metric, attributes),
      .table = &attribute_options,
      .help = "a count for each combination of their values" },
};
static const option_table metric_options = OPTION_TABLE(metric_rows, count_metric);

#define ROW(kind, name_, help_) \
    { \
        .name = (name_), .type = OPTION_NAMED, .offset = offsetof(count_settings, metrics[kind]), \
        .table = &metric_options, .help = (help_) \
    }
static const option count_rows[] = {
    ROW(COUNT_SPANS, "spans", "metrics by name; trace.span.count when absent"),
    ROW(COUNT_SPANEVENTS, "spanevents", "metrics by name; trace.span.event.count when absent"),
    ROW(COUNT_METRICS, "metrics", "metrics by name; metric.count when absent"),
    ROW(COUNT_DATAPOINTS, "datapoints", "metrics by name; metric.datapoint.count when absent"),
    ROW(COUNT_LOGS, "logs", "metrics by name; log.record.count when absent"),
};

static status count_check(const void *settings, char *where, size_t where_size, error *err)
{
    char name[120];
    const count_settings *s = settings;
    status st = STATUS_OK;
    for (size_t k = 0; k < COUNTED && st == STATUS_OK; k++) {
        const count_metric *m = s->metrics[k].items;
        for (uint32_t i = 0; i < s->metrics[k].count && st == STATUS_OK; i++) {
            snprintf(name, sizeof(name), "%s.%.*s.conditions", kinds[k].option,
                     (int)MIN(m[i].name.len, 80), m[i].name.ptr);
            st = ottl_list_check(kinds[k].context, &m[i].conditions, name, where, where_size, err);
            if (st == STATUS_OK && k == COUNT_METRICS && m[i].attributes.count) {
                snprintf(where, where_size, "metrics.%.*s.attributes", (int)MIN(m[i].name.len, 80),
                         m[i].name.ptr);
                return fail(err, STATUS_INVALID, "metrics have no attributes; data points have");
            }
        }
    }
    return st;
}

/* ---- life ---- */

typedef struct {
    const count_metric *s;
    counted kind;
    ottl_list conditions;
} definition;

typedef struct {
    component *component;
    definition *items;
    uint32_t count;
} counter;

static void count_close(void *self)
{
    counter *c = self;
    for (uint32_t i = 0; i < c->count; i++)
        ottl_list_free(&c->items[i].conditions);
    free(c->items);
    free(c);
}

static status add_definition(counter *c, const count_metric *m, counted kind, error *err)
{
    uint32_t index;
    definition *d = &c->items[c->count++];
    *d = (definition){ .s = m, .kind = kind };
    return ottl_list_parse(&d->conditions, kinds[kind].context, &m->conditions, &index, err);
}

static status count_open(void **ret_self, component *c, error *err)
{
    const count_settings *s = c->settings;
    uint32_t count = COUNTED;
    for (size_t k = 0; k < COUNTED; k++)
        count += s->metrics[k].count;
    counter *self = calloc(1, sizeof(*self));
    definition *items = calloc(count, sizeof(*items));
    if (!self || !items) {
        free(self);
        free(items);
        return fail(err, STATUS_NO_MEMORY, "no memory for the connector %s", c->id);
    }
    self->component = c;
    self->items = items;
    status st = STATUS_OK;
    for (size_t k = 0; k < COUNTED && st == STATUS_OK; k++) {
        const count_metric *m = s->metrics[k].items;
        for (uint32_t i = 0; i < s->metrics[k].count && st == STATUS_OK; i++)
            st = add_definition(self, &m[i], (counted)k, err);
        if (!s->metrics[k].count)
            st = add_definition(self, &kinds[k].fallback, (counted)k, err);
    }
    if (st == STATUS_OK)
        *ret_self = self;
    else
        count_close(self);
    return st;
}

/* ---- counting ---- */

typedef struct {
    const counter *c;
    const batch *in;
    batch *out;
    uint32_t *resources; /* of `in`: their scope in `out`, or BATCH_FULL */
    uint32_t *metrics;   /* by resource and definition: index in `out`, or BATCH_FULL */
    map points;          /* by metric and attributes: row in `out` */
    arena scratch;
    uint64_t errors;
    error *err;
} run;

/* An item: a row, an event, a metric. */
typedef struct {
    ottl_row row;
    uint32_t resource;
    const batch_scope *scope;
    const attrs *attributes; /* NULL: it has none */
    int64_t from_ns, to_ns;  /* 0: it has no time */
} item;

static status no_memory(run *r)
{
    return fail(r->err, STATUS_NO_MEMORY, "no memory to count %u items", batch_row_count(r->in));
}

static uint32_t metric_of(run *r, uint32_t resource, uint32_t d)
{
    batch *out = r->out;
    uint32_t *metric = &r->metrics[(size_t)resource * r->c->count + d];
    if (*metric != BATCH_FULL)
        return *metric;
    if (r->resources[resource] == BATCH_FULL) {
        uint32_t own = batch_add_resource(out);
        uint32_t scope = own == BATCH_FULL ? BATCH_FULL : batch_add_scope(out, own);
        if (scope == BATCH_FULL)
            return BATCH_FULL;
        /* What a connector gives stands alone: the rows it read may go before its own do. */
        if (!attrs_copy(&out->arena, &out->resources[own].attributes,
                        &r->in->resources[resource].attributes))
            return BATCH_FULL;
        out->scopes[scope].name = STR(SCOPE_NAME);
        r->resources[resource] = scope;
    }
    *metric = batch_add_metric(out, r->resources[resource]);
    if (*metric != BATCH_FULL) {
        batch_metric *m = &out->metrics[*metric];
        m->type = METRIC_SUM;
        m->temporality = TEMPORALITY_DELTA;
        m->monotonic = true;
        m->name = r->c->items[d].s->name;
        m->description = r->c->items[d].s->description;
    }
    return *metric;
}

static const value *attribute_of(const run *r, const item *it, str key)
{
    const value *v = it->attributes ? attrs_get(it->attributes, key) : NULL;
    if (!v)
        v = attrs_get(&it->scope->attributes, key);
    return v ? v : attrs_get(&r->in->resources[it->resource].attributes, key);
}

/* The attributes of the item's point; false when one is missing, or memory is (ret_failed). */
static bool point_attributes(run *r, const definition *d, const item *it, attrs *ret,
                             bool *ret_failed)
{
    const count_attribute *wanted = d->s->attributes.items;
    uint32_t count = d->s->attributes.count;
    attr *items = count ? ARENA_ARRAY(&r->out->arena, attr, count) : NULL;
    *ret = (attrs){ items, count, 0 };
    *ret_failed = count && !items;
    for (uint32_t i = 0; i < count && !*ret_failed; i++) {
        const value *v = attribute_of(r, it, wanted[i].key);
        str text = v ? value_text(&r->out->arena, v) : wanted[i].default_value;
        if (v && text.ptr)
            text = arena_str(&r->out->arena, text);
        *ret_failed = v && !text.ptr;
        if (!v && !text.len)
            return false;
        items[i] = (attr){ wanted[i].key, VALUE_S(text) };
    }
    return !*ret_failed;
}

/* Bytes that are the same for the same metric and values. */
static str point_key(run *r, uint32_t metric, const attrs *a)
{
    size_t size = sizeof(metric);
    for (uint32_t i = 0; i < a->count; i++)
        size += sizeof(size_t) + a->items[i].value.s.len;
    char *bytes = arena_alloc(&r->out->arena, size), *at = bytes;
    if (!bytes)
        return (str){ NULL, 0 };
    memcpy(at, &metric, sizeof(metric));
    at += sizeof(metric);
    for (uint32_t i = 0; i < a->count; i++) {
        str s = a->items[i].value.s;
        memcpy(at, &s.len, sizeof(s.len));
        if (s.len)
            memcpy(at + sizeof(s.len), s.ptr, s.len);
        at += sizeof(s.len) + s.len;
    }
    return str_n(bytes, size);
}

static status add(run *r, uint32_t d, const item *it)
{
    attrs a;
    bool failed, fresh = false;
    if (!point_attributes(r, &r->c->items[d], it, &a, &failed))
        return failed ? no_memory(r) : STATUS_OK;
    uint32_t metric = metric_of(r, it->resource, d);
    str key = metric == BATCH_FULL ? (str){ NULL, 0 } : point_key(r, metric, &a);
    uint64_t *row = key.ptr ? map_put(&r->points, key, 0, &fresh) : NULL;
    if (!row)
        return no_memory(r);
    point_rows *p = &r->out->points;
    if (fresh) {
        uint32_t added = batch_add_point(r->out, metric);
        if (added == BATCH_FULL)
            return no_memory(r);
        *row = added;
        p->attributes[added] = a;
        p->value[added] = (point_value){ .is_int = true, .i64 = 0 };
    }
    uint32_t at = (uint32_t)*row;
    p->value[at].i64++;
    if (it->from_ns && (!p->start_ns[at] || it->from_ns < p->start_ns[at]))
        p->start_ns[at] = it->from_ns;
    p->time_ns[at] = MAX(p->time_ns[at], it->to_ns);
    return STATUS_OK;
}

static status count_item(run *r, counted kind, const item *it)
{
    status st = STATUS_OK;
    for (uint32_t d = 0; d < r->c->count && st == STATUS_OK; d++) {
        const definition *of = &r->c->items[d];
        bool counts = true;
        if (of->kind != kind)
            continue;
        arena_clear(&r->scratch);
        if (of->conditions.count)
            st = ottl_any(&of->conditions, &it->row, OTTL_IGNORE, &r->scratch, &counts, &r->errors,
                          r->err);
        if (st == STATUS_OK && counts)
            st = add(r, d, it);
    }
    return st;
}

static status count_span(run *r, item *it)
{
    const span_rows *s = &r->in->spans;
    uint32_t row = it->row.row;
    it->from_ns = s->start_ns[row];
    it->to_ns = MAX(s->end_ns[row], s->start_ns[row]);
    status st = count_item(r, COUNT_SPANS, it);
    for (uint32_t i = 0; i < s->events[row].count && st == STATUS_OK; i++) {
        const span_event *e = &s->events[row].items[i];
        item of = *it;
        of.row.event = e;
        of.row.event_index = i;
        of.attributes = &e->attributes;
        of.from_ns = of.to_ns = e->time_ns;
        st = count_item(r, COUNT_SPANEVENTS, &of);
    }
    return st;
}

/* A metric is counted at its first point; its points are searched behind that one. */
static status count_point(run *r, item *it, uint8_t *seen)
{
    const point_rows *p = &r->in->points;
    uint32_t row = it->row.row, metric = p->metric[row];
    it->row.metric = metric;
    status st = STATUS_OK;
    if (!seen[metric]) {
        item of = *it;
        seen[metric] = 1;
        of.attributes = NULL;
        of.row.point_from = row;
        of.row.point_to = p->count;
        st = count_item(r, COUNT_METRICS, &of);
    }
    it->from_ns = it->to_ns = p->time_ns[row];
    return st == STATUS_OK ? count_item(r, COUNT_DATAPOINTS, it) : st;
}

static status count_rows_of(run *r)
{
    const batch *in = r->in;
    status st = STATUS_OK;
    uint8_t *seen = ARENA_ARRAY(&r->out->arena, uint8_t, MAX(in->metric_count, 1u));
    if (!seen)
        return no_memory(r);
    for (uint32_t i = 0; i < batch_row_count(in) && st == STATUS_OK; i++) {
        const batch_scope *scope = batch_row_scope(in, i);
        item it = { .row = { .b = in, .row = i },
                    .resource = scope->resource,
                    .scope = scope,
                    .attributes = batch_row_attributes(in, i) };
        if (in->signal == SIGNAL_TRACES) {
            st = count_span(r, &it);
        } else if (in->signal == SIGNAL_METRICS) {
            st = count_point(r, &it, seen);
        } else {
            it.from_ns = it.to_ns = in->logs.time_ns[i];
            st = count_item(r, COUNT_LOGS, &it);
        }
    }
    return st;
}

static status count_produce(void *self, const batch *in, batch *out, error *err)
{
    run r = { .c = self, .in = in, .out = out, .err = err };
    size_t cells;
    if (mul_overflows(&cells, in->resource_count, r.c->count))
        return no_memory(&r);
    r.resources = ARENA_ARRAY(&out->arena, uint32_t, MAX(in->resource_count, 1u));
    r.metrics = ARENA_ARRAY(&out->arena, uint32_t, MAX(cells, (size_t)1));
    if (!r.resources || !r.metrics)
        return no_memory(&r);
    memset(r.resources, 0xff, in->resource_count * sizeof(uint32_t));
    memset(r.metrics, 0xff, cells * sizeof(uint32_t));
    uint32_t before = out->points.count;
    map_init(&r.points);
    arena_init(&r.scratch, SCRATCH_LIMIT);
    status st = count_rows_of(&r);
    arena_done(&r.scratch);
    map_done(&r.points);
    int64_t now = clock_now_ns();
    for (uint32_t i = before; i < out->points.count; i++)
        if (!out->points.time_ns[i])
            out->points.time_ns[i] = now;
    if (r.errors)
        component_warn(r.c->component, "condition_failed", "a condition failed on %llu items",
                       (unsigned long long)r.errors);
    return st;
}

const component_type count_connector = {
    .type = "count",
    .kind = COMPONENT_CONNECTOR,
    .signals = SIGNALS_ALL,
    .help = "Counts items and gives the counts as metrics.",
    .options = OPTION_TABLE(count_rows, count_settings),
    .check = count_check,
    .open = count_open,
    .close = count_close,
    .produces = SIGNAL_METRICS,
    .produce = count_produce,
};

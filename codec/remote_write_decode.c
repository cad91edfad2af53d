// SPDX-License-Identifier: Apache-2.0
/* Remote write requests into a batch; see remote_write.h. Two passes over the request: symbols or
 * metadata first, then the series. A failure is written where it is seen and unwinds; what is wrong
 * with one series leaves only that one out. */
#include "codec/remote_write_internal.h"

#include "codec/prom_series.h"
#include "codec/prometheus_scope.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS_MAX = 1048576, LABELS_MAX = 1024 };
static const int64_t time_max_ms = INT64_MAX / NS_PER_MS - 1;

typedef struct {
    double value;
    int64_t time_ms, start_ms;
} write_sample;

/* A series that came without a sample: its exemplars belong to a point of another message. */
typedef struct {
    uint32_t resource;
    str name;
    attrs attributes;
    exemplars list;
} loose_exemplars;

typedef struct {
    batch *b;
    remote_write_version version;
    uint32_t max_rows, max_labels;
    remote_write_types *types;
    remote_write_result *ret;
    error *err;
    status failed;       /* STATUS_OK while all is well */
    arena memory;        /* tables and lists of this call */
    const uint8_t *base; /* the request's first byte */
    buf key;
    map resources, metrics;
    str *symbols;
    uint32_t symbol_count, symbol_capacity;
    uint32_t series; /* number of the one that is read */
    uint32_t rows;
    /* What the message of one series had; the lists are used again. */
    prom_label *labels;
    write_sample *samples;
    str *histograms, *exemplars;
    uint32_t label_count, label_capacity, sample_count, sample_capacity;
    uint32_t histogram_count, histogram_capacity, exemplar_count, exemplar_capacity;
    write_family family; /* version 2.0 */
    int64_t created_ms;
    const char *problem; /* why it is left out */
    loose_exemplars *loose;
    uint32_t loose_count, loose_capacity;
} decoder;

static bool give_up(decoder *d, status code, const char *format, ...) PRINTF_LIKE(3, 4);
static bool give_up(decoder *d, status code, const char *format, ...)
{
    if (d->failed != STATUS_OK)
        return false;
    char text[300];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    d->failed = fail(d->err, code, "%s", text);
    return false;
}

static bool no_memory(decoder *d)
{
    return give_up(d, STATUS_LIMIT, "the decoded request would exceed %zu bytes of memory",
                   d->b->arena.limit);
}

/* Whether a message was read to its end. */
static bool finished(decoder *d, const pb_reader *r)
{
    if (d->failed == STATUS_OK && r->problem)
        give_up(d, STATUS_INVALID, "series %u: %s, at byte %zu", d->series, r->problem,
                (size_t)(r->at - r->base));
    return d->failed == STATUS_OK;
}

/* Room for one more element; NULL without memory. */
static void *grow(decoder *d, void *list, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return list;
    uint32_t more = *capacity ? *capacity * 2 : 16;
    void *grown = arena_grow(&d->memory, list, count * size, more * size);
    if (grown)
        *capacity = more;
    else
        no_memory(d);
    return grown;
}

#define PUSH(d, list, item) \
    ({ \
        void *grown_ = grow(d, (d)->list##s, (d)->list##_count, &(d)->list##_capacity, \
                            sizeof(*(d)->list##s)); \
        if (grown_) { \
            (d)->list##s = grown_; \
            (d)->list##s[(d)->list##_count++] = (item); \
        } \
        grown_ != NULL; \
    })

/* Leaves the series out, for the first reason found. */
static bool refuse(decoder *d, const char *problem)
{
    if (!d->problem)
        d->problem = problem;
    return true;
}

/* ---- small messages ---- */

static bool read_sample(decoder *d, pb_reader *r)
{
    pb_reader m;
    pb_field f;
    uint64_t v;
    write_sample s = { 0 };
    if (!pb_message(r, &m))
        return finished(d, r);
    while (pb_next(&m, &f)) {
        if (f.number == SAMPLE_VALUE && f.wire == PB_FIXED64)
            (void)pb_double(&m, &s.value);
        else if (f.number == SAMPLE_TIME && f.wire == PB_VARINT && pb_varint(&m, &v))
            s.time_ms = (int64_t)v;
        else if (f.number == SAMPLE_START && f.wire == PB_VARINT && pb_varint(&m, &v))
            s.start_ms = (int64_t)v;
        else if (f.number <= SAMPLE_START)
            (void)pb_fail(&m, "a field of a sample has the wrong wire type");
        else
            (void)pb_skip(&m, f);
    }
    return finished(d, &m) && PUSH(d, sample, s);
}

static bool read_label1(decoder *d, pb_reader *r)
{
    pb_reader m;
    pb_field f;
    prom_label l = { STR_EMPTY, STR_EMPTY };
    if (!pb_message(r, &m))
        return finished(d, r);
    while (pb_next(&m, &f)) {
        if ((f.number == 1 || f.number == 2) && f.wire == PB_LEN)
            (void)pb_bytes(&m, f.number == 1 ? &l.name : &l.value);
        else if (f.number == 1 || f.number == 2)
            (void)pb_fail(&m, "a label has the wrong wire type");
        else
            (void)pb_skip(&m, f);
    }
    return finished(d, &m) && PUSH(d, label, l);
}

static bool symbol(decoder *d, uint64_t at, str *ret)
{
    if (at < d->symbol_count) {
        *ret = d->symbols[at];
        return true;
    }
    *ret = STR_EMPTY;
    return refuse(d, "it refers to a symbol that is not there");
}

/* Names and values in turn, packed or one by one; *pending is the name that waits for a value. */
static bool add_reference(decoder *d, uint64_t at, str *name, bool *pending)
{
    str text;
    if (!symbol(d, at, &text))
        return false;
    *pending = !*pending;
    if (*pending) {
        *name = text;
        return true;
    }
    return PUSH(d, label, ((prom_label){ *name, text }));
}

static bool read_references(decoder *d, pb_reader *r, pb_wire wire, str *name, bool *pending)
{
    uint64_t v;
    pb_reader m;
    if (wire == PB_VARINT)
        return pb_varint(r, &v) ? add_reference(d, v, name, pending) : finished(d, r);
    if (wire != PB_LEN)
        (void)pb_fail(r, "the labels have the wrong wire type");
    else if (pb_message(r, &m)) {
        while (m.at < m.end && pb_varint(&m, &v))
            if (!add_reference(d, v, name, pending))
                return false;
        return finished(d, &m);
    }
    return finished(d, r);
}

static bool read_metadata2(decoder *d, pb_reader *r)
{
    pb_reader m;
    pb_field f;
    uint64_t v;
    if (!pb_message(r, &m))
        return finished(d, r);
    d->family = (write_family){ WRITE_UNKNOWN, STR_EMPTY, STR_EMPTY };
    while (pb_next(&m, &f)) {
        if (f.wire != PB_VARINT) {
            (void)pb_skip(&m, f);
            continue;
        }
        if (!pb_varint(&m, &v))
            break;
        if (f.number == METADATA2_TYPE && v < WRITE_TYPES)
            d->family.type = (write_type)v;
        else if (f.number == METADATA2_HELP)
            (void)symbol(d, v, &d->family.help);
        else if (f.number == METADATA2_UNIT)
            (void)symbol(d, v, &d->family.unit);
    }
    return finished(d, &m);
}

static bool keep_message(decoder *d, pb_reader *r, bool histogram)
{
    str bytes;
    if (!pb_bytes(r, &bytes))
        return finished(d, r);
    return histogram ? PUSH(d, histogram, bytes) : PUSH(d, exemplar, bytes);
}

/* ---- labels ---- */

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const prom_label *)a)->name, ((const prom_label *)b)->name);
}

/* Sorts labels, and says what is wrong with them; empty ones go. */
static void check_labels(decoder *d)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < d->label_count; i++) {
        const prom_label *l = &d->labels[i];
        if (l->name.len == 0)
            refuse(d, "a label has no name");
        else if (utf8_valid_prefix(l->name) != l->name.len)
            refuse(d, "a label's name is not UTF-8");
        else if (utf8_valid_prefix(l->value) != l->value.len)
            refuse(d, "a label's value is not UTF-8");
        if (l->value.len > 0)
            d->labels[kept++] = *l;
    }
    d->label_count = kept;
    if (kept > d->max_labels)
        refuse(d, "it has too many labels");
    for (uint32_t i = 1; i < kept && !d->problem; i++)
        if (str_cmp(d->labels[i - 1].name, d->labels[i].name) > 0) {
            qsort(d->labels, kept, sizeof(d->labels[0]), by_name);
            break;
        }
    for (uint32_t i = 1; i < kept && !d->problem; i++)
        if (str_eq(d->labels[i - 1].name, d->labels[i].name))
            refuse(d, "a label stands there twice");
}

/* Metric name, job and instance taken out; the rest as attributes of the batch. */
static bool take_labels(decoder *d, str *name, str *job, str *instance, attrs *ret)
{
    attr *items = ARENA_ARRAY(&d->b->arena, attr, (size_t)d->label_count + 1);
    *name = *job = *instance = STR_EMPTY;
    if (!items)
        return no_memory(d);
    *ret = (attrs){ items, 0, 0 };
    for (uint32_t i = 0; i < d->label_count; i++) {
        const prom_label *l = &d->labels[i];
        if (str_is(l->name, "__name__"))
            *name = l->value;
        else if (str_is(l->name, "job"))
            *job = l->value;
        else if (str_is(l->name, "instance"))
            *instance = l->value;
        else
            items[ret->count++] = (attr){ l->name, VALUE_S(l->value) };
    }
    return name->len > 0 || refuse(d, "it has no metric name (__name__)");
}

/* ---- the batch's tables ---- */

static void key_text(buf *key, str s)
{
    uint32_t n = (uint32_t)s.len;
    buf_add(key, &n, sizeof(n));
    buf_str(key, s);
}

/* Where the value of d->key in `m` stands. */
static uint64_t *slot_of(decoder *d, map *m, bool *ret_new)
{
    uint64_t *found = map_get(m, buf_view(&d->key));
    *ret_new = !found;
    if (!found) {
        str copy = arena_str(&d->memory, buf_view(&d->key));
        found = copy.ptr && !d->key.failed ? map_put(m, copy, BATCH_FULL, NULL) : NULL;
    }
    if (!found)
        no_memory(d);
    return found;
}

static bool scope_of(decoder *d, str job, str instance, uint32_t *ret)
{
    bool is_new;
    buf_clear(&d->key);
    key_text(&d->key, job);
    key_text(&d->key, instance);
    uint64_t *slot = slot_of(d, &d->resources, &is_new);
    if (!slot)
        return false;
    if (is_new) {
        uint32_t r = batch_add_resource(d->b);
        uint32_t s = r == BATCH_FULL ? r : batch_add_scope(d->b, r);
        attr *items = s == BATCH_FULL ? NULL : ARENA_ARRAY(&d->b->arena, attr, 2);
        if (!items)
            return no_memory(d);
        attrs *a = &d->b->resources[r].attributes;
        a->items = items;
        if (job.len)
            items[a->count++] = (attr){ STR("service.name"), VALUE_S(job) };
        if (instance.len)
            items[a->count++] = (attr){ STR("service.instance.id"), VALUE_S(instance) };
        d->b->scopes[s].name = STR(PROMETHEUS_SCOPE);
        *slot = s;
    }
    *ret = (uint32_t)*slot;
    return true;
}

/* What is known about a series' family. */
static bool family_of(decoder *d, str name, write_family *ret)
{
    *ret = (write_family){ WRITE_UNKNOWN, STR_EMPTY, STR_EMPTY };
    if (d->version == REMOTE_WRITE_2)
        *ret = d->family;
    else if (d->types && !write_types_of_series(d->types, name, &d->b->arena, ret))
        *ret = (write_family){ WRITE_UNKNOWN, STR_EMPTY, STR_EMPTY };
    return ret->help.ptr && ret->unit.ptr;
}

/* type: METRIC_GAUGE for what is told by the family. */
static bool metric_of(decoder *d, uint32_t scope, str name, metric_type type, uint32_t *ret)
{
    bool is_new;
    buf_clear(&d->key);
    buf_add(&d->key, &scope, sizeof(scope));
    buf_char(&d->key, (char)type);
    buf_str(&d->key, name);
    uint64_t *slot = slot_of(d, &d->metrics, &is_new);
    if (!slot)
        return false;
    if (is_new) {
        write_family f;
        uint32_t m = batch_add_metric(d->b, scope);
        if (m == BATCH_FULL || !family_of(d, name, &f))
            return no_memory(d);
        batch_metric *bm = &d->b->metrics[m];
        bm->name = name;
        bm->description = f.help;
        bm->unit = f.unit;
        bm->type = type;
        if (type == METRIC_GAUGE && write_type_counts(f.type, name)) {
            bm->type = METRIC_SUM;
            bm->monotonic = true;
        }
        if (bm->type != METRIC_GAUGE)
            bm->temporality = TEMPORALITY_CUMULATIVE;
        *slot = m;
    }
    *ret = (uint32_t)*slot;
    return true;
}

/* ---- points ---- */

static void reject(decoder *d, uint32_t count, str name, const char *problem)
{
    if (count && d->ret->rejected == 0)
        snprintf(d->ret->message, sizeof(d->ret->message), "series %u (\"%.*s\"): %s", d->series,
                 (int)MIN(name.len, (size_t)80), name.ptr, problem);
    d->ret->rejected += count;
}

static uint32_t add_point(decoder *d, uint32_t metric, const attrs *a, int64_t time_ms,
                          int64_t start_ms)
{
    uint32_t p = BATCH_FULL;
    if (++d->rows > d->max_rows)
        give_up(d, STATUS_LIMIT, "the request has more than %u samples", d->max_rows);
    else if ((p = batch_add_point(d->b, metric)) == BATCH_FULL)
        no_memory(d);
    if (p == BATCH_FULL)
        return p;
    if (start_ms == 0)
        start_ms = d->created_ms;
    d->b->points.time_ns[p] = prom_ns(time_ms);
    d->b->points.start_ns[p] = start_ms > 0 && start_ms <= time_ms ? prom_ns(start_ms) : 0;
    d->b->points.attributes[p] = *a;
    return p;
}

static bool time_is_good(decoder *d, int64_t ms, str name)
{
    bool good = ms >= 0 && ms < time_max_ms;
    if (!good)
        reject(d, 1, name, "a time is before 1970 or after 2262");
    return good;
}

/* *ret_last: the last point that is no stale marker, for exemplars. */
static bool add_samples(decoder *d, uint32_t scope, str name, const attrs *a, uint32_t *ret_last)
{
    uint32_t metric = 0;
    if (d->sample_count && !metric_of(d, scope, name, METRIC_GAUGE, &metric))
        return false;
    for (uint32_t i = 0; i < d->sample_count; i++) {
        const write_sample *s = &d->samples[i];
        if (!time_is_good(d, s->time_ms, name))
            continue;
        uint32_t p = add_point(d, metric, a, s->time_ms, s->start_ms);
        if (p == BATCH_FULL)
            return false;
        if (prom_is_stale(s->value))
            d->b->points.flags[p] = POINT_FLAG_NO_RECORDED_VALUE;
        else
            d->b->points.value[p].f64 = s->value;
        d->ret->samples++;
        if (*ret_last == BATCH_FULL || !d->b->points.flags[p])
            *ret_last = p;
    }
    return true;
}

static bool add_histogram(decoder *d, uint32_t scope, str name, const attrs *a, str bytes,
                          uint32_t *ret_last)
{
    write_histogram h;
    metric_type type;
    point_value value = { 0 };
    uint32_t flags, metric;
    const char *problem;
    pb_reader r = pb_read(bytes);
    arena *memory = &d->b->arena;
    r.base = d->base;
    if (!write_histogram_read(memory, &r, &h))
        return r.problem ? finished(d, &r) : no_memory(d);
    if (!time_is_good(d, h.time_ms, name))
        return true;
    if (!write_histogram_point(memory, &h, &type, &value, &flags, &problem)) {
        if (!problem)
            return no_memory(d);
        reject(d, 1, name, problem);
        return true;
    }
    if (!metric_of(d, scope, name, type, &metric))
        return false;
    uint32_t p = add_point(d, metric, a, h.time_ms, h.start_ms);
    if (p == BATCH_FULL)
        return false;
    d->b->points.value[p] = value;
    d->b->points.flags[p] = flags;
    d->ret->histograms++;
    *ret_last = p;
    return true;
}

/* ---- exemplars ---- */

/* Reads into d->labels, whose series is done with. */
static bool read_exemplar(decoder *d, str bytes, exemplar *ret)
{
    pb_reader r = pb_read(bytes);
    pb_field f;
    uint64_t v;
    str name = STR_EMPTY;
    bool pending = false;
    r.base = d->base;
    d->label_count = 0;
    *ret = (exemplar){ 0 };
    while (pb_next(&r, &f)) {
        if (f.number == EXEMPLAR_LABELS && d->version == REMOTE_WRITE_2) {
            if (!read_references(d, &r, f.wire, &name, &pending))
                return false;
        } else if (f.number == EXEMPLAR_LABELS && f.wire == PB_LEN) {
            if (!read_label1(d, &r))
                return false;
        } else if (f.number == EXEMPLAR_VALUE && f.wire == PB_FIXED64) {
            (void)pb_double(&r, &ret->f64);
        } else if (f.number == EXEMPLAR_TIME && f.wire == PB_VARINT && pb_varint(&r, &v)) {
            if ((int64_t)v > 0 && (int64_t)v < time_max_ms)
                ret->time_ns = prom_ns((int64_t)v);
        } else {
            (void)pb_skip(&r, f);
        }
    }
    return finished(d, &r);
}

static bool exemplar_labels(decoder *d, exemplar *e)
{
    attr *items = ARENA_ARRAY(&d->b->arena, attr, (size_t)d->label_count + 1);
    if (!items)
        return no_memory(d);
    e->filtered_attributes.items = items;
    for (uint32_t i = 0; i < d->label_count && i < d->max_labels; i++) {
        const prom_label *l = &d->labels[i];
        if (str_is(l->name, "trace_id") && str_from_hex(l->value, e->trace.bytes, 16))
            continue;
        if (str_is(l->name, "span_id") && str_from_hex(l->value, e->span.bytes, 8))
            continue;
        if (l->name.len && utf8_valid_prefix(l->name) == l->name.len &&
            utf8_valid_prefix(l->value) == l->value.len)
            items[e->filtered_attributes.count++] = (attr){ l->name, VALUE_S(l->value) };
    }
    return true;
}

static bool add_exemplars(decoder *d, uint32_t scope, str name, const attrs *a, uint32_t point)
{
    if (d->exemplar_count == 0)
        return true;
    exemplars list = { ARENA_ARRAY(&d->b->arena, exemplar, d->exemplar_count), 0 };
    if (!list.items)
        return no_memory(d);
    for (uint32_t i = 0; i < d->exemplar_count; i++) {
        exemplar *e = &list.items[list.count++];
        if (!read_exemplar(d, d->exemplars[i], e) || !exemplar_labels(d, e))
            return false;
    }
    if (point != BATCH_FULL) {
        d->b->points.exemplars[point] = list;
        d->ret->exemplars += list.count;
        return true;
    }
    loose_exemplars *grown =
        grow(d, d->loose, d->loose_count, &d->loose_capacity, sizeof(loose_exemplars));
    if (!grown)
        return false;
    d->loose = grown;
    d->loose[d->loose_count++] = (loose_exemplars){ scope, name, *a, list };
    return true;
}

static void series_key(buf *key, uint32_t scope, str name, const attrs *a)
{
    buf_clear(key);
    buf_add(key, &scope, sizeof(scope));
    key_text(key, name);
    for (uint32_t i = 0; i < a->count; i++) {
        key_text(key, a->items[i].key);
        key_text(key, a->items[i].value.s);
    }
}

/* Prometheus sends a series' exemplars in messages of their own: to the series' point, if one came
 * in the same request; there is nothing else that they could stand at. */
static bool place_loose(decoder *d)
{
    map wanted;
    map_init(&wanted);
    bool ok = true;
    for (uint32_t i = 0; ok && i < d->loose_count; i++) {
        const loose_exemplars *l = &d->loose[i];
        series_key(&d->key, l->resource, l->name, &l->attributes);
        str key = arena_str(&d->memory, buf_view(&d->key));
        ok = key.ptr && map_put(&wanted, key, i, NULL);
    }
    point_rows *p = &d->b->points;
    for (uint32_t i = 0; ok && d->loose_count && i < p->count; i++) {
        const batch_metric *m = &d->b->metrics[p->metric[i]];
        series_key(&d->key, m->scope, m->name, &p->attributes[i]);
        uint64_t *found = map_get(&wanted, buf_view(&d->key));
        if (!found || p->exemplars[i].count)
            continue;
        p->exemplars[i] = d->loose[*found].list;
        d->ret->exemplars += p->exemplars[i].count;
        map_remove(&wanted, buf_view(&d->key));
    }
    map_done(&wanted);
    return ok || no_memory(d);
}

/* ---- one series ---- */

static bool read_series_field(decoder *d, pb_reader *r, pb_field f, str *name, bool *pending)
{
    uint64_t v;
    bool two = d->version == REMOTE_WRITE_2;
    if (two && f.number == SERIES2_LABELS)
        return read_references(d, r, f.wire, name, pending);
    if (two && f.number == SERIES2_CREATED && f.wire == PB_VARINT) {
        if (!pb_varint(r, &v))
            return finished(d, r);
        d->created_ms = (int64_t)v;
        return true;
    }
    if (f.wire != PB_LEN)
        return pb_skip(r, f) || finished(d, r);
    if (f.number == SERIES1_LABELS)
        return read_label1(d, r);
    if (f.number == SERIES1_SAMPLES)
        return read_sample(d, r);
    if (f.number == SERIES1_EXEMPLARS || f.number == SERIES1_HISTOGRAMS)
        return keep_message(d, r, (f.number == SERIES1_HISTOGRAMS) != two);
    if (two && f.number == SERIES2_METADATA)
        return read_metadata2(d, r);
    return pb_skip(r, f) || finished(d, r);
}

static bool store_series(decoder *d)
{
    str name, job, instance;
    attrs a;
    uint32_t scope = 0, last = BATCH_FULL;
    check_labels(d);
    if (!take_labels(d, &name, &job, &instance, &a))
        return false;
    if (d->problem) {
        reject(d, d->sample_count + d->histogram_count, name, d->problem);
        return true;
    }
    if (!scope_of(d, job, instance, &scope) || !add_samples(d, scope, name, &a, &last))
        return false;
    for (uint32_t i = 0; i < d->histogram_count; i++)
        if (!add_histogram(d, scope, name, &a, d->histograms[i], &last))
            return false;
    return add_exemplars(d, scope, name, &a, last);
}

static bool read_series(decoder *d, pb_reader *r)
{
    pb_reader m;
    pb_field f;
    str name = STR_EMPTY;
    bool pending = false;
    if (!pb_message(r, &m))
        return finished(d, r);
    d->label_count = d->sample_count = d->histogram_count = d->exemplar_count = 0;
    d->created_ms = 0;
    d->problem = NULL;
    d->family = (write_family){ WRITE_UNKNOWN, STR_EMPTY, STR_EMPTY };
    while (pb_next(&m, &f))
        if (!read_series_field(d, &m, f, &name, &pending))
            return false;
    if (!finished(d, &m))
        return false;
    if (pending)
        refuse(d, "a label has a name and no value");
    if (!store_series(d))
        return false;
    d->series++;
    return true;
}

/* ---- the request ---- */

static bool read_metadata1(decoder *d, pb_reader *r)
{
    pb_reader m;
    pb_field f;
    uint64_t v;
    str name = STR_EMPTY;
    write_family family = { WRITE_UNKNOWN, STR_EMPTY, STR_EMPTY };
    if (!pb_message(r, &m))
        return finished(d, r);
    while (pb_next(&m, &f)) {
        str *text = f.number == METADATA1_NAME   ? &name
                    : f.number == METADATA1_HELP ? &family.help
                    : f.number == METADATA1_UNIT ? &family.unit
                                                 : NULL;
        if (text && f.wire == PB_LEN)
            (void)pb_bytes(&m, text);
        else if (f.number == METADATA1_TYPE && f.wire == PB_VARINT && pb_varint(&m, &v))
            family.type = v < WRITE_TYPES ? (write_type)v : WRITE_UNKNOWN;
        else
            (void)pb_skip(&m, f);
    }
    if (!finished(d, &m))
        return false;
    bool good = name.len && utf8_valid_prefix(name) == name.len &&
                utf8_valid_prefix(family.help) == family.help.len &&
                utf8_valid_prefix(family.unit) == family.unit.len;
    if (good && d->types)
        write_types_put(d->types, name, &family);
    return true;
}

static bool read_symbol(decoder *d, pb_reader *r)
{
    str text;
    if (!pb_bytes(r, &text))
        return finished(d, r);
    return PUSH(d, symbol, text);
}

/* One pass: `number` is the field, and `read` takes each of its messages. */
static bool pass(decoder *d, str bytes, uint32_t number, bool (*read)(decoder *, pb_reader *))
{
    pb_reader r = pb_read(bytes);
    pb_field f;
    d->base = r.base;
    while (pb_next(&r, &f)) {
        bool wanted = f.number == number;
        if (wanted && f.wire != PB_LEN)
            (void)pb_fail(&r, "a field has the wrong wire type");
        else if (wanted && !read(d, &r))
            return false;
        else if (!wanted)
            (void)pb_skip(&r, f);
    }
    return finished(d, &r);
}

static bool decode(decoder *d, str bytes)
{
    if (d->version == REMOTE_WRITE_1)
        return pass(d, bytes, REQUEST1_METADATA, read_metadata1) &&
               pass(d, bytes, REQUEST1_SERIES, read_series);
    if (!pass(d, bytes, REQUEST2_SYMBOLS, read_symbol))
        return false;
    if (d->symbol_count && d->symbols[0].len)
        return give_up(d, STATUS_INVALID, "the first symbol is not the empty text");
    return pass(d, bytes, REQUEST2_SERIES, read_series);
}

status remote_write_decode(batch *b, str bytes, remote_write_version v,
                           const remote_write_limits *limits, remote_write_types *types,
                           remote_write_result *ret, error *err)
{
    decoder d = { .b = b, .version = v, .types = types, .ret = ret, .err = err };
    d.max_rows = limits && limits->max_rows ? limits->max_rows : ROWS_MAX;
    d.max_labels = limits && limits->max_labels ? limits->max_labels : LABELS_MAX;
    *ret = (remote_write_result){ 0 };
    arena_init(&d.memory, b->arena.limit);
    buf_init(&d.key, MiB(64));
    map_init(&d.resources);
    map_init(&d.metrics);
    if (decode(&d, bytes) && d.loose_count)
        (void)place_loose(&d);
    map_done(&d.resources);
    map_done(&d.metrics);
    buf_done(&d.key);
    arena_done(&d.memory);
    return d.failed;
}

// SPDX-License-Identifier: Apache-2.0
/* A batch as remote write requests; see remote_write.h. The points are first gathered by series,
 * because a receiver wants all samples of one series together and by time; then series are written
 * until a request is large enough. */
#include "codec/remote_write_internal.h"

#include "codec/native_convert.h"

#include <stdlib.h>

static const size_t bytes_default = 3000000, request_max = MiB(256);

typedef struct item {
    struct item *next;
    int64_t time_ms;
    double value;
    uint32_t row;            /* of the batch, for start and exemplars */
    const histogram *native; /* then it is a whole histogram */
    bool with_exemplars;
    double low, high; /* exemplars of values in (low, high] stand here */
} item;

typedef struct {
    prom_labels labels;
    uint32_t family;
    item *first, *last;
    uint32_t count;
    bool unordered;
} out_series;

typedef struct {
    const batch *b;
    const remote_write_options *o;
    remote_write_counts *counts;
    arena memory;
    buf key;
    map by_labels; /* -> index into series */
    out_series *series;
    uint32_t series_count, series_capacity;
    prom_series_tables tables;
    int64_t *newest_ms; /* of each of tables.resources */
    /* of one request */
    buf out;
    map symbols;
    buf symbol_bytes; /* v2: the fields of the table; they go before the series */
    map noted;        /* v1: names of families whose metadata is in `metadata` */
    buf metadata;
    uint32_t samples;
} encoder;

static status no_memory(encoder *e, error *err)
{
    return fail(err, STATUS_NO_MEMORY, "no memory for a remote write request of %u points",
                e->b->points.count);
}

/* ---- gathering ---- */

static out_series *series_of(encoder *e, const prom_labels *labels, uint32_t family)
{
    buf_clear(&e->key);
    for (uint32_t i = 0; i < labels->count; i++) {
        uint32_t sizes[2] = { (uint32_t)labels->items[i].name.len,
                              (uint32_t)labels->items[i].value.len };
        buf_add(&e->key, sizes, sizeof(sizes));
        buf_str(&e->key, labels->items[i].name);
        buf_str(&e->key, labels->items[i].value);
    }
    uint64_t *found = map_get(&e->by_labels, buf_view(&e->key));
    if (found)
        return &e->series[*found];
    str key = arena_str(&e->memory, buf_view(&e->key));
    if (!key.ptr || e->key.failed || !map_put(&e->by_labels, key, e->series_count, NULL))
        return NULL;
    if (e->series_count == e->series_capacity) {
        uint32_t more = e->series_capacity ? e->series_capacity * 2 : 256;
        out_series *grown = arena_grow(&e->memory, e->series, e->series_count * sizeof(*grown),
                                       more * sizeof(*grown));
        if (!grown)
            return NULL;
        e->series = grown;
        e->series_capacity = more;
    }
    out_series *s = &e->series[e->series_count++];
    *s = (out_series){ .labels = *labels, .family = family };
    return s;
}

static bool add_item(encoder *e, const prom_labels *labels, uint32_t family, item what)
{
    out_series *s = series_of(e, labels, family);
    item *i = ARENA_NEW(&e->memory, item);
    if (!s || !i)
        return false;
    *i = what;
    i->next = NULL;
    s->unordered |= s->last && s->last->time_ms >= i->time_ms;
    if (s->last)
        s->last->next = i;
    else
        s->first = i;
    s->last = i;
    s->count++;
    return true;
}

/* Which values of exemplars belong to part number n of a point: of a histogram those of its bucket,
 * of a counter all. */
static void exemplar_range(const batch_metric *m, const point_value *v, uint32_t n, item *ret)
{
    ret->low = -1.0 / 0.0;
    ret->high = 1.0 / 0.0;
    ret->with_exemplars = m->type == METRIC_SUM;
    if (m->type != METRIC_HISTOGRAM)
        return;
    const histogram_value *h = v->histogram;
    ret->with_exemplars = n <= h->bound_count;
    if (n > 0 && n <= h->bound_count)
        ret->low = h->bounds[n - 1];
    if (n < h->bound_count)
        ret->high = h->bounds[n];
}

static bool add_parts(encoder *e, uint32_t row, const prom_labels *point, item what)
{
    const point_rows *p = &e->b->points;
    uint32_t metric = p->metric[row];
    const batch_metric *m = &e->b->metrics[metric];
    const point_value *v = &p->value[row];
    double values[PROM_SERIES_MAX];
    bool stale = p->flags[row] & POINT_FLAG_NO_RECORDED_VALUE;
    uint32_t count = stale ? prom_series_count(m->type, v) : prom_series_values(m->type, v, values);
    for (uint32_t n = 0; n < count; n++) {
        prom_series_part part;
        prom_labels labels;
        if (!prom_series_part_of(&e->memory, m->type, v, n, e->tables.native[metric], &part) ||
            !prom_series_labels(&e->memory, point, e->tables.families[metric].name, &part, &labels))
            return false;
        what.value = stale ? prom_stale_marker() : values[n];
        exemplar_range(m, v, n, &what);
        if (!add_item(e, &labels, metric, what))
            return false;
    }
    e->counts->samples += count;
    return true;
}

static bool add_native(encoder *e, uint32_t row, const prom_labels *point, item what)
{
    const point_rows *p = &e->b->points;
    uint32_t metric = p->metric[row];
    prom_labels labels;
    prom_series_part none = { 0 };
    what.low = -1.0 / 0.0;
    what.high = 1.0 / 0.0;
    what.with_exemplars = true;
    e->counts->histograms++;
    return prom_series_labels(&e->memory, point, e->tables.families[metric].name, &none, &labels) &&
           add_item(e, &labels, metric, what);
}

/* The histogram that a point goes out as; none: it goes out as numbers. False without memory. */
static bool native_of(encoder *e, uint32_t row, metric_type type, const histogram **ret,
                      const char **ret_problem)
{
    const point_rows *p = &e->b->points;
    *ret = NULL;
    *ret_problem = NULL;
    if (!native_is_point(type, &p->value[row]))
        return true;
    if (p->flags[row] & POINT_FLAG_NO_RECORDED_VALUE) {
        histogram *stale = ARENA_NEW(&e->memory, histogram);
        if (!stale)
            return false;
        stale->sum = prom_stale_marker();
        stale->zero_threshold = NATIVE_LEAST_ZERO_THRESHOLD;
        *ret = stale;
        return true;
    }
    return native_of_point(&e->memory, type, &p->value[row], ret, ret_problem) || *ret_problem;
}

static bool add_point(encoder *e, uint32_t row)
{
    const batch *b = e->b;
    const point_rows *p = &b->points;
    uint32_t metric = p->metric[row];
    const batch_metric *m = &b->metrics[metric];
    const char *problem;
    item what = { .row = row };
    if (m->temporality == TEMPORALITY_DELTA && m->type != METRIC_GAUGE) {
        e->counts->deltas++;
        return true;
    }
    if (!native_of(e, row, m->type, &what.native, &problem))
        return false;
    if (e->tables.families[metric].name.len == 0 || problem ||
        prom_series_count(m->type, &p->value[row]) == 0) {
        e->counts->refused++;
        return true;
    }
    uint32_t resource = prom_series_resource_at(&e->tables, b, metric);
    prom_labels labels;
    what.time_ms = prom_ms(p->time_ns[row] ? p->time_ns[row] : e->o->received_ns);
    e->newest_ms[resource] = MAX(e->newest_ms[resource], what.time_ms);
    e->counts->points++;
    return prom_series_point(&e->memory, &p->attributes[row], e->tables.native[metric],
                             &e->o->series, &e->tables.resources[resource], &labels) &&
           (what.native ? add_native(e, row, &labels, what) : add_parts(e, row, &labels, what));
}

static const write_type write_types[] = {
    [PROM_UNKNOWN] = WRITE_UNKNOWN,     [PROM_COUNTER] = WRITE_COUNTER, [PROM_GAUGE] = WRITE_GAUGE,
    [PROM_HISTOGRAM] = WRITE_HISTOGRAM, [PROM_SUMMARY] = WRITE_SUMMARY,
};

static bool add_target_info(encoder *e)
{
    for (uint32_t i = 0; e->o->target_info && i < 2 * e->b->resource_count; i++) {
        prom_labels info, labels;
        if (e->newest_ms[i] == INT64_MIN)
            continue;
        if (!prom_series_target_info(&e->memory, &e->b->resources[i / 2].attributes, i & 1,
                                     &e->o->series, &info))
            return false;
        item what = { .time_ms = e->newest_ms[i], .value = 1, .row = UINT32_MAX };
        prom_series_part none = { 0 };
        if (info.count == 0)
            continue;
        if (!prom_series_labels(&e->memory, &info, STR("target_info"), &none, &labels) ||
            !add_item(e, &labels, UINT32_MAX, what))
            return false;
        e->counts->samples++;
    }
    return true;
}

static int by_time(const void *a, const void *b)
{
    const item *x = *(const item *const *)a, *y = *(const item *const *)b;
    if (x->time_ms != y->time_ms)
        return x->time_ms < y->time_ms ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* By time; of samples with the same time the last one of the batch stays. */
static bool sort_items(encoder *e, out_series *s)
{
    item **list = ARENA_ARRAY(&e->memory, item *, s->count);
    if (!list)
        return false;
    uint32_t n = 0;
    for (item *i = s->first; i; i = i->next)
        list[n++] = i;
    qsort(list, n, sizeof(void *), by_time);
    s->first = s->last = NULL;
    s->count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i + 1 < n && list[i + 1]->time_ms == list[i]->time_ms)
            continue;
        list[i]->next = NULL;
        if (s->last)
            s->last->next = list[i];
        else
            s->first = list[i];
        s->last = list[i];
        s->count++;
    }
    return true;
}

static bool gather(encoder *e)
{
    uint32_t resources = 2 * e->b->resource_count;
    e->newest_ms = ARENA_ARRAY(&e->memory, int64_t, (size_t)resources + 1);
    if (!e->newest_ms || !prom_series_tables_make(&e->memory, e->b, &e->o->series, &e->tables))
        return false;
    for (uint32_t i = 0; i < resources; i++)
        e->newest_ms[i] = INT64_MIN;
    for (uint32_t i = 0; i < e->b->points.count; i++)
        if (!add_point(e, i))
            return false;
    if (!add_target_info(e))
        return false;
    for (uint32_t i = 0; i < e->series_count; i++)
        if (e->series[i].unordered && !sort_items(e, &e->series[i]))
            return false;
    return true;
}

/* ---- writing ---- */

static bool is_two(const encoder *e)
{
    return e->o->version == REMOTE_WRITE_2;
}

/* The number of a text in the request's table, which it enters. */
static uint64_t symbol(encoder *e, str text)
{
    bool is_new;
    uint64_t *at = map_put(&e->symbols, text, e->symbols.count, &is_new);
    if (!at) {
        e->out.failed = true;
        return 0;
    }
    if (is_new)
        pb_put_bytes(&e->symbol_bytes, REQUEST2_SYMBOLS, text);
    return *at;
}

static void put_varint(buf *out, uint64_t v)
{
    if (!buf_reserve(out, 10))
        return;
    uint8_t *at = (uint8_t *)out->ptr + out->len;
    out->len += (size_t)(pb_write_varint(at, v) - at);
}

/* The same field number in series and exemplars of both versions. */
static void put_labels(encoder *e, const prom_labels *l)
{
    if (is_two(e)) {
        pb_mark mark = pb_begin(&e->out, SERIES2_LABELS, 4 * (size_t)l->count);
        for (uint32_t i = 0; i < l->count; i++) {
            put_varint(&e->out, symbol(e, l->items[i].name));
            put_varint(&e->out, symbol(e, l->items[i].value));
        }
        pb_end(&e->out, mark);
        return;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        const prom_label *x = &l->items[i];
        pb_mark mark = pb_begin(&e->out, SERIES1_LABELS, x->name.len + x->value.len + 4);
        pb_put_bytes(&e->out, 1, x->name);
        pb_put_bytes(&e->out, 2, x->value);
        pb_end(&e->out, mark);
    }
}

static int64_t start_ms(const encoder *e, const item *i)
{
    int64_t ns = i->row == UINT32_MAX ? 0 : e->b->points.start_ns[i->row];
    return ns > 0 && is_two(e) ? prom_ms(ns) : 0;
}

static void put_sample(encoder *e, const item *i)
{
    pb_mark mark = pb_begin(&e->out, SERIES1_SAMPLES, 16);
    pb_put_double(&e->out, SAMPLE_VALUE, i->value);
    pb_put_varint(&e->out, SAMPLE_TIME, (uint64_t)i->time_ms);
    if (start_ms(e, i))
        pb_put_varint(&e->out, SAMPLE_START, (uint64_t)start_ms(e, i));
    pb_end(&e->out, mark);
}

static const native_message histogram_message = {
    .count = HISTOGRAM_COUNT_INT,
    .count_float = HISTOGRAM_COUNT_FLOAT,
    .sum = HISTOGRAM_SUM,
    .schema = HISTOGRAM_SCHEMA,
    .zero_threshold = HISTOGRAM_ZERO_THRESHOLD,
    .zero_count = HISTOGRAM_ZERO_INT,
    .zero_count_float = HISTOGRAM_ZERO_FLOAT,
    .hint = HISTOGRAM_RESET_HINT,
    .custom = HISTOGRAM_CUSTOM,
    .negative = { HISTOGRAM_NEGATIVE_SPANS, HISTOGRAM_NEGATIVE_DELTAS, HISTOGRAM_NEGATIVE_COUNTS },
    .positive = { HISTOGRAM_POSITIVE_SPANS, HISTOGRAM_POSITIVE_DELTAS, HISTOGRAM_POSITIVE_COUNTS },
    .packed = true,
};

static void put_histogram(encoder *e, const item *i)
{
    buf *out = &e->out;
    pb_mark mark = pb_begin(out, is_two(e) ? SERIES2_HISTOGRAMS : SERIES1_HISTOGRAMS, 200);
    native_histogram_put(out, i->native, &histogram_message);
    pb_put_varint(out, HISTOGRAM_TIME, (uint64_t)i->time_ms);
    if (start_ms(e, i))
        pb_put_varint(out, HISTOGRAM_START, (uint64_t)start_ms(e, i));
    pb_end(out, mark);
}

/* The labels live in the arena, because the symbols of a request outlive them. */
static void put_exemplar(encoder *e, const exemplar *x, int64_t time_ms)
{
    prom_labels labels;
    if (!prom_series_exemplar(&e->memory, x, &labels)) {
        e->out.failed = true;
        return;
    }
    pb_mark mark = pb_begin(&e->out, is_two(e) ? SERIES2_EXEMPLARS : SERIES1_EXEMPLARS, 100);
    put_labels(e, &labels);
    pb_put_double(&e->out, EXEMPLAR_VALUE, prom_exemplar_number(x));
    pb_put_varint(&e->out, EXEMPLAR_TIME, (uint64_t)(x->time_ns ? prom_ms(x->time_ns) : time_ms));
    pb_end(&e->out, mark);
    e->counts->exemplars++;
}

/* Of a number's part of a histogram the newest of its bucket, of others all of them. */
static void put_exemplars(encoder *e, const item *i)
{
    if (!i->with_exemplars)
        return;
    const exemplars *list = &e->b->points.exemplars[i->row];
    const exemplar *newest = NULL;
    for (uint32_t n = 0; n < list->count; n++) {
        const exemplar *x = &list->items[n];
        double v = prom_exemplar_number(x);
        if (i->native)
            put_exemplar(e, x, i->time_ms);
        else if (v > i->low && v <= i->high && (!newest || x->time_ns >= newest->time_ns))
            newest = x;
    }
    if (newest)
        put_exemplar(e, newest, i->time_ms);
}

static void put_metadata2(encoder *e, const out_series *s)
{
    if (s->family == UINT32_MAX)
        return;
    const prom_series_family *f = &e->tables.families[s->family];
    pb_mark mark = pb_begin(&e->out, SERIES2_METADATA, 8);
    pb_put_varint(&e->out, METADATA2_TYPE, write_types[f->type]);
    if (f->help.len)
        pb_put_varint(&e->out, METADATA2_HELP, symbol(e, f->help));
    if (f->unit.len)
        pb_put_varint(&e->out, METADATA2_UNIT, symbol(e, f->unit));
    pb_end(&e->out, mark);
}

static void note_metadata1(encoder *e, const out_series *s)
{
    bool is_new;
    if (!e->o->metadata || s->family == UINT32_MAX)
        return;
    const prom_series_family *f = &e->tables.families[s->family];
    if (!map_put(&e->noted, f->name, 0, &is_new) || !is_new)
        return;
    pb_mark mark = pb_begin(&e->metadata, REQUEST1_METADATA, 60);
    pb_put_varint(&e->metadata, METADATA1_TYPE, write_types[f->type]);
    pb_put_bytes(&e->metadata, METADATA1_NAME, f->name);
    if (f->help.len)
        pb_put_bytes(&e->metadata, METADATA1_HELP, f->help);
    if (f->unit.len)
        pb_put_bytes(&e->metadata, METADATA1_UNIT, f->unit);
    pb_end(&e->metadata, mark);
}

static void put_series(encoder *e, const out_series *s)
{
    pb_mark mark = pb_begin(&e->out, is_two(e) ? REQUEST2_SERIES : REQUEST1_SERIES, 200);
    put_labels(e, &s->labels);
    for (const item *i = s->first; i; i = i->next)
        if (!i->native)
            put_sample(e, i);
    for (const item *i = s->first; i; i = i->next)
        if (i->native)
            put_histogram(e, i);
    for (const item *i = s->first; i; i = i->next)
        put_exemplars(e, i);
    if (is_two(e))
        put_metadata2(e, s);
    else
        note_metadata1(e, s);
    if (start_ms(e, s->last))
        pb_put_varint(&e->out, SERIES2_CREATED, (uint64_t)start_ms(e, s->last));
    pb_end(&e->out, mark);
    e->samples += s->count;
}

static void begin_request(encoder *e)
{
    buf_clear(&e->out);
    buf_clear(&e->symbol_bytes);
    buf_clear(&e->metadata);
    map_clear(&e->symbols);
    map_clear(&e->noted);
    e->samples = 0;
    if (is_two(e))
        (void)symbol(e, STR_EMPTY);
}

static status end_request(encoder *e, remote_write_sink *sink, void *user, error *err)
{
    buf *first = is_two(e) ? &e->symbol_bytes : &e->out;
    buf *second = is_two(e) ? &e->out : &e->metadata;
    first->failed |= second->failed;
    buf_str(first, buf_view(second));
    status st = buf_check(first, err, "a remote write request");
    return st == STATUS_OK ? sink(user, buf_view(first), e->samples, err) : st;
}

static status write_all(encoder *e, remote_write_sink *sink, void *user, error *err)
{
    size_t most = e->o->max_bytes ? e->o->max_bytes : bytes_default;
    status st = STATUS_OK;
    begin_request(e);
    for (uint32_t i = 0; st == STATUS_OK && i < e->series_count; i++) {
        if (e->samples && e->out.len + e->symbol_bytes.len + e->metadata.len >= most) {
            st = end_request(e, sink, user, err);
            begin_request(e);
        }
        put_series(e, &e->series[i]);
    }
    return st == STATUS_OK && e->samples ? end_request(e, sink, user, err) : st;
}

status remote_write_encode(const batch *b, const remote_write_options *options,
                           remote_write_sink *sink, void *user, remote_write_counts *ret,
                           error *err)
{
    encoder e = { .b = b, .o = options, .counts = ret };
    *ret = (remote_write_counts){ 0 };
    arena_init(&e.memory, GiB(1));
    buf_init(&e.key, MiB(64));
    buf_init(&e.out, request_max);
    buf_init(&e.symbol_bytes, request_max);
    buf_init(&e.metadata, request_max);
    status st = gather(&e) ? write_all(&e, sink, user, err) : no_memory(&e, err);
    map_done(&e.by_labels);
    map_done(&e.symbols);
    map_done(&e.noted);
    buf_done(&e.key);
    buf_done(&e.out);
    buf_done(&e.symbol_bytes);
    buf_done(&e.metadata);
    arena_done(&e.memory);
    return st;
}

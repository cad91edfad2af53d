// SPDX-License-Identifier: Apache-2.0
/* The protobuf exposition; see prom_protobuf.h. Names are as in the text formats; the suffixes
 * _bucket, _sum and _count are not written, they are fields. */
#include "codec/prom_protobuf.h"

#include "codec/native_convert.h"
#include "codec/native_histogram.h"
#include "codec/protobuf.h"

#include <math.h>

/* MetricFamily.type */
static const uint8_t family_types[] = {
    [PROM_UNKNOWN] = 3,   [PROM_COUNTER] = 0, [PROM_GAUGE] = 1,
    [PROM_HISTOGRAM] = 4, [PROM_SUMMARY] = 2,
};

enum { EXPECTED_METRIC = 120, EXPECTED_FAMILY = 300 };

/* Fields of client_model's metrics.proto. */
enum {
    FAMILY_NAME = 1,
    FAMILY_HELP = 2,
    FAMILY_TYPE = 3,
    FAMILY_METRIC = 4,
    METRIC_LABEL = 1,
    METRIC_GAUGE_FIELD = 2,
    METRIC_COUNTER_FIELD = 3,
    METRIC_SUMMARY_FIELD = 4,
    METRIC_UNTYPED_FIELD = 5,
    METRIC_TIMESTAMP_MS = 6,
    METRIC_HISTOGRAM_FIELD = 7,
    COUNTER_EXEMPLAR = 2,
    COUNTER_CREATED = 3,
    HISTOGRAM_COUNT = 1,
    HISTOGRAM_SUM = 2,
    HISTOGRAM_BUCKET = 3,
    HISTOGRAM_COUNT_FLOAT = 4,
    HISTOGRAM_SCHEMA = 5,
    HISTOGRAM_ZERO_THRESHOLD = 6,
    HISTOGRAM_ZERO_COUNT = 7,
    HISTOGRAM_ZERO_COUNT_FLOAT = 8,
    HISTOGRAM_NEGATIVE_SPAN = 9,
    HISTOGRAM_NEGATIVE_DELTA = 10,
    HISTOGRAM_NEGATIVE_COUNT = 11,
    HISTOGRAM_POSITIVE_SPAN = 12,
    HISTOGRAM_POSITIVE_DELTA = 13,
    HISTOGRAM_POSITIVE_COUNT = 14,
    HISTOGRAM_CREATED = 15,
    HISTOGRAM_EXEMPLAR = 16,
    BUCKET_COUNT = 1,
    BUCKET_BOUND = 2,
    BUCKET_EXEMPLAR = 3,
    EXEMPLAR_LABEL = 1,
    EXEMPLAR_VALUE = 2,
    EXEMPLAR_TIMESTAMP = 3,
};

typedef struct {
    prom_page *page;
    buf *out;
} writer;

static void put_label(buf *out, uint32_t number, str name, str text)
{
    pb_mark label = pb_begin(out, number, name.len + text.len + 4);
    pb_put_bytes(out, 1, name);
    pb_put_bytes(out, 2, text);
    pb_end(out, label);
}

static void put_time(buf *out, uint32_t number, int64_t time_ns)
{
    if (time_ns <= 0)
        return;
    pb_mark mark = pb_begin(out, number, 12);
    pb_put_varint(out, 1, (uint64_t)(time_ns / NS_PER_S));
    pb_put_varint(out, 2, (uint64_t)(time_ns % NS_PER_S));
    pb_end(out, mark);
}

static bool put_exemplar(writer *w, uint32_t number, const exemplar *e)
{
    char hex[32];
    prom_labels more;
    if (!e)
        return true;
    if (!prom_page_attributes(w->page, &e->filtered_attributes, &more))
        return false;
    pb_mark mark = pb_begin(w->out, number, 110);
    if (trace_id_is_set(e->trace)) {
        str_to_hex(e->trace.bytes, sizeof(e->trace.bytes), hex);
        put_label(w->out, EXEMPLAR_LABEL, STR("trace_id"), str_n(hex, 32));
    }
    if (span_id_is_set(e->span)) {
        str_to_hex(e->span.bytes, sizeof(e->span.bytes), hex);
        put_label(w->out, EXEMPLAR_LABEL, STR("span_id"), str_n(hex, 16));
    }
    for (uint32_t i = 0; i < more.count; i++)
        put_label(w->out, EXEMPLAR_LABEL, more.items[i].name, more.items[i].value);
    pb_put_double(w->out, EXEMPLAR_VALUE, prom_exemplar_value(e));
    put_time(w->out, EXEMPLAR_TIMESTAMP, e->time_ns);
    pb_end(w->out, mark);
    return true;
}

/* ---- values ---- */

static double number_of(const point_value *v)
{
    return v->is_int ? (double)v->i64 : v->f64;
}

static bool put_number(writer *w, uint32_t row, prom_type type)
{
    const point_rows *p = &w->page->b->points;
    uint32_t field = type == PROM_COUNTER ? METRIC_COUNTER_FIELD
                     : type == PROM_GAUGE ? METRIC_GAUGE_FIELD
                                          : METRIC_UNTYPED_FIELD;
    const exemplars *list = &p->exemplars[row];
    bool ok = true;
    pb_mark mark = pb_begin(w->out, field, 9);
    pb_put_double(w->out, 1, number_of(&p->value[row]));
    if (type == PROM_COUNTER && list->count > 0)
        ok = put_exemplar(w, COUNTER_EXEMPLAR, &list->items[list->count - 1]);
    if (type == PROM_COUNTER)
        put_time(w->out, COUNTER_CREATED, p->start_ns[row]);
    pb_end(w->out, mark);
    return ok;
}

static bool put_bucket(writer *w, uint64_t below, double bound, const exemplar *e)
{
    pb_mark mark = pb_begin(w->out, HISTOGRAM_BUCKET, 14);
    pb_put_varint(w->out, BUCKET_COUNT, below);
    pb_put_double(w->out, BUCKET_BOUND, bound);
    bool ok = put_exemplar(w, BUCKET_EXEMPLAR, e);
    pb_end(w->out, mark);
    return ok;
}

static bool put_histogram(writer *w, uint32_t row)
{
    const point_rows *p = &w->page->b->points;
    const histogram_value *h = p->value[row].histogram;
    const exemplars *list = &p->exemplars[row];
    uint64_t below = 0;
    double low = -INFINITY;
    bool ok = true;
    pb_mark mark = pb_begin(w->out, METRIC_HISTOGRAM_FIELD, 16 * ((size_t)h->bound_count + 2));
    pb_put_varint(w->out, HISTOGRAM_COUNT, h->count);
    if (h->has_sum)
        pb_put_double(w->out, HISTOGRAM_SUM, h->sum);
    for (uint32_t i = 0; ok && i < h->bound_count && i < h->bucket_count; i++) {
        if (isinf(h->bounds[i]) && h->bounds[i] > 0)
            break;
        below += h->buckets[i];
        ok = put_bucket(w, below, h->bounds[i], prom_exemplar_between(list, low, h->bounds[i]));
        low = h->bounds[i];
    }
    ok = ok && put_bucket(w, h->count, INFINITY, prom_exemplar_between(list, low, INFINITY));
    put_time(w->out, HISTOGRAM_CREATED, p->start_ns[row]);
    pb_end(w->out, mark);
    return ok;
}

/* ---- native histograms ---- */

static const native_message native_histogram = {
    .count = HISTOGRAM_COUNT,
    .count_float = HISTOGRAM_COUNT_FLOAT,
    .sum = HISTOGRAM_SUM,
    .schema = HISTOGRAM_SCHEMA,
    .zero_threshold = HISTOGRAM_ZERO_THRESHOLD,
    .zero_count = HISTOGRAM_ZERO_COUNT,
    .zero_count_float = HISTOGRAM_ZERO_COUNT_FLOAT,
    .negative = { HISTOGRAM_NEGATIVE_SPAN, HISTOGRAM_NEGATIVE_DELTA, HISTOGRAM_NEGATIVE_COUNT },
    .positive = { HISTOGRAM_POSITIVE_SPAN, HISTOGRAM_POSITIVE_DELTA, HISTOGRAM_POSITIVE_COUNT },
};

static bool put_native(writer *w, uint32_t row)
{
    const point_rows *p = &w->page->b->points;
    const exp_histogram_value *e = p->value[row].exp;
    const exemplars *list = &p->exemplars[row];
    const histogram *h;
    const char *problem;
    arena memory;
    arena_init(&memory, MiB(64));
    pb_mark mark = pb_begin(w->out, METRIC_HISTOGRAM_FIELD, 300);
    if (native_of_point(&memory, METRIC_EXP_HISTOGRAM, &p->value[row], &h, &problem)) {
        native_histogram_put(w->out, h, &native_histogram);
        if (h->positive.count + h->negative.count == 0) { /* an empty span says: native */
            pb_mark span = pb_begin(w->out, HISTOGRAM_POSITIVE_SPAN, 4);
            pb_put_sint(w->out, 1, 0);
            pb_put_varint(w->out, 2, 0);
            pb_end(w->out, span);
        }
    } else { /* too coarse for Prometheus: what remains is the total */
        pb_put_varint(w->out, HISTOGRAM_COUNT, e->count);
        if (e->has_sum)
            pb_put_double(w->out, HISTOGRAM_SUM, e->sum);
        (void)put_bucket(w, e->count, INFINITY, NULL);
    }
    arena_done(&memory);
    put_time(w->out, HISTOGRAM_CREATED, p->start_ns[row]);
    bool done = true;
    for (uint32_t i = 0; done && i < list->count; i++)
        done = put_exemplar(w, HISTOGRAM_EXEMPLAR, &list->items[i]);
    pb_end(w->out, mark);
    return done;
}

static void put_summary(writer *w, const summary_value *v)
{
    pb_mark mark = pb_begin(w->out, METRIC_SUMMARY_FIELD, 20 * ((size_t)v->quantile_count + 1));
    pb_put_varint(w->out, 1, v->count);
    pb_put_double(w->out, 2, v->sum);
    for (uint32_t i = 0; i < v->quantile_count; i++) {
        pb_mark quantile = pb_begin(w->out, 3, 18);
        pb_put_double(w->out, 1, v->quantiles[i].quantile);
        pb_put_double(w->out, 2, v->quantiles[i].value);
        pb_end(w->out, quantile);
    }
    pb_end(w->out, mark);
}

/* ---- families ---- */

static bool put_value(writer *w, uint32_t row)
{
    switch (prom_page_metric(w->page, row)->type) {
    case METRIC_HISTOGRAM:
        return put_histogram(w, row);
    case METRIC_EXP_HISTOGRAM:
        return put_native(w, row);
    case METRIC_SUMMARY:
        put_summary(w, w->page->b->points.value[row].summary);
        return true;
    default:
        return put_number(w, row, prom_page_family(w->page, row)->type);
    }
}

static bool put_metric(writer *w, uint32_t row)
{
    prom_labels labels;
    if (!prom_page_labels(w->page, row, &labels))
        return false;
    pb_mark mark = pb_begin(w->out, FAMILY_METRIC, EXPECTED_METRIC);
    for (uint32_t i = 0; i < labels.count; i++)
        put_label(w->out, METRIC_LABEL, labels.items[i].name, labels.items[i].value);
    bool ok = put_value(w, row);
    if (w->page->options.timestamps)
        pb_put_varint(w->out, METRIC_TIMESTAMP_MS,
                      (uint64_t)(w->page->b->points.time_ns[row] / NS_PER_MS));
    pb_end(w->out, mark);
    return ok;
}

static void put_head(buf *out, str name, str help, uint8_t type)
{
    pb_put_bytes(out, FAMILY_NAME, name);
    pb_put_bytes(out, FAMILY_HELP, help);
    pb_put_varint(out, FAMILY_TYPE, type);
}

/* A message behind its length alone: its field tag, one byte, is taken away again. */
static void end_delimited(buf *out, size_t start, pb_mark mark)
{
    pb_end(out, mark);
    if (out->failed)
        return;
    memmove(out->ptr + start, out->ptr + start + 1, out->len - start - 1);
    out->len--;
}

static bool put_target_info(writer *w)
{
    for (uint32_t i = 0; i < w->page->b->resource_count; i++) {
        prom_labels labels;
        if (!prom_page_target(w->page, i, &labels))
            return false;
        if (labels.count == 0)
            continue;
        size_t start = w->out->len;
        pb_mark family = pb_begin(w->out, 1, EXPECTED_FAMILY);
        put_head(w->out, STR("target_info"), STR("What reports these metrics."),
                 family_types[PROM_GAUGE]);
        pb_mark metric = pb_begin(w->out, FAMILY_METRIC, EXPECTED_METRIC);
        for (uint32_t k = 0; k < labels.count; k++)
            put_label(w->out, METRIC_LABEL, labels.items[k].name, labels.items[k].value);
        pb_mark gauge = pb_begin(w->out, METRIC_GAUGE_FIELD, 9);
        pb_put_double(w->out, 1, 1);
        pb_end(w->out, gauge);
        pb_end(w->out, metric);
        end_delimited(w->out, start, family);
    }
    return true;
}

bool prom_protobuf_page(prom_page *page, buf *out)
{
    writer w = { page, out };
    if (page->options.target_info && !put_target_info(&w))
        return false;
    const prom_family *family = NULL;
    size_t start = 0;
    pb_mark mark = { 0 };
    bool ok = true, open = false;
    for (uint32_t i = 0; ok && i < page->row_count && !out->failed; i++) {
        bool shown;
        if (prom_page_begins(page, i, &family, &shown)) {
            const batch_metric *m = prom_page_metric(page, page->rows[i]);
            if (open)
                end_delimited(out, start, mark);
            start = out->len;
            mark = pb_begin(out, 1, EXPECTED_FAMILY);
            put_head(out, family->name, m->description.len > 0 ? m->description : STR(PROM_NO_HELP),
                     family_types[family->type]);
            open = true;
        }
        if (shown)
            ok = put_metric(&w, page->rows[i]);
    }
    if (open)
        end_delimited(out, start, mark);
    return ok;
}

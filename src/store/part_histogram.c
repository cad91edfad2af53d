// SPDX-License-Identifier: Apache-2.0
/* See part_histogram.h. Histograms of one layout that follow each other are a run: the layout once,
 * then a column of each bucket over time, where cumulative counts grow by little. */
#include "store/part_histogram.h"

#include "store/column.h"

enum { RUN_WHOLE = 1, RUN_CUSTOM = 2, RUN_UNKNOWN = ~3, FRAME_MAX = 64 << 20 };

/* ---- writing ---- */

static bool same_list(const void *a, uint32_t count_a, const void *b, uint32_t count_b, size_t size)
{
    return count_a == count_b && (a == b || count_a == 0 || memcmp(a, b, count_a * size) == 0);
}

static bool same_spans(const histogram_side *a, const histogram_side *b)
{
    return same_list(a->spans, a->span_count, b->spans, b->span_count, sizeof(native_span));
}

static bool same_layout(const histogram *a, const histogram *b)
{
    return a->schema == b->schema && memcmp(&a->zero_threshold, &b->zero_threshold, 8) == 0 &&
           same_spans(&a->positive, &b->positive) && same_spans(&a->negative, &b->negative) &&
           same_list(a->custom, a->custom_count, b->custom, b->custom_count, sizeof(double));
}

uint32_t part_histogram_fit(const histogram *const *h, uint32_t count)
{
    uint64_t values = 0;
    uint32_t n = 0;
    for (; n < count && n < PART_HISTOGRAM_ROWS; n++) {
        values += (uint64_t)h[n]->positive.count + h[n]->negative.count + h[n]->custom_count;
        if (n > 0 && values > PART_HISTOGRAM_VALUES)
            break;
    }
    return n;
}

static void put_spans(buf *out, const histogram_side *s)
{
    put_varint(out, s->span_count);
    for (uint32_t i = 0; i < s->span_count; i++) {
        put_zigzag(out, s->spans[i].offset);
        put_varint(out, s->spans[i].length);
    }
}

/* One number of each histogram of a run. */
typedef struct {
    buf *out;
    const histogram *const *h;
    uint32_t count;
    bool whole;
    int64_t ints[PART_HISTOGRAM_ROWS];
    double doubles[PART_HISTOGRAM_ROWS];
} run_writer;

static void put_column(run_writer *w)
{
    if (!w->whole) {
        column_put_doubles(w->out, w->doubles, w->count);
        return;
    }
    for (uint32_t i = 0; i < w->count; i++)
        w->ints[i] = (int64_t)w->doubles[i];
    column_put_ints(w->out, w->ints, w->count);
}

static void put_heads(run_writer *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        w->ints[i] = w->h[i]->hint;
    column_put_ints(w->out, w->ints, w->count);
    for (uint32_t i = 0; i < w->count; i++)
        w->doubles[i] = w->h[i]->sum;
    column_put_doubles(w->out, w->doubles, w->count);
    for (uint32_t i = 0; i < w->count; i++)
        w->doubles[i] = w->h[i]->count;
    put_column(w);
    for (uint32_t i = 0; i < w->count; i++)
        w->doubles[i] = w->h[i]->zero_count;
    put_column(w);
}

static void put_run(run_writer *w)
{
    const histogram *first = w->h[0];
    put_varint(w->out, w->count);
    buf_char(w->out,
             (char)((w->whole ? RUN_WHOLE : 0) | (histogram_is_custom(first) ? RUN_CUSTOM : 0)));
    if (histogram_is_custom(first)) {
        put_varint(w->out, first->custom_count);
        buf_add(w->out, first->custom, first->custom_count * sizeof(double));
    } else {
        put_zigzag(w->out, first->schema);
        buf_add(w->out, &first->zero_threshold, 8);
    }
    put_spans(w->out, &first->positive);
    put_spans(w->out, &first->negative);
    put_heads(w);
    for (uint32_t b = 0; b < first->positive.count; b++) {
        for (uint32_t i = 0; i < w->count; i++)
            w->doubles[i] = w->h[i]->positive.counts[b];
        put_column(w);
    }
    for (uint32_t b = 0; b < first->negative.count; b++) {
        for (uint32_t i = 0; i < w->count; i++)
            w->doubles[i] = w->h[i]->negative.counts[b];
        put_column(w);
    }
}

void part_histogram_write(buf *out, const histogram *const *h, uint32_t count)
{
    buf raw;
    buf_init(&raw, FRAME_MAX);
    run_writer w = { .out = &raw };
    for (uint32_t from = 0; from < count; from += w.count) {
        w.h = h + from;
        w.whole = histogram_is_whole(h[from]);
        w.count = 1;
        while (from + w.count < count && same_layout(h[from], h[from + w.count]) &&
               histogram_is_whole(h[from + w.count]) == w.whole)
            w.count++;
        put_run(&w);
    }
    out->failed |= raw.failed;
    column_put_frame(out, buf_view(&raw));
    buf_done(&raw);
}

/* ---- reading ---- */

typedef struct {
    bytes_reader r;
    arena *a; /* of what stays */
    histogram *run;
    uint32_t count;
    bool whole, full; /* full: no memory */
    double column[PART_HISTOGRAM_ROWS];
} run_reader;

static void *take(run_reader *d, size_t size)
{
    void *p = arena_alloc_aligned(d->a, MAX(size, (size_t)1), 8);
    d->full |= !p;
    return p;
}

static bool get_numbers(run_reader *d, bool whole)
{
    if (!whole)
        return column_get_doubles(&d->r, d->column, d->count);
    int64_t ints[PART_HISTOGRAM_ROWS];
    if (!column_get_ints(&d->r, ints, d->count))
        return false;
    for (uint32_t i = 0; i < d->count; i++)
        d->column[i] = (double)ints[i];
    return true;
}

static bool get_spans(run_reader *d, histogram_side *ret)
{
    uint32_t count = get_count(&d->r, UINT32_MAX);
    if (d->r.failed || count > bytes_left(&d->r) / 2)
        return false;
    native_span *spans = take(d, count * sizeof(native_span));
    uint64_t buckets = 0;
    for (uint32_t i = 0; spans && i < count; i++) {
        int64_t offset = get_zigzag(&d->r);
        spans[i] = (native_span){ (int32_t)offset, get_count(&d->r, UINT32_MAX) };
        if (offset < INT32_MIN || offset > INT32_MAX)
            return false;
        buckets += spans[i].length;
    }
    /* Each bucket has a column of two bytes or more. */
    if (!spans || d->r.failed || buckets > bytes_left(&d->r) / 2 ||
        buckets * d->count > PART_HISTOGRAM_VALUES)
        return false;
    *ret = (histogram_side){ .spans = spans, .span_count = count, .count = (uint32_t)buckets };
    return true;
}

static bool get_layout(run_reader *d, histogram *ret)
{
    uint8_t flags = get_u8(&d->r);
    *ret = (histogram){ 0 };
    d->whole = flags & RUN_WHOLE;
    if (d->r.failed || (flags & RUN_UNKNOWN))
        return false;
    if (flags & RUN_CUSTOM) {
        ret->schema = NATIVE_SCHEMA_CUSTOM;
        ret->custom_count = get_count(&d->r, UINT32_MAX);
        str bounds = get_bytes(&d->r, (uint64_t)ret->custom_count * sizeof(double));
        double *copy = d->r.failed ? NULL : take(d, bounds.len);
        if (!copy)
            return false;
        if (bounds.len)
            memcpy(copy, bounds.ptr, bounds.len);
        ret->custom = copy;
    } else {
        int64_t schema = get_zigzag(&d->r);
        uint64_t bits = get_u64(&d->r);
        if (schema < NATIVE_SCHEMA_MIN || schema > NATIVE_SCHEMA_MAX)
            return false;
        ret->schema = (int32_t)schema;
        memcpy(&ret->zero_threshold, &bits, 8);
    }
    return get_spans(d, &ret->positive) && get_spans(d, &ret->negative);
}

static bool get_heads(run_reader *d)
{
    if (!get_numbers(d, true))
        return false;
    for (uint32_t i = 0; i < d->count; i++) {
        if (!(d->column[i] >= 0 && d->column[i] <= HISTOGRAM_GAUGE))
            return false;
        d->run[i].hint = (histogram_hint)d->column[i];
    }
    if (!get_numbers(d, false))
        return false;
    for (uint32_t i = 0; i < d->count; i++)
        d->run[i].sum = d->column[i];
    if (!get_numbers(d, d->whole))
        return false;
    for (uint32_t i = 0; i < d->count; i++)
        d->run[i].count = d->column[i];
    if (!get_numbers(d, d->whole))
        return false;
    for (uint32_t i = 0; i < d->count; i++)
        d->run[i].zero_count = d->column[i];
    return true;
}

/* counts: of all histograms of the run, one after the other. */
static bool get_buckets(run_reader *d, uint32_t buckets, double *counts)
{
    for (uint32_t b = 0; b < buckets; b++) {
        if (!get_numbers(d, d->whole))
            return false;
        for (uint32_t i = 0; i < d->count; i++)
            counts[(size_t)i * buckets + b] = d->column[i];
    }
    return true;
}

static bool get_run(run_reader *d, uint32_t left, const histogram **ret)
{
    histogram layout;
    const char *problem;
    d->count = get_count(&d->r, MIN(left, (uint32_t)PART_HISTOGRAM_ROWS));
    if (d->r.failed || d->count == 0 || !get_layout(d, &layout))
        return false;
    uint32_t up = layout.positive.count, down = layout.negative.count;
    d->run = take(d, d->count * sizeof(histogram));
    double *ups = take(d, (size_t)d->count * up * sizeof(double));
    double *downs = take(d, (size_t)d->count * down * sizeof(double));
    if (!d->run || !ups || !downs)
        return false;
    for (uint32_t i = 0; i < d->count; i++) {
        d->run[i] = layout;
        d->run[i].positive.counts = ups + (size_t)i * up;
        d->run[i].negative.counts = downs + (size_t)i * down;
        ret[i] = &d->run[i];
    }
    if (!get_heads(d) || !get_buckets(d, up, ups) || !get_buckets(d, down, downs))
        return false;
    for (uint32_t i = 0; i < d->count; i++)
        if (!histogram_check(ret[i], &problem))
            return false;
    return true;
}

status part_histogram_read(bytes_reader *r, uint32_t count, arena *a, const histogram **ret)
{
    arena scratch;
    str raw;
    arena_init(&scratch, 2 * (size_t)FRAME_MAX);
    bool ok = column_get_frame(r, FRAME_MAX, &scratch, &raw);
    run_reader d = { .a = a };
    if (ok)
        d.r = bytes_read(raw);
    for (uint32_t at = 0; ok && at < count; at += d.count)
        ok = get_run(&d, count - at, ret + at);
    ok = ok && d.r.at == d.r.end;
    arena_done(&scratch);
    return ok ? STATUS_OK : d.full ? STATUS_LIMIT : STATUS_CORRUPT;
}

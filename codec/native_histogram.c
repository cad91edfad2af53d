// SPDX-License-Identifier: Apache-2.0
/* Spans and differences of native histograms; see native_histogram.h. */
#include "codec/native_histogram.h"

#include <math.h>

/* Prometheus keeps schemas up to this one for itself, and reduces them. */
#define SCHEMA_RESERVED_MAX 52

/* ---- from the wire ---- */

/* Room for one more in a list whose capacity is the next power of two. */
static void *room(arena *a, void *list, uint32_t count, size_t size)
{
    if (count && (count & (count - 1)) != 0)
        return list;
    return arena_grow(a, list, count * size, (count ? 2 * (size_t)count : 1) * size);
}

static bool read_span(arena *a, pb_reader *r, native_side *side)
{
    pb_reader m;
    pb_field f;
    uint64_t v;
    native_span span = { 0 };
    if (!pb_message(r, &m))
        return false;
    while (pb_next(&m, &f)) {
        if (f.wire != PB_VARINT || f.number > 2) {
            if (!pb_skip(&m, f))
                break;
        } else if (pb_varint(&m, &v) && f.number == 1) {
            span.offset = (int32_t)pb_zigzag(v);
        } else {
            span.length = (uint32_t)v;
        }
    }
    if (m.problem) {
        r->at = m.at;
        return pb_fail(r, m.problem);
    }
    native_span *grown = room(a, side->spans, side->span_count, sizeof(span));
    if (!grown)
        return false;
    side->spans = grown;
    side->spans[side->span_count++] = span;
    return true;
}

static bool add_delta(arena *a, uint64_t v, native_side *side)
{
    int64_t *grown = room(a, side->deltas, side->delta_count, sizeof(int64_t));
    if (!grown)
        return false;
    side->deltas = grown;
    side->deltas[side->delta_count++] = pb_zigzag(v);
    return true;
}

/* A repeated sint64, packed or not. */
static bool read_deltas(arena *a, pb_reader *r, pb_wire wire, native_side *side)
{
    uint64_t v;
    pb_reader m;
    if (wire == PB_VARINT)
        return pb_varint(r, &v) && add_delta(a, v, side);
    if (wire != PB_LEN)
        return pb_fail(r, "a list of bucket counts has the wrong wire type");
    if (!pb_message(r, &m))
        return false;
    while (m.at < m.end) {
        if (!pb_varint(&m, &v)) {
            r->at = m.at;
            return pb_fail(r, m.problem);
        }
        if (!add_delta(a, v, side))
            return false;
    }
    return true;
}

bool native_doubles_read(arena *a, pb_reader *r, pb_wire wire, double **list, uint32_t *count)
{
    double v;
    pb_reader m = *r;
    if (wire == PB_FIXED64) {
        if (!pb_double(r, &v))
            return false;
        m = (pb_reader){ .at = r->at - 8, .end = r->at, .base = r->base };
    } else if (wire != PB_LEN) {
        return pb_fail(r, "a list of numbers has the wrong wire type");
    } else if (!pb_message(r, &m)) {
        return false;
    }
    if ((m.end - m.at) % 8 != 0)
        return pb_fail(r, "a list of numbers is cut short");
    for (; m.at < m.end; (*count)++) {
        double *grown = room(a, *list, *count, sizeof(double));
        if (!grown || !pb_double(&m, &v))
            return false;
        *list = grown;
        grown[*count] = v;
    }
    return true;
}

bool native_field_read(arena *a, pb_reader *r, pb_field f, const native_fields *fields,
                       native_side *side)
{
    if (f.number == fields->deltas)
        return read_deltas(a, r, f.wire, side);
    if (f.number == fields->counts)
        return native_doubles_read(a, r, f.wire, &side->counts, &side->count_count);
    if (f.wire != PB_LEN)
        return pb_fail(r, "a span has the wrong wire type");
    return read_span(a, r, side);
}

/* ---- to a histogram ---- */

static bool wrong(const char **ret_problem, const char *problem)
{
    *ret_problem = problem;
    return false;
}

bool native_builder_init(native_builder *b, arena *a, size_t spans, size_t counts, uint32_t gap_max)
{
    *b = (native_builder){ .spans = arena_alloc(a, MAX(spans, 1u) * sizeof(native_span)),
                           .counts = arena_alloc(a, MAX(counts, 1u) * sizeof(double)),
                           .gap_max = gap_max };
    return b->spans && b->counts;
}

void native_builder_put(native_builder *b, int64_t index, double count)
{
    if (b->span_count && index == b->end - 1) {
        b->counts[b->count - 1] += count;
        return;
    }
    if (!b->span_count || index - b->end > b->gap_max) {
        b->spans[b->span_count++] = (native_span){ (int32_t)(index - b->end), 0 };
        b->end = index;
    }
    for (; b->end < index; b->end++) {
        b->counts[b->count++] = 0;
        b->spans[b->span_count - 1].length++;
    }
    b->spans[b->span_count - 1].length++;
    b->counts[b->count++] = count;
    b->end = index + 1;
}

histogram_side native_builder_side(const native_builder *b)
{
    return (histogram_side){ b->spans, b->counts, b->span_count, b->count };
}

static bool spans_check(const native_side *s, uint32_t values, const char **ret_problem)
{
    uint64_t buckets = 0;
    int64_t end = 0;
    for (uint32_t i = 0; i < s->span_count; i++) {
        const native_span *span = &s->spans[i];
        if (i > 0 && span->offset < 0)
            return wrong(ret_problem, "a span begins before the end of the one before it");
        end += (int64_t)span->offset + span->length;
        buckets += span->length;
        if (span->offset == INT32_MIN || end - 1 > INT32_MAX)
            return wrong(ret_problem, "a bucket's index is out of range");
    }
    if (buckets != values)
        return wrong(ret_problem, buckets < values ? "there are more bucket counts than buckets"
                                                   : "there are fewer bucket counts than buckets");
    return true;
}

/* Adds the counts up in *total. */
static bool side_of(arena *a, const native_side *s, bool floats, int shift, histogram_side *ret,
                    uint64_t *total, const char **ret_problem)
{
    uint32_t values = floats ? s->count_count : s->delta_count, at = 0;
    if (!spans_check(s, values, ret_problem))
        return false;
    native_builder b;
    if (!native_builder_init(&b, a, s->span_count, values, 0))
        return false;
    int64_t index = 0, count = 0;
    for (uint32_t i = 0; i < s->span_count; i++) {
        index += s->spans[i].offset;
        for (uint32_t k = 0; k < s->spans[i].length; k++, at++, index++) {
            if (!floats && (__builtin_add_overflow(count, s->deltas[at], &count) || count < 0))
                return wrong(ret_problem, "a bucket count is negative, or too large");
            if (!floats && __builtin_add_overflow(*total, (uint64_t)count, total))
                return wrong(ret_problem, "its bucket counts are too large");
            native_builder_put(&b, ((index - 1) >> shift) + 1,
                               floats ? s->counts[at] : (double)count);
        }
    }
    *ret = native_builder_side(&b);
    return true;
}

bool native_histogram_of(arena *a, const native_wire *w, histogram *ret, const char **ret_problem)
{
    int shift = w->schema > NATIVE_SCHEMA_MAX ? w->schema - NATIVE_SCHEMA_MAX : 0;
    uint64_t total = w->zero_count;
    *ret_problem = NULL;
    if (w->schema > SCHEMA_RESERVED_MAX)
        return wrong(ret_problem, "its schema is none of -4 to 8 and -53");
    *ret = (histogram){ .schema = w->schema - shift,
                        .hint = w->hint,
                        .count = w->floats ? w->count_float : (double)w->count,
                        .zero_count = w->floats ? w->zero_count_float : (double)w->zero_count,
                        .zero_threshold = w->zero_threshold,
                        .sum = w->sum,
                        .custom = w->custom,
                        .custom_count = w->custom_count };
    if (!side_of(a, &w->positive, w->floats, shift, &ret->positive, &total, ret_problem) ||
        !side_of(a, &w->negative, w->floats, shift, &ret->negative, &total, ret_problem) ||
        !histogram_check(ret, ret_problem))
        return false;
    if (w->floats || total == w->count || (isnan(w->sum) && total < w->count))
        return true;
    return wrong(ret_problem, "its count is not what its buckets add up to");
}

/* ---- writing ---- */

/* What Prometheus would take as an integer histogram. */
static bool is_integer(const histogram *h)
{
    if (!histogram_is_whole(h))
        return false;
    const histogram_side *sides[] = { &h->positive, &h->negative };
    double total = h->zero_count;
    for (size_t i = 0; i < ARRAY_LEN(sides); i++)
        for (uint32_t k = 0; k < sides[i]->count; k++)
            total += sides[i]->counts[k];
    return total == h->count || (isnan(h->sum) && total < h->count);
}

static void put_spans(buf *out, const histogram_side *s, uint32_t field)
{
    int64_t offset = 0;
    for (uint32_t i = 0; i < s->span_count; i++) {
        offset += s->spans[i].offset;
        if (s->spans[i].length == 0)
            continue;
        pb_mark mark = pb_begin(out, field, 6);
        pb_put_sint(out, 1, offset);
        pb_put_varint(out, 2, s->spans[i].length);
        pb_end(out, mark);
        offset = 0;
    }
}

static void put_deltas(buf *out, const histogram_side *s, uint32_t field, bool packed)
{
    pb_mark mark = { 0 };
    int64_t last = 0;
    if (packed)
        mark = pb_begin(out, field, 2 * (size_t)s->count);
    for (uint32_t i = 0; i < s->count; i++) {
        int64_t delta = (int64_t)s->counts[i] - last;
        last = (int64_t)s->counts[i];
        if (!packed) {
            pb_put_sint(out, field, delta);
        } else if (buf_reserve(out, 10)) {
            uint64_t zigzag = ((uint64_t)delta << 1) ^ (uint64_t)(delta >> 63);
            uint8_t *at = (uint8_t *)out->ptr + out->len;
            out->len += (size_t)(pb_write_varint(at, zigzag) - at);
        }
    }
    if (packed)
        pb_end(out, mark);
}

static void put_doubles(buf *out, const double *list, uint32_t count, uint32_t field, bool packed)
{
    pb_mark mark = { 0 };
    if (packed)
        mark = pb_begin(out, field, 8 * (size_t)count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &list[i], 8);
        bits = htole64(bits);
        if (packed)
            buf_add(out, &bits, 8);
        else
            pb_put_double(out, field, list[i]);
    }
    if (packed)
        pb_end(out, mark);
}

static void put_side(buf *out, const histogram_side *s, const native_fields *f, bool integer,
                     bool packed)
{
    if (s->count == 0)
        return;
    put_spans(out, s, f->spans);
    if (integer)
        put_deltas(out, s, f->deltas, packed);
    else
        put_doubles(out, s->counts, s->count, f->counts, packed);
}

void native_histogram_put(buf *out, const histogram *h, const native_message *m)
{
    bool integer = is_integer(h);
    if (integer) {
        pb_put_varint(out, m->count, (uint64_t)h->count);
        pb_put_varint(out, m->zero_count, (uint64_t)h->zero_count);
    } else {
        pb_put_double(out, m->count_float, h->count);
        pb_put_double(out, m->zero_count_float, h->zero_count);
    }
    pb_put_double(out, m->sum, h->sum);
    pb_put_sint(out, m->schema, h->schema);
    pb_put_double(out, m->zero_threshold, h->zero_threshold);
    put_side(out, &h->negative, &m->negative, integer, m->packed);
    put_side(out, &h->positive, &m->positive, integer, m->packed);
    if (m->hint && h->hint)
        pb_put_varint(out, m->hint, h->hint);
    if (m->custom && h->custom_count)
        put_doubles(out, h->custom, h->custom_count, m->custom, m->packed);
}

// SPDX-License-Identifier: Apache-2.0
/* Spans and differences of native histograms; see native_histogram.h. */
#include "codec/native_histogram.h"

#include "codec/exp_histogram.h"

/* A gap of more empty buckets than that begins another span. */
#define GAP_MAX 2

/* ---- writing ---- */

/* Length of the run of buckets from `from` on that one span covers: gaps of up to GAP_MAX empty
 * ones belong to it. */
static uint32_t span_length(const uint64_t *counts, uint32_t count, uint32_t from)
{
    uint32_t end = from + 1;
    for (uint32_t i = end, empty = 0; i < count && empty <= GAP_MAX; i++) {
        empty = counts[i] > 0 ? 0 : empty + 1;
        if (counts[i] > 0)
            end = i + 1;
    }
    return end - from;
}

static void put_spans(buf *out, int64_t start, const uint64_t *counts, uint32_t count,
                      uint32_t field)
{
    int64_t last_end = 0;
    for (uint32_t i = 0; i < count;) {
        if (counts[i] == 0) {
            i++;
            continue;
        }
        uint32_t length = span_length(counts, count, i);
        pb_mark mark = pb_begin(out, field, 6);
        pb_put_sint(out, 1, start + i - last_end);
        pb_put_varint(out, 2, length);
        pb_end(out, mark);
        last_end = start + i + length;
        i += length;
    }
}

static void put_delta(buf *out, uint32_t field, bool packed, int64_t delta)
{
    if (!packed) {
        pb_put_sint(out, field, delta);
    } else if (buf_reserve(out, 10)) {
        uint64_t zigzag = ((uint64_t)delta << 1) ^ (uint64_t)(delta >> 63);
        uint8_t *at = (uint8_t *)out->ptr + out->len;
        out->len += (size_t)(pb_write_varint(at, zigzag) - at);
    }
}

void native_buckets_put(buf *out, int64_t start, const uint64_t *counts, uint32_t count,
                        uint32_t spans, uint32_t deltas, bool packed)
{
    while (count > 0 && counts[count - 1] == 0)
        count--;
    if (count == 0)
        return;
    put_spans(out, start, counts, count, spans);
    int64_t last = 0;
    pb_mark mark = { 0 };
    if (packed)
        mark = pb_begin(out, deltas, 2 * (size_t)count);
    for (uint32_t i = 0; i < count;) {
        if (counts[i] == 0) {
            i++;
            continue;
        }
        for (uint32_t end = i + span_length(counts, count, i); i < end; i++) {
            put_delta(out, deltas, packed, (int64_t)counts[i] - last);
            last = (int64_t)counts[i];
        }
    }
    if (packed)
        pb_end(out, mark);
}

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

/* ---- to buckets ---- */

/* One bucket after the other, by Prometheus's index. */
typedef struct {
    const native_side *side;
    uint32_t span, in_span, value;
    int64_t index;
    int64_t sum; /* of the deltas so far */
} walk;

static bool wrong(const char **ret_problem, const char *problem)
{
    *ret_problem = problem;
    return false;
}

/* False at the end, and with a problem. */
static bool walk_next(walk *w, uint64_t *ret_count, const char **ret_problem)
{
    const native_side *s = w->side;
    while (w->span < s->span_count && w->in_span == s->spans[w->span].length) {
        w->span++;
        w->in_span = 0;
        if (w->span < s->span_count)
            w->index += s->spans[w->span].offset;
    }
    uint32_t values = s->count_count ? s->count_count : s->delta_count;
    if (w->span == s->span_count)
        return w->value == values ? false
                                  : wrong(ret_problem, "there are more bucket counts than buckets");
    if (w->value == values)
        return wrong(ret_problem, "there are fewer bucket counts than buckets");
    if (s->count_count) {
        double v = s->counts[w->value];
        if (!(v >= 0 && v < 9e18))
            return wrong(ret_problem, "a bucket count is negative, or not a number");
        *ret_count = (uint64_t)(v + 0.5);
    } else if (__builtin_add_overflow(w->sum, s->deltas[w->value], &w->sum) || w->sum < 0) {
        return wrong(ret_problem, "a bucket count is negative, or too large");
    } else {
        *ret_count = (uint64_t)w->sum;
    }
    w->value++;
    w->in_span++;
    w->index++;
    return true;
}

static walk walk_begin(const native_side *s)
{
    return (walk){ .side = s, .index = s->span_count ? s->spans[0].offset : 0 };
}

typedef struct {
    int64_t low, high; /* OpenTelemetry's indexes of buckets that count something */
    bool any;
} range;

static bool find_range(const native_side *s, range *ret, const char **ret_problem)
{
    uint64_t count;
    *ret = (range){ 0 };
    for (uint32_t i = 1; i < s->span_count; i++)
        if (s->spans[i].offset < 0)
            return wrong(ret_problem, "a span begins before the end of the one before it");
    for (walk w = walk_begin(s); walk_next(&w, &count, ret_problem);) {
        if (count == 0)
            continue;
        if (w.index < INT32_MIN / 2 || w.index > INT32_MAX / 2)
            return wrong(ret_problem, "a bucket's index is out of range");
        int64_t index = w.index - 2; /* the walk stands behind it, and is one ahead */
        if (!ret->any)
            ret->low = index;
        ret->high = index;
        ret->any = true;
    }
    return *ret_problem == NULL;
}

static bool fill(arena *a, const native_side *s, const range *r, int shift, exp_buckets *ret)
{
    *ret = (exp_buckets){ 0 };
    if (!r->any)
        return true;
    int64_t low = r->low >> shift;
    uint32_t width = (uint32_t)((r->high >> shift) - low) + 1;
    uint64_t *counts = ARENA_ARRAY(a, uint64_t, width), count;
    const char *problem = NULL;
    if (!counts)
        return false;
    for (walk w = walk_begin(s); walk_next(&w, &count, &problem);)
        if (count > 0)
            counts[((w.index - 2) >> shift) - low] += count;
    *ret = (exp_buckets){ (int32_t)low, width, counts };
    return true;
}

bool native_buckets_get(arena *a, const native_side *positive, const native_side *negative,
                        int32_t *inout_scale, exp_buckets *ret_positive, exp_buckets *ret_negative,
                        const char **ret_problem)
{
    range up, down;
    *ret_problem = NULL;
    if (!find_range(positive, &up, ret_problem) || !find_range(negative, &down, ret_problem))
        return false;
    int shift = 0;
    while ((up.high >> shift) - (up.low >> shift) >= NATIVE_BUCKETS_MAX ||
           (down.high >> shift) - (down.low >> shift) >= NATIVE_BUCKETS_MAX)
        shift++;
    *inout_scale -= shift;
    return fill(a, positive, &up, shift, ret_positive) &&
           fill(a, negative, &down, shift, ret_negative);
}

bool native_buckets_dense(arena *a, const native_side *side, uint32_t count, uint64_t **ret,
                          const char **ret_problem)
{
    range r;
    uint64_t n;
    *ret_problem = NULL;
    if (!find_range(side, &r, ret_problem))
        return false;
    if (r.any && (r.low + 1 < 0 || r.high + 1 >= count))
        return wrong(ret_problem, "a bucket has no bound");
    uint64_t *counts = ARENA_ARRAY(a, uint64_t, count);
    if (!counts)
        return false;
    for (walk w = walk_begin(side); walk_next(&w, &n, ret_problem);)
        if (n > 0)
            counts[w.index - 1] = n;
    *ret = counts;
    return true;
}

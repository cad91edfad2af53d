// SPDX-License-Identifier: Apache-2.0
/* Histogram messages of remote write, read into points; see remote_write_internal.h. */
#include "codec/remote_write_internal.h"

#include <math.h>

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

/* A repeated double, packed or not. */
static bool read_doubles(arena *a, pb_reader *r, pb_wire wire, double **list, uint32_t *count)
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

/* A count that was sent as a double. NaN and what is out of range are made to fail later. */
static uint64_t rounded(double v)
{
    return v >= 0 && v < 9e18 ? (uint64_t)(v + 0.5) : UINT64_MAX;
}

static bool read_varint_field(pb_reader *r, uint32_t number, write_histogram *h)
{
    uint64_t v;
    if (!pb_varint(r, &v))
        return false;
    switch (number) {
    case HISTOGRAM_COUNT_INT:
        h->count = v;
        break;
    case HISTOGRAM_SCHEMA:
        h->schema = (int32_t)pb_zigzag(v);
        break;
    case HISTOGRAM_ZERO_INT:
        h->zero_count = v;
        break;
    case HISTOGRAM_TIME:
        h->time_ms = (int64_t)v;
        break;
    case HISTOGRAM_START:
        h->start_ms = (int64_t)v;
        break;
    default:
        break;
    }
    return true;
}

static bool read_double_field(pb_reader *r, uint32_t number, write_histogram *h)
{
    double v;
    if (!pb_double(r, &v))
        return false;
    switch (number) {
    case HISTOGRAM_COUNT_FLOAT:
        h->count = rounded(v);
        break;
    case HISTOGRAM_SUM:
        h->sum = v;
        break;
    case HISTOGRAM_ZERO_THRESHOLD:
        h->zero_threshold = v;
        break;
    case HISTOGRAM_ZERO_FLOAT:
        h->zero_count = rounded(v);
        break;
    default:
        break;
    }
    return true;
}

static bool read_field(arena *a, pb_reader *r, pb_field f, write_histogram *h)
{
    switch (f.number) {
    case HISTOGRAM_NEGATIVE_SPANS:
    case HISTOGRAM_POSITIVE_SPANS:
        if (f.wire != PB_LEN)
            return pb_fail(r, "a span has the wrong wire type");
        return read_span(a, r, f.number == HISTOGRAM_POSITIVE_SPANS ? &h->positive : &h->negative);
    case HISTOGRAM_NEGATIVE_DELTAS:
        return read_deltas(a, r, f.wire, &h->negative);
    case HISTOGRAM_POSITIVE_DELTAS:
        return read_deltas(a, r, f.wire, &h->positive);
    case HISTOGRAM_NEGATIVE_COUNTS:
        return read_doubles(a, r, f.wire, &h->negative.counts, &h->negative.count_count);
    case HISTOGRAM_POSITIVE_COUNTS:
        return read_doubles(a, r, f.wire, &h->positive.counts, &h->positive.count_count);
    case HISTOGRAM_CUSTOM:
        return read_doubles(a, r, f.wire, &h->custom, &h->custom_count);
    default:
        if (f.wire == PB_VARINT)
            return read_varint_field(r, f.number, h);
        return f.wire == PB_FIXED64 ? read_double_field(r, f.number, h) : pb_skip(r, f);
    }
}

bool write_histogram_read(arena *a, pb_reader *r, write_histogram *ret)
{
    pb_field f;
    *ret = (write_histogram){ 0 };
    while (pb_next(r, &f))
        if (!read_field(a, r, f, ret))
            return false;
    return !r->problem;
}

/* ---- to a point ---- */

static bool wrong(const char **ret_problem, const char *problem)
{
    *ret_problem = problem;
    return false;
}

static bool custom_point(arena *a, const write_histogram *h, histogram_value *ret,
                         const char **ret_problem)
{
    for (uint32_t i = 0; i < h->custom_count; i++)
        if (isnan(h->custom[i]) || (i > 0 && !(h->custom[i] > h->custom[i - 1])))
            return wrong(ret_problem, "its bounds do not rise");
    if (h->negative.span_count || h->zero_count)
        return wrong(ret_problem, "with bounds of its own it has negative or zero buckets");
    uint32_t bounds = h->custom_count;
    if (bounds > 0 && isinf(h->custom[bounds - 1]))
        return wrong(ret_problem, "its last bound is infinite, which goes without saying");
    ret->bounds = h->custom;
    ret->bound_count = bounds;
    ret->bucket_count = bounds + 1;
    return native_buckets_dense(a, &h->positive, bounds + 1, &ret->buckets, ret_problem);
}

bool write_histogram_point(arena *a, const write_histogram *h, metric_type *ret_type,
                           point_value *ret, uint32_t *ret_flags, const char **ret_problem)
{
    bool stale = prom_is_stale(h->sum), has_sum = !isnan(h->sum);
    *ret_problem = NULL;
    *ret_flags = stale ? POINT_FLAG_NO_RECORDED_VALUE : 0;
    if (h->count == UINT64_MAX || h->zero_count == UINT64_MAX)
        return wrong(ret_problem, "a count is negative, or not a number");
    if (h->schema == NATIVE_SCHEMA_CUSTOM) {
        *ret_type = METRIC_HISTOGRAM;
        if (!(ret->histogram = ARENA_NEW(a, histogram_value)))
            return false;
        ret->histogram->count = h->count;
        ret->histogram->has_sum = has_sum;
        ret->histogram->sum = has_sum ? h->sum : 0;
        return custom_point(a, h, ret->histogram, ret_problem);
    }
    if (h->schema < NATIVE_SCHEMA_MIN || h->schema > NATIVE_SCHEMA_MAX)
        return wrong(ret_problem, "its schema is none of -4 to 8 and -53");
    *ret_type = METRIC_EXP_HISTOGRAM;
    exp_histogram_value *e = ret->exp = ARENA_NEW(a, exp_histogram_value);
    if (!e)
        return false;
    *e = (exp_histogram_value){ .count = h->count,
                                .has_sum = has_sum,
                                .sum = has_sum ? h->sum : 0,
                                .scale = h->schema,
                                .zero_count = h->zero_count,
                                .zero_threshold = h->zero_threshold };
    return native_buckets_get(a, &h->positive, &h->negative, &e->scale, &e->positive, &e->negative,
                              ret_problem);
}

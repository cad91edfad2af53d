// SPDX-License-Identifier: Apache-2.0
/* Histogram messages of remote write, read into points; see remote_write_internal.h. */
#include "codec/remote_write_internal.h"

#include <math.h>

/* ---- from the wire ---- */

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

static const native_fields negative_fields = { HISTOGRAM_NEGATIVE_SPANS, HISTOGRAM_NEGATIVE_DELTAS,
                                               HISTOGRAM_NEGATIVE_COUNTS };
static const native_fields positive_fields = { HISTOGRAM_POSITIVE_SPANS, HISTOGRAM_POSITIVE_DELTAS,
                                               HISTOGRAM_POSITIVE_COUNTS };

static bool read_field(arena *a, pb_reader *r, pb_field f, write_histogram *h)
{
    if (native_is_field(&negative_fields, f.number))
        return native_field_read(a, r, f, &negative_fields, &h->negative);
    if (native_is_field(&positive_fields, f.number))
        return native_field_read(a, r, f, &positive_fields, &h->positive);
    if (f.number == HISTOGRAM_CUSTOM)
        return native_doubles_read(a, r, f.wire, &h->custom, &h->custom_count);
    if (f.wire == PB_VARINT)
        return read_varint_field(r, f.number, h);
    return f.wire == PB_FIXED64 ? read_double_field(r, f.number, h) : pb_skip(r, f);
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

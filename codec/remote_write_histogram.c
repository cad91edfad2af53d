// SPDX-License-Identifier: Apache-2.0
/* Histogram messages of remote write, read into points; see remote_write_internal.h. */
#include "codec/remote_write_internal.h"

#include "codec/native_convert.h"

/* ---- from the wire ---- */

static bool read_varint_field(pb_reader *r, uint32_t number, write_histogram *h)
{
    uint64_t v;
    if (!pb_varint(r, &v))
        return false;
    switch (number) {
    case HISTOGRAM_COUNT_INT:
        h->value.count = v;
        break;
    case HISTOGRAM_SCHEMA:
        h->value.schema = (int32_t)pb_zigzag(v);
        break;
    case HISTOGRAM_ZERO_INT:
        h->value.zero_count = v;
        break;
    case HISTOGRAM_RESET_HINT:
        h->value.hint = v <= HISTOGRAM_GAUGE ? (histogram_hint)v : HISTOGRAM_RESET_UNKNOWN;
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
        h->value.count_float = v;
        h->value.floats = true;
        break;
    case HISTOGRAM_SUM:
        h->value.sum = v;
        break;
    case HISTOGRAM_ZERO_THRESHOLD:
        h->value.zero_threshold = v;
        break;
    case HISTOGRAM_ZERO_FLOAT:
        h->value.zero_count_float = v;
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
        return native_field_read(a, r, f, &negative_fields, &h->value.negative);
    if (native_is_field(&positive_fields, f.number))
        return native_field_read(a, r, f, &positive_fields, &h->value.positive);
    if (f.number == HISTOGRAM_CUSTOM)
        return native_doubles_read(a, r, f.wire, &h->value.custom, &h->value.custom_count);
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

bool write_histogram_point(arena *a, const write_histogram *h, metric_type *ret_type,
                           point_value *ret, uint32_t *ret_flags, const char **ret_problem)
{
    histogram *native = ARENA_NEW(a, histogram);
    *ret_problem = NULL;
    *ret_flags = prom_is_stale(h->value.sum) ? POINT_FLAG_NO_RECORDED_VALUE : 0;
    return native && native_histogram_of(a, &h->value, native, ret_problem) &&
           native_to_point(a, native, ret_type, ret);
}

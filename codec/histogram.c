// SPDX-License-Identifier: Apache-2.0
/* Native histograms as bytes and back, their rules, and copies; see histogram.h. The layout of the
 * bytes is docs/format/histogram.md. Pure functions; thread-safe. */
#include "codec/histogram.h"

#include "codec/protobuf.h"

#include <math.h>

enum {
    FLAG_HINT = 3,
    FLAG_WHOLE = 4,
    FLAG_CUSTOM = 8,
    FLAG_ZERO = 16,
    FLAG_NEGATIVE = 32,
    FLAG_UNKNOWN = 0xc0
};

/* Up to here a double holds every whole number. */
static const double whole_max = 9007199254740992.0;

/* ---- rules ---- */

static bool wrong(const char **ret_problem, const char *problem)
{
    *ret_problem = problem;
    return false;
}

static bool side_check(const histogram_side *s, const char **ret_problem)
{
    int64_t end = 0;
    uint64_t buckets = 0;
    for (uint32_t i = 0; i < s->span_count; i++) {
        const native_span *span = &s->spans[i];
        if (i > 0 && span->offset < 0)
            return wrong(ret_problem, "a span begins before the end of the one before it");
        end += (int64_t)span->offset + span->length;
        if (span->offset == INT32_MIN || end - 1 > INT32_MAX)
            return wrong(ret_problem, "a bucket's index is out of range");
        buckets += span->length;
    }
    if (buckets != s->count)
        return wrong(ret_problem, buckets < s->count
                                      ? "there are more bucket counts than buckets"
                                      : "there are fewer bucket counts than buckets");
    for (uint32_t i = 0; i < s->count; i++)
        if (s->counts[i] < 0)
            return wrong(ret_problem, "a bucket count is negative");
    return true;
}

static bool custom_check(const histogram *h, const char **ret_problem)
{
    for (uint32_t i = 0; i < h->custom_count; i++)
        if (isnan(h->custom[i]) || (i > 0 && !(h->custom[i] > h->custom[i - 1])))
            return wrong(ret_problem, "its bounds do not rise");
    if (h->custom_count && h->custom[h->custom_count - 1] == INFINITY)
        return wrong(ret_problem, "its last bound is infinite, which goes without saying");
    if (h->negative.span_count || h->negative.count || h->zero_count != 0 || h->zero_threshold != 0)
        return wrong(ret_problem, "with bounds of its own it has negative or zero buckets");
    uint64_t reach = 0;
    for (uint32_t i = 0; i < h->positive.span_count; i++) {
        if (h->positive.spans[i].offset < 0)
            return wrong(ret_problem, "a bucket has no bound");
        reach += (uint64_t)h->positive.spans[i].offset + h->positive.spans[i].length;
    }
    return reach <= (uint64_t)h->custom_count + 1 || wrong(ret_problem, "a bucket has no bound");
}

bool histogram_check(const histogram *h, const char **ret_problem)
{
    if (!histogram_is_custom(h) && (h->schema < NATIVE_SCHEMA_MIN || h->schema > NATIVE_SCHEMA_MAX))
        return wrong(ret_problem, "its schema is none of -4 to 8 and -53");
    if ((unsigned)h->hint > HISTOGRAM_GAUGE)
        return wrong(ret_problem, "its reset hint is unknown");
    if (h->count < 0 || h->zero_count < 0)
        return wrong(ret_problem, "a count is negative");
    if (!(h->zero_threshold >= 0) || isinf(h->zero_threshold))
        return wrong(ret_problem, "its zero threshold is negative, or not a number");
    if (!histogram_is_custom(h) && h->custom_count)
        return wrong(ret_problem, "it has bounds of its own, which its schema does not have");
    if (h->custom_count > NATIVE_COUNTS_MAX || h->positive.count > NATIVE_COUNTS_MAX ||
        h->negative.count > NATIVE_COUNTS_MAX)
        return wrong(ret_problem, "it has more than 65536 buckets of one sign");
    return side_check(&h->positive, ret_problem) && side_check(&h->negative, ret_problem) &&
           (!histogram_is_custom(h) || custom_check(h, ret_problem));
}

/* ---- writing ---- */

/* -0 and NaN are not. */
static bool is_whole(double v)
{
    return v >= 0 && v <= whole_max && !signbit(v) && v == (double)(uint64_t)v;
}

static bool all_whole(const double *v, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!is_whole(v[i]))
            return false;
    return true;
}

bool histogram_is_whole(const histogram *h)
{
    return is_whole(h->count) && is_whole(h->zero_count) &&
           all_whole(h->positive.counts, h->positive.count) &&
           all_whole(h->negative.counts, h->negative.count);
}

static void put_varint(buf *out, uint64_t v)
{
    if (buf_reserve(out, 10)) {
        uint8_t *at = (uint8_t *)out->ptr + out->len;
        out->len += (size_t)(pb_write_varint(at, v) - at);
    }
}

static void put_zigzag(buf *out, int64_t v)
{
    put_varint(out, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static void put_double(buf *out, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, 8);
    bits = htole64(bits);
    buf_add(out, &bits, 8);
}

static void put_count(buf *out, double v, bool whole)
{
    if (whole)
        put_varint(out, (uint64_t)v);
    else
        put_double(out, v);
}

/* Empty spans go into the offset of the next one. */
static void put_spans(buf *out, const histogram_side *s)
{
    uint32_t filled = 0;
    int64_t offset = 0;
    for (uint32_t i = 0; i < s->span_count; i++)
        filled += s->spans[i].length > 0;
    put_varint(out, filled);
    for (uint32_t i = 0; i < s->span_count; i++) {
        offset += s->spans[i].offset;
        if (s->spans[i].length == 0)
            continue;
        put_zigzag(out, offset);
        put_varint(out, s->spans[i].length);
        offset = 0;
    }
}

static void put_side(buf *out, const histogram_side *s, bool whole)
{
    put_spans(out, s);
    int64_t last = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (!whole) {
            put_double(out, s->counts[i]);
            continue;
        }
        put_zigzag(out, (int64_t)s->counts[i] - last);
        last = (int64_t)s->counts[i];
    }
}

void histogram_encode(buf *out, const histogram *h)
{
    bool whole = histogram_is_whole(h), custom = histogram_is_custom(h);
    bool zero = h->zero_threshold != 0 || h->zero_count != 0 || signbit(h->zero_count) ||
                signbit(h->zero_threshold);
    unsigned flags = (unsigned)h->hint & FLAG_HINT;
    flags |= (whole ? FLAG_WHOLE : 0) | (custom ? FLAG_CUSTOM : 0) | (zero ? FLAG_ZERO : 0) |
             (h->negative.count ? FLAG_NEGATIVE : 0);
    buf_char(out, (char)flags);
    if (custom) {
        put_varint(out, h->custom_count);
        for (uint32_t i = 0; i < h->custom_count; i++)
            put_double(out, h->custom[i]);
    } else {
        put_zigzag(out, h->schema);
    }
    put_double(out, h->sum);
    put_count(out, h->count, whole);
    if (zero) {
        put_double(out, h->zero_threshold);
        put_count(out, h->zero_count, whole);
    }
    put_side(out, &h->positive, whole);
    if (h->negative.count)
        put_side(out, &h->negative, whole);
}

/* ---- reading ---- */

static bool get_zigzag(pb_reader *r, int64_t *ret)
{
    uint64_t v;
    if (!pb_varint(r, &v))
        return false;
    *ret = pb_zigzag(v);
    return true;
}

/* A number of things that take `size` bytes or more each. */
static bool get_number(pb_reader *r, size_t size, uint32_t *ret)
{
    uint64_t v;
    if (!pb_varint(r, &v) || v > (uint64_t)(r->end - r->at) / size)
        return false;
    *ret = (uint32_t)v;
    return v <= UINT32_MAX;
}

static bool get_count(pb_reader *r, bool whole, double *ret)
{
    uint64_t v;
    if (!whole)
        return pb_double(r, ret);
    if (!pb_varint(r, &v) || v > (uint64_t)whole_max)
        return false;
    *ret = (double)v;
    return true;
}

static bool get_doubles(arena *a, pb_reader *r, uint32_t count, const double **ret)
{
    double *items = count ? arena_alloc(a, count * sizeof(double)) : NULL;
    if (count && !items)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!pb_double(r, &items[i]))
            return false;
    *ret = items;
    return true;
}

static bool get_whole_counts(arena *a, pb_reader *r, uint32_t count, const double **ret)
{
    double *items = count ? arena_alloc(a, count * sizeof(double)) : NULL;
    int64_t last = 0, delta;
    if (count && !items)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!get_zigzag(r, &delta) || __builtin_add_overflow(last, delta, &last) || last < 0 ||
            last > (int64_t)whole_max)
            return false;
        items[i] = (double)last;
    }
    *ret = items;
    return true;
}

static bool get_side(arena *a, pb_reader *r, bool whole, histogram_side *ret)
{
    uint32_t spans;
    uint64_t buckets = 0, length;
    int64_t offset;
    if (!get_number(r, 2, &spans))
        return false;
    native_span *items = spans ? arena_alloc(a, spans * sizeof(native_span)) : NULL;
    if (spans && !items)
        return false;
    for (uint32_t i = 0; i < spans; i++) {
        if (!get_zigzag(r, &offset) || !pb_varint(r, &length) || offset < INT32_MIN ||
            offset > INT32_MAX || length == 0 || length > UINT32_MAX)
            return false;
        items[i] = (native_span){ (int32_t)offset, (uint32_t)length };
        buckets += length;
    }
    if (buckets > (uint64_t)(r->end - r->at) / (whole ? 1 : 8))
        return false;
    *ret = (histogram_side){ .spans = items, .span_count = spans, .count = (uint32_t)buckets };
    return whole ? get_whole_counts(a, r, ret->count, &ret->counts)
                 : get_doubles(a, r, ret->count, &ret->counts);
}

static bool get_schema(arena *a, pb_reader *r, bool custom, histogram *h)
{
    int64_t schema;
    if (custom) {
        h->schema = NATIVE_SCHEMA_CUSTOM;
        return get_number(r, 8, &h->custom_count) && get_doubles(a, r, h->custom_count, &h->custom);
    }
    if (!get_zigzag(r, &schema) || schema < NATIVE_SCHEMA_MIN || schema > NATIVE_SCHEMA_MAX)
        return false;
    h->schema = (int32_t)schema;
    return true;
}

bool histogram_decode(arena *a, str in, histogram *ret)
{
    pb_reader r = pb_read(in);
    const char *problem;
    if (r.at == r.end || (*r.at & FLAG_UNKNOWN))
        return false;
    unsigned flags = *r.at++;
    bool whole = flags & FLAG_WHOLE;
    histogram h = { .hint = (histogram_hint)(flags & FLAG_HINT) };
    if (!get_schema(a, &r, flags & FLAG_CUSTOM, &h) || !pb_double(&r, &h.sum) ||
        !get_count(&r, whole, &h.count))
        return false;
    if ((flags & FLAG_ZERO) &&
        (!pb_double(&r, &h.zero_threshold) || !get_count(&r, whole, &h.zero_count)))
        return false;
    if (!get_side(a, &r, whole, &h.positive) ||
        ((flags & FLAG_NEGATIVE) && !get_side(a, &r, whole, &h.negative)) || r.at != r.end ||
        !histogram_check(&h, &problem))
        return false;
    *ret = h;
    return true;
}

/* ---- copies ---- */

size_t histogram_size(const histogram *h)
{
    size_t doubles = (size_t)h->positive.count + h->negative.count + h->custom_count;
    size_t spans = (size_t)h->positive.span_count + h->negative.span_count;
    return sizeof(histogram) + doubles * sizeof(double) + spans * sizeof(native_span);
}

static const void *copy_list(char **at, const void *list, size_t bytes)
{
    char *copy = *at;
    if (bytes)
        memcpy(copy, list, bytes);
    *at += bytes;
    return copy;
}

histogram *histogram_copy_to(void *memory, const histogram *h)
{
    histogram *copy = memory;
    char *at = (char *)(copy + 1);
    *copy = *h;
    copy->positive.counts = copy_list(&at, h->positive.counts, h->positive.count * sizeof(double));
    copy->negative.counts = copy_list(&at, h->negative.counts, h->negative.count * sizeof(double));
    copy->custom = copy_list(&at, h->custom, h->custom_count * sizeof(double));
    copy->positive.spans =
        copy_list(&at, h->positive.spans, h->positive.span_count * sizeof(native_span));
    copy->negative.spans =
        copy_list(&at, h->negative.spans, h->negative.span_count * sizeof(native_span));
    return copy;
}

histogram *histogram_copy(arena *a, const histogram *h)
{
    void *memory = arena_alloc(a, histogram_size(h));
    return memory ? histogram_copy_to(memory, h) : NULL;
}

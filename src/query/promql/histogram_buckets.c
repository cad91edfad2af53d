// SPDX-License-Identifier: Apache-2.0
/* Buckets in the order of their bounds, and the text form of histograms. */
#include "query/promql/histogram.h"

#include "base/number_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static double bound_at(const histogram *h, int32_t index)
{
    if (!histogram_is_custom(h))
        return histogram_bound(index, h->schema);
    if (index < 0)
        return -INFINITY;
    return (uint32_t)index < h->custom_count ? h->custom[index] : INFINITY;
}

histogram_bucket histogram_bucket_at(const histogram *h, int32_t index, bool positive, double count)
{
    double far = bound_at(h, index), near = bound_at(h, index - 1);
    histogram_bucket b = { .lower = positive ? near : -far,
                           .upper = positive ? far : -near,
                           .count = count };
    b.lower_inclusive = histogram_is_custom(h) ? index == 0 : b.lower < 0;
    b.upper_inclusive = histogram_is_custom(h) || b.upper > 0;
    return b;
}

void histogram_buckets_start(histogram_buckets *it, const histogram *h, bool falling)
{
    *it = (histogram_buckets){ .h = h, .falling = falling };
}

/* Positions before the first bucket in the direction of the walk. A side is walked towards zero
 * when it comes first. */
static void start_side(histogram_buckets *it, const histogram_side *s, bool to_zero)
{
    it->started = true;
    it->left = s->count;
    it->span = it->in_span = 0;
    it->index = s->span_count ? s->spans[0].offset : 0;
    if (!to_zero || !s->count)
        return;
    for (uint32_t i = 1; i < s->span_count; i++)
        it->index += (int64_t)s->spans[i - 1].length + s->spans[i].offset;
    it->span = s->span_count - 1;
    it->in_span = s->spans[it->span].length;
    it->index += it->in_span;
}

/* index: of the next bucket outwards, or one above the next towards zero. */
static bool next_of_side(histogram_buckets *it, bool positive, bool to_zero, histogram_bucket *ret)
{
    const histogram_side *s = positive ? &it->h->positive : &it->h->negative;
    if (!it->started)
        start_side(it, s, to_zero);
    if (!it->left)
        return false;
    uint32_t at = to_zero ? it->left - 1 : s->count - it->left;
    it->left--;
    if (to_zero) {
        while (it->in_span == 0) {
            it->index -= s->spans[it->span].offset;
            it->in_span = s->spans[--it->span].length;
        }
        it->in_span--;
        it->index--;
    } else {
        while (it->in_span == s->spans[it->span].length) {
            it->in_span = 0;
            it->index += s->spans[++it->span].offset;
        }
        it->in_span++;
    }
    *ret = histogram_bucket_at(it->h, (int32_t)it->index, positive, s->counts[at]);
    it->index += !to_zero;
    double threshold = it->h->zero_threshold;
    if (ret->upper < 0 && ret->upper > -threshold)
        ret->upper = -threshold;
    else if (ret->lower > 0 && ret->lower < threshold)
        ret->lower = threshold;
    return true;
}

bool histogram_buckets_next(histogram_buckets *it, histogram_bucket *ret)
{
    if (it->part == 0) {
        if (next_of_side(it, it->falling, true, ret))
            return true;
        it->part = 1;
    }
    if (it->part == 1) {
        double threshold = it->h->zero_threshold;
        it->part = 2;
        it->started = false;
        if (it->h->zero_count > 0) {
            *ret = (histogram_bucket){ -threshold, threshold, it->h->zero_count, true, true };
            return true;
        }
    }
    return next_of_side(it, !it->falling, false, ret);
}

int histogram_boundary_rule(const histogram_bucket *b)
{
    if (b->lower_inclusive)
        return b->upper_inclusive ? 3 : 1;
    return b->upper_inclusive ? 0 : 2;
}

/* ---- text ---- */

const char *histogram_number_text(char text[48], double v)
{
    buf plain;
    if (isnan(v) || isinf(v)) {
        snprintf(text, 48, "%s", isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
        return text;
    }
    f64_shortest(text, v, 1);
    const char *mark = strchr(text, 'e');
    long exponent = mark ? strtol(mark + 1, NULL, 10) : 0;
    if (exponent < -4 || exponent >= 6)
        return text;
    buf_init(&plain, 0);
    if (v == 0)
        buf_str(&plain, signbit(v) ? STR("-0") : STR("0"));
    else
        buf_f64(&plain, v);
    snprintf(text, 48, "%.*s", (int)plain.len, plain.ptr);
    buf_done(&plain);
    return text;
}

void histogram_print_number(buf *out, double v)
{
    char text[48];
    buf_str(out, str_c(histogram_number_text(text, v)));
}

static void print_bucket(buf *out, const histogram_bucket *b)
{
    buf_str(out, b->lower_inclusive ? STR(", [") : STR(", ("));
    histogram_print_number(out, b->lower);
    buf_char(out, ',');
    histogram_print_number(out, b->upper);
    buf_str(out, b->upper_inclusive ? STR("]:") : STR("):"));
    histogram_print_number(out, b->count);
}

void histogram_print(buf *out, const histogram *h)
{
    histogram_buckets it;
    histogram_bucket b;
    histogram uncut = *h; /* the text shows buckets as the schema has them */
    buf_lit(out, "{count:");
    histogram_print_number(out, h->count);
    buf_lit(out, ", sum:");
    histogram_print_number(out, h->sum);
    uncut.zero_count = 0;
    uncut.zero_threshold = 0;
    histogram_buckets_start(&it, &uncut, false);
    bool zero_due = h->zero_count != 0;
    while (histogram_buckets_next(&it, &b)) {
        if (zero_due && it.part == 2) {
            print_bucket(out, &(histogram_bucket){ -h->zero_threshold, h->zero_threshold,
                                                   h->zero_count, true, true });
            zero_due = false;
        }
        if (b.count != 0)
            print_bucket(out, &b);
    }
    if (zero_due)
        print_bucket(out, &(histogram_bucket){ -h->zero_threshold, h->zero_threshold, h->zero_count,
                                               true, true });
    buf_char(out, '}');
}

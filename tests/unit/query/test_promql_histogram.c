// SPDX-License-Identifier: Apache-2.0
/* Arithmetic of native histograms against results of Prometheus's own (histograms.txt: an
 * operation, its operands and what comes out, one case per line), and what such lines do not show.
 */
#include "support.h"

#include "query/promql/histogram.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static arena memory;

static int set_up(void **state)
{
    (void)state;
    arena_init(&memory, MiB(64));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&memory);
    return 0;
}

/* ---- the lines of histograms.txt ---- */

static char *cursor; /* in the line that is read */

static const char *word(void)
{
    cursor += strspn(cursor, " ");
    const char *start = cursor;
    cursor += strcspn(cursor, " \n");
    if (*cursor)
        *cursor++ = '\0';
    return start;
}

static double number(void)
{
    return strtod(word(), NULL);
}

static int32_t integer(void)
{
    return (int32_t)strtol(word(), NULL, 10);
}

static const double *numbers(uint32_t *ret_count)
{
    *ret_count = (uint32_t)integer();
    double *list = arena_calloc(&memory, *ret_count + 1, sizeof(double));
    for (uint32_t i = 0; i < *ret_count; i++)
        list[i] = number();
    return list;
}

static histogram_side side(void)
{
    histogram_side s = { .span_count = (uint32_t)integer() };
    native_span *spans = arena_calloc(&memory, s.span_count + 1, sizeof(native_span));
    for (uint32_t i = 0; i < s.span_count; i++) {
        spans[i].offset = integer();
        spans[i].length = (uint32_t)integer();
    }
    s.spans = spans;
    s.counts = numbers(&s.count);
    return s;
}

/* "h" schema hint zero-threshold zero-count count sum, both sides, custom bounds. */
static const histogram *read_histogram(void)
{
    histogram *h = arena_calloc(&memory, 1, sizeof(*h));
    assert_string_equal(word(), "h");
    h->schema = integer();
    h->hint = (histogram_hint)integer();
    h->zero_threshold = number();
    h->zero_count = number();
    h->count = number();
    h->sum = number();
    h->positive = side();
    h->negative = side();
    h->custom = numbers(&h->custom_count);
    return h;
}

static bool near(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    return a == b || fabs(a - b) <= 1e-12 * (fabs(a) + fabs(b)) + 1e-13;
}

static bool sides_near(const histogram_side *x, const histogram_side *y)
{
    if (x->count != y->count || x->span_count != y->span_count)
        return false;
    for (uint32_t i = 0; i < x->span_count; i++)
        if (x->spans[i].offset != y->spans[i].offset || x->spans[i].length != y->spans[i].length)
            return false;
    for (uint32_t i = 0; i < x->count; i++)
        if (!near(x->counts[i], y->counts[i]))
            return false;
    return true;
}

static bool same(const histogram *x, const histogram *y)
{
    bool bounds = x->custom_count == y->custom_count;
    for (uint32_t i = 0; bounds && i < x->custom_count; i++)
        bounds = x->custom[i] == y->custom[i];
    return bounds && x->schema == y->schema && x->hint == y->hint &&
           x->zero_threshold == y->zero_threshold && near(x->zero_count, y->zero_count) &&
           near(x->count, y->count) && near(x->sum, y->sum) &&
           sides_near(&x->positive, &y->positive) && sides_near(&x->negative, &y->negative);
}

static bool two(bool add)
{
    const histogram *x = read_histogram(), *y = read_histogram(), *got = NULL;
    histogram_findings found = { 0 };
    status st = (add ? histogram_add : histogram_subtract)(&memory, x, y, &found, &got);
    if (strncmp(cursor, "err", 3) == 0)
        return st == STATUS_INVALID;
    const histogram *want = read_histogram();
    return st == STATUS_OK && same(got, want) && found.collision == integer() &&
           found.reconciled == integer();
}

static bool check_total(void)
{
    const histogram *list[8];
    uint32_t n = (uint32_t)integer();
    assert_in_range(n, 1, 8);
    for (uint32_t i = 0; i < n; i++)
        list[i] = read_histogram();
    for (int mean = 0; mean < 2; mean++) {
        histogram_total t;
        histogram_total_init(&t, mean);
        for (uint32_t i = 0; i < n; i++)
            assert_int_equal(histogram_total_add(&t, list[i]), STATUS_OK);
        bool equal = same(histogram_total_result(&t, &memory, true), read_histogram());
        histogram_total_done(&t);
        if (!equal)
            return false;
    }
    return true;
}

static bool check_buckets(const histogram *h)
{
    histogram_buckets it;
    histogram_bucket b;
    int32_t n = integer();
    histogram_buckets_start(&it, h, false);
    for (; histogram_buckets_next(&it, &b); n--)
        if (n == 0 || b.lower != number() || b.upper != number() || b.count != number() ||
            b.lower_inclusive != integer() || b.upper_inclusive != integer())
            return false;
    return n == 0;
}

static bool check_print(const histogram *h)
{
    buf b;
    buf_init(&b, 0);
    histogram_print(&b, h);
    cursor += strspn(cursor, " ");
    bool equal = strncmp(cursor + 1, b.ptr, b.len) == 0 && cursor[b.len + 1] == '"';
    buf_done(&b);
    return equal;
}

static bool check_one(const char *operation)
{
    const histogram *h = read_histogram();
    histogram_doubt doubt = HISTOGRAM_FINE;
    if (!strcmp(operation, "reset"))
        return histogram_detect_reset(h, read_histogram()) == integer();
    if (!strcmp(operation, "equal"))
        return histogram_equal(h, read_histogram()) == integer();
    if (!strcmp(operation, "compact"))
        return same(histogram_compact(&memory, h), read_histogram());
    if (!strcmp(operation, "print"))
        return check_print(h);
    if (!strcmp(operation, "buckets"))
        return check_buckets(h);
    if (!strcmp(operation, "variance"))
        return near(histogram_variance(h), number());
    double by = number();
    if (!strcmp(operation, "mul"))
        return same(histogram_multiply(&memory, h, by), read_histogram());
    if (!strcmp(operation, "div"))
        return same(histogram_divide(&memory, h, by), read_histogram());
    if (!strcmp(operation, "reduce"))
        return same(histogram_reduce(&memory, h, (int32_t)by), read_histogram());
    if (!strcmp(operation, "trim")) {
        bool upper = integer();
        return same(histogram_trim(&memory, h, by, upper), read_histogram());
    }
    if (!strcmp(operation, "quantile"))
        return near(histogram_quantile(h, by, &doubt), number()) && (int32_t)doubt == integer();
    assert_string_equal(operation, "fraction");
    double to = number();
    return near(histogram_fraction(h, by, to, &doubt), number()) && (int32_t)doubt == integer();
}

static void computes_what_prometheus_computes(void **state)
{
    (void)state;
    static char line[16384];
    uint32_t lines = 0;
    FILE *f = fopen(SOURCE_DIR "/tests/unit/query/histograms.txt", "r");
    assert_non_null(f);
    for (; fgets(line, sizeof(line), f); lines++) {
        arena_clear(&memory);
        cursor = line;
        const char *operation = word();
        bool good;
        if (!strcmp(operation, "add") || !strcmp(operation, "sub"))
            good = two(operation[0] == 'a');
        else if (!strcmp(operation, "total"))
            good = check_total();
        else
            good = check_one(operation);
        if (!good)
            fail_msg("line %u: %s", lines + 1, operation);
    }
    fclose(f);
    assert_in_range(lines, 200, 1000);
}

/* ---- what the lines do not show ---- */

static const double three[] = { 1, 2, 3 }, four[] = { 2, 4, 6, 8 };
static const native_span from_one[] = { { 1, 3 } }, from_zero[] = { { 0, 4 } };

static histogram three_buckets(void)
{
    return (histogram){ .count = 6, .sum = 10, .positive = { from_one, three, 1, 3 } };
}

static void inputs_stay_as_they_were(void **state)
{
    (void)state;
    histogram x = three_buckets(), y = x, before = x;
    const histogram *ret;
    y.zero_threshold = 2;
    y.zero_count = 5;
    assert_int_equal(histogram_add(&memory, &x, &y, NULL, &ret), STATUS_OK);
    assert_memory_equal(&x, &before, sizeof(x));
    assert_true(ret->zero_count == 6); /* (1,2] of x is inside the wider zero bucket */
    assert_true(ret->count == 12);
}

static void a_gauge_wins_over_counters(void **state)
{
    (void)state;
    histogram x = three_buckets(), y = x;
    histogram_findings found = { 0 };
    const histogram *ret;
    x.hint = HISTOGRAM_RESET;
    y.hint = HISTOGRAM_GAUGE;
    assert_int_equal(histogram_add(&memory, &x, &y, &found, &ret), STATUS_OK);
    assert_int_equal(ret->hint, HISTOGRAM_GAUGE);
    assert_false(found.collision);
    y.hint = HISTOGRAM_NO_RESET;
    assert_int_equal(histogram_add(&memory, &x, &y, &found, &ret), STATUS_OK);
    assert_int_equal(ret->hint, HISTOGRAM_RESET_UNKNOWN);
    assert_true(found.collision);
}

static void lies_between_two_samples(void **state)
{
    (void)state;
    histogram x = three_buckets(), y = x;
    const histogram *ret;
    y.positive = (histogram_side){ from_zero, four, 1, 4 };
    y.count = 20;
    y.sum = 30;
    assert_int_equal(
        histogram_interpolate(&memory, &x, 1000, &y, 5000, 2000, true, NULL, NULL, &ret),
        STATUS_OK);
    assert_true(ret->count == 9.5 && ret->sum == 15);
    assert_int_equal(ret->positive.count, 4);
    assert_true(ret->positive.counts[0] == 0.5 && ret->positive.counts[3] == 4.25);
    /* A counter that restarted begins at zero. */
    assert_int_equal(
        histogram_interpolate(&memory, &y, 1000, &x, 5000, 2000, true, NULL, NULL, &ret),
        STATUS_OK);
    assert_true(ret->count == 1.5);
    assert_int_equal(
        histogram_interpolate(&memory, &y, 1000, &x, 5000, 5000, true, NULL, NULL, &ret),
        STATUS_OK);
    assert_ptr_equal(ret, &x);
}

static void means_do_not_overflow(void **state)
{
    (void)state;
    static const double huge[] = { 1.5e308 };
    static const native_span one[] = { { 0, 1 } };
    histogram h = { .count = 1.5e308, .sum = -1.5e308, .positive = { one, huge, 1, 1 } };
    histogram_total t;
    histogram_total_init(&t, true);
    for (int i = 0; i < 4; i++)
        assert_int_equal(histogram_total_add(&t, &h), STATUS_OK);
    const histogram *mean = histogram_total_result(&t, &memory, true);
    assert_true(near(mean->count, 1.5e308) && near(mean->sum, -1.5e308));
    assert_true(near(mean->positive.counts[0], 1.5e308));
    histogram_total_done(&t);
}

static void a_total_refuses_the_other_kind_and_goes_on(void **state)
{
    (void)state;
    static const double bounds[] = { 5 };
    static const native_span one[] = { { 0, 1 } };
    histogram x = three_buckets(), custom = { .schema = NATIVE_SCHEMA_CUSTOM,
                                              .count = 1,
                                              .positive = { one, three, 1, 1 },
                                              .custom = bounds,
                                              .custom_count = 1 };
    histogram_total t;
    histogram_total_init(&t, false);
    assert_int_equal(histogram_total_add(&t, &x), STATUS_OK);
    assert_int_equal(histogram_total_add(&t, &custom), STATUS_INVALID);
    assert_int_equal(histogram_total_add(&t, &x), STATUS_OK);
    assert_true(histogram_total_result(&t, &memory, true)->count == 12);
    histogram_total_clear(&t);
    assert_int_equal(histogram_total_add(&t, &custom), STATUS_OK);
    assert_int_equal(histogram_total_result(&t, &memory, true)->custom_count, 1);
    histogram_total_done(&t);
}

static void bounds_are_powers_of_two(void **state)
{
    (void)state;
    assert_true(histogram_bound(0, 0) == 1 && histogram_bound(3, 0) == 8);
    assert_true(histogram_bound(1, -4) == 65536 && histogram_bound(2, 1) == 2);
    assert_true(histogram_bound(256, 8) == 2);
    assert_true(isfinite(histogram_bound(1024, 0)) && isinf(histogram_bound(1025, 0)));
    assert_true(isfinite(histogram_bound(64, -4)) && isinf(histogram_bound(65, -4)));
    assert_true(histogram_bound(INT32_MIN, 8) == 0 && isinf(histogram_bound(INT32_MAX, -4)));
}

static void numbers_are_as_short_as_can_be(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *text;
    } rows[] = { { 1e6, "1e+06" },
                 { 123456, "123456" },
                 { 0.0001, "0.0001" },
                 { 0.00001, "1e-05" },
                 { 5.9604644775390625e-08, "5.960464477539063e-08" },
                 { INFINITY, "+Inf" },
                 { -INFINITY, "-Inf" },
                 { NAN, "NaN" },
                 { -0.0, "-0" },
                 { 1.0 / 3, "0.3333333333333333" } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[48];
        assert_string_equal(histogram_number_text(text, rows[i].v), rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(computes_what_prometheus_computes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(inputs_stay_as_they_were, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_gauge_wins_over_counters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lies_between_two_samples, set_up, tear_down),
        cmocka_unit_test_setup_teardown(means_do_not_overflow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_total_refuses_the_other_kind_and_goes_on, set_up,
                                        tear_down),
        cmocka_unit_test(bounds_are_powers_of_two),
        cmocka_unit_test(numbers_are_as_short_as_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

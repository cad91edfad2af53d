// SPDX-License-Identifier: Apache-2.0
/* Buckets of exponential histograms, against the definition in long double. */
#include "tests/support.h"

#include "codec/exp_histogram.h"

#include <math.h>

/* The definition: 2^(i / 2^s) < v <= 2^((i + 1) / 2^s). */
static int32_t index_by_definition(double v, int scale)
{
    long double at = log2l((long double)v) * ldexpl(1, scale);
    return (int32_t)ceill(at) - 1;
}

/* Within a rounding error of a bound either side is right. */
static void check_index(double v, int scale)
{
    int32_t got = exp_index(v, scale), want = index_by_definition(v, scale);
    long double at = log2l((long double)v) * ldexpl(1, scale);
    bool close = fabsl(at - roundl(at)) < 1e-6L;
    if (got != want && !(close && abs(got - want) <= 1))
        fail_msg("%.17g at scale %d is in bucket %d, expected %d", v, scale, got, want);
}

static void every_scale_follows_the_definition(void **state)
{
    (void)state;
    for (int scale = EXP_SCALE_MIN; scale <= EXP_SCALE_MAX; scale++)
        for (double v = 1e-12; v < 1e12; v *= 1.0137)
            check_index(v, scale);
    for (int scale = 6; scale <= EXP_SCALE_MAX; scale++)
        for (double v = 1; v < 2; v += 0.000731)
            check_index(v, scale);
}

static void powers_of_two_are_the_upper_end_of_their_bucket(void **state)
{
    (void)state;
    for (int scale = EXP_SCALE_MIN; scale <= EXP_SCALE_MAX; scale++)
        for (int e = -1022; e <= 1023; e += 7) {
            int32_t power = (int32_t)ceil(ldexp(e, scale)) - 1;
            assert_int_equal(exp_index(ldexp(1, e), scale), power);
        }
    assert_int_equal(exp_index(4.9e-324, 0), exp_index(2.2250738585072014e-308, 0));
    assert_int_equal(exp_index(1.7976931348623157e308, 0), 1023);
}

static void a_sum_takes_the_scale_that_fits(void **state)
{
    (void)state;
    exp_sum s = { 0 };
    static const uint64_t first[] = { 0, 1, 2, 3, 0 }, far[] = { 5 };
    exp_sum_add(&s, 8, 3, 10, first, ARRAY_LEN(first));
    assert_int_equal(s.scale, 3);
    assert_int_equal(s.start, 11);
    assert_int_equal(s.count, 3);
    exp_sum_add(&s, 8, 3, -1, far, 1); /* -1 to 13: 15 buckets; 8 at scale 2 */
    assert_int_equal(s.scale, 2);
    assert_int_equal(s.start, -1);
    static const uint64_t joined[] = { 5, 0, 0, 0, 0, 0, 1, 5 };
    assert_int_equal(s.count, 8);
    assert_memory_equal(s.counts, joined, sizeof(joined));
    exp_sum_add(&s, 8, 0, 0, far, 1);
    assert_int_equal(s.scale, 0);
    uint64_t total = 0;
    for (uint32_t i = 0; i < s.count; i++)
        total += s.counts[i];
    assert_int_equal(total, 16);
}

static void buckets_are_copied_without_their_empty_ends(void **state)
{
    (void)state;
    arena a;
    exp_buckets b;
    exp_sum s = { .scale = 1, .start = -3, .count = 5, .counts = { 0, 7, 0, 8, 0 } }, again;
    arena_init(&a, KiB(64));
    assert_true(exp_sum_copy(&s, &a, &b));
    assert_int_equal(b.offset, -2);
    assert_int_equal(b.count, 3);
    assert_int_equal(b.counts[2], 8);
    assert_true(exp_sum_of(&again, &b, 1, 0));
    assert_int_equal(again.start, -1);
    assert_int_equal(again.count, 2);
    assert_int_equal(again.counts[0], 7);
    assert_int_equal(again.counts[1], 8);
    exp_buckets wide = { 0, 4096, ARENA_ARRAY(&a, uint64_t, 4096) };
    assert_false(exp_sum_of(&again, &wide, 3, 0));
    assert_true(exp_sum_of(&again, &wide, 8, 0));
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scale_follows_the_definition),
        cmocka_unit_test(powers_of_two_are_the_upper_end_of_their_bucket),
        cmocka_unit_test(a_sum_takes_the_scale_that_fits),
        cmocka_unit_test(buckets_are_copied_without_their_empty_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

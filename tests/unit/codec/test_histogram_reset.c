// SPDX-License-Identifier: Apache-2.0
/* What two samples of one series tell about a restart between them. */
#include "support.h"

#include "codec/histogram.h"

static const native_span first_three[] = { { 0, 3 } }, with_gap[] = { { 0, 1 }, { 1, 1 } },
                         wider[] = { { -1, 5 } };
static const double low[] = { 1, 0, 3 }, high[] = { 2, 5, 3 }, ends[] = { 1, 3 },
                    five[] = { 4, 1, 0, 3, 1 };
static const double bounds[] = { 1, 2 }, other_bounds[] = { 1, 3 };

static histogram make(const native_span *spans, uint32_t span_count, const double *counts,
                      uint32_t count, double total)
{
    return (histogram){ .count = total, .positive = { spans, counts, span_count, count } };
}

static void counts_tell(void **state)
{
    (void)state;
    histogram a = make(first_three, 1, low, 3, 4), b = make(first_three, 1, high, 3, 10),
              gap = make(with_gap, 2, ends, 2, 4), wide = make(wider, 1, five, 5, 9);
    assert_int_equal(histogram_hint_after(NULL, &a), HISTOGRAM_RESET_UNKNOWN);
    assert_int_equal(histogram_hint_after(&a, &b), HISTOGRAM_NO_RESET);
    assert_int_equal(histogram_hint_after(&b, &a), HISTOGRAM_RESET_UNKNOWN);
    a.count = 10; /* the total alone does not decide */
    assert_int_equal(histogram_hint_after(&b, &a), HISTOGRAM_RESET_UNKNOWN);
    /* An empty bucket may go, a populated one may not. */
    assert_int_equal(
        histogram_hint_after(&a, &(histogram){ .count = 10, .positive = gap.positive }),
        HISTOGRAM_NO_RESET);
    gap.count = 10;
    assert_int_equal(histogram_hint_after(&b, &gap), HISTOGRAM_RESET_UNKNOWN);
    assert_int_equal(
        histogram_hint_after(&gap, &(histogram){ .count = 10, .positive = wide.positive }),
        HISTOGRAM_NO_RESET);
    assert_int_equal(histogram_hint_after(&wide, &a), HISTOGRAM_RESET_UNKNOWN);
    b.negative = b.positive;
    a = b;
    a.negative.counts = low;
    assert_int_equal(histogram_hint_after(&b, &a), HISTOGRAM_RESET_UNKNOWN);
    assert_int_equal(histogram_hint_after(&a, &b), HISTOGRAM_NO_RESET);
}

static void gauges_stay_and_counts_decide_for_counters(void **state)
{
    (void)state;
    histogram a = make(first_three, 1, low, 3, 4), b = make(first_three, 1, high, 3, 10);
    b.hint = HISTOGRAM_RESET;
    assert_int_equal(histogram_hint_after(&a, &b), HISTOGRAM_RESET_UNKNOWN);
    b.hint = HISTOGRAM_GAUGE;
    assert_int_equal(histogram_hint_after(&a, &b), HISTOGRAM_GAUGE);
    assert_int_equal(histogram_hint_after(&b, &a), HISTOGRAM_RESET_UNKNOWN);
    b.hint = HISTOGRAM_RESET_UNKNOWN;
    a.hint = HISTOGRAM_NO_RESET; /* the counts know better */
    assert_int_equal(histogram_hint_after(&b, &a), HISTOGRAM_RESET_UNKNOWN);
}

static void another_layout_tells_nothing(void **state)
{
    (void)state;
    histogram a = make(first_three, 1, low, 3, 4), b = make(first_three, 1, high, 3, 10);
    b.schema = 1;
    assert_int_equal(histogram_hint_after(&a, &b), HISTOGRAM_RESET_UNKNOWN);
    assert_int_equal(histogram_hint_after(&b, &a), HISTOGRAM_RESET_UNKNOWN);
    b.schema = 0;
    b.zero_threshold = 1;
    assert_int_equal(histogram_hint_after(&a, &b), HISTOGRAM_RESET_UNKNOWN);
    b.zero_threshold = 0;
    a.zero_count = 1;
    assert_int_equal(histogram_hint_after(&a, &b), HISTOGRAM_RESET_UNKNOWN);
    a.zero_count = 0;
    a.schema = b.schema = NATIVE_SCHEMA_CUSTOM;
    a.custom = b.custom = bounds;
    a.custom_count = b.custom_count = 2;
    assert_int_equal(histogram_hint_after(&a, &b), HISTOGRAM_NO_RESET);
    b.custom = other_bounds;
    assert_int_equal(histogram_hint_after(&a, &b), HISTOGRAM_RESET_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_tell),
        cmocka_unit_test(gauges_stay_and_counts_decide_for_counters),
        cmocka_unit_test(another_layout_tells_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

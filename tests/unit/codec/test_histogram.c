// SPDX-License-Identifier: Apache-2.0
/* Native histograms as bytes, their rules, copies. */
#include "tests/support.h"

#include "codec/histogram.h"

#include <math.h>

typedef struct {
    arena memory;
    buf bytes;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    arena_init(&f->memory, MiB(16));
    buf_init(&f->bytes, MiB(1));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    arena_done(&f->memory);
    buf_done(&f->bytes);
    free(f);
    return 0;
}

static const native_span spans[] = { { -7, 2 }, { 3, 1 } };
static const double whole[] = { 5, 1, 900000 }, parts[] = { 0.5, NAN, 2e300 };
static const double bounds[] = { -1, 0.5, 1, 10 };
static const native_span at_bounds[] = { { 1, 3 } };

static histogram plain(void)
{
    return (histogram){ .schema = 3,
                        .hint = HISTOGRAM_NO_RESET,
                        .zero_threshold = 0x1p-128,
                        .zero_count = 2,
                        .count = 900008,
                        .sum = 12.25,
                        .positive = { spans, whole, 2, 3 } };
}

static void same_doubles(const double *a, const double *b, uint32_t count)
{
    if (count)
        assert_memory_equal(a, b, count * sizeof(double));
}

static void same_side(const histogram_side *a, const histogram_side *b)
{
    assert_int_equal(a->span_count, b->span_count);
    assert_int_equal(a->count, b->count);
    if (a->span_count)
        assert_memory_equal(a->spans, b->spans, a->span_count * sizeof(native_span));
    same_doubles(a->counts, b->counts, a->count);
}

static void same(const histogram *a, const histogram *b)
{
    assert_int_equal(a->schema, b->schema);
    assert_int_equal(a->hint, b->hint);
    same_doubles(&a->zero_threshold, &b->zero_threshold, 1);
    same_doubles(&a->zero_count, &b->zero_count, 1);
    same_doubles(&a->count, &b->count, 1);
    same_doubles(&a->sum, &b->sum, 1);
    same_side(&a->positive, &b->positive);
    same_side(&a->negative, &b->negative);
    assert_int_equal(a->custom_count, b->custom_count);
    same_doubles(a->custom, b->custom, a->custom_count);
}

/* What histogram_encode wrote is read back; every shorter text of it is refused. */
static size_t round_trip(fixture *f, const histogram *h)
{
    histogram back;
    buf_clear(&f->bytes);
    histogram_encode(&f->bytes, h);
    assert_false(f->bytes.failed);
    assert_true(histogram_decode(&f->memory, buf_view(&f->bytes), &back));
    same(&back, h);
    for (size_t n = 0; n < f->bytes.len; n++) {
        char *cut = malloc(n + 1);
        memcpy(cut, f->bytes.ptr, n);
        assert_false(histogram_decode(&f->memory, str_n(cut, n), &back));
        free(cut);
    }
    return f->bytes.len;
}

static void every_shape_comes_back_bit_by_bit(void **state)
{
    fixture *f = *state;
    histogram h = plain();
    assert_true(round_trip(f, &h) < 50);
    h.negative = (histogram_side){ spans, whole, 2, 3 };
    round_trip(f, &h);
    h.positive.counts = parts;
    round_trip(f, &h);
    h.zero_count = -0.0;
    round_trip(f, &h);
    h.count = NAN;
    round_trip(f, &h);
    for (int hint = HISTOGRAM_RESET_UNKNOWN; hint <= HISTOGRAM_GAUGE; hint++) {
        h.hint = (histogram_hint)hint;
        round_trip(f, &h);
    }
    histogram empty = { .schema = NATIVE_SCHEMA_MIN };
    assert_int_equal(round_trip(f, &empty), 12);
    histogram custom = { .schema = NATIVE_SCHEMA_CUSTOM,
                         .count = 900006,
                         .sum = NAN,
                         .positive = { at_bounds, whole, 1, 3 },
                         .custom = bounds,
                         .custom_count = ARRAY_LEN(bounds) };
    round_trip(f, &custom);
    histogram stale = { 0 };
    uint64_t bits = UINT64_C(0x7FF0000000000002);
    memcpy(&stale.sum, &bits, 8);
    round_trip(f, &stale);
}

static void counts_that_no_integer_holds_stay_doubles(void **state)
{
    fixture *f = *state;
    static const double large[] = { 9007199254740992.0, 0, 18014398509481984.0 };
    histogram h = plain();
    assert_true(histogram_is_whole(&h));
    h.positive.counts = large;
    assert_false(histogram_is_whole(&h));
    round_trip(f, &h);
}

static void empty_spans_only_move_the_next(void **state)
{
    fixture *f = *state;
    static const native_span odd[] = { { -9, 0 }, { 2, 2 }, { 1, 0 }, { 2, 1 }, { 8, 0 } };
    histogram h = plain(), back, want = plain();
    h.positive.spans = odd;
    h.positive.span_count = ARRAY_LEN(odd);
    histogram_encode(&f->bytes, &h);
    assert_true(histogram_decode(&f->memory, buf_view(&f->bytes), &back));
    same(&back, &want);
}

static void check_says(const histogram *h, const char *text)
{
    const char *problem = NULL;
    assert_false(histogram_check(h, &problem));
    assert_non_null(strstr(problem, text));
}

static void contradictions_are_told(void **state)
{
    static const double negative[] = { 1, -1, 0 }, falling[] = { 1, 1 },
                        endless[] = { 1, INFINITY };
    static const native_span back[] = { { 0, 1 }, { -1, 2 } }, far[] = { { INT32_MAX, 3 } };
    const char *problem;
    histogram h = plain();
    assert_true(histogram_check(&h, &problem));
    h.schema = 9;
    check_says(&h, "schema");
    h = plain();
    h.positive.count = 2;
    check_says(&h, "fewer bucket counts");
    h.positive.count = 4;
    check_says(&h, "more bucket counts");
    h = plain();
    h.positive.counts = negative;
    check_says(&h, "negative");
    h = plain();
    h.positive.spans = back;
    check_says(&h, "begins before");
    h.positive = (histogram_side){ far, whole, 1, 3 };
    check_says(&h, "out of range");
    h = plain();
    h.zero_threshold = -1;
    check_says(&h, "zero threshold");
    h = (histogram){ .schema = NATIVE_SCHEMA_CUSTOM, .custom = falling, .custom_count = 2 };
    check_says(&h, "rise");
    h.custom = endless;
    check_says(&h, "infinite");
    h = (histogram){ .schema = NATIVE_SCHEMA_CUSTOM,
                     .positive = { at_bounds, whole, 1, 3 },
                     .custom = bounds,
                     .custom_count = 2 };
    check_says(&h, "no bound");
    h.custom_count = 3;
    assert_true(histogram_check(&h, &problem));
    h.zero_count = 1;
    check_says(&h, "zero buckets");
    (void)state;
}

static void a_copy_needs_nothing_of_the_first(void **state)
{
    fixture *f = *state;
    arena other;
    arena_init(&other, MiB(1));
    histogram h = plain();
    h.negative = h.positive;
    histogram *first = histogram_copy(&other, &h);
    assert_non_null(first);
    const histogram *second = histogram_copy(&f->memory, first);
    arena_done(&other);
    assert_non_null(second);
    same(second, &h);
    arena tight;
    arena_init(&tight, 64);
    assert_null(histogram_copy(&tight, &h));
    arena_done(&tight);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_shape_comes_back_bit_by_bit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(counts_that_no_integer_holds_stay_doubles, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(empty_spans_only_move_the_next, set_up, tear_down),
        cmocka_unit_test(contradictions_are_told),
        cmocka_unit_test_setup_teardown(a_copy_needs_nothing_of_the_first, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

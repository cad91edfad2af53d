// SPDX-License-Identifier: Apache-2.0
/* Sites that log less than they are called: what gets through, and that what does not is counted
 * to the last one. */
#include "lib/log.h"
#include "tests/unit/lib/recorder_fixture.h"

#include <pthread.h>

static int64_t suppressed_at(fixture *f, uint32_t row)
{
    const value *v = attrs_get(&f->logs.logs.attributes[row], STR("suppressed"));
    return v ? v->i64 : 0;
}

static uint64_t suppressed_total(fixture *f)
{
    return recorder_drops(f->reader, SIGNAL_LOGS, RECORDER_DROP_SUPPRESSED);
}

static int evaluations;
static int counted(void)
{
    return ++evaluations;
}

static void every_nth_call_gets_through_and_says_what_did_not(void **state)
{
    fixture *f = *state;
    evaluations = 0;
    for (int i = 0; i < 25; i++)
        sonde_info_every(10, "tick", sonde_kv("i", i), sonde_kv("n", counted()));
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, 3);
    assert_int_equal(evaluations, 3);
    assert_int_equal(attrs_get(&f->logs.logs.attributes[2], STR("i"))->i64, 20);
    assert_int_equal(suppressed_at(f, 0), 0);
    assert_null(attrs_get(&f->logs.logs.attributes[0], STR("suppressed")));
    assert_int_equal(suppressed_at(f, 1), 9);
    assert_int_equal(suppressed_at(f, 2), 9);
    assert_int_equal(suppressed_total(f), 22);
    log_flush_suppressed();
    log_flush_suppressed(); /* once is enough */
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, 1);
    assert_text(f->logs.logs.event_name[0], "sonde.suppressed");
    assert_text(attrs_get_str(&f->logs.logs.attributes[0], STR("event")), "tick");
    assert_int_equal(suppressed_at(f, 0), 4);
}

static void a_rate_allows_a_seconds_worth_at_once(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < 1000; i++)
        sonde_warn_limited(5, "retry", sonde_kv("i", i));
    fixture_poll(f);
    /* A slow machine may take some fifths of a second for it. */
    assert_in_range(f->logs.logs.count, 5, 50);
    int64_t told = 0;
    for (uint32_t i = 0; i < f->logs.logs.count; i++)
        told += suppressed_at(f, i);
    uint32_t through = f->logs.logs.count;
    log_flush_suppressed();
    fixture_poll(f);
    told += suppressed_at(f, 0);
    assert_int_equal(told, 1000 - through);
    assert_int_equal(suppressed_total(f), 1000 - through);
}

static void a_rate_comes_back(void **state)
{
    fixture *f = *state;
    int64_t end = clock_mono_ns() + 20 * NS_PER_S;
    uint32_t through = 0;
    while (through < 60 && clock_mono_ns() < end) {
        for (int i = 0; i < 100; i++)
            sonde_info_limited(50, "often");
        fixture_poll(f);
        through += f->logs.logs.count;
    }
    assert_in_range(through, 60, 100);
}

static void rates_that_make_no_sense_let_nothing_through(void **state)
{
    fixture *f = *state;
    double nan = __builtin_nan("");
    for (int i = 0; i < 10; i++) {
        sonde_info_limited(0, "never");
        sonde_info_limited(-1, "never");
        sonde_info_limited(nan, "never");
        sonde_info_sampled(0, "never");
        sonde_info_sampled(nan, "never");
        sonde_info_sampled(1, "always");
        sonde_info_every(0, "always");
        sonde_info_every(-3, "always");
    }
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, 30);
    assert_int_equal(suppressed_total(f), 50);
}

static void a_sample_is_about_its_ratio(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < 20000; i++)
        sonde_info_sampled(0.25, "often");
    fixture_poll(f);
    assert_in_range(f->logs.logs.count, 4500, 5500);
}

static void a_disabled_level_counts_nothing(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < 100; i++)
        sonde_debug_every(10, "off");
    assert_int_equal(suppressed_total(f), 0);
}

static void *many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 10000; i++)
        sonde_info_every(100, "shared");
    return NULL;
}

static void threads_share_the_count_and_lose_none(void **state)
{
    fixture *f = *state;
    pthread_t threads[4];
    log_flush_suppressed(); /* what other tests left */
    fixture_poll(f);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    log_flush_suppressed();
    fixture_poll(f);
    int64_t told = 0, through = 0;
    for (uint32_t i = 0; i < f->logs.logs.count; i++) {
        told += suppressed_at(f, i);
        through += str_is(f->logs.logs.event_name[i], "shared");
    }
    assert_int_equal(through, 400);
    assert_int_equal(told, 40000 - 400);
    assert_int_equal(suppressed_total(f), 40000 - 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(every_nth_call_gets_through_and_says_what_did_not),
        FIXTURE_TEST(a_rate_allows_a_seconds_worth_at_once),
        FIXTURE_TEST(a_rate_comes_back),
        FIXTURE_TEST(rates_that_make_no_sense_let_nothing_through),
        FIXTURE_TEST(a_sample_is_about_its_ratio),
        FIXTURE_TEST(a_disabled_level_counts_nothing),
        FIXTURE_TEST(threads_share_the_count_and_lose_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

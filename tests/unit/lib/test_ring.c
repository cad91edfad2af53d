// SPDX-License-Identifier: Apache-2.0
/* Rings under load: several threads, signal handlers inside of calls, a full recorder, threads that
 * come and go. */
#include "lib/recorder_internal.h"
#include "lib/state_thread.h"
#include "tests/unit/lib/recorder_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

static int64_t number(const fixture *f, uint32_t row)
{
    const value *v = attrs_get(&f->logs.logs.attributes[row], STR("n"));
    assert_non_null(v);
    return v->i64;
}

static void commit(fixture *f)
{
    error err;
    assert_ok(recorder_cursor_commit(f->reader, f->cursor, &err));
}

static void a_full_recorder_drops_and_counts_and_goes_on_when_drained(void **state)
{
    (void)state;
    fixture *f = fixture_start(KiB(256));
    int64_t calls = 0, seen = 0;
    uint64_t dropped = 0;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 5000; i++)
            sonde_info("fill", sonde_kv("n", calls++), sonde_kv("text", "some text to fill it"));
        fixture_poll(f);
        for (uint32_t row = 1; row < f->logs.logs.count; row++)
            assert_true(number(f, row) > number(f, row - 1));
        seen += f->logs.logs.count;
        assert_true(f->logs.logs.count > 500);
        commit(f);
        /* The thread asks again only after a moment. */
        for (int64_t end = clock_mono_ns() + NS_PER_MS; clock_mono_ns() < end;)
            ;
    }
    dropped = recorder_drops(f->reader, SIGNAL_LOGS, RECORDER_DROP_FULL);
    assert_true(dropped > 0);
    assert_int_equal(seen + (int64_t)dropped, calls);
    fixture_stop(f);
}

static void a_drained_recorder_never_drops(void **state)
{
    (void)state;
    fixture *f = fixture_start(KiB(512));
    for (int64_t n = 0, seen = 0; n < 100000;) {
        for (int i = 0; i < 500; i++)
            sonde_info("flow", sonde_kv("n", n++));
        fixture_poll(f);
        for (uint32_t row = 0; row < f->logs.logs.count; row++)
            assert_int_equal(number(f, row), seen++);
        assert_int_equal(seen, n);
        commit(f);
    }
    fixture_stop(f);
}

static void space_is_kept_until_the_slowest_sink_has_read(void **state)
{
    (void)state;
    fixture *f = fixture_start(KiB(512));
    recorder_cursor *slow;
    error err;
    assert_ok(recorder_cursor_open(f->reader, &slow, STR("slow"), &err));
    for (int n = 0; n < 2000; n++)
        sonde_info("kept", sonde_kv("n", n));
    fixture_poll(f);
    commit(f);
    uint32_t rows, sum = 0;
    bool full;
    assert_true(recorder_cursor_behind_bytes(f->reader, slow) > 2000 * 32);
    do {
        batch_clear(&f->logs);
        assert_ok(
            recorder_poll(f->reader, slow, INT64_MAX, 100, &f->logs, NULL, &rows, &full, &err));
        for (uint32_t row = 0; row < rows; row++)
            assert_int_equal(number(f, row), sum++);
    } while (rows);
    assert_int_equal(sum, 2000);
    uint64_t before = recorder_reader_info(f->reader).used_bytes;
    assert_ok(recorder_cursor_commit(f->reader, slow, &err));
    assert_true(recorder_reader_info(f->reader).used_bytes < before);
    assert_int_equal(recorder_cursor_behind_bytes(f->reader, slow), 0);
    fixture_stop(f);
}

enum { PER_THREAD = 20000 };

static void *write_numbers(void *base)
{
    int64_t from = (intptr_t)base;
    for (int64_t i = 0; i < PER_THREAD; i++)
        sonde_info("thread", sonde_kv("n", from + i), sonde_kv("text", "two threads"));
    return NULL;
}

static void two_threads_are_merged_in_the_order_of_time(void **state)
{
    fixture *f = *state;
    pthread_t threads[2];
    for (intptr_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_numbers, (void *)(i * PER_THREAD)),
                         0);
    int64_t next[2] = { 0, PER_THREAD }, count = 0, last = 0;
    int64_t deadline = clock_mono_ns() + 60 * NS_PER_S;
    while (count < 2 * PER_THREAD && clock_mono_ns() < deadline) {
        uint32_t rows;
        bool full;
        error err;
        batch_clear(&f->logs);
        assert_ok(recorder_poll(f->reader, f->cursor, recorder_horizon(f->reader), 1000, &f->logs,
                                NULL, &rows, &full, &err));
        for (uint32_t row = 0; row < rows; row++) {
            int64_t n = number(f, row);
            assert_int_equal(n, next[n / PER_THREAD]++);
            assert_true(f->logs.logs.time_ns[row] >= last);
            last = f->logs.logs.time_ns[row];
        }
        count += rows;
        commit(f);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(count, 2 * PER_THREAD);
    assert_int_equal(recorder_drops(f->reader, SIGNAL_LOGS, RECORDER_DROP_FULL), 0);
}

static volatile sig_atomic_t handled;

static void log_in_handler(int signal)
{
    (void)signal;
    sonde_info("handler", sonde_kv("n", (int64_t)handled), sonde_kv("from", "a signal"));
    SONDE_SPAN ("handled") {
    }
    handled++;
}

static void a_signal_handler_inside_a_call_loses_nothing(void **state)
{
    fixture *f = *state;
    struct sigaction action = { .sa_handler = log_in_handler, .sa_flags = SA_RESTART }, old;
    struct itimerval timer = { { 0, 50 }, { 0, 50 } }, off = { 0 };
    handled = 0;
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &timer, NULL);
    int64_t calls = 0, end = clock_mono_ns() + 10 * NS_PER_S;
    while ((handled < 2000 || calls < 5000) && clock_mono_ns() < end && calls < 60000) {
        sonde_info("main", sonde_kv("n", calls), sonde_kv("text", "interrupted at times"));
        calls++;
    }
    setitimer(ITIMER_REAL, &off, NULL);
    sigaction(SIGALRM, &old, NULL);
    assert_true(handled > 0);
    fixture_poll(f);
    int64_t next_main = 0, next_handler = 0;
    for (uint32_t row = 0; row < f->logs.logs.count; row++) {
        if (str_is(f->logs.logs.event_name[row], "main"))
            assert_int_equal(number(f, row), next_main++);
        else
            assert_int_equal(number(f, row), next_handler++);
    }
    assert_int_equal(next_main, calls);
    assert_int_equal(next_handler, handled);
    assert_int_equal(f->spans.spans.count, handled);
    assert_int_equal(recorder_drops(f->reader, SIGNAL_LOGS, RECORDER_DROP_FULL), 0);
}

static void an_interrupted_writer_s_handler_uses_another_ring(void **state)
{
    fixture *f = *state;
    sonde_info("outer", sonde_kv("n", 1));
    /* What a handler finds that interrupts a call: the thread is busy. */
    ring *own = thread_get()->ring;
    thread_get()->busy = 1;
    sonde_info("inner", sonde_kv("n", 2));
    thread_get()->busy = 0;
    assert_ptr_equal(thread_get()->ring, own);
    sonde_info("outer", sonde_kv("n", 3));
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, 3);
    assert_int_equal(number(f, 1), 2);
    str id = attrs_get_str(&f->logs.logs.attributes[1], STR("sonde.record.id"));
    str first = attrs_get_str(&f->logs.logs.attributes[0], STR("sonde.record.id")), rest;
    str_cut(id, ':', &rest);
    str ring_text = str_cut(rest, ':', &rest);
    str_cut(first, ':', &rest);
    assert_false(str_eq(ring_text, str_cut(rest, ':', &rest)));
}

static void a_record_that_is_not_committed_is_not_read(void **state)
{
    fixture *f = *state;
    sonde_info("whole", sonde_kv("n", 1));
    /* A writer that is killed in the middle: everything is there but the commit word. */
    ring *own = thread_get()->ring;
    recorder_log *torn = (recorder_log *)own->at;
    memset((char *)torn + 8, 0x41, 100);
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, 1);
    sonde_info("after", sonde_kv("n", 2));
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, 1);
    assert_int_equal(number(f, 0), 2);
}

static void *log_once(void *n)
{
    sonde_info("short_lived", sonde_kv("n", (int64_t)(intptr_t)n));
    return NULL;
}

static void rings_of_dead_threads_are_taken_over(void **state)
{
    fixture *f = *state;
    for (intptr_t i = 0; i < 300; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, log_once, (void *)i), 0);
        pthread_join(thread, NULL);
    }
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, 300);
    for (uint32_t row = 0; row < 300; row++)
        assert_int_equal(number(f, row), row);
    assert_true(f->recorder->header->ring_count <= 2);
}

static void blocks_of_dead_threads_are_given_back(void **state)
{
    fixture *f = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, log_once, (void *)1), 0);
    pthread_join(thread, NULL);
    uint64_t before = recorder_reader_info(f->reader).used_bytes;
    recorder_reclaim(f->recorder);
    assert_int_equal(recorder_reader_info(f->reader).used_bytes, before);
    fixture_poll(f);
    commit(f);
    recorder_reclaim(f->recorder);
    assert_int_equal(recorder_reader_info(f->reader).used_bytes, before - RECORDER_BLOCK_BYTES);
    assert_int_equal(pthread_create(&thread, NULL, log_once, (void *)2), 0);
    pthread_join(thread, NULL);
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, 1);
    assert_int_equal(number(f, 0), 2);
}

static void the_metric_area_is_zeroed_aligned_and_apart(void **state)
{
    fixture *f = *state;
    uint64_t offsets[200];
    char *areas[200];
    for (int i = 0; i < 200; i++) {
        areas[i] = recorder_area_alloc(f->recorder, (size_t)(i * 37 + 1), &offsets[i]);
        assert_non_null(areas[i]);
        assert_int_equal((uintptr_t)areas[i] % 64, 0);
        for (int k = 0; k < i * 37 + 1; k++)
            assert_int_equal(areas[i][k], 0);
        memset(areas[i], i + 1, (size_t)(i * 37 + 1));
    }
    for (int i = 0; i < 200; i++) {
        uint8_t byte;
        error err;
        assert_ok(recorder_read(f->reader, offsets[i] + (uint64_t)(i * 37), &byte, 1, &err));
        assert_int_equal(byte, i + 1);
    }
    uint64_t offset;
    assert_non_null(recorder_area_alloc(f->recorder, MiB(1), &offset));
    assert_null(recorder_area_alloc(f->recorder, MiB(1) + 1, &offset));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_recorder_drops_and_counts_and_goes_on_when_drained),
        cmocka_unit_test(a_drained_recorder_never_drops),
        cmocka_unit_test(space_is_kept_until_the_slowest_sink_has_read),
        FIXTURE_TEST(two_threads_are_merged_in_the_order_of_time),
        FIXTURE_TEST(a_signal_handler_inside_a_call_loses_nothing),
        FIXTURE_TEST(an_interrupted_writer_s_handler_uses_another_ring),
        FIXTURE_TEST(a_record_that_is_not_committed_is_not_read),
        FIXTURE_TEST(rings_of_dead_threads_are_taken_over),
        FIXTURE_TEST(blocks_of_dead_threads_are_given_back),
        FIXTURE_TEST(the_metric_area_is_zeroed_aligned_and_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

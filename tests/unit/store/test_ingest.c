// SPDX-License-Identifier: Apache-2.0
/* Ingest under trouble: second copies, a full disk, a full log, many threads, restarts in between.
 */
#include "fixture.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

static ingest_result ingest_records(store *s, int64_t t, const char *ids, uint32_t count)
{
    batch b;
    batch_init(&b, SIGNAL_LOGS, MiB(1));
    uint32_t scope = add_service(&b, "a");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = add_log(&b, scope, t + i, 9, text(&b, "%s:%u", ids, i));
        add_attr(&b, &b.logs.attributes[k], "sonde.record.id", VALUE_S(text(&b, "%s:%u", ids, i)));
    }
    ingest_result r = ingest(s, &b);
    batch_done(&b);
    return r;
}

static void second_copies_are_dropped_also_after_a_restart(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_store(dir);
    ingest_records(s, T0_NS, "rec-1:0", 10);
    ingest_records(s, T0_NS, "rec-1:0", 15); /* ten of them again */
    ingest_records(s, T0_NS, "rec-1:1", 10); /* another ring */
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 25);
    assert_int_equal(stats_of(s).duplicates[SIGNAL_LOGS], 10);
    store_close(s);
    s = open_store(dir); /* replay drops the same ones */
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 25);
    seal(s);
    ingest_records(s, T0_NS, "rec-1:0", 16);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 26);
    store_close(s);
    s = open_store(dir); /* state from the manifest, then replay */
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 26);
    ingest_records(s, T0_NS, "rec-1:1", 11);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 27);
    store_close(s);
    remove_dir(dir);
}

static void rows_without_a_usable_record_id_are_kept(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_store(dir);
    for (int i = 0; i < 2; i++) {
        batch b;
        batch_init(&b, SIGNAL_LOGS, MiB(1));
        uint32_t scope = add_service(&b, "a");
        uint32_t k = add_log(&b, scope, T0_NS, 9, STR("x"));
        add_attr(&b, &b.logs.attributes[k], "sonde.record.id", VALUE_S(STR("no number:")));
        k = add_log(&b, scope, T0_NS, 9, STR("x"));
        add_attr(&b, &b.logs.attributes[k], "sonde.record.id", VALUE_I(7));
        ingest(s, &b);
        batch_done(&b);
    }
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 4);
    store_close(s);
    remove_dir(dir);
}

static status try_ingest(store *s, int64_t t, size_t bytes, error *err)
{
    batch b;
    batch_init(&b, SIGNAL_LOGS, MiB(64));
    char *body = arena_alloc(&b.arena, bytes);
    for (size_t i = 0; i < bytes; i++)
        body[i] = (char)('a' + i * 2654435761u % 26);
    add_log(&b, add_service(&b, "a"), t, 9, str_n(body, bytes));
    ingest_result r;
    status st = store_ingest(s, &b, STR_EMPTY, &r, err);
    batch_done(&b);
    return st;
}

static void a_full_disk_refuses_ingest_and_queries_go_on(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_store(dir);
    for (int i = 0; i < 3; i++)
        assert_int_equal(try_ingest(s, T0_NS + i, 1000, NULL), STATUS_OK);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 100000; /* stands in for a full disk: EFBIG */
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    error err;
    assert_int_equal(try_ingest(s, T0_NS + 10, 200000, &err), STATUS_FULL);
    assert_true(strlen(err.message) > 10);
    assert_int_equal(store_ready(s, &err), STATUS_FULL);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 3);
    assert_int_equal(try_ingest(s, T0_NS + 4, 1000, &err), STATUS_OK); /* fits */
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(try_ingest(s, T0_NS + 5, 200000, &err), STATUS_OK);
    assert_int_equal(store_ready(s, &err), STATUS_OK);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 5);
    store_close(s);
    s = open_store(dir); /* nothing of what was refused came in */
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 5);
    store_close(s);
    remove_dir(dir);
}

static void a_seal_that_fails_is_tried_again_and_loses_nothing(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_store(dir);
    batch b;
    batch_init(&b, SIGNAL_TRACES, MiB(64));
    uint32_t scope = add_service(&b, "a");
    for (uint32_t i = 0; i < 3000; i++)
        add_span(&b, scope, T0_NS + i, i * 7919 % 100000, i * 2654435761u, i * 40503u, "x");
    ingest(s, &b);
    batch_done(&b);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 10000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    error err;
    assert_int_equal(store_seal(s, &err), STATUS_FULL);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_TRACES)), 3000);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    int64_t limit = clock_mono_ns() + 20 * NS_PER_S;
    while (store_seal(s, &err) != STATUS_OK)
        assert_true(clock_mono_ns() < limit);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_TRACES)), 3000);
    assert_int_equal(stats_of(s).parts[SIGNAL_TRACES], 1);
    store_close(s);
    s = open_store(dir);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_TRACES)), 3000);
    store_close(s);
    remove_dir(dir);
}

static void a_full_log_answers_busy_and_recovers_by_sealing(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_with((store_options){ .dir = dir, .intake_limit = MiB(1) });
    error err;
    status st = STATUS_OK;
    uint32_t n = 0;
    while ((st = try_ingest(s, T0_NS + n, 50000, &err)) == STATUS_OK)
        n++;
    assert_int_equal(st, STATUS_BUSY);
    assert_int_equal(store_ready(s, &err), STATUS_BUSY);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), n);
    seal(s);
    assert_int_equal(store_ready(s, &err), STATUS_OK);
    assert_int_equal(try_ingest(s, T0_NS + n, 50000, &err), STATUS_OK);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), n + 1);
    store_close(s);
    remove_dir(dir);
}

static void a_small_memory_limit_seals_by_itself(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_with((store_options){ .dir = dir, .memory_limit = KiB(512) });
    error err;
    for (int i = 0; i < 60; i++) {
        status st;
        while ((st = try_ingest(s, T0_NS + i, 50000, &err)) == STATUS_BUSY)
            usleep(1000);
        assert_int_equal(st, STATUS_OK);
    }
    assert_true(stats_of(s).parts[SIGNAL_LOGS] > 0);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 60);
    store_close(s);
    s = open_with((store_options){ .dir = dir, .memory_limit = KiB(512) });
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 60);
    store_close(s);
    remove_dir(dir);
}

static void an_old_row_in_memory_is_sealed_by_age(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_with((store_options){ .dir = dir, .seal_after_ns = 50 * NS_PER_MS });
    assert_int_equal(try_ingest(s, T0_NS, 100, NULL), STATUS_OK);
    int64_t limit = clock_mono_ns() + 20 * NS_PER_S;
    while (stats_of(s).parts[SIGNAL_LOGS] == 0) {
        assert_true(clock_mono_ns() < limit);
        usleep(1000);
    }
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 1);
    store_close(s);
    remove_dir(dir);
}

/* ---- many threads ---- */

enum { WRITERS = 4, BATCHES = 60, ROWS = 20 };

typedef struct {
    store *s;
    int number;
    atomic_uint *acknowledged; /* rows of logs */
    atomic_bool *done;
    const char *problem;
} worker;

static void *write_rows(void *arg)
{
    worker *w = arg;
    for (int n = 0; n < BATCHES; n++) {
        for (int signal = 0; signal < SIGNAL_COUNT; signal++) {
            batch b;
            batch_init(&b, (signal_kind)signal, MiB(4));
            uint32_t scope = add_service(&b, w->number % 2 ? "a" : "b");
            uint32_t m = signal == SIGNAL_METRICS ? add_gauge(&b, scope, "g") : 0;
            for (int i = 0; i < ROWS; i++) {
                int64_t t = T0_NS + (n * ROWS + i) * NS_PER_MS;
                if (signal == SIGNAL_LOGS)
                    add_log(&b, scope, t, 9, STR("text"));
                else if (signal == SIGNAL_TRACES)
                    add_span(&b, scope, t, 1, (uint32_t)i, (uint32_t)(n * ROWS + i), "op");
                else {
                    uint32_t p = add_point(&b, m, t, i);
                    add_attr(&b, &b.points.attributes[p], "w", VALUE_I(w->number));
                }
            }
            ingest_result r;
            error err;
            status st;
            /* On a slow disk sealing may fall behind; a sender then tries again. */
            while ((st = store_ingest(w->s, &b, STR_EMPTY, &r, &err)) == STATUS_BUSY)
                sched_yield();
            if (st != STATUS_OK)
                w->problem = "an ingest failed";
            else if (signal == SIGNAL_LOGS)
                atomic_fetch_add(w->acknowledged, ROWS);
            batch_done(&b);
        }
    }
    return NULL;
}

static bool count_sink(void *user, const batch *b)
{
    *(uint32_t *)user += batch_row_count(b);
    return true;
}

/* Sees at least what was acknowledged before it asked. */
static void *read_rows(void *arg)
{
    worker *w = arg;
    while (!atomic_load(w->done)) {
        uint32_t before = atomic_load(w->acknowledged), found = 0;
        row_query q = all_rows(SIGNAL_LOGS);
        if (store_rows(w->s, &q, count_sink, &found, NULL) != STATUS_OK || found < before)
            w->problem = "an acknowledged row was not found";
        arena a;
        series_set set;
        series_query sq = all_series();
        arena_init(&a, MiB(64));
        if (store_series(w->s, &sq, &a, &set, NULL) != STATUS_OK)
            w->problem = "a query of series failed";
        arena_done(&a);
        store_get_stats(w->s, &(store_stats){ 0 });
    }
    return NULL;
}

static void writers_readers_and_sealing_go_on_at_once(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_with(
        (store_options){ .dir = dir, .memory_limit = KiB(256), .seal_after_ns = 20 * NS_PER_MS });
    atomic_uint acknowledged = 0;
    atomic_bool done = false;
    worker w[WRITERS + 2];
    pthread_t t[WRITERS + 2];
    for (int i = 0; i < WRITERS + 2; i++) {
        w[i] = (worker){ s, i, &acknowledged, &done, NULL };
        assert_int_equal(pthread_create(&t[i], NULL, i < WRITERS ? write_rows : read_rows, &w[i]),
                         0);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(t[i], NULL);
    atomic_store(&done, true);
    for (int i = WRITERS; i < WRITERS + 2; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < WRITERS + 2; i++) {
        if (w[i].problem)
            FAIL("%s", w[i].problem);
    }
    uint32_t all = WRITERS * BATCHES * ROWS;
    for (int opened = 0; opened < 2; opened++) {
        assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), all);
        assert_int_equal(count_rows(s, all_rows(SIGNAL_TRACES)), all);
        store_stats st = stats_of(s);
        assert_int_equal(st.rows[SIGNAL_LOGS], all);
        assert_int_equal(st.rows[SIGNAL_METRICS], all);
        store_close(s);
        s = open_store(dir);
    }
    store_close(s);
    remove_dir(dir);
}

static void on_logs(void *user, const batch *rows)
{
    *(uint32_t *)user += batch_row_count(rows);
}

static void watchers_hear_of_each_ingest_of_logs(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_store(dir);
    uint32_t heard = 0;
    int handle = store_watch_logs(s, on_logs, &heard);
    assert_true(handle > 0);
    assert_int_equal(try_ingest(s, T0_NS, 10, NULL), STATUS_OK);
    assert_int_equal(heard, 1);
    store_unwatch_logs(s, handle);
    assert_int_equal(try_ingest(s, T0_NS, 10, NULL), STATUS_OK);
    assert_int_equal(heard, 1);
    store_close(s);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_copies_are_dropped_also_after_a_restart),
        cmocka_unit_test(rows_without_a_usable_record_id_are_kept),
        cmocka_unit_test(a_full_disk_refuses_ingest_and_queries_go_on),
        cmocka_unit_test(a_seal_that_fails_is_tried_again_and_loses_nothing),
        cmocka_unit_test(a_full_log_answers_busy_and_recovers_by_sealing),
        cmocka_unit_test(a_small_memory_limit_seals_by_itself),
        cmocka_unit_test(an_old_row_in_memory_is_sealed_by_age),
        cmocka_unit_test(writers_readers_and_sealing_go_on_at_once),
        cmocka_unit_test(watchers_hear_of_each_ingest_of_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* Readers of the intake log: each sees every record once and in order, keeps its place over a
 * restart, holds what it has not passed, and lets go of it. */
#include "codec/otlp.h"
#include "fixture.h"

#include <pthread.h>

static store *open_small(const char *dir)
{
    return open_with((store_options){ .dir = dir, .intake_limit = MiB(8) });
}

/* One record with one log line whose body is the number, and padding to that size. */
static status put(store *s, uint16_t origin, bool inner, uint64_t number, size_t padding)
{
    batch b;
    error err;
    ingest_result r;
    batch_init(&b, SIGNAL_LOGS, MiB(64));
    uint32_t scope = add_service(&b, "api");
    char *body = arena_alloc(&b.arena, padding + 32);
    int len = snprintf(body, 32, "%llu", (unsigned long long)number);
    memset(body + len, ' ', padding);
    uint32_t row = add_log(&b, scope, T0_NS + (int64_t)number, 9, STR_EMPTY);
    b.logs.body[row] = VALUE_S(str_n(body, (size_t)len + padding));
    status st = store_ingest_from(s, &(store_sender){ origin, inner }, &b, STR_EMPTY, &r, &err);
    batch_done(&b);
    return st;
}

static log_reader *open_reader(store *s, const char *name, bool passing)
{
    log_reader *r = NULL;
    error err = { 0 };
    if (log_reader_open(&r, s, name, passing, &err) != STATUS_OK)
        FAIL("log_reader_open: %s", err.message);
    return r;
}

static uint64_t number_of(const log_record *r)
{
    batch b;
    uint64_t n = 0;
    batch_init(&b, SIGNAL_LOGS, MiB(64));
    assert_int_equal(otlp_decode(&b, r->payload, NULL, NULL, NULL), STATUS_OK);
    assert_true(str_to_u64(str_trim(b.logs.body[0].s), &n));
    batch_done(&b);
    return n;
}

/* The next record's number; 0: there is none. */
static uint64_t next(log_reader *r, log_record *record)
{
    error err;
    status st = log_reader_next(r, 0, record, &err);
    if (st == STATUS_NOT_FOUND)
        return 0;
    assert_int_equal(st, STATUS_OK);
    return number_of(record);
}

static void commit(log_reader *r, const log_record *record)
{
    error err = { 0 };
    if (log_reader_commit(r, record->sequence, &err) != STATUS_OK)
        FAIL("log_reader_commit: %s", err.message);
}

static void reads_in_order_and_keeps_its_place(void **state)
{
    char *dir = make_dir();
    log_record record;
    (void)state;
    store *s = open_small(dir);
    assert_int_equal(put(s, 0, false, 1, 0), STATUS_OK); /* before it was opened */
    log_reader *r = open_reader(s, "exporter otlp/a b", false);
    for (uint64_t i = 2; i < 12; i++)
        assert_int_equal(put(s, (uint16_t)i, false, i, 0), STATUS_OK);
    for (uint64_t i = 2; i < 8; i++) {
        assert_int_equal(next(r, &record), i);
        assert_int_equal(record.origin, i);
        assert_int_equal(record.signal, SIGNAL_LOGS);
        if (i == 5)
            commit(r, &record);
    }
    log_reader_rewind(r);
    assert_int_equal(next(r, &record), 6);
    log_reader_close(r);
    store_close(s);

    s = open_small(dir);
    r = open_reader(s, "exporter otlp/a b", false);
    for (uint64_t i = 6; i < 12; i++)
        assert_int_equal(next(r, &record), i);
    assert_int_equal(next(r, &record), 0);
    log_reader_close(r);
    store_close(s);
    remove_dir(dir);
}

static void a_state_is_kept_with_its_place(void **state)
{
    char *dir = make_dir();
    log_record record;
    error err;
    (void)state;
    store *s = open_small(dir);
    log_reader *r = open_reader(s, "tail_sampling@traces", false);
    assert_int_equal(put(s, 1, false, 1, 0), STATUS_OK);
    assert_int_equal(put(s, 1, false, 2, 0), STATUS_OK);
    assert_int_equal(next(r, &record), 1);
    assert_int_equal(log_reader_save(r, record.sequence, STR("decided"), &err), STATUS_OK);
    log_reader_close(r);
    store_close(s);
    s = open_small(dir);
    r = open_reader(s, "tail_sampling@traces", false);
    assert_true(str_is(log_reader_state(r), "decided"));
    assert_int_equal(next(r, &record), 2);
    log_reader_close(r);
    store_close(s);
    remove_dir(dir);
}

static void what_it_has_not_passed_is_kept_and_fills_the_log(void **state)
{
    char *dir = make_dir();
    log_record record;
    uint64_t put_in = 0;
    (void)state;
    store *s = open_small(dir);
    log_reader *r = open_reader(s, "slow", false);
    status st = STATUS_OK;
    while (st == STATUS_OK && put_in < 100) {
        st = put(s, 0, false, put_in + 1, KiB(512));
        put_in += st == STATUS_OK;
        if (st == STATUS_OK)
            seal(s); /* the store needs none of it */
    }
    assert_int_equal(st, STATUS_BUSY);
    assert_in_range(put_in, 12, 16);
    /* A reader's own output still has room. */
    assert_int_equal(put(s, 0, true, put_in + 1, KiB(512)), STATUS_OK);
    assert_true(log_reader_behind(r).bytes > MiB(6));
    for (uint64_t i = 1; i <= put_in + 1; i++)
        assert_int_equal(next(r, &record), i);
    commit(r, &record);
    assert_int_equal(log_reader_behind(r).records, 0);
    seal(s);
    assert_int_equal(put(s, 0, false, put_in + 2, KiB(512)), STATUS_OK);
    assert_int_equal(next(r, &record), put_in + 2);
    log_reader_close(r);
    store_close(s);
    remove_dir(dir);
}

static void one_that_passes_by_holds_nothing(void **state)
{
    char *dir = make_dir();
    log_record record;
    (void)state;
    store *s = open_small(dir);
    log_reader *r = open_reader(s, "debug", true);
    for (uint64_t i = 1; i < 100; i++) {
        assert_int_equal(put(s, 0, false, i, KiB(256)), STATUS_OK);
        if (i % 10 == 0)
            seal(s);
    }
    assert_true(next(r, &record) > 0); /* what is left of it, in order */
    log_reader_close(r);
    store_close(s);
    remove_dir(dir);
}

static void count_forgotten(void *user, const char *name, uint64_t records)
{
    uint64_t *sum = user;
    assert_string_equal(name, "gone");
    *sum += records;
}

static void forgotten_names_hold_nothing(void **state)
{
    char *dir = make_dir();
    error err;
    log_record record;
    uint64_t unsent = 0;
    (void)state;
    store *s = open_small(dir);
    log_reader_close(open_reader(s, "gone", false));
    log_reader *kept = open_reader(s, "kept", false);
    for (uint64_t i = 1; i < 4; i++)
        assert_int_equal(put(s, 0, false, i, 0), STATUS_OK);
    assert_int_equal(log_readers_keep(s, NULL, 0, count_forgotten, &unsent, &err), STATUS_OK);
    assert_int_equal(unsent, 3);
    assert_int_equal(next(kept, &record), 1);
    log_reader_close(kept);
    store_close(s);
    s = open_small(dir);
    log_reader *gone = open_reader(s, "gone", false); /* begins anew */
    assert_int_equal(next(gone, &record), 0);
    log_reader_close(gone);
    store_close(s);
    remove_dir(dir);
}

/* Numbers go on rising when the log was emptied and every record is in parts. */
static void numbers_are_never_given_twice(void **state)
{
    char *dir = make_dir();
    log_record record;
    (void)state;
    store *s = open_small(dir);
    log_reader *r = open_reader(s, "exporter", false);
    assert_int_equal(put(s, 0, false, 1, 0), STATUS_OK);
    assert_int_equal(next(r, &record), 1);
    uint64_t first = record.sequence;
    commit(r, &record);
    seal(s);
    log_reader_close(r);
    store_close(s);
    s = open_small(dir);
    r = open_reader(s, "exporter", false);
    assert_int_equal(put(s, 0, false, 2, 0), STATUS_OK);
    assert_int_equal(next(r, &record), 2);
    assert_true(record.sequence > first);
    log_reader_close(r);
    store_close(s);
    remove_dir(dir);
}

typedef struct {
    store *s;
    uint64_t count;
} writer;

static void *write_all(void *arg)
{
    writer *w = arg;
    for (uint64_t i = 1; i <= w->count; i++)
        assert_int_equal(put(w->s, 0, false, i, i % 7 * 1000), STATUS_OK);
    return NULL;
}

static void reads_while_it_is_written_and_sealed(void **state)
{
    char *dir = make_dir();
    log_record record;
    pthread_t thread;
    error err;
    (void)state;
    store *s = open_small(dir);
    log_reader *r = open_reader(s, "exporter", false);
    writer w = { s, 1500 };
    pthread_create(&thread, NULL, write_all, &w);
    for (uint64_t i = 1; i <= w.count; i++) {
        assert_int_equal(log_reader_next(r, 20 * NS_PER_S, &record, &err), STATUS_OK);
        assert_int_equal(number_of(&record), i);
        if (i % 50 == 0)
            commit(r, &record);
        if (i % 200 == 0)
            seal(s);
    }
    pthread_join(thread, NULL);
    log_reader_cancel(r);
    assert_int_equal(log_reader_next(r, 20 * NS_PER_S, &record, &err), STATUS_CANCELED);
    log_reader_close(r);
    store_close(s);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_in_order_and_keeps_its_place),
        cmocka_unit_test(a_state_is_kept_with_its_place),
        cmocka_unit_test(what_it_has_not_passed_is_kept_and_fills_the_log),
        cmocka_unit_test(one_that_passes_by_holds_nothing),
        cmocka_unit_test(forgotten_names_hold_nothing),
        cmocka_unit_test(numbers_are_never_given_twice),
        cmocka_unit_test(reads_while_it_is_written_and_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

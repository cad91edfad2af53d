// SPDX-License-Identifier: Apache-2.0
/* The intake log: what was acknowledged is replayed, a torn tail is cut, damage in the middle is
 * counted and passed over, limits are kept. */
#include "store/intake.h"

#include "base/file.h"
#include "fixture.h"

#include <fcntl.h>
#include <xxhash.h>

typedef struct {
    uint32_t count;
    uint64_t first, last;
    bool wrong; /* a payload was not what its sequence says */
    uint32_t hooked;
} seen;

/* Record n carries n as text. */
static status on_record(void *user, const intake_record *r, error *err)
{
    seen *x = user;
    (void)err;
    uint64_t n = 0;
    x->wrong |= !str_to_u64(str_trim(r->payload), &n) || n != r->sequence ||
                r->signal != SIGNAL_TRACES || r->received_ns != (int64_t)n * 10;
    x->first = x->count ? x->first : r->sequence;
    x->last = r->sequence;
    x->count++;
    return STATUS_OK;
}

static void on_commit(void *user, intake_entry *entries)
{
    seen *x = user;
    for (; entries; entries = entries->next)
        x->hooked++;
}

static intake *open_log(const char *dir, size_t limit, uint64_t cursor, seen *x)
{
    intake *in = NULL;
    error err = { 0 };
    *x = (seen){ 0 };
    if (intake_open(&in, dir, &(intake_options){ .limit = limit, .cursor = cursor, .keep = cursor },
                    on_record, on_commit, x, &err) != STATUS_OK)
        FAIL("intake_open: %s", err.message);
    assert_false(x->wrong);
    return in;
}

static status append(intake *in, uint64_t n, size_t padding, error *err)
{
    char *payload = malloc(padding + 32);
    int len = snprintf(payload, 32, "%llu", (unsigned long long)n);
    memset(payload + len, ' ', padding);
    intake_entry e = { .signal = SIGNAL_TRACES,
                       .received_ns = (int64_t)n * 10,
                       .payload = str_n(payload, (size_t)len + padding) };
    status st = intake_append(in, &e, err);
    if (st == STATUS_OK)
        assert_int_equal(e.sequence, n);
    free(payload);
    return st;
}

static void append_all(intake *in, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n <= to; n++)
        assert_int_equal(append(in, n, 0, NULL), STATUS_OK);
}

static void records_are_replayed_after_the_cursor(void **state)
{
    (void)state;
    char *dir = make_dir();
    seen x;
    intake *in = open_log(dir, MiB(64), 0, &x);
    append_all(in, 1, 20);
    assert_int_equal(x.hooked, 20);
    intake_close(in);
    in = open_log(dir, MiB(64), 0, &x);
    assert_int_equal(x.count, 20);
    append_all(in, 21, 25);
    intake_close(in);
    in = open_log(dir, MiB(64), 7, &x);
    assert_int_equal(x.count, 18);
    assert_int_equal(x.first, 8);
    assert_int_equal(x.last, 25);
    intake_stats st;
    intake_get_stats(in, &st);
    assert_int_equal(st.corrupt, 0);
    intake_close(in);
    remove_dir(dir);
}

static char *only_segment(const char *dir)
{
    char *path = NULL;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        assert_null(path);
        assert_true(asprintf(&path, "%s/%s", dir, e->d_name) > 0);
    }
    closedir(d);
    return path;
}

static void a_torn_tail_is_cut_at_any_byte(void **state)
{
    (void)state;
    char *dir = make_dir();
    seen x;
    intake *in = open_log(dir, MiB(64), 0, &x);
    append_all(in, 1, 3);
    intake_close(in);
    char *path = only_segment(dir);
    buf whole;
    buf_init(&whole, 0);
    assert_int_equal(file_read(path, &whole, NULL), STATUS_OK);
    assert_int_equal(whole.len, 32 + 3 * 41);
    for (size_t cut = 0; cut < whole.len; cut++) {
        char name[300];
        snprintf(name, sizeof(name), "%s/00000000000000000001.log", dir);
        int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(file_write_all(fd, whole.ptr, cut, NULL), STATUS_OK);
        close(fd);
        in = open_log(dir, MiB(64), 0, &x);
        uint32_t whole_records = cut < 32 ? 0 : (uint32_t)(cut - 32) / 41;
        assert_int_equal(x.count, whole_records);
        append_all(in, whole_records + 1, whole_records + 1);
        intake_close(in);
        in = open_log(dir, MiB(64), 0, &x); /* the cut tail is not corruption */
        assert_int_equal(x.count, whole_records + 1);
        intake_stats st;
        intake_get_stats(in, &st);
        assert_int_equal(st.corrupt, 0);
        intake_trim(in, 1000, "the store");
        intake_close(in);
    }
    buf_done(&whole);
    free(path);
    remove_dir(dir);
}

static void a_wrong_byte_in_the_middle_costs_one_record_and_is_counted(void **state)
{
    (void)state;
    char *dir = make_dir();
    seen x;
    intake *in = open_log(dir, MiB(64), 0, &x);
    append_all(in, 1, 5);
    intake_close(in);
    char *path = only_segment(dir);
    int fd = open(path, O_RDWR);
    for (off_t at = 32 + 41; at < 32 + 2 * 41; at++) { /* each byte of the second record */
        char was, wrong;
        assert_int_equal(pread(fd, &was, 1, at), 1);
        wrong = (char)(was ^ 0x55);
        assert_int_equal(pwrite(fd, &wrong, 1, at), 1);
        in = open_log(dir, MiB(64), 0, &x);
        assert_int_equal(x.count, 4);
        assert_int_equal(x.last, 5);
        intake_stats st;
        intake_get_stats(in, &st);
        assert_true(st.corrupt > 0);
        intake_close(in);
        assert_int_equal(pwrite(fd, &was, 1, at), 1);
    }
    close(fd);
    free(path);
    remove_dir(dir);
}

static void a_segment_of_an_unknown_version_is_refused(void **state)
{
    (void)state;
    char *dir = make_dir();
    char name[300], header[32] = "SONDEINT\2";
    /* Version 2 with a good checksum (XXH3-64 of the 24 bytes before it). */
    header[16] = 1;
    snprintf(name, sizeof(name), "%s/00000000000000000001.log", dir);
    uint64_t sum = XXH3_64bits(header, 24);
    memcpy(header + 24, &sum, 8);
    int fd = open(name, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(file_write_all(fd, header, sizeof(header), NULL), STATUS_OK);
    close(fd);
    intake *in;
    seen x;
    error err;
    assert_int_equal(intake_open(&in, dir, &(intake_options){ .limit = MiB(64) }, on_record,
                                 on_commit, &x, &err),
                     STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.message, "version 2"));
    assert_int_equal(access(name, F_OK), 0);
    remove_dir(dir);
}

static void segments_roll_and_are_deleted_when_the_cursor_passed_them(void **state)
{
    (void)state;
    char *dir = make_dir();
    seen x;
    intake *in = open_log(dir, MiB(8), 0, &x); /* segments of 1 MiB */
    for (uint64_t n = 1; n <= 40; n++)
        assert_int_equal(append(in, n, 100000, NULL), STATUS_OK);
    intake_stats st;
    intake_get_stats(in, &st);
    assert_int_equal(st.segments, 4);
    intake_trim(in, 10, "the store"); /* exactly the first */
    intake_get_stats(in, &st);
    assert_int_equal(st.segments, 3);
    intake_trim(in, 40, "the store");
    intake_get_stats(in, &st);
    assert_int_equal(st.segments, 0);
    assert_int_equal(st.bytes, 0);
    append_all(in, 41, 42);
    intake_close(in);
    in = open_log(dir, MiB(8), 40, &x);
    assert_int_equal(x.count, 2);
    intake_close(in);
    remove_dir(dir);
}

static void a_full_log_answers_busy_and_takes_more_once_it_was_trimmed(void **state)
{
    (void)state;
    char *dir = make_dir();
    seen x;
    error err;
    intake *in = open_log(dir, MiB(1), 0, &x);
    uint64_t n = 1;
    status st;
    while ((st = append(in, n, 50000, &err)) == STATUS_OK)
        n++;
    assert_int_equal(st, STATUS_BUSY);
    assert_true(n > 10 && n < 22);
    assert_non_null(strstr(err.message, "1048576"));
    assert_int_equal(intake_ready(in, 50000, &err), STATUS_BUSY);
    intake_trim(in, n - 1, "the store");
    assert_int_equal(append(in, n, 50000, &err), STATUS_OK);
    intake_close(in);
    in = open_log(dir, MiB(1), n - 1, &x);
    assert_int_equal(x.count, 1);
    intake_close(in);
    remove_dir(dir);
}

typedef struct {
    intake *in;
    uint32_t done;
} sender;

static void *send_many(void *arg)
{
    sender *s = arg;
    for (int i = 0; i < 200; i++) {
        intake_entry e = { .payload = STR("some bytes") };
        s->done += intake_append(s->in, &e, NULL) == STATUS_OK;
    }
    return NULL;
}

static void many_senders_share_syncs(void **state)
{
    (void)state;
    char *dir = make_dir();
    seen x = { 0 };
    intake *in = open_log(dir, MiB(64), 0, &x);
    enum { SENDERS = 16 };
    sender s[SENDERS];
    pthread_t t[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        s[i] = (sender){ .in = in };
        assert_int_equal(pthread_create(&t[i], NULL, send_many, &s[i]), 0);
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(s[i].done, 200);
    }
    intake_stats st;
    intake_get_stats(in, &st);
    assert_int_equal(st.last_sequence, 3200);
    assert_true(st.fsyncs < 3200);
    intake_close(in);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_replayed_after_the_cursor),
        cmocka_unit_test(a_torn_tail_is_cut_at_any_byte),
        cmocka_unit_test(a_wrong_byte_in_the_middle_costs_one_record_and_is_counted),
        cmocka_unit_test(a_segment_of_an_unknown_version_is_refused),
        cmocka_unit_test(segments_roll_and_are_deleted_when_the_cursor_passed_them),
        cmocka_unit_test(a_full_log_answers_busy_and_takes_more_once_it_was_trimmed),
        cmocka_unit_test(many_senders_share_syncs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

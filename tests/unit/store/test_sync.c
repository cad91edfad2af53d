// SPDX-License-Identifier: Apache-2.0
/* The intake log when the disk fails: a failed fdatasync is told to the senders and never tried
 * again on the same file; a short write leaves nothing behind. The log's sources are compiled in
 * with calls that can fail. */
#include "store/intake_internal.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

static int failing_fd = -1; /* whose sync failed */
static int fail_syncs;      /* how many of the next ones fail */
static int fail_writes;
static bool synced_again;

static int test_fdatasync(int fd)
{
    synced_again |= fd == failing_fd;
    if (fail_syncs > 0) {
        fail_syncs--;
        failing_fd = fd;
        errno = EIO;
        return -1;
    }
    return fdatasync(fd);
}

/* Writes half, then has no space. */
static ssize_t test_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
    if (fail_writes == 0)
        return pwritev(fd, v, n, at);
    if (--fail_writes == 0) {
        errno = ENOSPC;
        return -1;
    }
    return pwrite(fd, v[0].iov_base, v[0].iov_len / 2, at);
}

/* A descriptor that was closed may be given again. */
static int test_close(int fd)
{
    failing_fd = fd == failing_fd ? -1 : failing_fd;
    return close(fd);
}

#define fdatasync test_fdatasync
#define pwritev   test_pwritev
#define close     test_close
#include "store/intake.c"
#undef fdatasync
#undef pwritev
#undef close

#include "fixture.h"

static char replayed[64];

static status on_record(void *user, const intake_record *r, error *err)
{
    (void)user;
    (void)err;
    size_t n = strlen(replayed);
    snprintf(replayed + n, sizeof(replayed) - n, "%.*s ", STR_ARG(r->payload));
    return STATUS_OK;
}

static void on_commit(void *user, intake_entry *entries)
{
    (void)user;
    (void)entries;
}

static intake *open_log(const char *dir)
{
    intake *in = NULL;
    replayed[0] = 0;
    assert_int_equal(intake_open(&in, dir, &(intake_options){ .limit = MiB(8) }, on_record,
                                 on_commit, NULL, NULL),
                     STATUS_OK);
    return in;
}

static status append(intake *in, const char *payload, error *err)
{
    intake_entry e = { .payload = str_c(payload) };
    return intake_append(in, &e, err);
}

static uint64_t segments(intake *in)
{
    intake_stats st;
    intake_get_stats(in, &st);
    return st.segments;
}

static void a_failed_sync_ends_the_segment_and_is_told(void **state)
{
    (void)state;
    char *dir = make_dir();
    intake *in = open_log(dir);
    error err;
    assert_int_equal(append(in, "one", &err), STATUS_OK);
    fail_syncs = 1;
    synced_again = false;
    assert_int_equal(append(in, "lost", &err), STATUS_IO);
    assert_non_null(strstr(err.message, "fdatasync"));
    assert_int_equal(intake_ready(in, 0, &err), STATUS_IO);
    assert_int_equal(segments(in), 1);
    assert_int_equal(append(in, "two", &err), STATUS_OK);
    assert_int_equal(segments(in), 2);
    assert_int_equal(intake_ready(in, 0, &err), STATUS_OK);
    assert_false(synced_again);
    intake_close(in);
    in = open_log(dir);
    assert_string_equal(replayed, "one two ");
    intake_close(in);
    remove_dir(dir);
}

static void a_segment_that_cannot_be_begun_is_told_and_tried_again(void **state)
{
    (void)state;
    char *dir = make_dir();
    intake *in = open_log(dir);
    error err;
    fail_syncs = 1; /* of the first segment's header */
    assert_int_equal(append(in, "lost", &err), STATUS_IO);
    assert_int_equal(segments(in), 0);
    assert_int_equal(append(in, "one", &err), STATUS_OK);
    intake_close(in);
    in = open_log(dir);
    assert_string_equal(replayed, "one ");
    intake_close(in);
    remove_dir(dir);
}

static void a_short_write_leaves_nothing_behind(void **state)
{
    (void)state;
    char *dir = make_dir();
    intake *in = open_log(dir);
    error err;
    assert_int_equal(append(in, "one", &err), STATUS_OK);
    fail_writes = 2;
    assert_int_equal(append(in, "lost", &err), STATUS_FULL);
    assert_int_equal(append(in, "two", &err), STATUS_OK);
    assert_int_equal(segments(in), 1);
    intake_close(in);
    in = open_log(dir);
    assert_string_equal(replayed, "one two ");
    intake_stats st;
    intake_get_stats(in, &st);
    assert_int_equal(st.corrupt, 0);
    intake_close(in);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_sync_ends_the_segment_and_is_told),
        cmocka_unit_test(a_segment_that_cannot_be_begun_is_told_and_tried_again),
        cmocka_unit_test(a_short_write_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

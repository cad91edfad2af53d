// SPDX-License-Identifier: Apache-2.0
/* The spool: order, limit and counts, what the next process finds, damaged files. */
#include "lib/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static uint64_t dropped[LANE_COUNT];

static void on_dropped(void *user UNUSED, lane_id lane, uint64_t rows)
{
    dropped[lane] += rows;
}

static int make_dir(void **state UNUSED)
{
    memset(dropped, 0, sizeof(dropped));
    snprintf(dir, sizeof(dir), "/tmp/sonde-spool-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

/* Calls `visit` with each file's path; returns how many there are. */
static unsigned each_file(void (*visit)(const char *path))
{
    unsigned count = 0;
    char path[512];
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        count++;
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        if (visit)
            visit(path);
    }
    closedir(d);
    return count;
}

static void remove_file(const char *path)
{
    unlink(path);
}

static int remove_dir(void **state UNUSED)
{
    each_file(remove_file);
    return rmdir(dir);
}

static spool *open_as(uint64_t id, const char *service, uint64_t bytes)
{
    spool *s;
    error err;
    spool_options o = { .dir = str_c(dir),
                        .bytes = bytes,
                        .service = str_c(service),
                        .id = id,
                        .adopt = true,
                        .dropped = on_dropped };
    assert_int_equal(spool_open(&s, &o, &err), STATUS_OK);
    return s;
}

/* A body of `bytes` that begins with its number. */
static void add(spool *s, lane_id lane, unsigned number, size_t bytes, uint32_t rows)
{
    error err;
    buf body;
    buf_init(&body, 0);
    buf_fmt(&body, "%06u", number);
    while (body.len < bytes)
        buf_char(&body, 'x');
    assert_int_equal(spool_add(s, lane, buf_view(&body), rows, &err), STATUS_OK);
    buf_done(&body);
}

/* The number of the oldest body, -1 when there is none. */
static int peek(spool *s, lane_id lane)
{
    error err;
    buf body;
    uint32_t rows;
    int number = -1;
    buf_init(&body, 0);
    if (spool_peek(s, lane, &body, &rows, &err) == STATUS_OK) {
        buf_char(&body, '\0');
        assert_int_equal(sscanf(body.ptr, "%6d", &number), 1);
    }
    buf_done(&body);
    return number;
}

static void bodies_come_back_in_order_lane_by_lane(void **state UNUSED)
{
    spool *s = open_as(1, "api", MiB(1));
    assert_false(spool_has(s, LANE_LOGS));
    assert_int_equal(peek(s, LANE_LOGS), -1);
    for (unsigned i = 0; i < 30; i++)
        add(s, i % 3 ? LANE_LOGS : LANE_TRACES, i, 10 + 1000 * i, 2);
    assert_int_equal(spool_state(s).rows[LANE_LOGS], 40);
    for (int i = 0; i < 30; i++)
        if (i % 3) {
            assert_int_equal(peek(s, LANE_LOGS), i);
            assert_int_equal(peek(s, LANE_LOGS), i); /* still there */
            spool_done(s, LANE_LOGS);
        }
    assert_false(spool_has(s, LANE_LOGS));
    assert_int_equal(peek(s, LANE_TRACES), 0);
    for (int i = 0; i < 30; i += 3) {
        assert_int_equal(peek(s, LANE_TRACES), i);
        spool_done(s, LANE_TRACES);
    }
    spool_report r = spool_state(s);
    assert_true(r.rows[LANE_LOGS] == 0 && r.rows[LANE_TRACES] == 0 && r.bytes == 0);
    spool_close(s);
    assert_int_equal(each_file(NULL), 0);
    assert_int_equal(dropped[LANE_LOGS], 0);
}

static off_t bytes_on_disk;
static void add_size(const char *path)
{
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    bytes_on_disk += about.st_size;
}

static void at_the_limit_the_oldest_goes_and_is_counted(void **state UNUSED)
{
    enum { BODIES = 500, ROWS = 7 };
    spool *s = open_as(1, "api", KiB(512));
    for (unsigned i = 0; i < BODIES; i++) {
        add(s, LANE_LOGS, i, KiB(4), ROWS);
        bytes_on_disk = 0;
        each_file(add_size);
        assert_in_range(bytes_on_disk, 1, KiB(512));
        assert_int_equal(spool_state(s).bytes, bytes_on_disk);
        assert_int_equal(dropped[LANE_LOGS] + spool_state(s).rows[LANE_LOGS],
                         (uint64_t)(i + 1) * ROWS);
    }
    int first = peek(s, LANE_LOGS), count = 0;
    assert_int_equal(first, (int)(dropped[LANE_LOGS] / ROWS));
    assert_in_range(BODIES - first, 100, 128); /* most of the room is used */
    for (; peek(s, LANE_LOGS) == first + count; count++)
        spool_done(s, LANE_LOGS);
    assert_int_equal(first + count, BODIES);
    spool_close(s);
}

static void a_body_larger_than_the_limit_is_refused(void **state UNUSED)
{
    error err;
    spool *s = open_as(1, "api", KiB(64));
    char *large = calloc(1, KiB(64));
    add(s, LANE_LOGS, 1, 100, 1);
    assert_int_equal(spool_add(s, LANE_LOGS, str_n(large, KiB(64)), 1, &err), STATUS_LIMIT);
    assert_int_equal(peek(s, LANE_LOGS), 1);
    free(large);
    spool_close(s);
}

/* The lane has the body in memory: when its segment goes, only the result of the request counts. */
static void a_body_being_sent_is_not_counted_as_dropped(void **state UNUSED)
{
    spool *s = open_as(1, "api", KiB(128));
    add(s, LANE_LOGS, 0, KiB(30), 5);
    assert_int_equal(peek(s, LANE_LOGS), 0);
    for (unsigned i = 1; i < 20; i++)
        add(s, LANE_LOGS, i, KiB(30), 1);
    assert_int_equal(dropped[LANE_LOGS] + spool_state(s).rows[LANE_LOGS], 19);
    spool_done(s, LANE_LOGS);
    assert_true(peek(s, LANE_LOGS) > 1);
    uint64_t before = dropped[LANE_LOGS];
    for (unsigned i = 20; i < 40; i++)
        add(s, LANE_LOGS, i, KiB(30), 1);
    uint64_t waiting = spool_state(s).rows[LANE_LOGS];
    assert_int_equal(dropped[LANE_LOGS] + waiting, 19 + 20 - 1);
    assert_true(dropped[LANE_LOGS] > before);
    spool_close(s); /* the request never ended */
    assert_int_equal(dropped[LANE_LOGS] + waiting, 19 + 20);
}

/* Runs `work` in a process of its own that ends at once. */
static void in_a_child(void (*work)(void))
{
    int ended;
    pid_t child = fork();
    if (child == 0) {
        work();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
}

static void leave_five(void)
{
    spool *s = open_as(77, "api", MiB(1));
    for (unsigned i = 0; i < 5; i++)
        add(s, LANE_LOGS, i, KiB(40), 3);
    assert_int_equal(peek(s, LANE_LOGS), 0);
    spool_done(s, LANE_LOGS);
    assert_int_equal(peek(s, LANE_LOGS), 1); /* dies while this one is being sent */
}

static void the_next_process_goes_on_where_a_dead_one_stopped(void **state UNUSED)
{
    in_a_child(leave_five);
    spool *other = open_as(2, "web", MiB(1));
    assert_false(spool_has(other, LANE_LOGS));
    spool_close(other);
    spool *s = open_as(3, "api", MiB(1));
    assert_int_equal(spool_state(s).rows[LANE_LOGS], 12);
    add(s, LANE_LOGS, 5, 100, 3);
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(peek(s, LANE_LOGS), i);
        spool_done(s, LANE_LOGS);
    }
    spool_close(s);
    assert_int_equal(each_file(NULL), 0);
}

static void adopted_bodies_count_to_the_limit(void **state UNUSED)
{
    in_a_child(leave_five);
    spool *s = open_as(3, "api", KiB(90));
    uint64_t waiting = spool_state(s).rows[LANE_LOGS];
    assert_true(waiting < 12);
    assert_int_equal(dropped[LANE_LOGS] + waiting, 12);
    spool_close(s);
}

static int pipes[2][2];

static void hold_the_lock(void)
{
    char c;
    spool *s = open_as(5, "api", MiB(1));
    add(s, LANE_LOGS, 1, 100, 1);
    (void)!write(pipes[0][1], "x", 1);
    (void)!read(pipes[1][0], &c, 1);
    _exit(s == NULL);
}

static void a_living_process_keeps_its_own(void **state UNUSED)
{
    char c;
    assert_true(pipe(pipes[0]) == 0 && pipe(pipes[1]) == 0);
    pid_t child = fork();
    if (child == 0)
        hold_the_lock();
    assert_int_equal(read(pipes[0][0], &c, 1), 1);
    spool *s = open_as(6, "api", MiB(1));
    assert_false(spool_has(s, LANE_LOGS));
    spool_close(s);
    (void)!write(pipes[1][1], "x", 1);
    waitpid(child, NULL, 0);
    s = open_as(7, "api", MiB(1));
    assert_int_equal(peek(s, LANE_LOGS), 1);
    spool_close(s);
    for (int i = 0; i < 4; i++)
        close(pipes[i / 2][i % 2]);
}

/* ---- damage ---- */

static void leave_three_small(void)
{
    spool *s = open_as(78, "api", MiB(1));
    for (unsigned i = 0; i < 3; i++)
        add(s, LANE_LOGS, i, 50, 1);
}

static char good[4096];
static size_t good_bytes;
static char file_path[512];

static void read_whole(const char *path)
{
    int fd = open(path, O_RDONLY);
    good_bytes = (size_t)read(fd, good, sizeof(good));
    snprintf(file_path, sizeof(file_path), "%s", path);
    close(fd);
}

static void write_whole(const char *bytes, size_t n)
{
    int fd = open(file_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, bytes, n), n);
    close(fd);
}

/* What a spool gives of the file as it is now: a run of numbers from 0, or with one left out. */
static unsigned read_back(int *ret_missing)
{
    spool *s = open_as(9, "api", MiB(1));
    unsigned count = 0;
    int expected = 0;
    *ret_missing = -1;
    for (int n; (n = peek(s, LANE_LOGS)) >= 0; count++, expected = n + 1) {
        if (n != expected)
            *ret_missing = expected;
        assert_in_range(n, expected, 2);
        spool_done(s, LANE_LOGS);
    }
    spool_close(s);
    return count;
}

static void a_tail_cut_anywhere_costs_only_what_was_cut(void **state UNUSED)
{
    int missing;
    in_a_child(leave_three_small);
    assert_int_equal(each_file(read_whole), 1);
    for (size_t n = 0; n <= good_bytes; n++) {
        write_whole(good, n);
        unsigned whole = n < 256 ? 0 : (unsigned)((n - 256 + 6) / 88);
        assert_int_equal(read_back(&missing), MIN(whole, 3u));
        assert_int_equal(missing, -1);
        unlink(file_path);
    }
}

static void a_flipped_byte_costs_at_most_what_follows(void **state UNUSED)
{
    int missing;
    in_a_child(leave_three_small);
    each_file(read_whole);
    for (size_t i = 0; i < good_bytes; i++) {
        char bad[sizeof(good)];
        memcpy(bad, good, good_bytes);
        bad[i] ^= 0x41;
        write_whole(bad, good_bytes);
        memset(dropped, 0, sizeof(dropped));
        unsigned count = read_back(&missing);
        /* Bytes that no checksum covers: "done", and the padding behind a body. */
        assert_in_range(count, 0, 3);
        if (i >= 256 + 88 * 2)
            assert_true(count >= 2);
        unlink(file_path);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(bodies_come_back_in_order_lane_by_lane),
        TEST(at_the_limit_the_oldest_goes_and_is_counted),
        TEST(a_body_larger_than_the_limit_is_refused),
        TEST(a_body_being_sent_is_not_counted_as_dropped),
        TEST(the_next_process_goes_on_where_a_dead_one_stopped),
        TEST(adopted_bodies_count_to_the_limit),
        TEST(a_living_process_keeps_its_own),
        TEST(a_tail_cut_anywhere_costs_only_what_was_cut),
        TEST(a_flipped_byte_costs_at_most_what_follows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

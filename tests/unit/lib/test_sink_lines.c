// SPDX-License-Identifier: Apache-2.0
/* Lines to pipes and files: whole lines, rotation, slow and absent readers. */
#include "lib/sink_lines.h"

#include "base/clock.h"
#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], path[96];

static int make_dir(void **state UNUSED)
{
    snprintf(dir, sizeof(dir), "/tmp/sonde-lines-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/api.log", dir);
    return 0;
}

static int remove_dir(void **state UNUSED)
{
    static const char *const suffixes[] = { "", ".1", ".2", ".3", ".old" };
    char name[128];
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
    return rmdir(dir);
}

static line_sink open_file(uint64_t rotate_bytes, uint32_t keep)
{
    line_sink s;
    error err;
    assert_int_equal(line_sink_init(&s,
                                    &(line_sink_options){ .kind = LOG_TO_FILE,
                                                          .path = str_c(path),
                                                          .rotate_bytes = rotate_bytes,
                                                          .rotate_keep = keep },
                                    &err),
                     0);
    return s;
}

static void write_lines(line_sink *s, const char *text)
{
    buf_str(&s->pending, str_c(text));
    assert_int_equal(line_sink_step(s), LINES_DONE);
    assert_int_equal(s->pending.len, 0);
}

static void assert_file(const char *suffix, const char *want)
{
    char name[128];
    buf got;
    error err;
    snprintf(name, sizeof(name), "%s%s", path, suffix);
    buf_init(&got, MiB(1));
    if (file_read(name, &got, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    if (!str_is(buf_view(&got), want))
        fail_msg("%s: got \"%.*s\", want \"%s\"", name, STR_ARG(buf_view(&got)), want);
    buf_done(&got);
}

static void a_file_rotates_at_a_lines_end_and_keeps_so_many(void **state UNUSED)
{
    line_sink s = open_file(12, 2);
    write_lines(&s, "aaaa\nbbbb\ncccc\ndddd\n");
    assert_file("", "cccc\ndddd\n");
    assert_file(".1", "aaaa\nbbbb\n");
    write_lines(&s, "eeee\nffff\n");
    write_lines(&s, "longer than the limit\n");
    write_lines(&s, "g\n");
    assert_file("", "g\n");
    assert_file(".1", "longer than the limit\n");
    assert_file(".2", "eeee\nffff\n");
    char third[128];
    snprintf(third, sizeof(third), "%s.3", path);
    assert_int_not_equal(access(third, F_OK), 0);
    line_sink_done(&s);
}

static void a_file_is_appended_to_and_its_size_counts(void **state UNUSED)
{
    line_sink s = open_file(12, 1);
    write_lines(&s, "aaaa\n");
    line_sink_done(&s);
    s = open_file(12, 1);
    write_lines(&s, "bbbb\n");
    write_lines(&s, "cccc\n");
    assert_file("", "cccc\n");
    assert_file(".1", "aaaa\nbbbb\n");
    line_sink_done(&s);
}

static void a_file_that_somebody_renamed_is_opened_anew(void **state UNUSED)
{
    char renamed[128];
    line_sink s = open_file(0, 0);
    write_lines(&s, "before\n");
    snprintf(renamed, sizeof(renamed), "%s.old", path);
    assert_int_equal(rename(path, renamed), 0);
    s.checked_ns = -2 * NS_PER_S; /* as if a second had passed */
    write_lines(&s, "after\n");
    assert_file("", "after\n");
    assert_file(".old", "before\n");
    line_sink_done(&s);
}

static void a_directory_that_is_missing_is_an_error(void **state UNUSED)
{
    line_sink s;
    error err;
    status st = line_sink_init(
        &s, &(line_sink_options){ .kind = LOG_TO_FILE, .path = STR("/nonexistent/x/y.log") }, &err);
    assert_int_equal(st, STATUS_NOT_FOUND);
    assert_int_equal(line_sink_step(&s), LINES_GONE);
    line_sink_done(&s);
}

static void a_file_rotates_when_it_is_old(void **state UNUSED)
{
    line_sink s;
    error err;
    line_sink_options options = {
        .kind = LOG_TO_FILE, .path = str_c(path), .rotate_age_s = 3600, .rotate_keep = 2
    };
    assert_int_equal(line_sink_init(&s, &options, &err), STATUS_OK);
    write_lines(&s, "one\n");
    write_lines(&s, "two\n");
    assert_file("", "one\ntwo\n");
    s.born_ns -= 3599 * NS_PER_S;
    write_lines(&s, "three\n");
    assert_file("", "one\ntwo\nthree\n");
    s.born_ns -= 2 * NS_PER_S;
    write_lines(&s, "four\n");
    assert_file("", "four\n");
    assert_file(".1", "one\ntwo\nthree\n");
    line_sink_done(&s);
    /* Found again, it is as old as it was. */
    assert_int_equal(line_sink_init(&s, &options, &err), STATUS_OK);
    int64_t now = clock_now_ns();
    assert_true(s.born_ns <= now && s.born_ns > now - 60 * NS_PER_S);
    s.born_ns -= 3600 * NS_PER_S;
    write_lines(&s, "five\n");
    assert_file(".1", "four\n");
    assert_file(".2", "one\ntwo\nthree\n");
    line_sink_done(&s);
}

static void an_empty_file_does_not_get_old(void **state UNUSED)
{
    line_sink s;
    error err;
    line_sink_options options = {
        .kind = LOG_TO_FILE, .path = str_c(path), .rotate_age_s = 10, .rotate_keep = 2
    };
    assert_int_equal(line_sink_init(&s, &options, &err), STATUS_OK);
    s.born_ns -= 100 * NS_PER_S;
    write_lines(&s, "first\n");
    assert_file("", "first\n");
    char rotated[128];
    snprintf(rotated, sizeof(rotated), "%s.1", path);
    assert_int_not_equal(access(rotated, F_OK), 0);
    line_sink_done(&s);
}

/* A sink on a pipe instead of standard output. */
static line_sink open_pipe(int fds[2])
{
    line_sink s;
    error err;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(line_sink_init(&s, &(line_sink_options){ .kind = LOG_TO_STDOUT }, &err), 0);
    s.fd = fds[1];
    s.is_pipe = true;
    return s;
}

static void a_slow_reader_blocks_nobody_and_gets_every_byte(void **state UNUSED)
{
    int fds[2];
    line_sink s = open_pipe(fds);
    size_t lines = 20000, got = 0;
    char line[64];
    for (size_t i = 0; i < lines; i++)
        buf_fmt(&s.pending, "line %09zu\n", i);
    size_t total = s.pending.len;
    assert_int_equal(line_sink_step(&s), LINES_BLOCKED);
    char *all = malloc(total);
    lines_progress p = LINES_BLOCKED;
    while (got < total) {
        ssize_t n = read(fds[0], all + got, total - got);
        assert_true(n > 0);
        got += (size_t)n;
        if (p == LINES_BLOCKED)
            p = line_sink_step(&s);
    }
    assert_int_equal(p, LINES_DONE);
    for (size_t i = 0; i < lines; i++) {
        int n = snprintf(line, sizeof(line), "line %09zu\n", i);
        assert_memory_equal(all + i * (size_t)n, line, n);
    }
    free(all);
    line_sink_done(&s);
    close(fds[0]);
    close(fds[1]);
}

static void lines_that_nobody_takes_can_be_forgotten_but_the_one_begun(void **state UNUSED)
{
    int fds[2];
    static char got[MiB(1)];
    line_sink s = open_pipe(fds);
    assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, 4096), 4096);
    assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    /* The first line is longer than the pipe. */
    for (int i = 0; i < 10000; i++)
        buf_char(&s.pending, 'a');
    buf_lit(&s.pending, "\nsecond\nthird\n");
    assert_int_equal(line_sink_step(&s), LINES_BLOCKED);
    assert_int_equal(line_sink_forget(&s), 2);
    assert_int_equal(line_sink_forget(&s), 0);
    size_t n = 0;
    lines_progress p = LINES_BLOCKED;
    while (n < 10001) {
        ssize_t more = read(fds[0], got + n, sizeof(got) - n);
        assert_true(more > 0);
        n += (size_t)more;
        if (p == LINES_BLOCKED)
            p = line_sink_step(&s);
    }
    assert_int_equal(p, LINES_DONE);
    assert_int_equal(n, 10001);
    assert_int_equal(got[10000], '\n');
    line_sink_done(&s);
    close(fds[0]);
    close(fds[1]);
}

static void a_reader_that_went_away_is_gone(void **state UNUSED)
{
    int fds[2];
    line_sink s = open_pipe(fds);
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    close(fds[0]);
    buf_str(&s.pending, STR("lost\n"));
    assert_int_equal(line_sink_step(&s), LINES_GONE);
    assert_int_equal(s.pending.len, 0);
    buf_str(&s.pending, STR("lost too\n"));
    assert_int_equal(line_sink_step(&s), LINES_GONE);
    signal(SIGPIPE, before);
    line_sink_done(&s);
    close(fds[1]);
}

static void pieces_of_a_pipe_end_with_lines(void **state UNUSED)
{
    int fds[2];
    char piece[8192];
    line_sink s = open_pipe(fds);
    /* As a packet pipe: each write is read by itself. */
    assert_int_equal(fcntl(fds[1], F_SETFL, O_DIRECT), 0);
    for (int i = 0; i < 200; i++)
        buf_fmt(&s.pending, "{\"line\":%d,\"filler\":\"%.*s\"}\n", i, 40,
                "----------------------------------------");
    assert_int_equal(line_sink_step(&s), LINES_DONE);
    close(fds[1]);
    ssize_t n;
    while ((n = read(fds[0], piece, sizeof(piece))) > 0) {
        assert_int_equal(piece[0], '{');
        assert_int_equal(piece[n - 1], '\n');
    }
    line_sink_done(&s);
    close(fds[0]);
}

int main(void)
{
#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        FILE_TEST(a_file_rotates_at_a_lines_end_and_keeps_so_many),
        FILE_TEST(a_file_is_appended_to_and_its_size_counts),
        FILE_TEST(a_file_that_somebody_renamed_is_opened_anew),
        FILE_TEST(a_file_rotates_when_it_is_old),
        FILE_TEST(an_empty_file_does_not_get_old),
        cmocka_unit_test(lines_that_nobody_takes_can_be_forgotten_but_the_one_begun),
        cmocka_unit_test(a_directory_that_is_missing_is_an_error),
        cmocka_unit_test(a_slow_reader_blocks_nobody_and_gets_every_byte),
        cmocka_unit_test(a_reader_that_went_away_is_gone),
        cmocka_unit_test(pieces_of_a_pipe_end_with_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

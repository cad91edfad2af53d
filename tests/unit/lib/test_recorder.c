// SPDX-License-Identifier: Apache-2.0
/* The recorder's file: where it is made and with which rights, and what happens where there is no
 * room for it. */
#include "tests/unit/lib/recorder_fixture.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static recorder_options options_in(const char *dir)
{
    return (recorder_options){ .service = STR("a/b c"), .dir = str_c(dir) };
}

static void the_file_is_private_and_named_after_the_service(void **state)
{
    fixture *f = *state;
    struct stat st;
    recorder *r;
    error err;
    recorder_options options = options_in(f->dir);
    assert_ok(recorder_open(&r, &options, &err));
    assert_int_equal(stat(recorder_path(r), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(st.st_size >= (off_t)MiB(15));
    assert_true(st.st_blocks * 512 < (off_t)MiB(1));
    const char *name = strrchr(recorder_path(r), '/') + 1;
    assert_true(str_starts(str_c(name), STR("a_b_c-")));
    assert_true(str_ends(str_c(name), STR(".rec")));
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", recorder_path(r));
    recorder_close(r, true);
    assert_int_equal(stat(path, &st), -1);
}

static void space_is_taken_as_it_is_needed(void **state)
{
    fixture *f = *state;
    uint64_t before = recorder_reader_info(f->reader).reserved_bytes;
    assert_int_equal(before, KiB(256));
    for (int i = 0; i < 20000; i++)
        sonde_info("fill", sonde_kv("i", i), sonde_kv("text", "some text to fill it"));
    uint64_t after = recorder_reader_info(f->reader).reserved_bytes;
    assert_true(after > MiB(1) && after < MiB(4));
    struct stat st;
    assert_int_equal(stat(recorder_path(f->recorder), &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 >= after);
}

static void a_directory_that_cannot_be_means_memory_and_a_reason(void **state)
{
    (void)state;
    recorder_options options = options_in("/proc/none");
    recorder *r;
    error err = { 0 };
    assert_int_equal(recorder_open(&r, &options, &err), STATUS_OK);
    assert_int_equal(recorder_fd(r), -1);
    assert_string_equal(recorder_path(r), "");
    assert_true(str_contains(str_c(err.message), STR("/proc/none")));
    recorder_close(r, true);
}

/* Runs `body` in a child, so that its limits and mounts are its own; its exit code. */
static int in_child(int (*body)(fixture *), fixture *f)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(body(f));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status)); /* no SIGBUS, no SIGXFSZ */
    return WEXITSTATUS(status);
}

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            return 1; \
        } \
    } while (0)

/* Writes `count` logs into a new recorder in `dir` and reads them back; what was not read must have
 * been counted. */
static int write_and_read(const char *dir, size_t bytes, int count, bool in_memory)
{
    recorder_options options = options_in(dir);
    recorder *r;
    recorder_reader *reader;
    recorder_cursor *cursor;
    batch logs;
    error err = { 0 };
    state_sampler all = { 0 };
    options.bytes = bytes;
    CHECK(recorder_open(&r, &options, &err) == STATUS_OK);
    CHECK((recorder_fd(r) < 0) == in_memory);
    CHECK((err.message[0] != 0) == in_memory);
    CHECK(state_enable(r, &options, SONDE_INFO, all, &err) == STATUS_OK);
    for (int i = 0; i < count; i++)
        sonde_info("fill", sonde_kv("i", i), sonde_kv("text", "some text to fill it with"));
    CHECK(recorder_open_reader(r, &reader, NULL, &err) == STATUS_OK);
    CHECK(recorder_reader_info(reader).alive);
    CHECK(recorder_cursor_open(reader, &cursor, STR("test"), &err) == STATUS_OK);
    batch_init(&logs, SIGNAL_LOGS, MiB(256));
    uint32_t rows;
    bool full;
    CHECK(recorder_poll(reader, cursor, INT64_MAX, UINT32_MAX, &logs, NULL, &rows, &full, &err) ==
          STATUS_OK);
    CHECK(rows > 100);
    CHECK(rows + recorder_drops(reader, SIGNAL_LOGS, RECORDER_DROP_FULL) == (uint64_t)count);
    CHECK(recorder_cursor_commit(reader, cursor, &err) == STATUS_OK);
    CHECK(recorder_drops(reader, SIGNAL_LOGS, RECORDER_DROP_FULL) > 0);
    for (int64_t end = clock_mono_ns() + NS_PER_MS; clock_mono_ns() < end;)
        ;
    sonde_info("again");
    batch_clear(&logs);
    CHECK(recorder_poll(reader, cursor, INT64_MAX, UINT32_MAX, &logs, NULL, &rows, &full, &err) ==
          STATUS_OK);
    CHECK(rows == 1);
    batch_done(&logs);
    recorder_reader_close(reader);
    recorder_close(state_disable(), true);
    return 0;
}

static int limited_to_64k(fixture *f)
{
    struct rlimit limit = { KiB(64), KiB(64) };
    CHECK(state_disable() != NULL);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    return write_and_read(f->dir, MiB(2), 40000, true);
}

static int limited_to_512k(fixture *f)
{
    struct rlimit limit = { KiB(512), KiB(512) };
    CHECK(state_disable() != NULL);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    return write_and_read(f->dir, MiB(16), 40000, false);
}

static void a_file_size_limit_shrinks_the_recorder_or_moves_it_to_memory(void **state)
{
    fixture *f = *state;
    assert_int_equal(in_child(limited_to_64k, f), 0);
    assert_int_equal(in_child(limited_to_512k, f), 0);
}

#define NO_MOUNT 77

static int mounted(fixture *f, const char *size, size_t bytes, int count, bool in_memory)
{
    char dir[96];
    snprintf(dir, sizeof(dir), "%s/small", f->dir);
    mkdir(dir, 0700);
    CHECK(state_disable() != NULL);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("small", dir, "tmpfs", 0, size) != 0)
        return NO_MOUNT;
    return write_and_read(dir, bytes, count, in_memory);
}

/* The default directory, in a /dev/shm of one's own: made as it must be, refused when somebody else
 * prepared it. */
static int default_directory(fixture *f)
{
    char path[64];
    recorder *r;
    error err = { 0 };
    struct stat st;
    recorder_options options = { .service = STR("x") };
    CHECK(state_disable() != NULL);
    (void)f;
    unsetenv("STATE_DIRECTORY");
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("shm", "/dev/shm", "tmpfs", 0, "size=4m") != 0)
        return NO_MOUNT;
    snprintf(path, sizeof(path), "/dev/shm/sonde-%u", (unsigned)geteuid());
    CHECK(recorder_open(&r, &options, &err) == STATUS_OK && recorder_fd(r) >= 0);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0700);
    recorder_close(r, true);
    CHECK(chmod(path, 0770) == 0);
    CHECK(recorder_open(&r, &options, &err) == STATUS_OK && recorder_fd(r) < 0);
    CHECK(strstr(err.message, "0700") != NULL);
    recorder_close(r, true);
    CHECK(rmdir(path) == 0 && symlink("/tmp", path) == 0);
    CHECK(recorder_open(&r, &options, &err) == STATUS_OK && recorder_fd(r) < 0);
    CHECK(strstr(err.message, "no link") != NULL);
    recorder_close(r, true);
    return 0;
}

static void the_default_directory_is_private_and_no_link(void **state)
{
    int code = in_child(default_directory, *state);
    if (code == NO_MOUNT)
        skip();
    assert_int_equal(code, 0);
}

static int on_1_mib(fixture *f)
{
    return mounted(f, "size=1m", MiB(16), 40000, false);
}

static int on_64_kib(fixture *f)
{
    return mounted(f, "size=64k", MiB(2), 80000, true);
}

static void a_small_tmpfs_shrinks_the_recorder_or_moves_it_to_memory(void **state)
{
    fixture *f = *state;
    int code = in_child(on_1_mib, f);
    if (code == NO_MOUNT)
        skip();
    assert_int_equal(code, 0);
    assert_int_equal(in_child(on_64_kib, f), 0);
}

static void a_clean_stop_says_so_in_the_file(void **state)
{
    fixture *f = *state;
    recorder_reader *r;
    error err;
    recorder_options options = options_in(f->dir);
    recorder *own;
    char path[PATH_MAX];
    assert_ok(recorder_open(&own, &options, &err));
    snprintf(path, sizeof(path), "%s", recorder_path(own));
    assert_ok(
        recorder_reader_open(&r, path, &(recorder_reader_options){ .read_only = true }, &err));
    assert_false(recorder_reader_info(r).ended);
    recorder_close(own, false);
    assert_true(recorder_reader_info(r).ended);
    recorder_cursor *c;
    assert_ok(recorder_cursor_open(r, &c, STR("x"), &err));
    assert_int_equal(recorder_drops_add(r, SIGNAL_LOGS, RECORDER_DROP_EXPORT, 1, &err),
                     STATUS_INVALID);
    recorder_reader_close(r);
}

static void calibration_keeps_times_right(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < 200; i++) {
        int64_t end = clock_mono_ns() + NS_PER_MS / 2;
        while (clock_mono_ns() < end)
            ;
        recorder_recalibrate(f->recorder);
    }
    uint64_t ticks = recorder_ticks();
    int64_t now = clock_now_ns();
    (void)recorder_reader_info(f->reader);
    assert_true(llabs(recorder_ticks_to_ns(f->reader, ticks) - now) < NS_PER_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(the_file_is_private_and_named_after_the_service),
        FIXTURE_TEST(space_is_taken_as_it_is_needed),
        cmocka_unit_test(a_directory_that_cannot_be_means_memory_and_a_reason),
        FIXTURE_TEST(the_default_directory_is_private_and_no_link),
        FIXTURE_TEST(a_file_size_limit_shrinks_the_recorder_or_moves_it_to_memory),
        FIXTURE_TEST(a_small_tmpfs_shrinks_the_recorder_or_moves_it_to_memory),
        FIXTURE_TEST(a_clean_stop_says_so_in_the_file),
        FIXTURE_TEST(calibration_keeps_times_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* Starting and stopping: twice, after each other, in odd surroundings. */
#include "unit/lib/live_fixture.h"

#include "lib/state.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static void start_and_stop_twice_are_fine(void **state UNUSED)
{
    sonde_options o = live_options();
    sonde_stop();
    assert_int_equal(sonde_start(&o), 0);
    recorder *first = state_recorder();
    assert_non_null(first);
    assert_int_equal(sonde_start(&o), 0);
    assert_ptr_equal(state_recorder(), first);
    sonde_info("one");
    sonde_stop();
    sonde_stop();
    assert_null(state_recorder());
    sonde_info("lost");
    assert_int_equal(sonde_start(&o), 0);
    sonde_info("two");
    sonde_stop();
    assert_int_equal(live_count("\"message\":\"one\""), 1);
    assert_int_equal(live_count("\"message\":\"two\""), 1);
    assert_int_equal(live_count("lost"), 0);
    assert_int_equal(live_files(false), 0);
}

static void no_options_are_needed(void **state UNUSED)
{
    setenv("SONDE_RECORDER_DIR", live_dir, 1);
    setenv("SONDE_LOG_OUTPUT", live_output, 1);
    assert_int_equal(sonde_start(NULL), 0);
    sonde_info("plain");
    sonde_stop();
    assert_int_equal(live_count("\"service\":\"unknown_service:unit_lib_start\""), 1);
}

static void a_disabled_library_does_nothing(void **state UNUSED)
{
    setenv("OTEL_SDK_DISABLED", "true", 1);
    sonde_options o = live_options();
    assert_int_equal(sonde_start(&o), 0);
    sonde_error("nobody_hears");
    assert_null(state_recorder());
    assert_int_equal(live_files(false), 0);
    sonde_stop();
    assert_int_not_equal(access(live_log, F_OK), 0);
}

static void exit_drains(void **state UNUSED)
{
    pid_t child = fork();
    if (child == 0) {
        sonde_options o = live_options();
        sonde_start(&o);
        sonde_info("on_the_way_out");
        exit(0);
    }
    int ended;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
    assert_int_equal(live_count("on_the_way_out"), 1);
    assert_int_equal(live_files(false), 0);
}

/* A recorder directory that cannot be used costs crash recovery and nothing else. */
static void a_directory_that_cannot_be_used_is_no_failure(void **state UNUSED)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/file", live_dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    snprintf(path, sizeof(path), "%s/file/sub", live_dir);
    sonde_options o = live_options();
    o.recorder_dir = path;
    assert_int_equal(sonde_start(&o), 0);
    sonde_info("still_here");
    sonde_stop();
    assert_int_equal(live_count("still_here"), 1);
}

static void a_log_file_that_cannot_be_opened_is_no_failure(void **state UNUSED)
{
    sonde_options o = live_options();
    o.log_output = "file:/nonexistent/dir/x.log";
    assert_int_equal(sonde_start(&o), 0);
    sonde_info("on_stderr");
    sonde_stop();
    assert_int_equal(live_files(false), 0);
}

static void the_level_is_the_configured_one(void **state UNUSED)
{
    setenv("LOG_LEVEL", "error", 1);
    sonde_options o = live_options();
    assert_int_equal(sonde_start(&o), 0);
    sonde_warn("quiet");
    sonde_error("loud");
    sonde_stop();
    assert_int_equal(live_count("quiet"), 0);
    assert_int_equal(live_count("loud"), 1);
}

int main(void)
{
#define LIVE(f) cmocka_unit_test_setup_teardown(f, live_make, live_remove)
    const struct CMUnitTest tests[] = {
        LIVE(start_and_stop_twice_are_fine),
        LIVE(no_options_are_needed),
        LIVE(a_disabled_library_does_nothing),
        LIVE(exit_drains),
        LIVE(a_directory_that_cannot_be_used_is_no_failure),
        LIVE(a_log_file_that_cannot_be_opened_is_no_failure),
        LIVE(the_level_is_the_configured_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

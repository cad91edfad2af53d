// SPDX-License-Identifier: Apache-2.0
/* Which files are set aside under which name, and which old ones go. */
#include "base/file.h"
#include "pipeline/exporters/file_rotate.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const int64_t noon = 1760270400 * NS_PER_S + 125 * NS_PER_MS; /* 2025-10-12T12:00:00.125Z */
static char dir[64];

static void path_of(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/%s", dir, name);
}

static void put(const char *name)
{
    char path[300];
    path_of(path, sizeof(path), name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static bool has(const char *name)
{
    char path[300];
    path_of(path, sizeof(path), name);
    return access(path, F_OK) == 0;
}

static void rotate(const char *name, file_rotation r, int64_t now)
{
    char path[300];
    error err;
    put(name);
    path_of(path, sizeof(path), name);
    assert_int_equal(file_rotate(str_c(path), &r, now, &err), STATUS_OK);
    assert_false(has(name));
}

static int make(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/sonde-test-rotate-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int clear(void **state)
{
    (void)state;
    char path[300];
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        path_of(path, sizeof(path), e->d_name);
        (void)unlink(path);
    }
    if (d)
        closedir(d);
    return rmdir(dir);
}

static void names_carry_the_time_before_the_extension(void **state)
{
    (void)state;
    rotate("data.json", (file_rotation){ 0 }, noon);
    assert_true(has("data-2025-10-12T12-00-00.125.json"));
    rotate("data", (file_rotation){ 0 }, noon);
    assert_true(has("data-2025-10-12T12-00-00.125"));
    rotate(".data", (file_rotation){ 0 }, noon);
    assert_true(has(".data-2025-10-12T12-00-00.125"));
}

static void two_of_one_moment_are_both_kept(void **state)
{
    (void)state;
    rotate("data.json", (file_rotation){ 0 }, noon);
    rotate("data.json", (file_rotation){ 0 }, noon);
    assert_true(has("data-2025-10-12T12-00-00.125.json"));
    assert_true(has("data-2025-10-12T12-00-00.126.json"));
}

static void the_oldest_go_by_number_and_by_age(void **state)
{
    (void)state;
    put("data-2025-10-11T12-00-00.000.json");
    put("data-2025-10-09T12-00-00.000.json");
    put("data-2025-10-12T11-00-00.000.json");
    rotate("data.json", (file_rotation){ .max_days = 3 }, noon);
    assert_false(has("data-2025-10-09T12-00-00.000.json"));
    assert_true(has("data-2025-10-11T12-00-00.000.json"));
    rotate("data.json", (file_rotation){ .max_backups = 2 }, noon + NS_PER_S);
    assert_false(has("data-2025-10-11T12-00-00.000.json"));
    assert_false(has("data-2025-10-12T11-00-00.000.json"));
    assert_true(has("data-2025-10-12T12-00-00.125.json"));
    assert_true(has("data-2025-10-12T12-00-01.125.json"));
}

static void files_of_others_are_left_alone(void **state)
{
    (void)state;
    static const char *const others[] = {
        "data-backup.json",
        "data-2025-10-11T12-00-00.000.jsonl",
        "other-2025-10-11T12-00-00.000.json",
        "data-2025-10-11T12-00-00.0x0.json",
        "data2-2025-10-11T12-00-00.000.json",
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        put(others[i]);
    rotate("data.json", (file_rotation){ .max_backups = 1, .max_days = 1 }, noon);
    rotate("data.json", (file_rotation){ .max_backups = 1, .max_days = 1 }, noon + NS_PER_S);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_true(has(others[i]));
    assert_false(has("data-2025-10-12T12-00-00.125.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_carry_the_time_before_the_extension, make, clear),
        cmocka_unit_test_setup_teardown(two_of_one_moment_are_both_kept, make, clear),
        cmocka_unit_test_setup_teardown(the_oldest_go_by_number_and_by_age, make, clear),
        cmocka_unit_test_setup_teardown(files_of_others_are_left_alone, make, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

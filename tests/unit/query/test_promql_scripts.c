// SPDX-License-Identifier: Apache-2.0
/* Runs the scripts of tests/query, the readable specification of PromQL here. Prometheus's own
 * published scripts are run as well where they are at hand; their score is printed and decides
 * nothing. */
#include "unit/query/promql_script.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint32_t run_folder(const char *folder, bool verbose, script *total)
{
    DIR *dir = opendir(folder);
    uint32_t files = 0;
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[512];
        script one = { 0 };
        if (!str_ends(str_c(entry->d_name), STR(".test")))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        assert_true(script_file(path, verbose, &one));
        if (verbose || one.failed)
            printf("  %-28s %4u passed %4u failed %4u skipped\n", entry->d_name, one.passed,
                   one.failed, one.skipped);
        total->passed += one.passed;
        total->failed += one.failed;
        total->skipped += one.skipped;
        files++;
    }
    closedir(dir);
    return files;
}

static void our_scripts_hold(void **state)
{
    (void)state;
    script total = { 0 };
    uint32_t files = run_folder(SOURCE_DIR "/tests/query", true, &total);
    assert_true(files >= 5);
    assert_true(total.passed > 100);
    assert_int_equal(total.failed, 0);
    assert_int_equal(total.skipped, 0);
}

static void published_scripts_are_scored(void **state)
{
    (void)state;
    script total = { 0 };
    bool verbose = getenv("SONDE_SCRIPTS_VERBOSE") != NULL;
    if (!run_folder(SOURCE_DIR "/../shared/conformance/promql", verbose, &total)) {
        printf("  skipped: ../shared/conformance/promql is not here\n");
        return;
    }
    printf("  published scripts: %u passed, %u failed, %u skipped (native histograms, start "
           "timestamps)\n",
           total.passed, total.failed, total.skipped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_scripts_hold),
        cmocka_unit_test(published_scripts_are_scored),
    };
    return cmocka_run_group_tests_name("promql_scripts", tests, NULL, NULL);
}

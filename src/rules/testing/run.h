// SPDX-License-Identifier: Apache-2.0
/* Runs unit tests of rules: a store of its own in a temporary folder, the groups of the rule files
 * evaluated by a clock that only the test moves, and promtool's verdicts. One thread; any number of
 * runs at once. */
#ifndef SONDE_RULES_TESTING_RUN_H
#define SONDE_RULES_TESTING_RUN_H

#include "rules/testing/test_file.h"

typedef struct {
    str name;
    str *failures; /* each a text of several lines */
    uint32_t failure_count;
    int64_t duration_ns;
} test_result;

typedef struct {
    const char *path;
    str problem;   /* why no test ran; empty: they did */
    str *warnings; /* patterns that matched no file */
    uint32_t warning_count;
    test_result *results;
    uint32_t result_count;
    uint32_t failed; /* tests */
} test_suite;

typedef struct {
    const char *folder;                   /* for stores; NULL: /dev/shm or TMPDIR */
    bool (*wanted)(void *user, str name); /* NULL: all */
    void *user;
    uint32_t features; /* PROMQL_… */
} test_options;

/* All of it in `a`. STATUS_OK also when tests failed; STATUS_INVALID with `problem` when the file
 * is wrong; anything else: the operating system refused something. */
MUST_USE status test_file_run(arena *a, const char *path, const test_options *options,
                              test_suite *ret, error *err);

#endif

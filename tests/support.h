// SPDX-License-Identifier: Apache-2.0
/* What the unit tests share: cmocka with its required includes, and a temporary directory. */
#ifndef SONDE_TESTS_SUPPORT_H
#define SONDE_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka's fail() would hide that of base/error.h. */
#undef fail
#undef fail_msg
#define fail_msg(...) \
    (print_error("ERROR: " __VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

#include "base/clock.h"
#include "base/str.h"
#include "tsan.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define assert_str(actual, expected) \
    do { \
        str actual_ = (actual), expected_ = (expected); \
        if (!str_eq(actual_, expected_)) \
            fail_msg("got \"%.*s\", expected \"%.*s\"", STR_ARG(actual_), STR_ARG(expected_)); \
    } while (0)

#define assert_ok(call) \
    do { \
        if ((call) != STATUS_OK) \
            fail_msg("%s: %s", #call, err.message); \
    } while (0)

/* Waits until `condition` holds, at most `seconds`; the only kind of waiting that tests do. */
#define wait_until(condition, seconds) \
    do { \
        int64_t end_ = clock_mono_ns() + (seconds)*NS_PER_S; \
        while (!(condition)) { \
            if (clock_mono_ns() > end_) \
                fail_msg("waited %d s for: %s", (int)(seconds), #condition); \
            usleep(1000); \
        } \
    } while (0)

static inline int test_remove_entry(const char *path, const struct stat *st, int flag,
                                    struct FTW *f)
{
    (void)st, (void)flag, (void)f;
    return remove(path);
}

/* A new directory under $TMPDIR or /tmp; remove it with test_remove_dir. */
static inline void test_make_dir(char ret[static 64])
{
    snprintf(ret, 64, "/tmp/sonde-test-XXXXXX");
    assert_non_null(mkdtemp(ret));
}

static inline void test_remove_dir(const char *dir)
{
    nftw(dir, test_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

#endif

// SPDX-License-Identifier: Apache-2.0
/* store_open without memory: each allocation of opening is refused once, with and without parts and
 * a log to replay; what was there stays. The allocating sources are compiled in here, so that the
 * sanitizers keep their own malloc. */
#include <stdlib.h>
#include <string.h>

static long refuse_at = -1; /* the allocation to refuse; -1: none */
static long allocations;

static int refused(void)
{
    return allocations++ == refuse_at;
}

static void *test_malloc(size_t n)
{
    return refused() ? NULL : malloc(n);
}

static void *test_calloc(size_t n, size_t size)
{
    return refused() ? NULL : calloc(n, size);
}

static void *test_realloc(void *p, size_t n)
{
    return refused() ? NULL : realloc(p, n);
}

static char *test_strdup(const char *s)
{
    return refused() ? NULL : strdup(s);
}

#define malloc  test_malloc
#define calloc  test_calloc
#define realloc test_realloc
#undef strdup
#define strdup test_strdup

#include "store/dedup.c"
#include "store/intake.c"
#include "store/manifest.c"
#include "store/mem.c"
#include "store/part.c"
#include "store/store.c"

#undef malloc
#undef calloc
#undef realloc
#undef strdup

#include "fixture.h"

static void ingest_one(store *s, int64_t t)
{
    batch b;
    batch_init(&b, SIGNAL_LOGS, MiB(1));
    uint32_t k = add_log(&b, add_service(&b, "a"), t, 9, STR("x"));
    add_attr(&b, &b.logs.attributes[k], "sonde.record.id",
             VALUE_S(text(&b, "r:0:%lld", (long long)(t - T0_NS))));
    ingest(s, &b);
    batch_done(&b);
}

static void open_survives_each_refused_allocation(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_store(dir);
    ingest_one(s, T0_NS);
    seal(s);
    ingest_one(s, T0_NS + 1); /* to be replayed */
    store_close(s);
    long tried = 0;
    for (bool opened = false; !opened; tried++) {
        error err = { 0 };
        allocations = 0;
        refuse_at = tried;
        status st = store_open(&s, &(store_options){ .dir = dir }, &err);
        opened = st == STATUS_OK;
        bool was_refused = allocations > tried;
        refuse_at = -1;
        if (opened)
            assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 2);
        else
            assert_true(strlen(err.message) > 5);
        if (opened)
            store_close(s);
        opened = opened && !was_refused;
    }
    assert_true(tried > 6);
    s = open_store(dir);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 2);
    store_close(s);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_survives_each_refused_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* What the tests of the HTTP APIs share: an api on the fake store, asked by URL. */
#ifndef SONDE_TESTS_API_SUPPORT_H
#define SONDE_TESTS_API_SUPPORT_H

#include "support.h"

#include "api/api.h"
#include "unit/api/fake_http.h"
#include "unit/query/fake_store.h"

#define S(n) ((n)*NS_PER_S)

static store *db;
static api *queries;

static inline int api_set_up(void **state)
{
    (void)state;
    error err;
    db = fake_store_new();
    assert_ok(api_new(&queries, &(api_options){ .store = db, .tail_clients = 2 }, &err));
    return 0;
}

static inline int api_tear_down(void **state)
{
    (void)state;
    api_free(queries);
    fake_store_free(db);
    fake_done();
    return 0;
}

static inline int get(const char *target)
{
    size_t count;
    const http_route *rows = api_routes(queries, &count);
    return fake_get(rows, count, target);
}

/* Asks, and compares status code and whole body. */
#define assert_answer(target, code, body) \
    do { \
        int code_ = get(target); \
        if (code_ != (code)) \
            fail_msg("%s: %d: %.*s", (target), code_, STR_ARG(fake_body())); \
        assert_str(fake_body(), str_c(body)); \
    } while (0)

#define assert_answer_has(target, code, part) \
    do { \
        int code_ = get(target); \
        if (code_ != (code) || !str_contains(fake_body(), str_c(part))) \
            fail_msg("%s: %d: %.*s", (target), code_, STR_ARG(fake_body())); \
    } while (0)

#define API_TEST(name) cmocka_unit_test_setup_teardown(name, api_set_up, api_tear_down)

#endif

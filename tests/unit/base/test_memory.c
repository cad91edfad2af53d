// SPDX-License-Identifier: Apache-2.0
/* Arena, buffer and map: growth, limits, reuse. */
#include "support.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"

#include <math.h>

static void arena_refuses_past_its_limit_and_clears(void **state)
{
    (void)state;
    arena a;
    arena_init(&a, KiB(64));
    assert_non_null(arena_alloc(&a, KiB(16)));
    assert_null(arena_alloc(&a, KiB(64)));
    assert_null(arena_calloc(&a, SIZE_MAX, 16));
    assert_non_null(arena_alloc(&a, 100));
    arena_clear(&a);
    assert_non_null(arena_alloc(&a, KiB(32)));
    uint64_t *aligned = arena_alloc_aligned(&a, 8, 64);
    assert_int_equal((uintptr_t)aligned % 64, 0);
    assert_str(arena_fmt(&a, "%d-%s", 7, "x"), STR("7-x"));
    arena_done(&a);
    assert_int_equal(a.used, 0);
}

static void buffer_keeps_its_content_when_it_fails(void **state)
{
    (void)state;
    buf b;
    error err;
    buf_init(&b, 10);
    buf_lit(&b, "12345");
    buf_lit(&b, "678901");
    assert_true(b.failed);
    assert_str(buf_view(&b), STR("12345"));
    assert_int_equal(buf_check(&b, &err, "the test"), STATUS_LIMIT);
    assert_string_equal(err.message, "the test would exceed 10 bytes");
    buf_clear(&b);
    buf_i64(&b, INT32_MIN);
    assert_true(b.failed);
    buf_done(&b);
}

static void numbers_read_back_as_written(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *text;
    } cases[] = {
        { 0, "0" },        { -0.0, "-0" }, { 0.1, "0.1" },        { 1e15, "1000000000000000" },
        { 1e21, "1e+21" }, { NAN, "NaN" }, { -INFINITY, "-Inf" }, { 99.5, "99.5" }
    };
    buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_clear(&b);
        buf_f64(&b, cases[i].v);
        assert_str(buf_view(&b), str_c(cases[i].text));
    }
    buf_clear(&b);
    buf_i64(&b, INT64_MIN);
    assert_str(buf_view(&b), STR("-9223372036854775808"));
    buf_done(&b);
}

static void formats_at_every_fill(void **state)
{
    (void)state;
    for (size_t fill = 240; fill < 272; fill++) {
        buf b;
        buf_init(&b, 0);
        for (size_t i = 0; i < fill; i++)
            buf_char(&b, 'x');
        buf_fmt(&b, "%s", "0123456789abcdef");
        assert_false(b.failed);
        assert_int_equal(b.len, fill + 16);
        assert_true(str_ends(buf_view(&b), STR("0123456789abcdef")));
        buf_done(&b);
    }
}

static void map_survives_growth_and_removal(void **state)
{
    (void)state;
    enum { N = 5000 };
    arena a;
    map m;
    arena_init(&a, 0);
    map_init(&m);
    for (uint64_t i = 0; i < N; i++) {
        bool is_new;
        uint64_t *v = map_put(&m, arena_fmt(&a, "key-%llu", (unsigned long long)i), i, &is_new);
        assert_true(v && is_new && *v == i);
    }
    for (unsigned i = 0; i < N; i += 3)
        assert_true(map_remove(&m, arena_fmt(&a, "key-%u", i)));
    for (unsigned i = 0; i < N; i++) {
        uint64_t *v = map_get(&m, arena_fmt(&a, "key-%u", i));
        assert_true(i % 3 == 0 ? v == NULL : v && *v == i);
    }
    size_t seen = 0;
    for (map_slot *s = NULL; (s = map_next(&m, s));)
        seen++;
    assert_int_equal(seen, m.count);
    map_done(&m);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_refuses_past_its_limit_and_clears),
        cmocka_unit_test(buffer_keeps_its_content_when_it_fails),
        cmocka_unit_test(numbers_read_back_as_written),
        cmocka_unit_test(formats_at_every_fill),
        cmocka_unit_test(map_survives_growth_and_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

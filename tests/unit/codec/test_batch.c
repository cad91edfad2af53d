// SPDX-License-Identifier: Apache-2.0
/* Batches: growth keeps what was added, limits hold, copies are deep. */
#include "codec/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void rows_survive_growth_in_every_signal(void **state)
{
    (void)state;
    for (int s = 0; s < SIGNAL_COUNT; s++) {
        batch b;
        batch_init(&b, (signal_kind)s, 0);
        for (uint32_t r = 0; r < 9; r++) {
            assert_int_equal(batch_add_resource(&b), r);
            assert_int_equal(batch_add_scope(&b, r), r);
            if (s == SIGNAL_METRICS)
                assert_int_equal(batch_add_metric(&b, r), r);
        }
        for (uint32_t i = 0; i < 1000; i++) {
            uint32_t row = s == SIGNAL_LOGS      ? batch_add_log(&b, i % 9)
                           : s == SIGNAL_METRICS ? batch_add_point(&b, i % 9)
                                                 : batch_add_span(&b, i % 9);
            assert_int_equal(row, i);
            if (s == SIGNAL_LOGS) {
                assert_int_equal(b.logs.body[i].type, VALUE_EMPTY);
                b.logs.time_ns[i] = i;
                b.logs.body[i] = VALUE_I(i);
            } else if (s == SIGNAL_METRICS) {
                assert_int_equal(b.points.flags[i], 0);
                b.points.time_ns[i] = i;
                b.points.value[i].f64 = i;
            } else {
                assert_false(trace_id_is_set(b.spans.trace[i]));
                b.spans.start_ns[i] = i;
                b.spans.trace[i].bytes[15] = (uint8_t)i;
            }
        }
        assert_int_equal(batch_row_count(&b), 1000);
        for (uint32_t i = 0; i < 1000; i++) {
            if (s == SIGNAL_LOGS) {
                assert_int_equal(b.logs.time_ns[i], i);
                assert_int_equal(b.logs.scope[i], i % 9);
                assert_int_equal(b.logs.body[i].i64, i);
            } else if (s == SIGNAL_METRICS) {
                assert_int_equal(b.points.metric[i], i % 9);
                assert_true(b.points.value[i].f64 == i);
            } else {
                assert_int_equal(b.spans.scope[i], i % 9);
                assert_int_equal(b.spans.trace[i].bytes[15], (uint8_t)i);
            }
        }
        for (uint32_t r = 0; r < 9; r++)
            assert_int_equal(b.scopes[r].resource, r);
        batch_clear(&b);
        assert_int_equal(batch_row_count(&b), 0);
        assert_int_equal(b.resource_count, 0);
        assert_int_equal(b.signal, s);
        batch_done(&b);
    }
}

static void a_cleared_batch_gives_zeroed_rows_again(void **state)
{
    (void)state;
    batch b;
    batch_init(&b, SIGNAL_LOGS, 0);
    for (int round = 0; round < 3; round++) {
        uint32_t scope = batch_add_scope(&b, batch_add_resource(&b));
        for (int i = 0; i < 200; i++) {
            uint32_t row = batch_add_log(&b, scope);
            assert_int_equal(b.logs.severity[row], 0);
            assert_int_equal(b.logs.attributes[row].count, 0);
            b.logs.severity[row] = 9;
            b.logs.attributes[row].count = 7;
        }
        batch_clear(&b);
    }
    batch_done(&b);
}

static void the_limit_is_reported_and_the_batch_stays_usable(void **state)
{
    (void)state;
    batch b;
    batch_init(&b, SIGNAL_TRACES, KiB(64));
    uint32_t scope = batch_add_scope(&b, batch_add_resource(&b));
    uint32_t rows = 0;
    while (batch_add_span(&b, scope) != BATCH_FULL) {
        b.spans.end_ns[rows] = rows;
        rows++;
        assert_true(rows < 10000);
    }
    assert_true(rows > 16);
    assert_int_equal(batch_row_count(&b), rows);
    for (uint32_t i = 0; i < rows; i++)
        assert_int_equal(b.spans.end_ns[i], i);
    assert_true(b.arena.used <= KiB(64));
    batch_done(&b);
}

static void a_reservation_holds(void **state)
{
    (void)state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, 0);
    uint32_t metric = batch_add_metric(&b, batch_add_scope(&b, batch_add_resource(&b)));
    assert_true(batch_reserve(&b, 500));
    const int64_t *before = b.points.time_ns;
    for (int i = 0; i < 500; i++)
        assert_int_equal(batch_add_point(&b, metric), i);
    assert_ptr_equal(b.points.time_ns, before);
    assert_false(batch_reserve(&b, UINT32_MAX));
    batch_done(&b);
}

static void attributes_are_found_by_name(void **state)
{
    (void)state;
    arena a;
    arena_init(&a, 0);
    attrs list = { 0 };
    uint32_t capacity = 0;
    char names[50][8];
    for (int i = 0; i < 50; i++) {
        snprintf(names[i], sizeof(names[i]), "k%d", i);
        assert_true(attrs_append(&a, &list, &capacity, str_c(names[i]), VALUE_I(i)));
    }
    assert_true(attrs_append(&a, &list, &capacity, STR("text"), VALUE_S(STR("x"))));
    assert_int_equal(list.count, 51);
    for (int i = 0; i < 50; i++)
        assert_int_equal(attrs_get(&list, str_c(names[i]))->i64, i);
    assert_null(attrs_get(&list, STR("k50")));
    assert_true(str_is(attrs_get_str(&list, STR("text")), "x"));
    assert_int_equal(attrs_get_str(&list, STR("k1")).len, 0);
    arena_done(&a);
}

static void copies_are_deep(void **state)
{
    (void)state;
    arena a, other;
    arena_init(&a, 0);
    arena_init(&other, 0);
    char text[] = "hello";
    value items[2] = { VALUE_S(str_c(text)), VALUE_D(2.5) };
    attr inner[1] = { { STR("list"), { .type = VALUE_ARRAY, .array = { items, 2 } } } };
    value map = { .type = VALUE_MAP, .map = { inner, 1, 3 } };
    value copy;
    assert_true(value_copy(&other, &copy, &map));
    text[0] = 'J';
    items[1].f64 = 0;
    assert_int_equal(copy.type, VALUE_MAP);
    assert_int_equal(copy.map.dropped, 3);
    const value *list = attrs_get(&copy.map, STR("list"));
    assert_non_null(list);
    assert_int_equal(list->array.count, 2);
    assert_true(str_is(list->array.items[0].s, "hello"));
    assert_true(list->array.items[1].f64 == 2.5);

    arena tiny;
    arena_init(&tiny, 8);
    assert_false(value_copy(&tiny, &copy, &map));
    arena_done(&tiny);
    arena_done(&a);
    arena_done(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_survive_growth_in_every_signal),
        cmocka_unit_test(a_cleared_batch_gives_zeroed_rows_again),
        cmocka_unit_test(the_limit_is_reported_and_the_batch_stays_usable),
        cmocka_unit_test(a_reservation_holds),
        cmocka_unit_test(attributes_are_found_by_name),
        cmocka_unit_test(copies_are_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

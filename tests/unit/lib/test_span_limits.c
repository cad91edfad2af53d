// SPDX-License-Identifier: Apache-2.0
/* Limits of attributes, events and links: what is left out is counted where OTLP counts it. */
#include "lib/drain_internal.h"
#include "tests/unit/lib/recorder_fixture.h"

static void what_is_over_a_limit_is_left_out_and_counted(void **state)
{
    fixture *f = *state;
    sonde_context to = { .trace_id = { 1 }, .span_id = { 2 } };
    SONDE_SPAN ("limited", sonde_kv("a", 1), sonde_kv("b", 2), sonde_kv("c", "long text")) {
        for (int i = 0; i < 5; i++)
            sonde_span_event("e", sonde_kv("x", "long text"), sonde_kv("y", 2), sonde_kv("z", 3));
        for (int i = 0; i < 3; i++)
            sonde_span_link(&to, sonde_kv("x", 1), sonde_kv("y", 2));
    }
    fixture_poll(f);
    settings s = {
        .span_event_max = 2, .span_link_max = 1, .event_attribute_max = 1, .link_attribute_max = 1
    };
    s.attribute_count_max[SIGNAL_TRACES] = 2;
    s.attribute_length_max[SIGNAL_TRACES] = 4;
    drain_limit_attributes(&s, &f->spans);
    const span_rows *rows = &f->spans.spans;
    assert_int_equal(rows->attributes[0].dropped, 1);
    assert_null(attrs_get(&rows->attributes[0], STR("c")));
    assert_int_equal(rows->events[0].count, 2);
    assert_int_equal(rows->events[0].dropped, 3);
    assert_int_equal(rows->events[0].items[1].attributes.count, 1);
    assert_int_equal(rows->events[0].items[1].attributes.dropped, 2);
    assert_text(attrs_get_str(&rows->events[0].items[0].attributes, STR("x")), "long");
    assert_int_equal(rows->links[0].count, 1);
    assert_int_equal(rows->links[0].dropped, 2);
    assert_int_equal(rows->links[0].items[0].attributes.dropped, 1);
}

static void what_a_stream_has_no_room_for_is_counted_by_kind(void **state)
{
    fixture *f = *state;
    static char text[60001];
    memset(text, 'e', 60000);
    SONDE_SPAN ("full", sonde_kv("first", text)) {
        for (int i = 0; i < 3; i++)
            sonde_span_event("too long", sonde_kv_bytes("bytes", text, 60000));
    }
    fixture_poll(f);
    const span_events *events = &f->spans.spans.events[0];
    assert_int_equal(events->count + events->dropped, 3);
    assert_true(events->dropped >= 2);
    assert_int_equal(f->spans.spans.attributes[0].dropped, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(what_is_over_a_limit_is_left_out_and_counted),
        FIXTURE_TEST(what_a_stream_has_no_room_for_is_counted_by_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

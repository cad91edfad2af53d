// SPDX-License-Identifier: Apache-2.0
/* Spans, scoped and not, read back through the recorder's reader; and those that never ended. */
#include "lib/context.h"
#include "tests/unit/lib/recorder_fixture.h"

#include <pthread.h>

static const attrs *span_attrs(const fixture *f, uint32_t row)
{
    return &f->spans.spans.attributes[row];
}

static void scoped_spans_nest_and_logs_carry_their_ids(void **state)
{
    fixture *f = *state;
    char trace[33], span[17];
    assert_false(sonde_trace_id(trace));
    SONDE_SPAN ("outer", sonde_kv("user.id", "u-17")) {
        sonde_info("in_outer");
        SONDE_SPAN ("inner") {
            sonde_info("in_inner");
            assert_true(sonde_trace_id(trace) && sonde_span_id(span));
        }
    }
    sonde_info("outside");
    fixture_poll(f);
    const span_rows *s = &f->spans.spans;
    const log_rows *l = &f->logs.logs;
    assert_int_equal(s->count, 2);
    assert_text(s->name[0], "inner");
    assert_text(s->name[1], "outer");
    assert_memory_equal(&s->trace[0], &s->trace[1], 16);
    assert_memory_equal(&s->parent[0], &s->span[1], 8);
    assert_false(span_id_is_set(s->parent[1]));
    assert_memory_equal(&l->span[0], &s->span[1], 8);
    assert_memory_equal(&l->span[1], &s->span[0], 8);
    assert_memory_equal(&l->trace[1], &s->trace[0], 16);
    assert_false(trace_id_is_set(l->trace[2]));
    assert_text(attrs_get_str(span_attrs(f, 1), STR("user.id")), "u-17");
    assert_int_equal(s->kind[0], SPAN_KIND_INTERNAL);
    assert_int_equal(s->status[0], SPAN_STATUS_UNSET);
    assert_true(s->start_ns[1] <= s->start_ns[0] && s->end_ns[0] <= s->end_ns[1]);
    uint8_t id[8];
    assert_true(str_from_hex(str_c(span), id, 8));
    assert_memory_equal(id, &s->span[0], 8);
}

static int leaves_by_return(void)
{
    SONDE_SPAN ("returned") {
        return 7;
    }
    return 0;
}

static void scopes_end_by_return_and_break(void **state)
{
    fixture *f = *state;
    assert_int_equal(leaves_by_return(), 7);
    SONDE_SPAN ("broken") {
        SONDE_CONTEXT (sonde_kv("k", 1)) {
            break;
        }
        break;
    }
    assert_null(sonde_span_current());
    fixture_poll(f);
    assert_int_equal(f->spans.spans.count, 2);
    error err;
    batch_clear(&f->spans);
    assert_ok(recorder_live_spans(f->reader, &f->spans, &err));
    assert_int_equal(f->spans.spans.count, 0);
}

static void attributes_events_and_status(void **state)
{
    fixture *f = *state;
    SONDE_SPAN_KIND (SONDE_CLIENT, "call", sonde_kv("n", 1)) {
        sonde_span_set(sonde_kv("n", 2), sonde_kv("late", true));
        sonde_span_event("retry", sonde_kv("attempt", 2));
        sonde_span_fail("card_declined", sonde_kv("error.type", "declined"));
        sonde_span_rename("call card");
    }
    SONDE_SPAN ("recovered") {
        sonde_span_fail(NULL);
        sonde_span_ok();
    }
    fixture_poll(f);
    const span_rows *s = &f->spans.spans;
    assert_text(s->name[0], "call card");
    assert_int_equal(s->kind[0], SPAN_KIND_CLIENT);
    assert_int_equal(s->status[0], SPAN_STATUS_ERROR);
    assert_text(s->status_message[0], "card_declined");
    assert_int_equal(attrs_get(span_attrs(f, 0), STR("n"))->i64, 2);
    assert_true(attrs_get(span_attrs(f, 0), STR("late"))->b);
    assert_text(attrs_get_str(span_attrs(f, 0), STR("error.type")), "declined");
    assert_int_equal(s->events[0].count, 1);
    assert_text(s->events[0].items[0].name, "retry");
    assert_int_equal(attrs_get(&s->events[0].items[0].attributes, STR("attempt"))->i64, 2);
    assert_true(s->events[0].items[0].time_ns >= s->start_ns[0]);
    assert_int_equal(s->status[1], SPAN_STATUS_OK);
}

static void spans_without_scopes_have_options_and_links(void **state)
{
    fixture *f = *state;
    sonde_context remote = { .flags = CONTEXT_SAMPLED | CONTEXT_REMOTE };
    memset(remote.trace_id, 0xab, 16);
    memset(remote.span_id, 0xcd, 8);
    assert_true(context_put_hidden(&remote, CONTEXT_TRACESTATE, STR(""), STR("vendor=x")));
    sonde_attr list[] = { sonde_kv("topic", "jobs") };
    sonde_span *span = sonde_span_start("consume", &(sonde_span_options){ .kind = SONDE_CONSUMER,
                                                                          .parent = &remote,
                                                                          .links = &remote,
                                                                          .link_count = 1,
                                                                          .attrs = list,
                                                                          .attr_count = 1 });
    assert_non_null(span);
    assert_null(sonde_span_current());
    sonde_context inside = sonde_span_context(span);
    SONDE_WITH (inside) {
        assert_ptr_equal(sonde_span_current(), span);
        sonde_span_set(sonde_kv("seen", 1));
        SONDE_SPAN ("child") {
        }
    }
    sonde_span_set_on(span, sonde_kv("more", 2));
    sonde_span_end(span);
    fixture_poll(f);
    const span_rows *s = &f->spans.spans;
    assert_int_equal(s->count, 2);
    assert_memory_equal(&s->parent[0], &s->span[1], 8);
    assert_text(s->name[1], "consume");
    assert_int_equal(s->kind[1], SPAN_KIND_CONSUMER);
    assert_memory_equal(&s->trace[1], remote.trace_id, 16);
    assert_memory_equal(&s->parent[1], remote.span_id, 8);
    assert_int_equal(s->flags[1], 0x301);
    assert_int_equal(s->flags[0], 0x101);
    assert_text(s->trace_state[1], "vendor=x");
    assert_int_equal(s->links[1].count, 1);
    assert_memory_equal(&s->links[1].items[0].trace, remote.trace_id, 16);
    assert_text(attrs_get_str(span_attrs(f, 1), STR("topic")), "jobs");
    assert_int_equal(attrs_get(span_attrs(f, 1), STR("seen"))->i64, 1);
    assert_int_equal(attrs_get(span_attrs(f, 1), STR("more"))->i64, 2);
}

static void errors_are_exceptions_and_links_come_late(void **state)
{
    fixture *f = *state;
    sonde_context other = { .flags = CONTEXT_SAMPLED | CONTEXT_REMOTE }, empty = { 0 };
    memset(other.trace_id, 0x11, 16);
    memset(other.span_id, 0x22, 8);
    assert_true(context_put_hidden(&other, CONTEXT_TRACESTATE, STR(""), STR("v=1")));
    SONDE_SPAN ("pay") {
        assert_true(sonde_span_is_recording());
        sonde_span_link(&other, sonde_kv("why", "batch"));
        sonde_span_link(&empty, sonde_kv("why", "nothing"));
        sonde_span_error("timeout", "no answer in 3 s", sonde_kv("exception.stacktrace", "pay.c:7"),
                         sonde_kv("password", "hunter2"));
    }
    SONDE_SPAN ("settled") {
        sonde_span_ok();
        sonde_span_fail("too late");
    }
    assert_false(sonde_span_is_recording());
    fixture_poll(f);
    const span_rows *s = &f->spans.spans;
    const span_event *e = &s->events[0].items[0];
    assert_int_equal(s->events[0].count, 1);
    assert_text(e->name, "exception");
    assert_text(attrs_get_str(&e->attributes, STR("exception.type")), "timeout");
    assert_text(attrs_get_str(&e->attributes, STR("exception.message")), "no answer in 3 s");
    assert_text(attrs_get_str(&e->attributes, STR("exception.stacktrace")), "pay.c:7");
    assert_text(attrs_get_str(&e->attributes, STR("password")), "[REDACTED]");
    assert_int_equal(s->status[0], SPAN_STATUS_ERROR);
    assert_text(s->status_message[0], "no answer in 3 s");
    assert_text(attrs_get_str(span_attrs(f, 0), STR("error.type")), "timeout");
    assert_int_equal(s->links[0].count, 1);
    const span_link *link = &s->links[0].items[0];
    assert_memory_equal(&link->trace, other.trace_id, 16);
    assert_text(link->trace_state, "v=1");
    assert_int_equal(link->flags, 0x301);
    assert_text(attrs_get_str(&link->attributes, STR("why")), "batch");
    assert_int_equal(s->status[1], SPAN_STATUS_OK);
}

static void times_may_be_given(void **state)
{
    fixture *f = *state;
    int64_t start = 1700000000000000001, event = start + 5, end = start + 9;
    sonde_span *span = sonde_span_start("past", &(sonde_span_options){ .start_ns = start });
    sonde_span_event_at(span, event, "then", NULL, 0);
    sonde_span_end_at(span, end);
    span = sonde_span_start("backwards", &(sonde_span_options){ .start_ns = start });
    sonde_span_end_at(span, start - 100);
    fixture_poll(f);
    const span_rows *s = &f->spans.spans;
    assert_int_equal(s->start_ns[0], start);
    assert_int_equal(s->events[0].items[0].time_ns, event);
    assert_int_equal(s->end_ns[0], end);
    assert_int_equal(s->end_ns[1], start);
}

static void *edit_elsewhere(void *span)
{
    for (int i = 0; i < 200; i++)
        sonde_span_set_on(span, sonde_kv("n", i));
    return NULL;
}

static void a_handle_that_left_its_thread_ends_safely(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        SONDE_SPAN ("shared") {
            assert_int_equal(pthread_create(&thread, NULL, edit_elsewhere, sonde_span_current()),
                             0);
        }
        pthread_join(thread, NULL);
    }
    fixture_poll(f);
    assert_int_equal(f->spans.spans.count, 50);
}

static void long_streams_go_on_in_further_slots(void **state)
{
    fixture *f = *state;
    char text[301];
    memset(text, 'e', 300);
    text[300] = 0;
    SONDE_SPAN ("long") {
        for (int i = 0; i < 100; i++)
            sonde_span_event("step", sonde_kv("i", i), sonde_kv("text", text));
    }
    fixture_poll(f);
    const span_events *e = &f->spans.spans.events[0];
    assert_int_equal(e->count, 100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(attrs_get(&e->items[i].attributes, STR("i"))->i64, i);
        assert_int_equal(attrs_get_str(&e->items[i].attributes, STR("text")).len, 300);
    }
}

static void a_slot_that_held_a_long_stream_is_free_for_any_span(void **state)
{
    fixture *f = *state;
    char text[3000];
    sonde_span *spans[16];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    SONDE_SPAN ("long", sonde_kv("text", (const char *)text)) {
    }
    for (int i = 0; i < 16; i++)
        spans[i] = sonde_span_start("later", NULL);
    for (int i = 0; i < 16; i++) {
        sonde_span_set_on(spans[i], sonde_kv("late", i));
        sonde_span_end(spans[i]);
    }
    fixture_poll(f);
    assert_int_equal(recorder_drops(f->reader, SIGNAL_TRACES, RECORDER_DROP_CUT), 0);
    assert_int_equal(f->spans.spans.count, 17);
}

static void what_does_not_fit_into_a_span_is_counted(void **state)
{
    fixture *f = *state;
    static char text[60001];
    memset(text, 'e', 60000);
    SONDE_SPAN ("huge") {
        sonde_span_set(sonde_kv("first", text));
        sonde_span_event("second", sonde_kv("text", text));
        sonde_span_set(sonde_kv("third", 3));
    }
    fixture_poll(f);
    assert_int_equal(f->spans.spans.count, 1);
    assert_int_equal(attrs_get_str(span_attrs(f, 0), STR("first")).len, 60000);
    assert_int_equal(attrs_get(span_attrs(f, 0), STR("third"))->i64, 3);
    uint64_t lost = recorder_drops(f->reader, SIGNAL_TRACES, RECORDER_DROP_CUT);
    const span_events *events = &f->spans.spans.events[0];
    bool cut =
        events->count == 1 && attrs_get_str(&events->items[0].attributes, STR("text")).len < 60000;
    assert_true(lost == 1 || cut);
}

static void open_spans_are_listed_while_the_process_lives(void **state)
{
    fixture *f = *state;
    error err;
    SONDE_SPAN ("waiting", sonde_kv("for", "godot")) {
        sonde_span_event("looked", sonde_kv("at", "tree"));
        assert_ok(recorder_live_spans(f->reader, &f->spans, &err));
    }
    assert_int_equal(f->spans.spans.count, 1);
    assert_text(f->spans.spans.name[0], "waiting");
    assert_text(attrs_get_str(span_attrs(f, 0), STR("for")), "godot");
    assert_int_equal(f->spans.spans.events[0].count, 1);
    assert_int_equal(f->spans.spans.status[0], SPAN_STATUS_UNSET);
}

static void an_unsampled_trace_leaves_nothing_and_its_ids_travel(void **state)
{
    fixture *f = *state;
    char trace[33], inner[33];
    sonde_context unsampled = { .flags = CONTEXT_REMOTE };
    memset(unsampled.trace_id, 1, 16);
    memset(unsampled.span_id, 2, 8);
    SONDE_WITH (unsampled) {
        SONDE_SPAN ("quiet") {
            sonde_span_set(sonde_kv("k", 1));
            assert_true(sonde_trace_id(trace));
            SONDE_SPAN ("quieter") {
                assert_true(sonde_trace_id(inner));
                sonde_info("still_logged");
            }
        }
    }
    fixture_poll(f);
    assert_int_equal(f->spans.spans.count, 0);
    assert_int_equal(f->logs.logs.count, 1);
    assert_int_equal(f->logs.logs.flags[0], 0);
    assert_true(trace_id_is_set(f->logs.logs.trace[0]));
    assert_string_equal(trace, "01010101010101010101010101010101");
    assert_string_equal(trace, inner);
}

static void more_open_spans_than_slots_are_counted(void **state)
{
    (void)state;
    fixture *f = fixture_start(MiB(16));
    enum { MOST = RECORDER_LIVE_BLOCKS_MAX * RECORDER_SLOTS_PER_BLOCK };
    sonde_span **spans = calloc(MOST + 10, sizeof(*spans));
    for (int i = 0; i < MOST + 10; i++)
        spans[i] = sonde_span_start("many", NULL);
    assert_non_null(spans[MOST - 1]);
    assert_null(spans[MOST]);
    assert_int_equal(recorder_drops(f->reader, SIGNAL_TRACES, RECORDER_DROP_LIVE), 10);
    for (int i = 0; i < MOST + 10; i++)
        sonde_span_end(spans[i]);
    sonde_span *again = sonde_span_start("again", NULL);
    assert_non_null(again);
    sonde_span_end(again);
    fixture_poll(f);
    assert_int_equal(f->spans.spans.count +
                         recorder_drops(f->reader, SIGNAL_TRACES, RECORDER_DROP_FULL),
                     MOST + 1);
    free(spans);
    fixture_stop(f);
}

static void a_handle_from_before_a_restart_is_ignored(void **state)
{
    (void)state;
    fixture *f = fixture_start(0);
    sonde_span *old = sonde_span_start("old", NULL);
    sonde_context saved = sonde_span_context(old);
    fixture_stop(f);
    f = fixture_start(0);
    sonde_span *new = sonde_span_start("new", NULL);
    sonde_span_set_on(old, sonde_kv("bad", 1));
    SONDE_WITH (saved) {
        sonde_span_set(sonde_kv("bad", 1));
    }
    sonde_span_end(old);
    sonde_span_end(new);
    fixture_poll(f);
    assert_int_equal(f->spans.spans.count, 1);
    assert_null(attrs_get(span_attrs(f, 0), STR("bad")));
    fixture_stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(scoped_spans_nest_and_logs_carry_their_ids),
        FIXTURE_TEST(scopes_end_by_return_and_break),
        FIXTURE_TEST(attributes_events_and_status),
        FIXTURE_TEST(spans_without_scopes_have_options_and_links),
        FIXTURE_TEST(errors_are_exceptions_and_links_come_late),
        FIXTURE_TEST(times_may_be_given),
        FIXTURE_TEST(a_handle_that_left_its_thread_ends_safely),
        FIXTURE_TEST(long_streams_go_on_in_further_slots),
        FIXTURE_TEST(a_slot_that_held_a_long_stream_is_free_for_any_span),
        FIXTURE_TEST(what_does_not_fit_into_a_span_is_counted),
        FIXTURE_TEST(open_spans_are_listed_while_the_process_lives),
        FIXTURE_TEST(an_unsampled_trace_leaves_nothing_and_its_ids_travel),
        cmocka_unit_test(more_open_spans_than_slots_are_counted),
        cmocka_unit_test(a_handle_from_before_a_restart_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

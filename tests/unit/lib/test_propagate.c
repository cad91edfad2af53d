// SPDX-License-Identifier: Apache-2.0
/* Contexts through headers, arrays and JSON payloads, there and back. */
#include "lib/propagate.h"
#include "sonde/span.h"

#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00-" TRACE "-00f067aa0ba902b7-01"

static const char *value_of(const sonde_carrier *c, const char *name)
{
    for (int i = 0; c->pairs[i]; i += 2)
        if (strcmp(c->pairs[i], name) == 0)
            return c->pairs[i + 1];
    return "";
}

static int both_on(void **state UNUSED)
{
    propagate_configure(3);
    return 0;
}

static void what_comes_in_goes_out_again(void **state UNUSED)
{
    const char *in[] = { "Traceparent", PARENT,         "TraceState", "a=1,b=2", "baggage",
                         "user=u1;p=1", "X-Request-ID", "req-7",      NULL };
    sonde_context c = sonde_extract_pairs(in);
    sonde_carrier out;
    char id[33];
    SONDE_WITH (c) {
        assert_true(sonde_trace_id(id));
        assert_string_equal(id, TRACE);
        sonde_str request = sonde_request_id();
        assert_int_equal(request.len, 5);
        sonde_inject_pairs(&out);
    }
    assert_string_equal(value_of(&out, "traceparent"), PARENT);
    assert_string_equal(value_of(&out, "tracestate"), "a=1,b=2");
    assert_string_equal(value_of(&out, "baggage"), "user=u1;p=1");
    assert_string_equal(value_of(&out, "x-request-id"), "req-7");
}

static void nothing_in_means_nothing_out(void **state UNUSED)
{
    const char *in[] = { NULL };
    char json[64], id[33];
    sonde_context c = sonde_extract_pairs(in);
    sonde_carrier out;
    SONDE_WITH (c) {
        assert_false(sonde_trace_id(id));
        sonde_inject_pairs(&out);
        assert_int_equal(sonde_inject_json(json, sizeof(json)), 0);
    }
    assert_null(out.pairs[0]);
    assert_string_equal(json, "");
}

static void a_wrong_traceparent_voids_the_trace_but_not_the_request_id(void **state UNUSED)
{
    const char *in[] = {
        "traceparent", "00-0-0-0", "tracestate", "a=1", "x-request-id", "r1", NULL
    };
    sonde_context c = sonde_extract_pairs(in);
    sonde_carrier out;
    SONDE_WITH (c) {
        sonde_inject_pairs(&out);
    }
    assert_string_equal(out.pairs[0], "x-request-id");
    assert_null(out.pairs[2]);
}

static void ill_formed_request_ids_and_baggage_are_not_taken(void **state UNUSED)
{
    const char *in[] = { "x-request-id", "two words", "baggage", "a=b\r\nInjected: 1", NULL };
    sonde_context c = sonde_extract_pairs(in);
    sonde_carrier out;
    SONDE_WITH (c) {
        sonde_inject_pairs(&out);
    }
    assert_null(out.pairs[0]);
}

static void json_payloads_carry_it_too(void **state UNUSED)
{
    const char *in[] = { "traceparent", PARENT, "tracestate", "a=1", "x-request-id", "r1", NULL };
    sonde_context c = sonde_extract_pairs(in), back;
    char members[1024], json[1200], small[20];
    SONDE_WITH (c) {
        size_t n = sonde_inject_json(members, sizeof(members));
        assert_int_equal(n, strlen(members));
        assert_int_equal(sonde_inject_json(small, sizeof(small)), 0);
    }
    assert_string_equal(members, "\"traceparent\":\"" PARENT
                                 "\",\"tracestate\":\"a=1\",\"request_id\":\"r1\"");
    int n =
        snprintf(json, sizeof(json), "{\"job\":{\"traceparent\":1},\"list\":[1,2],%s}", members);
    back = sonde_extract_json(json, (size_t)n);
    assert_memory_equal(&back, &c, sizeof(c));
}

static void one_id_may_travel_under_another_name(void **state UNUSED)
{
    const sonde_json_options lite = { .request_id_member = "trace_id", .request_id_only = true };
    const char *in[] = { "traceparent", PARENT, "baggage", "a=1", "x-request-id", "r1", NULL };
    sonde_context c = sonde_extract_pairs(in), back, none;
    char members[1024], json[1100];
    SONDE_WITH (c) {
        assert_true(sonde_inject_json_as(members, sizeof(members), &lite) > 0);
    }
    assert_string_equal(members, "\"trace_id\":\"r1\"");
    int n = snprintf(json, sizeof(json), "{\"type\":\"mail\",%s,\"traceparent\":\"" PARENT "\"}",
                     members);
    back = sonde_extract_json_as(json, (size_t)n, &lite);
    SONDE_WITH (back) {
        sonde_str id = sonde_request_id(), trace = sonde_context_get("trace_id");
        assert_true(str_is(str_n(id.ptr, id.len), "r1"));
        assert_true(str_is(str_n(trace.ptr, trace.len), "r1"));
        assert_false(sonde_trace_id((char[33]){ 0 }));
    }
    assert_string_equal(sonde_trace_presence(&back), "present");
    none = sonde_extract_json_as("{\"type\":\"mail\"}", 15, &lite);
    assert_string_equal(sonde_trace_presence(&none), "missing");
    assert_string_equal(sonde_trace_presence(NULL), "missing");
}

static void payloads_that_are_no_objects_give_the_empty_context(void **state UNUSED)
{
    static const char *const bad[] = { "",
                                       "[1]",
                                       "7",
                                       "{\"traceparent\":\"" PARENT "\"",
                                       "{\"traceparent\":7}",
                                       "{\"traceparent\":\"x\"} trailing" };
    sonde_context empty;
    memset(&empty, 0, sizeof(empty));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        sonde_context c = sonde_extract_json(bad[i], strlen(bad[i]));
        assert_memory_equal(&c, &empty, sizeof(c));
    }
}

static void propagators_can_be_turned_off(void **state UNUSED)
{
    const char *in[] = { "traceparent", PARENT, "baggage", "a=1", "x-request-id", "r1", NULL };
    sonde_carrier out;
    propagate_configure(1u << PROPAGATE_BAGGAGE);
    sonde_context c = sonde_extract_pairs(in);
    SONDE_WITH (c) {
        sonde_inject_pairs(&out);
    }
    assert_string_equal(value_of(&out, "traceparent"), "");
    assert_string_equal(value_of(&out, "baggage"), "a=1");
    propagate_configure(1u << PROPAGATE_TRACECONTEXT);
    c = sonde_extract_pairs(in);
    SONDE_WITH (c) {
        sonde_inject_pairs(&out);
    }
    assert_string_equal(value_of(&out, "traceparent"), PARENT);
    assert_string_equal(value_of(&out, "baggage"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_comes_in_goes_out_again, both_on),
        cmocka_unit_test_setup(nothing_in_means_nothing_out, both_on),
        cmocka_unit_test_setup(a_wrong_traceparent_voids_the_trace_but_not_the_request_id, both_on),
        cmocka_unit_test_setup(ill_formed_request_ids_and_baggage_are_not_taken, both_on),
        cmocka_unit_test_setup(json_payloads_carry_it_too, both_on),
        cmocka_unit_test_setup(one_id_may_travel_under_another_name, both_on),
        cmocka_unit_test_setup(payloads_that_are_no_objects_give_the_empty_context, both_on),
        cmocka_unit_test_setup(propagators_can_be_turned_off, both_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* traceparent, tracestate and request ids: what is taken, what is refused, what is cut. */
#include "lib/propagate_w3c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN  "00f067aa0ba902b7"

static void traceparent_accepts_what_the_recommendation_allows(void **state UNUSED)
{
    static const char *const good[] = {
        "00-" TRACE "-" SPAN "-01",
        " 00-" TRACE "-" SPAN "-01\t",
        "00-" TRACE "-" SPAN "-ff",
        "cc-" TRACE "-" SPAN "-01",
        "cc-" TRACE "-" SPAN "-01-what-comes-later",
        "fe-" TRACE "-" SPAN "-01-",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        w3c_parent p;
        assert_true(w3c_parse_traceparent(str_c(good[i]), &p));
        assert_int_equal(p.flags & W3C_FLAG_SAMPLED, W3C_FLAG_SAMPLED);
        assert_int_equal(p.trace.bytes[0], 0x4b);
        assert_int_equal(p.span.bytes[7], 0xb7);
    }
}

static void traceparent_refuses_everything_else(void **state UNUSED)
{
    static const char *const bad[] = {
        "",
        "00",
        "ff-" TRACE "-" SPAN "-01",
        "00-" TRACE "-" SPAN "-01-more",
        "00-" TRACE "-" SPAN "-01.",
        "cc-" TRACE "-" SPAN "-01.what",
        "00-" TRACE "-" SPAN "-0",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-" TRACE "-00F067AA0BA902B7-01",
        "0G-" TRACE "-" SPAN "-01",
        "00-" TRACE "-" SPAN "-0x",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473.-" SPAN "-01",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        w3c_parent p;
        if (w3c_parse_traceparent(str_c(bad[i]), &p))
            fail_msg("taken: %s", bad[i]);
    }
}

static void traceparent_reads_back_what_it_wrote(void **state UNUSED)
{
    w3c_parent in, out;
    char text[W3C_TRACEPARENT_SIZE];
    assert_true(w3c_parse_traceparent(STR("00-" TRACE "-" SPAN "-00"), &in));
    assert_int_equal(in.flags, 0);
    in.flags = W3C_FLAG_SAMPLED;
    w3c_format_traceparent(&in, text);
    assert_string_equal(text, "00-" TRACE "-" SPAN "-01");
    assert_true(w3c_parse_traceparent(str_c(text), &out));
    assert_memory_equal(&in, &out, sizeof(in));
}

static str state_of(str in, char *out)
{
    return str_n(out, w3c_tracestate(in, out));
}

static void tracestate_is_kept_member_by_member(void **state UNUSED)
{
    char out[W3C_TRACESTATE_MAX];
    str s = state_of(STR(" a=1 , ,tenant@vendor=x y,1z_*/-=~"), out);
    assert_true(str_is(s, "a=1,tenant@vendor=x y,1z_*/-=~"));
    static const char *const bad[] = { "A=1",  "a",    "a=",      "=1",     "a=b=c", "_a=1",
                                       "a@=1", "@v=1", "a@b@c=1", "a=\x01", "a b=1" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (w3c_tracestate(str_c(bad[i]), out))
            fail_msg("taken: %s", bad[i]);
}

static void tracestate_over_the_limit_loses_long_members_first(void **state UNUSED)
{
    char in[900], out[W3C_TRACESTATE_MAX], long_value[201];
    memset(long_value, 'x', 200);
    long_value[200] = '\0';
    int n = snprintf(in, sizeof(in), "first=%.100s,long=%s,third=%.100s,fourth=%.100s,end=1",
                     long_value, long_value, long_value, long_value);
    str s = state_of(str_n(in, (size_t)n), out);
    assert_true(str_starts(s, STR("first=")));
    assert_false(str_contains(s, STR("long=")));
    assert_true(str_ends(s, STR(",end=1")));

    buf many;
    buf_init(&many, 0);
    for (int i = 0; i < 32; i++)
        buf_fmt(&many, "%sk%d=%.30s", i ? "," : "", i, long_value);
    s = state_of(buf_view(&many), out);
    assert_in_range(s.len, 470, W3C_TRACESTATE_MAX);
    assert_true(str_starts(s, STR("k0=")));
    buf_lit(&many, ",k32=1");
    assert_int_equal(w3c_tracestate(buf_view(&many), out), 0);
    buf_done(&many);
}

static void request_ids_are_short_and_visible(void **state UNUSED)
{
    char longest[REQUEST_ID_MAX + 1];
    memset(longest, 'a', sizeof(longest));
    assert_true(request_id_is_good(STR("550e8400-e29b-41d4-a716-446655440000")));
    assert_true(request_id_is_good(STR("req_abc.1:2/3=+@")));
    assert_true(request_id_is_good(str_n(longest, REQUEST_ID_MAX)));
    assert_false(request_id_is_good(str_n(longest, REQUEST_ID_MAX + 1)));
    assert_false(request_id_is_good(STR("")));
    assert_false(request_id_is_good(STR("two words")));
    assert_false(request_id_is_good(STR("quote\"")));
    assert_false(request_id_is_good(STR("line\nbreak")));
    assert_false(request_id_is_good(STR("\xc3\xa9")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traceparent_accepts_what_the_recommendation_allows),
        cmocka_unit_test(traceparent_refuses_everything_else),
        cmocka_unit_test(traceparent_reads_back_what_it_wrote),
        cmocka_unit_test(tracestate_is_kept_member_by_member),
        cmocka_unit_test(tracestate_over_the_limit_loses_long_members_first),
        cmocka_unit_test(request_ids_are_short_and_visible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

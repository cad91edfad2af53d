// SPDX-License-Identifier: Apache-2.0
/* Baggage in contexts, as programs see it and as it is handed on. */
#include "lib/propagate_internal.h"
#include "sonde/baggage.h"
#include "tests/unit/lib/recorder_fixture.h"

static const char *injected(sonde_carrier *out)
{
    sonde_inject_pairs(out);
    for (size_t i = 0; out->pairs[i]; i += 2)
        if (strcmp(out->pairs[i], "baggage") == 0)
            return out->pairs[i + 1];
    return "";
}

static bool collect(void *user, sonde_str key, sonde_str value, sonde_str properties)
{
    buf *b = user;
    buf_fmt(b, "%.*s=%.*s(%.*s) ", (int)key.len, key.ptr, (int)value.len, value.ptr,
            (int)properties.len, properties.ptr);
    return true;
}

static void scopes_set_and_remove(void **state UNUSED)
{
    sonde_carrier out;
    char value[16];
    buf all;
    buf_init(&all, 0);
    assert_false(sonde_baggage_get("tenant", value, sizeof(value)));
    SONDE_BAGGAGE(sonde_kv("tenant", "acme"), sonde_kv("n", 7), sonde_kv("beta", true))
    {
        SONDE_BAGGAGE(sonde_kv("tenant", "b, c;\xc3\xa9"), sonde_kv_str("n", NULL))
        {
            assert_string_equal(injected(&out), "beta=true,tenant=b%2C%20c%3B%C3%A9");
            sonde_baggage_each(collect, &all);
            assert_true(str_is(buf_view(&all), "beta=true() tenant=b, c;\xc3\xa9() "));
        }
        assert_string_equal(injected(&out), "tenant=acme,n=7,beta=true");
        assert_true(sonde_baggage_get("n", value, sizeof(value)));
        assert_string_equal(value, "7");
    }
    assert_string_equal(injected(&out), "");
    buf_done(&all);
}

static void what_comes_in_goes_out_member_by_member(void **state UNUSED)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "a=1,b=2", "a=1,b=2" },   { " a = 1 ; p = 2;q , b = %20 ", "a=1;p = 2;q,b=%20" },
        { "a=,b=x=y", "a=,b=x=y" }, { "no equals,b=2,=3,k y=4,c=\"5\"", "b=2" },
        { "a=1,,b=2,", "a=1,b=2" }, { "a=b\r\nInjected: 1", "" },
        { "a=\xc3\xa9", "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *pairs[] = { "Baggage", cases[i].in, NULL };
        sonde_carrier out;
        sonde_context c = sonde_extract_pairs(pairs);
        SONDE_WITH (c) {
            assert_string_equal(injected(&out), cases[i].out);
        }
    }
    const char *twice[] = { "baggage", "a=1", "baggage", "b=2", NULL };
    sonde_carrier out;
    sonde_context c = sonde_extract_pairs(twice);
    SONDE_WITH (c) {
        assert_string_equal(injected(&out), "a=1,b=2");
    }
}

static void limits_leave_out_whole_members_and_count_them(void **state)
{
    fixture *f = *state;
    buf many;
    sonde_carrier out;
    buf_init(&many, 0);
    for (int i = 0; i < 70; i++)
        buf_fmt(&many, "%sk%d=1", i ? "," : "", i);
    char *text = strndup(buf_view(&many).ptr, buf_view(&many).len);
    const char *pairs[] = { "baggage", text, NULL };
    sonde_context c = sonde_extract_pairs(pairs);
    SONDE_WITH (c) {
        const char *kept = injected(&out);
        assert_non_null(strstr(kept, "k63=1"));
        assert_null(strstr(kept, "k64"));
    }
    assert_int_equal(recorder_drops(f->reader, SIGNAL_LOGS, RECORDER_DROP_CONTEXT), 6);
    free(text);
    buf_done(&many);
    sonde_context room = { 0 };
    char big[600];
    memset(big, 'x', sizeof(big));
    assert_true(sonde_baggage_set(&room, "a", (sonde_str){ big, 600 }, "ttl=5"));
    assert_false(sonde_baggage_set(&room, "b", (sonde_str){ big, 600 }, NULL));
    assert_true(sonde_baggage_set(&room, "a", (sonde_str){ big, 10 }, NULL));
    assert_true(sonde_baggage_set(&room, "b", (sonde_str){ big, 600 }, NULL));
    assert_true(sonde_baggage_remove(&room, "b") && sonde_baggage_remove(&room, "a"));
    assert_int_equal(room.hidden, 0);
    assert_false(sonde_baggage_set(&room, "two words", (sonde_str){ "1", 1 }, NULL));
    assert_false(sonde_baggage_set(&room, "a", (sonde_str){ "1", 1 }, "p,q"));
    assert_false(sonde_baggage_set(&room, "", (sonde_str){ "1", 1 }, NULL));
}

static void tracestate_and_baggage_share_a_context(void **state UNUSED)
{
    const char *pairs[] = {
        "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate",  "v=1",
        "baggage",     "a=1",
        NULL
    };
    sonde_context c = sonde_extract_pairs(pairs);
    assert_true(sonde_baggage_set(&c, "b", (sonde_str){ "2", 1 }, NULL));
    assert_true(sonde_baggage_remove(&c, "a"));
    assert_text(context_tracestate(&c), "v=1");
    assert_text(baggage_of(&c), "b=2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(scopes_set_and_remove),
        FIXTURE_TEST(what_comes_in_goes_out_member_by_member),
        FIXTURE_TEST(limits_leave_out_whole_members_and_count_them),
        FIXTURE_TEST(tracestate_and_baggage_share_a_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

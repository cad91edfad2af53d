// SPDX-License-Identifier: Apache-2.0
/* Loki's push request in both forms, and records as Loki streams. */
#include "support.h"

#include "codec/log_fields.h"
#include "codec/loki_push.h"
#include "codec/protobuf.h"

static void decode_json(batch *b, const char *json)
{
    error err;
    batch_init(b, SIGNAL_LOGS, MiB(4));
    assert_ok(loki_push_decode_json(b, str_c(json), NULL, &err));
}

static void refused(const char *json, const char *message)
{
    batch b;
    error err;
    batch_init(&b, SIGNAL_LOGS, MiB(4));
    assert_int_equal(loki_push_decode_json(&b, str_c(json), NULL, &err), STATUS_INVALID);
    assert_string_equal(err.message, message);
    batch_done(&b);
}

static void assert_labels(const char *text, const char *const *pairs)
{
    arena a;
    attrs got = { 0 };
    error err;
    arena_init(&a, MiB(1));
    assert_ok(loki_labels_parse(str_c(text), 100, &a, &got, &err));
    uint32_t n = 0;
    for (; pairs[2 * n]; n++) {
        assert_true(n < got.count);
        assert_str(got.items[n].key, str_c(pairs[2 * n]));
        assert_str(got.items[n].value.s, str_c(pairs[2 * n + 1]));
    }
    assert_int_equal(got.count, n);
    arena_done(&a);
}

static void labels_are_read_with_their_escapes(void **state UNUSED)
{
    assert_labels("{}", (const char *const[]){ NULL });
    assert_labels(" { a = \"b\", c=\"d\\\"\\n\\\\\\x41\\u00e9\\U0001F600\\101\" , } ",
                  (const char *const[]){ "a", "b", "c",
                                         "d\"\n\\A\xc3\xa9\xf0\x9f\x98\x80"
                                         "A",
                                         NULL });
    assert_labels("{a=`raw\\n`,__path__=\"x\",\"b.c\"=\"\"}",
                  (const char *const[]){ "a", "raw\\n", "b.c", "", NULL });
}

static void labels_that_are_wrong_are_refused(void **state UNUSED)
{
    static const char *const wrong[] = {
        "",
        "a=\"b\"",
        "{",
        "{a}",
        "{a=b}",
        "{a=\"b}",
        "{a=\"b\"",
        "{a=\"b\"} x",
        "{=\"b\"}",
        "{a=\"b\" c=1}",
        "{1a=\"b\"}",
        "{a=\"\\q\"}",
        "{a=\"\\x4\"}",
        "{a=`b}",
        "{,a=\"b\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        arena a;
        attrs got = { 0 };
        error err;
        arena_init(&a, MiB(1));
        if (loki_labels_parse(str_c(wrong[i]), 100, &a, &got, &err) != STATUS_INVALID)
            fail_msg("%s was taken", wrong[i]);
        arena_done(&a);
    }
}

static void json_streams_become_records(void **state UNUSED)
{
    batch b;
    decode_json(&b, "{\"streams\":[{\"values\":[[\"1700000000123456789\",\"one\"],"
                    "[\"1700000000123456790\",\"two\",{\"trace_id\":"
                    "\"0102030405060708090a0b0c0d0e0f10\",\"user\":\"u1\",\"level\":\"error\"}]],"
                    "\"stream\":{\"app\":\"shop\",\"level\":\"warn\",\"__internal\":\"x\"}},"
                    "{\"stream\":{\"service_name\":\"api\"},\"values\":[]}]}");
    assert_int_equal(b.logs.count, 2);
    assert_int_equal(b.resource_count, 2);
    assert_int_equal(b.logs.time_ns[0], 1700000000123456789);
    assert_str(b.logs.body[0].s, STR("one"));
    assert_int_equal(b.logs.severity[0], 13);
    assert_int_equal(b.logs.severity[1], 17);
    assert_int_equal(b.logs.trace[1].bytes[15], 0x10);
    assert_int_equal(b.logs.attributes[1].count, 1);
    assert_str(attrs_get_str(&b.logs.attributes[1], STR("user")), STR("u1"));
    assert_str(attrs_get_str(&b.resources[0].attributes, STR("app")), STR("shop"));
    assert_str(attrs_get_str(&b.resources[0].attributes, STR("service.name")), STR("shop"));
    assert_null(attrs_get(&b.resources[0].attributes, STR("__internal")));
    assert_str(attrs_get_str(&b.resources[1].attributes, STR("service.name")), STR("api"));
    batch_done(&b);
}

static void the_older_json_is_read(void **state UNUSED)
{
    batch b;
    decode_json(&b, "{\"streams\":[{\"labels\":\"{job=\\\"a\\\"}\",\"entries\":"
                    "[{\"ts\":\"2025-10-12T20:30:00.000000001Z\",\"line\":\"x\"}]}]}");
    assert_int_equal(b.logs.count, 1);
    assert_int_equal(b.logs.time_ns[0], 1760301000000000001);
    assert_str(attrs_get_str(&b.resources[0].attributes, STR("job")), STR("a"));
    batch_done(&b);
}

static void json_that_is_wrong_is_refused_with_its_place(void **state UNUSED)
{
    refused("[]", "Loki push request: line 1, column 1: an object with \"streams\" was expected");
    refused("{\"streams\":[{\"stream\":{},\"values\":[[\"x\",\"y\"]]}]}",
            "Loki push request: line 1, column 37: an entry's time must be nanoseconds since 1970 "
            "in a string");
    refused("{\"streams\":[{\"stream\":{\"a\":1}}]}",
            "Loki push request: line 1, column 28: a label's value must be a string");
    refused("{\"streams\":[{\"stream\":{\"a\":\"1\"},\"values\":[[\"1\",\"y\",{},4]]}]}",
            "Loki push request: line 1, column 55: an entry has three elements at most");
    refused("{\"streams\":[{\"labels\":\"{a\"}]}", "labels {a: '=' was expected, at byte 2");
}

/* ---- out ---- */

static void put(batch *b, attrs *list, const char *key, value v)
{
    uint32_t capacity = list->count;
    assert_true(attrs_append(&b->arena, list, &capacity, str_c(key), v));
}

static uint32_t record(batch *b, uint32_t scope, int64_t time_ns, const char *body)
{
    uint32_t row = batch_add_log(b, scope);
    b->logs.time_ns[row] = time_ns;
    b->logs.body[row] = VALUE_S(str_c(body));
    return row;
}

static uint32_t service(batch *b, const char *name)
{
    uint32_t r = batch_add_resource(b);
    put(b, &b->resources[r].attributes, "service.name", VALUE_S(str_c(name)));
    put(b, &b->resources[r].attributes, "service.namespace", VALUE_S(STR("eu")));
    put(b, &b->resources[r].attributes, "team", VALUE_S(STR("red")));
    return batch_add_scope(b, r);
}

static const loki_default_labels all_labels = { true, true, true, true };

static void records_become_streams_with_few_labels(void **state UNUSED)
{
    batch b;
    arena a;
    loki_streams s;
    error err;
    uint32_t out;
    arena_init(&a, MiB(4));
    batch_init(&b, SIGNAL_LOGS, MiB(4));
    uint32_t scope = service(&b, "shop");
    b.scopes[scope].name = STR("lib");
    record(&b, scope, 2000, "late");
    uint32_t row = record(&b, scope, 1000, "early");
    b.logs.severity[0] = b.logs.severity[1] = 9;
    put(&b, &b.logs.attributes[row], "n", VALUE_I(5));
    memset(b.logs.trace[row].bytes, 0xab, 16);
    assert_ok(loki_streams_build(&b, &all_labels, 1, &a, &s, &out, &err));
    assert_int_equal(s.count, 1);
    assert_int_equal(out, 0);
    assert_str(s.items[0].labels, STR("{exporter=\"OTLP\", job=\"eu/shop\", level=\"INFO\"}"));
    assert_int_equal(s.items[0].count, 2);
    assert_int_equal(s.items[0].entries[0].time_ns, 1000);
    assert_str(s.items[0].entries[0].line,
               STR("{\"body\":\"early\",\"traceid\":\"abababababababababababababababab\","
                   "\"attributes\":{\"n\":5},\"resources\":{\"service.name\":\"shop\","
                   "\"service.namespace\":\"eu\",\"team\":\"red\"},"
                   "\"instrumentation_scope\":{\"name\":\"lib\"}}"));
    batch_done(&b);
    arena_done(&a);
}

static void hints_choose_labels_format_and_tenant(void **state UNUSED)
{
    batch b;
    arena a;
    loki_streams s;
    error err;
    uint32_t out;
    const loki_default_labels none = { 0 };
    arena_init(&a, MiB(4));
    batch_init(&b, SIGNAL_LOGS, MiB(4));
    uint32_t scope = service(&b, "shop");
    put(&b, &b.resources[0].attributes, "loki.resource.labels", VALUE_S(STR("service.name, team")));
    put(&b, &b.resources[0].attributes, "loki.tenant", VALUE_S(STR("team")));
    uint32_t row = record(&b, scope, 1, "plain");
    put(&b, &b.logs.attributes[row], "loki.attribute.labels", VALUE_S(STR("event.domain,absent")));
    put(&b, &b.logs.attributes[row], "event.domain", VALUE_S(STR("a\"b")));
    put(&b, &b.logs.attributes[row], "loki.format", VALUE_S(STR("raw")));
    row = record(&b, scope, 2, "two words");
    put(&b, &b.logs.attributes[row], "loki.format", VALUE_S(STR("logfmt")));
    put(&b, &b.logs.attributes[row], "k", VALUE_S(STR("v w")));
    row = record(&b, scope, 3, "x");
    put(&b, &b.logs.attributes[row], "loki.format", VALUE_S(STR("xml")));
    assert_ok(loki_streams_build(&b, &none, 1, &a, &s, &out, &err));
    assert_int_equal(out, 1);
    assert_int_equal(s.count, 2);
    assert_str(s.items[0].tenant, STR("red"));
    assert_str(s.items[0].labels,
               STR("{event_domain=\"a\\\"b\", service_name=\"shop\", team=\"red\"}"));
    assert_str(s.items[0].entries[0].line, STR("plain"));
    assert_str(s.items[1].labels, STR("{service_name=\"shop\", team=\"red\"}"));
    assert_str(s.items[1].entries[0].line,
               STR("msg=\"two words\" attribute_k=\"v w\" resource_service.namespace=eu"));
    batch_done(&b);
    arena_done(&a);
}

static void what_is_encoded_is_decoded_again(void **state UNUSED)
{
    batch b, again;
    arena a;
    loki_streams s;
    error err;
    uint32_t out;
    buf bytes;
    arena_init(&a, MiB(4));
    buf_init(&bytes, MiB(1));
    batch_init(&b, SIGNAL_LOGS, MiB(4));
    batch_init(&again, SIGNAL_LOGS, MiB(4));
    uint32_t scope = service(&b, "shop");
    for (int i = 0; i < 3; i++) {
        uint32_t row = record(&b, scope, 1700000000000000000 + i, "line");
        put(&b, &b.logs.attributes[row], "loki.format", VALUE_S(STR("raw")));
        b.logs.severity[row] = (uint8_t)(9 + 4 * (i == 2));
    }
    assert_ok(loki_streams_build(&b, &all_labels, 1, &a, &s, &out, &err));
    assert_ok(loki_push_encode(s.items, s.count, &bytes, &err));
    assert_ok(loki_push_decode(&again, buf_view(&bytes), NULL, &err));
    assert_int_equal(again.logs.count, 3);
    assert_int_equal(again.logs.time_ns[1], 1700000000000000001);
    assert_str(again.logs.body[0].s, STR("line"));
    assert_int_equal(again.logs.severity[0], 9);
    assert_int_equal(again.logs.severity[2], 13);
    assert_str(attrs_get_str(&again.resources[0].attributes, STR("service.name")), STR("shop"));
    assert_str(attrs_get_str(&again.resources[0].attributes, STR("service.namespace")), STR("eu"));
    batch_clear(&again);
    assert_int_equal(
        loki_push_decode(&again, str_slice(buf_view(&bytes), 0, bytes.len - 1), NULL, &err),
        STATUS_INVALID);
    batch_done(&b);
    batch_done(&again);
    buf_done(&bytes);
    arena_done(&a);
}

static void limits_hold(void **state UNUSED)
{
    batch b;
    error err;
    const loki_push_limits limits = { .max_rows = 1 };
    batch_init(&b, SIGNAL_LOGS, MiB(4));
    assert_int_equal(loki_push_decode_json(&b,
                                           STR("{\"streams\":[{\"stream\":{},\"values\":"
                                               "[[\"1\",\"a\"],[\"2\",\"b\"]]}]}"),
                                           &limits, &err),
                     STATUS_LIMIT);
    batch_done(&b);
}

static void levels_ids_and_times_are_understood(void **state UNUSED)
{
    trace_id id;
    int64_t t;
    assert_int_equal(severity_parse(STR("WARNING")), 13);
    assert_int_equal(severity_parse(STR("Error3")), 19);
    assert_int_equal(severity_parse(STR("crit")), 18);
    assert_int_equal(severity_parse(STR("loud")), 0);
    assert_int_equal(severity_of_value(&VALUE_I(30)), 9);
    assert_int_equal(severity_of_value(&VALUE_I(3)), 0);
    assert_true(trace_id_parse(STR("550e8400-e29b-41d4-a716-446655440000"), &id));
    assert_int_equal(id.bytes[0], 0x55);
    assert_false(trace_id_parse(STR("00000000000000000000000000000000"), &id));
    assert_false(trace_id_parse(STR("x"), &id));
    static const struct {
        const char *text;
        int64_t ns;
    } times[] = {
        { "2025-10-12T20:30:00.5Z", 1760301000500000000 },
        { "2025-10-12 20:30:00,500", 1760301000500000000 },
        { "2025-10-12T22:30:00.5+02:00", 1760301000500000000 },
        { "1760301000", 1760301000000000000 },
        { "1760301000500", 1760301000500000000 },
        { "1760301000500000000", 1760301000500000000 },
        { "1760301000.5", 1760301000500000000 },
    };
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        if (!log_time_parse(str_c(times[i].text), &t) || t != times[i].ns)
            fail_msg("%s", times[i].text);
    }
    assert_false(log_time_parse(STR("yesterday"), &t));
    assert_false(log_time_parse(STR(""), &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_read_with_their_escapes),
        cmocka_unit_test(labels_that_are_wrong_are_refused),
        cmocka_unit_test(json_streams_become_records),
        cmocka_unit_test(the_older_json_is_read),
        cmocka_unit_test(json_that_is_wrong_is_refused_with_its_place),
        cmocka_unit_test(records_become_streams_with_few_labels),
        cmocka_unit_test(hints_choose_labels_format_and_tenant),
        cmocka_unit_test(what_is_encoded_is_decoded_again),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(levels_ids_and_times_are_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

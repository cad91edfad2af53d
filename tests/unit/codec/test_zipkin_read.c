// SPDX-License-Identifier: Apache-2.0
/* Zipkin's spans as rows: every field of JSON and protobuf, what is wrong and where, and that what
 * sonde writes itself comes back. */
#include "codec/zipkin_read.h"

#include "codec/protobuf.h"
#include "codec/zipkin_json.h"
#include "support.h"
#include "unit/codec/batch_equal.h"

static const zipkin_options plain = { .now_ns = 42 };

static void read_json(batch *b, const char *json, const zipkin_options *options)
{
    error err;
    batch_init(b, SIGNAL_TRACES, MiB(1));
    assert_ok(zipkin_json_decode(b, str_c(json), options, &err));
}

static void assert_attr(const attrs *a, const char *key, value want)
{
    const value *v = attrs_get(a, str_c(key));
    if (!v || !value_equal(v, &want))
        fail_msg("attribute %s is not what was sent", key);
}

/* Zipkin's own example, and the fields that it leaves out. */
static const char full[] =
    "[{\"traceId\":\"5982fe77008310cc80f1da5e10147517\",\"id\":\"bd7a977555f6b982\","
    "\"parentId\":\"90394f6bcffb5d13\",\"name\":\"get /\",\"kind\":\"SERVER\","
    "\"timestamp\":1458702548467000,\"duration\":386000,"
    "\"localEndpoint\":{\"serviceName\":\"shop\",\"ipv4\":\"10.0.0.1\",\"port\":80},"
    "\"remoteEndpoint\":{\"serviceName\":\"edge\",\"ipv6\":\"2001:db8::c001\",\"port\":4000},"
    "\"annotations\":[{\"timestamp\":1458702548467001,\"value\":\"plain\"},"
    "{\"timestamp\":1458702548467002,\"value\":\"\\\"full\\\":{\\\"k\\\":\\\"v\\\",\\\"n\\\":1}\"},"
    "{\"timestamp\":1458702548467003,\"value\":\"{\\\"other\\\":{\\\"b\\\":true}}\"},"
    "{\"timestamp\":1458702548467004,\"value\":\"{no json\"}],"
    "\"tags\":{\"http.method\":\"GET\",\"otel.scope.name\":\"lib\",\"otel.scope.version\":\"2\","
    "\"otel.status_code\":\"ERROR\",\"error\":\"no room\",\"otel.dropped_links_count\":\"3\"},"
    "\"debug\":true,\"shared\":true,\"later\":[{}]}]";

static void assert_full(const batch *b)
{
    const span_rows *s = &b->spans;
    assert_int_equal(s->count, 1);
    assert_memory_equal(s->trace[0].bytes, "\x59\x82\xfe\x77", 4);
    assert_memory_equal(s->span[0].bytes, "\xbd\x7a\x97\x75", 4);
    assert_memory_equal(s->parent[0].bytes, "\x90\x39\x4f\x6b", 4);
    assert_str(s->name[0], STR("get /"));
    assert_int_equal(s->kind[0], SPAN_KIND_SERVER);
    assert_int_equal(s->flags[0], 1);
    assert_int_equal(s->start_ns[0], 1458702548467000000);
    assert_int_equal(s->end_ns[0], 1458702548853000000);
    assert_int_equal(s->status[0], SPAN_STATUS_ERROR);
    assert_str(s->status_message[0], STR("no room"));
    assert_int_equal(s->links[0].dropped, 3);
    assert_str(b->scopes[s->scope[0]].name, STR("lib"));
    assert_str(b->scopes[s->scope[0]].version, STR("2"));
    assert_str(attrs_get_str(&b->resources[0].attributes, STR("service.name")), STR("shop"));
    assert_int_equal(s->attributes[0].count, 8);
    assert_attr(&s->attributes[0], "http.method", VALUE_S(STR("GET")));
    assert_attr(&s->attributes[0], "network.local.address", VALUE_S(STR("10.0.0.1")));
    assert_attr(&s->attributes[0], "network.local.port", VALUE_I(80));
    assert_attr(&s->attributes[0], "peer.service", VALUE_S(STR("edge")));
    assert_attr(&s->attributes[0], "network.peer.address", VALUE_S(STR("2001:db8::c001")));
    assert_attr(&s->attributes[0], "network.peer.port", VALUE_I(4000));
    assert_attr(&s->attributes[0], "zipkin.debug", VALUE_B(true));
    assert_attr(&s->attributes[0], "zipkin.shared", VALUE_B(true));
}

static void every_field_of_json(void **state UNUSED)
{
    batch b;
    read_json(&b, full, &plain);
    assert_full(&b);
    const span_events *e = &b.spans.events[0];
    assert_int_equal(e->count, 4);
    assert_str(e->items[0].name, STR("plain"));
    assert_int_equal(e->items[0].time_ns, 1458702548467001000);
    assert_str(e->items[1].name, STR("full"));
    assert_attr(&e->items[1].attributes, "k", VALUE_S(STR("v")));
    assert_attr(&e->items[1].attributes, "n", VALUE_I(1));
    assert_str(e->items[2].name, STR("other"));
    assert_attr(&e->items[2].attributes, "b", VALUE_B(true));
    assert_str(e->items[3].name, STR("{no json"));
    batch_done(&b);
}

static void put_entry(buf *out, uint32_t number, str first, str second)
{
    pb_mark mark = pb_begin(out, number, 32);
    pb_put_bytes(out, 1, first);
    pb_put_bytes(out, 2, second);
    pb_end(out, mark);
}

static void every_field_of_protobuf(void **state UNUSED)
{
    batch b;
    buf out;
    error err;
    buf_init(&out, 0);
    batch_init(&b, SIGNAL_TRACES, MiB(1));
    pb_mark span = pb_begin(&out, 1, 300);
    pb_put_bytes(&out, 1, STR("\x59\x82\xfe\x77\x00\x83\x10\xcc\x80\xf1\xda\x5e\x10\x14\x75\x17"));
    pb_put_bytes(&out, 2, STR("\x90\x39\x4f\x6b\xcf\xfb\x5d\x13"));
    pb_put_bytes(&out, 3, STR("\xbd\x7a\x97\x75\x55\xf6\xb9\x82"));
    pb_put_varint(&out, 4, 2);
    pb_put_bytes(&out, 5, STR("get /"));
    pb_put_fixed64(&out, 6, 1458702548467000);
    pb_put_varint(&out, 7, 386000);
    pb_mark local = pb_begin(&out, 8, 30);
    pb_put_bytes(&out, 1, STR("shop"));
    pb_put_bytes(&out, 2, STR("\x0a\x00\x00\x01"));
    pb_put_varint(&out, 4, 80);
    pb_end(&out, local);
    pb_mark remote = pb_begin(&out, 9, 30);
    pb_put_bytes(&out, 1, STR("edge"));
    pb_put_bytes(&out, 3, STR("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\xc0\x01"));
    pb_put_varint(&out, 4, 4000);
    pb_end(&out, remote);
    put_entry(&out, 11, STR("http.method"), STR("GET"));
    put_entry(&out, 11, STR("otel.scope.name"), STR("lib"));
    put_entry(&out, 11, STR("otel.scope.version"), STR("2"));
    put_entry(&out, 11, STR("error"), STR("no room"));
    put_entry(&out, 11, STR("otel.dropped_links_count"), STR("3"));
    pb_put_varint(&out, 12, 1);
    pb_put_varint(&out, 13, 1);
    pb_end(&out, span);
    assert_ok(zipkin_proto_decode(&b, buf_view(&out), &plain, &err));
    assert_full(&b);
    /* Every shorter request is an error. */
    for (size_t n = 1; n < out.len; n++) {
        batch_clear(&b);
        assert_int_equal(zipkin_proto_decode(&b, str_n(out.ptr, n), &plain, &err), STATUS_INVALID);
    }
    buf_done(&out);
    batch_done(&b);
}

static void ids_are_filled_up_and_times_may_be_missing(void **state UNUSED)
{
    batch b;
    read_json(&b,
              "[{\"traceId\":\"90394f6bcffb5d13\",\"id\":\"1f\"},"
              "{\"traceId\":\"1\",\"id\":\"2\",\"kind\":null,\"annotations\":"
              "[{\"timestamp\":9,\"value\":\"late\"},{\"timestamp\":7,\"value\":\"first\"}]}]",
              &plain);
    assert_memory_equal(b.spans.trace[0].bytes, "\0\0\0\0\0\0\0\0\x90\x39\x4f\x6b\xcf\xfb\x5d\x13",
                        16);
    assert_memory_equal(b.spans.span[0].bytes, "\0\0\0\0\0\0\0\x1f", 8);
    assert_int_equal(b.spans.start_ns[0], 42);
    assert_int_equal(b.spans.end_ns[0], 42);
    assert_int_equal(b.spans.start_ns[1], 7000);
    assert_int_equal(b.spans.kind[1], SPAN_KIND_INTERNAL);
    assert_int_equal(b.resources[0].attributes.count, 0);
    batch_done(&b);
}

static void spans_of_one_service_are_one_resource(void **state UNUSED)
{
    batch b;
    read_json(&b,
              "[{\"traceId\":\"1\",\"id\":\"2\",\"localEndpoint\":{\"serviceName\":\"a\"}},"
              "{\"traceId\":\"1\",\"id\":\"3\",\"localEndpoint\":{\"serviceName\":\"b\"}},"
              "{\"traceId\":\"1\",\"id\":\"4\",\"localEndpoint\":{\"serviceName\":\"a\"}},"
              "{\"traceId\":\"1\",\"id\":\"5\",\"tags\":{\"service.name\":\"b\"}}]",
              &plain);
    assert_int_equal(b.resource_count, 2);
    assert_int_equal(b.scope_count, 2);
    assert_int_equal(b.spans.scope[0], b.spans.scope[2]);
    assert_int_equal(b.spans.scope[1], b.spans.scope[3]);
    assert_int_equal(b.spans.attributes[3].count, 0);
    batch_done(&b);
}

static void tags_are_text_unless_asked_for(void **state UNUSED)
{
    static const char tags[] =
        "[{\"traceId\":\"1\",\"id\":\"2\",\"tags\":{\"yes\":\"true\",\"n\":\"-5\",\"x\":\"2.5\","
        "\"t\":\"5 apples\",\"inf\":\"inf\",\"error\":\"500\"}}]";
    batch b;
    read_json(&b, tags, &plain);
    assert_attr(&b.spans.attributes[0], "n", VALUE_S(STR("-5")));
    assert_attr(&b.spans.attributes[0], "yes", VALUE_S(STR("true")));
    batch_done(&b);
    read_json(&b, tags, &(zipkin_options){ .now_ns = 1, .parse_tags = true });
    assert_attr(&b.spans.attributes[0], "yes", VALUE_B(true));
    assert_attr(&b.spans.attributes[0], "n", VALUE_I(-5));
    assert_attr(&b.spans.attributes[0], "x", VALUE_D(2.5));
    assert_attr(&b.spans.attributes[0], "t", VALUE_S(STR("5 apples")));
    assert_attr(&b.spans.attributes[0], "inf", VALUE_S(STR("inf")));
    assert_str(b.spans.status_message[0], STR("500"));
    batch_done(&b);
}

/* An exporter took the remote side from server.address: it does not come back as another name. */
static void the_remote_side_is_not_told_twice(void **state UNUSED)
{
    batch b;
    read_json(&b,
              "[{\"traceId\":\"1\",\"id\":\"2\",\"kind\":\"CLIENT\","
              "\"remoteEndpoint\":{\"serviceName\":\"db1\",\"port\":5432},"
              "\"tags\":{\"server.address\":\"db1\",\"server.port\":\"5432\"}}]",
              &plain);
    assert_int_equal(b.spans.attributes[0].count, 2);
    batch_done(&b);
}

static void round_trip(status (*encode)(const batch *, str, buf *, error *),
                       status (*decode)(batch *, str, const zipkin_options *, error *))
{
    batch b, again;
    buf out;
    error err;
    buf_init(&out, 0);
    read_json(&b, full, &plain);
    b.spans.flags[0] = 0; /* "debug" and "shared" are not written */
    assert_ok(encode(&b, STR(""), &out, &err));
    batch_init(&again, SIGNAL_TRACES, MiB(1));
    assert_ok(decode(&again, buf_view(&out), &(zipkin_options){ 1, true }, &err));
    assert_true(spans_equal(&b.spans, &again.spans, 0));
    assert_true(attrs_equal(&b.resources[0].attributes, &again.resources[0].attributes));
    buf_done(&out);
    batch_done(&b);
    batch_done(&again);
}

static void what_goes_out_comes_back(void **state UNUSED)
{
    round_trip(zipkin_json_encode, zipkin_json_decode);
    round_trip(zipkin_proto_encode, zipkin_proto_decode);
}

static void wrong_requests_are_told_what_and_where(void **state UNUSED)
{
    static const struct {
        const char *json, *part;
    } cases[] = {
        { "{}", "a request must be an array of spans" },
        { "[{\"id\":\"1\"}]", "span 0: it has no traceId" },
        { "[{\"traceId\":\"1\"}]", "span 0: it has no id" },
        { "[{\"traceId\":\"1\",\"id\":\"2\"},{\"traceId\":\"x\"}]", "span 1: traceId must be" },
        { "[{\"traceId\":\"123456781234567812345678123456781\"}]", "traceId must be" },
        { "[{\"id\":\"\"}]", "a span's id must be" },
        { "[{\"kind\":\"BOTH\"}]", "kind must be CLIENT, SERVER, PRODUCER or CONSUMER, at line 1" },
        { "[{\"timestamp\":-1}]", "a time must be" },
        { "[{\"traceId\":\"1\",\"id\":\"2\",\"timestamp\":18446744073709551615}]", "year 2262" },
        { "[{\"annotations\":[{\"timestamp\":9223372036854775807}]}]", "annotation 0" },
        { "[{\"tags\":{\"a\":5}}]", "a tag's value must be text in quotes" },
        { "[{\"localEndpoint\":{\"port\":70000}}]", "a port must be" },
        { "[{\"tags\":{\"a\":\"b\"", "line 1, column" },
        { "[]]", "line 1, column 3" },
        { "", "line 1" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        batch b;
        error err;
        batch_init(&b, SIGNAL_TRACES, MiB(1));
        assert_int_equal(zipkin_json_decode(&b, str_c(cases[i].json), &plain, &err),
                         STATUS_INVALID);
        if (!strstr(err.message, cases[i].part))
            fail_msg("\"%s\" has no \"%s\"", err.message, cases[i].part);
        batch_done(&b);
    }
}

static void tags_and_memory_have_limits(void **state UNUSED)
{
    batch b;
    buf json;
    error err;
    buf_init(&json, 0);
    buf_lit(&json, "[{\"traceId\":\"1\",\"id\":\"2\",\"tags\":{\"x\":\"y\"");
    for (int i = 0; i < 1024; i++)
        buf_fmt(&json, ",\"k%d\":\"v\"", i);
    buf_lit(&json, "}}]");
    batch_init(&b, SIGNAL_TRACES, MiB(1));
    assert_int_equal(zipkin_json_decode(&b, buf_view(&json), &plain, &err), STATUS_LIMIT);
    assert_non_null(strstr(err.message, "more tags than the limit of 1024"));
    batch_done(&b);
    batch_init(&b, SIGNAL_TRACES, 100);
    assert_int_equal(zipkin_json_decode(&b, str_c(full), &plain, &err), STATUS_LIMIT);
    assert_non_null(strstr(err.message, "100 bytes of memory"));
    batch_done(&b);
    buf_done(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_of_json),
        cmocka_unit_test(every_field_of_protobuf),
        cmocka_unit_test(ids_are_filled_up_and_times_may_be_missing),
        cmocka_unit_test(spans_of_one_service_are_one_resource),
        cmocka_unit_test(tags_are_text_unless_asked_for),
        cmocka_unit_test(the_remote_side_is_not_told_twice),
        cmocka_unit_test(what_goes_out_comes_back),
        cmocka_unit_test(wrong_requests_are_told_what_and_where),
        cmocka_unit_test(tags_and_memory_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

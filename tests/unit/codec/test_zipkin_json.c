// SPDX-License-Identifier: Apache-2.0
/* OpenTelemetry spans as Zipkin spans, field by field. */
#include "codec/zipkin_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static uint32_t put(batch *b, attrs *list, const char *key, value v)
{
    uint32_t capacity = list->count;
    assert_true(attrs_append(&b->arena, list, &capacity, str_c(key), v));
    return list->count;
}

/* One span of service "shop", in a batch that the caller frees. */
static uint32_t span_batch(batch *b)
{
    batch_init(b, SIGNAL_TRACES, MiB(1));
    uint32_t resource = batch_add_resource(b);
    put(b, &b->resources[resource].attributes, "service.name", VALUE_S(STR("shop")));
    put(b, &b->resources[resource].attributes, "service.namespace", VALUE_S(STR("eu")));
    uint32_t scope = batch_add_scope(b, resource);
    b->scopes[scope].name = STR("lib");
    uint32_t row = batch_add_span(b, scope);
    b->spans.name[row] = STR("GET /");
    b->spans.start_ns[row] = 1700000000123456789;
    b->spans.end_ns[row] = 1700000000123458023;
    memset(b->spans.trace[row].bytes, 0xab, 16);
    memset(b->spans.span[row].bytes, 0xcd, 8);
    return row;
}

static void assert_json(const batch *b, const char *want)
{
    buf out;
    error err;
    buf_init(&out, MiB(1));
    assert_int_equal(zipkin_json_encode(b, STR_EMPTY, &out, &err), STATUS_OK);
    buf_char(&out, '\0');
    assert_string_equal(out.ptr, want);
    buf_done(&out);
}

#define IDS "\"traceId\":\"abababababababababababababababab\",\"id\":\"cdcdcdcdcdcdcdcd\","
#define REST \
    "\"timestamp\":1700000000123456,\"duration\":1,\"localEndpoint\":{\"serviceName\":\"shop\"},"
#define TAGS "\"service.namespace\":\"eu\",\"otel.scope.name\":\"lib\""

static void a_plain_span_leaves_out_what_it_has_not(void **state UNUSED)
{
    batch b;
    uint32_t row = span_batch(&b);
    b.spans.kind[row] = SPAN_KIND_INTERNAL;
    assert_json(&b, "[{" IDS "\"name\":\"GET /\"," REST "\"tags\":{" TAGS "}}]");
    batch_clear(&b);
    assert_json(&b, "[]");
    batch_done(&b);
}

static void kinds_and_parents(void **state UNUSED)
{
    static const char *const kinds[] = { "",
                                         "",
                                         "\"kind\":\"SERVER\",",
                                         "\"kind\":\"CLIENT\",",
                                         "\"kind\":\"PRODUCER\",",
                                         "\"kind\":\"CONSUMER\",",
                                         "" };
    for (uint8_t kind = 0; kind < ARRAY_LEN(kinds); kind++) {
        batch b;
        char want[1024];
        uint32_t row = span_batch(&b);
        b.spans.kind[row] = kind;
        memset(b.spans.parent[row].bytes, 0x11, 8);
        snprintf(want, sizeof(want),
                 "[{" IDS "\"parentId\":\"1111111111111111\",\"name\":\"GET /\",%s" REST
                 "\"tags\":{" TAGS "}}]",
                 kinds[kind]);
        assert_json(&b, want);
        batch_done(&b);
    }
}

static void attributes_become_text_and_the_resource_gives_way(void **state UNUSED)
{
    batch b;
    uint32_t row = span_batch(&b);
    value items[] = { VALUE_I(1), VALUE_S(STR("two")) };
    attrs *a = &b.spans.attributes[row];
    put(&b, a, "n", VALUE_I(-5));
    put(&b, a, "x", VALUE_D(2.5));
    put(&b, a, "yes", VALUE_B(true));
    put(&b, a, "list", (value){ .type = VALUE_ARRAY, .array = { items, 2 } });
    put(&b, a, "error", VALUE_B(false));
    put(&b, a, "service.namespace", VALUE_S(STR("own")));
    a->dropped = 3;
    b.spans.events[row].dropped = 4;
    b.spans.links[row].dropped = 5;
    assert_json(
        &b, "[{" IDS "\"name\":\"GET /\"," REST
            "\"tags\":{\"n\":\"-5\",\"x\":\"2.5\",\"yes\":\"true\",\"list\":\"[1,\\\"two\\\"]\","
            "\"service.namespace\":\"own\",\"otel.scope.name\":\"lib\","
            "\"otel.dropped_attributes_count\":\"3\",\"otel.dropped_events_count\":\"4\","
            "\"otel.dropped_links_count\":\"5\"}}]");
    batch_done(&b);
}

static void a_status_is_told_by_tags(void **state UNUSED)
{
    static const struct {
        span_status status;
        const char *message, *tags;
    } cases[] = {
        { SPAN_STATUS_UNSET, "ignored", "" },
        { SPAN_STATUS_OK, "ignored", ",\"otel.status_code\":\"OK\"" },
        { SPAN_STATUS_ERROR, "", ",\"otel.status_code\":\"ERROR\",\"error\":\"\"" },
        { SPAN_STATUS_ERROR, "no room", ",\"otel.status_code\":\"ERROR\",\"error\":\"no room\"" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        batch b;
        char want[1024];
        uint32_t row = span_batch(&b);
        b.spans.status[row] = cases[i].status;
        b.spans.status_message[row] = str_c(cases[i].message);
        snprintf(want, sizeof(want), "[{" IDS "\"name\":\"GET /\"," REST "\"tags\":{" TAGS "%s}}]",
                 cases[i].tags);
        assert_json(&b, want);
        batch_done(&b);
    }
}

static void events_become_annotations(void **state UNUSED)
{
    batch b;
    uint32_t row = span_batch(&b);
    span_event events[2] = { { .time_ns = 5000, .name = STR("plain") },
                             { .time_ns = 7999, .name = STR("full") } };
    put(&b, &events[1].attributes, "k", VALUE_S(STR("v")));
    put(&b, &events[1].attributes, "n", VALUE_I(1));
    b.spans.events[row] = (span_events){ events, 2, 0 };
    assert_json(&b, "[{" IDS "\"name\":\"GET /\"," REST
                    "\"annotations\":[{\"timestamp\":5,\"value\":\"plain\"},{\"timestamp\":7,"
                    "\"value\":\"\\\"full\\\":{\\\"k\\\":\\\"v\\\",\\\"n\\\":1}\"}],"
                    "\"tags\":{" TAGS "}}]");
    batch_done(&b);
}

/* Of a client's attributes the best known name is the remote side; a server has none. */
static void the_remote_side_follows_the_ranking(void **state UNUSED)
{
    batch b;
    uint32_t row = span_batch(&b);
    attrs *a = &b.spans.attributes[row];
    put(&b, a, "db.name", VALUE_S(STR("orders")));
    put(&b, a, "server.port", VALUE_I(5432));
    put(&b, a, "server.address", VALUE_S(STR("db1")));
    buf out;
    error err;
    buf_init(&out, 0);
    b.spans.kind[row] = SPAN_KIND_CLIENT;
    assert_int_equal(zipkin_json_encode(&b, STR_EMPTY, &out, &err), STATUS_OK);
    assert_true(str_contains(buf_view(&out), STR("\"remoteEndpoint\":{\"serviceName\":\"db1\","
                                                 "\"port\":5432},")));
    put(&b, a, "peer.service", VALUE_S(STR("postgres")));
    buf_clear(&out);
    assert_int_equal(zipkin_json_encode(&b, STR_EMPTY, &out, &err), STATUS_OK);
    assert_true(
        str_contains(buf_view(&out), STR("\"remoteEndpoint\":{\"serviceName\":\"postgres\"},")));
    b.spans.kind[row] = SPAN_KIND_SERVER;
    buf_clear(&out);
    assert_int_equal(zipkin_json_encode(&b, STR_EMPTY, &out, &err), STATUS_OK);
    assert_false(str_contains(buf_view(&out), STR("remoteEndpoint")));
    buf_done(&out);
    batch_done(&b);
}

static void the_limit_of_the_buffer_is_an_error(void **state UNUSED)
{
    batch b;
    buf out;
    error err;
    span_batch(&b);
    buf_init(&out, 100);
    assert_int_equal(zipkin_json_encode(&b, STR_EMPTY, &out, &err), STATUS_LIMIT);
    buf_done(&out);
    batch_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_span_leaves_out_what_it_has_not),
        cmocka_unit_test(kinds_and_parents),
        cmocka_unit_test(attributes_become_text_and_the_resource_gives_way),
        cmocka_unit_test(a_status_is_told_by_tags),
        cmocka_unit_test(events_become_annotations),
        cmocka_unit_test(the_remote_side_follows_the_ranking),
        cmocka_unit_test(the_limit_of_the_buffer_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

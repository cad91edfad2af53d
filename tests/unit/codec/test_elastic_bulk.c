// SPDX-License-Identifier: Apache-2.0
/* Elasticsearch's bulk requests as log records, and the answers. */
#include "support.h"

#include "codec/elastic_bulk.h"

static void decode(batch *b, elastic_items *items, const char *index, const char *text)
{
    error err;
    batch_init(b, SIGNAL_LOGS, MiB(4));
    *items = (elastic_items){ 0 };
    assert_ok(elastic_bulk_decode(b, str_c(text), str_c(index), NULL, items, &err));
}

static str resource_text(const batch *b, uint32_t row, const char *key)
{
    return attrs_get_str(&b->resources[b->scopes[b->logs.scope[row]].resource].attributes,
                         str_c(key));
}

static str own_text(const batch *b, uint32_t row, const char *key)
{
    return attrs_get_str(&b->logs.attributes[row], str_c(key));
}

static void what_filebeat_decoded_is_the_line_that_was_logged(void **state UNUSED)
{
    static const char line[] =
        "\"timestamp\":\"2025-10-12T20:30:00.125Z\",\"level\":\"error\",\"service\":\"backend\","
        "\"trace_id\":\"0102030405060708090a0b0c0d0e0f10\",\"span_id\":\"0102030405060708\","
        "\"message\":\"failed\",\"job_id\":\"j1\",\"data\":{\"tries\":3,\"ok\":false}";
    static const char head[] =
        "\"@timestamp\":\"2025-10-12T20:30:01.000Z\",\"host\":{\"name\":\"h1\"},"
        "\"agent\":{\"type\":\"filebeat\",\"version\":\"8.15.0\"},\"log\":{\"offset\":120,"
        "\"file\":{\"path\":\"/var/log/x.log\"}},\"input\":{\"type\":\"log\"}";
    char text[2048];
    for (int nested = 0; nested < 2; nested++) {
        batch b;
        elastic_items items;
        snprintf(text, sizeof(text), "{\"create\":{\"_index\":\"app-2025.10.12\"}}\n{%s,%s%s%s}\n",
                 head, nested ? "\"json\":{" : "", line, nested ? "}" : "");
        decode(&b, &items, "", text);
        assert_int_equal(items.count, 1);
        assert_int_equal(items.items[0].status, 201);
        assert_int_equal(b.logs.count, 1);
        assert_int_equal(b.logs.time_ns[0], 1760301000125000000);
        assert_int_equal(b.logs.observed_ns[0], 1760301001000000000);
        assert_str(b.logs.body[0].s, STR("failed"));
        assert_int_equal(b.logs.severity[0], 17);
        assert_int_equal(b.logs.trace[0].bytes[0], 1);
        assert_int_equal(b.logs.span[0].bytes[7], 8);
        assert_str(own_text(&b, 0, "job_id"), STR("j1"));
        assert_int_equal(attrs_get(&b.logs.attributes[0], STR("data.tries"))->i64, 3);
        assert_int_equal(attrs_get(&b.logs.attributes[0], STR("data.ok"))->type, VALUE_BOOL);
        assert_str(own_text(&b, 0, "log.file.path"), STR("/var/log/x.log"));
        assert_str(resource_text(&b, 0, "service.name"), STR("backend"));
        assert_str(resource_text(&b, 0, "host.name"), STR("h1"));
        assert_str(resource_text(&b, 0, "agent.type"), STR("filebeat"));
        batch_done(&b);
    }
}

static void the_common_schema_is_understood_nested_and_dotted(void **state UNUSED)
{
    batch b;
    elastic_items items;
    decode(
        &b, &items, "logs",
        "{\"index\":{}}\n"
        "{\"@timestamp\":1760301000125,\"log.level\":\"WARN\",\"message\":\"a\","
        "\"service.name\":\"s\",\"service.environment\":\"prod\","
        "\"trace.id\":\"0102030405060708090a0b0c0d0e0f10\"}\n"
        "\n"
        "{\"index\":{\"_id\":\"7\"}}\r\n"
        "{\"@timestamp\":\"2025-10-12T20:30:00Z\",\"log\":{\"level\":\"warn\"},\"tags\":[\"x\",1],"
        "\"service\":{\"name\":\"s\",\"environment\":\"prod\"},"
        "\"trace\":{\"id\":\"0102030405060708090a0b0c0d0e0f10\"},\"gone\":null}");
    assert_int_equal(b.logs.count, 2);
    assert_int_equal(b.logs.scope[0], b.logs.scope[1]);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(b.logs.severity[i], 13);
        assert_int_equal(b.logs.trace[i].bytes[15], 16);
        assert_str(resource_text(&b, i, "deployment.environment.name"), STR("prod"));
        assert_str(resource_text(&b, i, "elasticsearch.index"), STR("logs"));
    }
    assert_int_equal(b.logs.time_ns[0], 1760301000125000000);
    assert_str(items.items[1].id, STR("7"));
    assert_int_equal(attrs_get(&b.logs.attributes[1], STR("tags"))->array.count, 2);
    assert_null(attrs_get(&b.logs.attributes[1], STR("gone")));
    assert_true(str_starts(b.logs.body[1].s, STR("{\"@timestamp\"")));
    batch_done(&b);
}

static void a_document_without_a_service_belongs_to_its_index(void **state UNUSED)
{
    batch b;
    elastic_items items;
    decode(&b, &items, "sixseven-2025.10.12", "{\"index\":{}}\n{\"message\":\"m\"}\n");
    assert_str(resource_text(&b, 0, "service.name"), STR("sixseven"));
    batch_done(&b);
    decode(&b, &items, "system",
           "{\"index\":{}}\n{\"message\":\"m\",\"syslogtag\":\"sshd:\",\"host\":\"h\","
           "\"severity\":\"notice\"}\n");
    assert_str(resource_text(&b, 0, "service.name"), STR("sshd"));
    assert_str(resource_text(&b, 0, "host.name"), STR("h"));
    assert_int_equal(b.logs.severity[0], 10);
    batch_done(&b);
}

/* clang-format off */
static void items_are_answered_in_order(void **state UNUSED)
{
    batch b;
    elastic_items items;
    buf out;
    buf_init(&out, MiB(1));
    decode(&b, &items, "",
           "{\"create\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"message\":\"x\"}\n"
           "{\"update\":{\"_index\":\"a\",\"_id\":\"2\"}}\n{\"doc\":{}}\n"
           "{\"delete\":{\"_index\":\"a\",\"_id\":\"3\"}}\n"
           "{\"index\":{\"_index\":\"a\",\"_id\":\"4\"}}\n{\"broken\n"
           "{\"index\":{\"_id\":\"5\"}}\n{}\n"
           "{\"index\":{\"_index\":\"a\",\"_id\":\"6\"}}\n{\"message\":\"y\"}\n");
    assert_int_equal(b.logs.count, 2);
    assert_str(b.logs.body[1].s, STR("y"));
    elastic_bulk_answer(&items, 3, 1, &out);
    buf_char(&out, '\0');
#define DONE(action, id) \
    "{\"" action "\":{\"_index\":\"a\",\"_id\":\"" id "\",\"_version\":1,\"result\":\"created\"," \
    "\"_shards\":{\"total\":1,\"successful\":1,\"failed\":0},\"_seq_no\":0,\"_primary_term\":1," \
    "\"status\":201}}"
#define WRONG(action, index, id, type, reason) \
    "{\"" action "\":{\"_index\":\"" index "\",\"_id\":\"" id "\",\"status\":400,\"error\":" \
    "{\"type\":\"" type "\",\"reason\":\"" reason "\"}}}"
    assert_string_equal(
        out.ptr, "{\"took\":3,\"errors\":true,\"items\":["
        DONE("create", "1") ","
        WRONG("update", "a", "2", "illegal_argument_exception",
              "log records cannot be updated: only index and create are taken") ","
        WRONG("delete", "a", "3", "illegal_argument_exception",
              "log records cannot be deleted one by one") ","
        WRONG("index", "a", "4", "document_parsing_exception",
              "failed to parse: line 1, column 9: the text ends in the middle of a value") ","
        WRONG("index", "", "5", "action_request_validation_exception",
              "Validation Failed: 1: index is missing;") ","
        DONE("index", "6") "]}");
    buf_done(&out);
    batch_done(&b);
}

/* clang-format on */
static void rows_that_were_too_old_are_the_items_that_fail(void **state UNUSED)
{
    batch b;
    elastic_items items;
    decode(&b, &items, "a",
           "{\"index\":{}}\n{\"message\":\"new\",\"@timestamp\":\"2025-10-12T20:30:00Z\"}\n"
           "{\"index\":{}}\n{\"message\":\"old\",\"@timestamp\":\"1999-10-12T20:30:00Z\"}\n"
           "{\"index\":{}}\n{\"message\":\"new\",\"@timestamp\":\"2025-10-12T20:30:01Z\"}\n");
    elastic_items_reject_oldest(&items, &b, 1, STR("too old"));
    assert_int_equal(items.items[0].status, 201);
    assert_int_equal(items.items[1].status, 400);
    assert_str(items.items[1].reason, STR("too old"));
    assert_int_equal(items.items[2].status, 201);
    elastic_items_reject_oldest(&items, &b, 3, STR("all"));
    assert_int_equal(items.items[0].status, 400);
    batch_done(&b);
}

static void requests_without_a_next_action_are_refused_whole(void **state UNUSED)
{
    static const struct {
        const char *text, *message;
    } wrong[] = {
        { "", "request body is required: pairs of lines, an action and a document" },
        { "[]", "Malformed action/metadata line [1], expected an object with index, create, update "
                "or delete" },
        { "{\"index\":{\"_index\":\"a\"}}\n{}\n{\"upsert\":{}}\n",
          "Malformed action/metadata line [3], expected field [create], [delete], [index] or "
          "[update] but found [upsert]" },
        { "{\"index\":3}\n{}\n", "Malformed action/metadata line [1], expected an object" },
        { "{\"index\":{}\n{}\n", "Malformed action/metadata line [1], it is no JSON" },
        { "{\"index\":{\"_index\":\"a\"}}\n", "The bulk request must be terminated by a newline "
                                              "[\\n]: line 1 has an action without a document" },
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        batch b;
        error err;
        elastic_items items = { 0 };
        batch_init(&b, SIGNAL_LOGS, MiB(4));
        assert_int_equal(
            elastic_bulk_decode(&b, str_c(wrong[i].text), STR_EMPTY, NULL, &items, &err),
            STATUS_INVALID);
        assert_string_equal(err.message, wrong[i].message);
        batch_done(&b);
    }
}

static void documents_with_too_much_are_refused_alone(void **state UNUSED)
{
    batch b;
    error err;
    elastic_items items = { 0 };
    const elastic_limits limits = { .max_attributes = 2 };
    buf text;
    buf_init(&text, MiB(1));
    buf_lit(&text, "{\"index\":{}}\n{\"a\":1,\"b\":2,\"c\":3}\n{\"index\":{}}\n{\"a\":1}\n"
                   "{\"index\":{}}\n");
    for (int i = 0; i < 100; i++)
        buf_lit(&text, "{\"a\":");
    batch_init(&b, SIGNAL_LOGS, MiB(4));
    assert_ok(elastic_bulk_decode(&b, buf_view(&text), STR("i"), &limits, &items, &err));
    assert_int_equal(items.items[0].status, 400);
    assert_str(items.items[0].reason, STR("failed to parse: too many fields in one document"));
    assert_int_equal(items.items[1].status, 201);
    assert_int_equal(items.items[2].status, 400);
    assert_int_equal(b.logs.count, 1);
    assert_int_equal(b.logs.attributes[0].count, 1);
    buf_done(&text);
    batch_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_filebeat_decoded_is_the_line_that_was_logged),
        cmocka_unit_test(the_common_schema_is_understood_nested_and_dotted),
        cmocka_unit_test(a_document_without_a_service_belongs_to_its_index),
        cmocka_unit_test(items_are_answered_in_order),
        cmocka_unit_test(rows_that_were_too_old_are_the_items_that_fail),
        cmocka_unit_test(requests_without_a_next_action_are_refused_whole),
        cmocka_unit_test(documents_with_too_much_are_refused_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

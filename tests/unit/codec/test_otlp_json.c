// SPDX-License-Identifier: Apache-2.0
/* OTLP in JSON: the examples of opentelemetry-proto, what proto3's JSON allows, and what is refused
 * with its place. */
#include "codec/otlp.h"

#include "base/file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "unit/codec/batch_equal.h"

static void decode(batch *b, signal_kind signal, const char *json)
{
    error err;
    batch_init(b, signal, MiB(4));
    if (otlp_decode_json(b, str_c(json), NULL, NULL, &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

static void refused(signal_kind signal, const char *json, const char *message)
{
    batch b;
    error err;
    batch_init(&b, signal, MiB(4));
    assert_int_not_equal(otlp_decode_json(&b, str_c(json), NULL, NULL, &err), STATUS_OK);
    assert_string_equal(err.message, message);
    batch_done(&b);
}

static void what_is_encoded_decodes_to_the_same_batch(void **state)
{
    (void)state;
    for (int s = 0; s < SIGNAL_COUNT; s++) {
        batch b, again;
        buf text, second;
        error err;
        otlp_partial partial;
        sample_batch(&b, (signal_kind)s);
        batch_init(&again, (signal_kind)s, 0);
        buf_init(&text, 0);
        buf_init(&second, 0);
        assert_int_equal(otlp_encode_json(&b, &text, &err), STATUS_OK);
        if (otlp_decode_json(&again, buf_view(&text), NULL, &partial, &err) != STATUS_OK)
            fail_msg("%s: %s", signal_name(b.signal), err.message);
        assert_int_equal(partial.rejected, 0);
        assert_true(batch_equal(&b, &again));
        assert_int_equal(otlp_encode_json(&again, &second, &err), STATUS_OK);
        assert_true(str_eq(buf_view(&text), buf_view(&second)));
        buf_done(&text);
        buf_done(&second);
        batch_done(&b);
        batch_done(&again);
    }
}

/* ---- the examples of opentelemetry-proto ---- */

static void example(const char *name, signal_kind signal, batch *b, buf *text)
{
    char path[1024];
    error err;
    snprintf(path, sizeof(path), "%s/../shared/conformance/otlp/%s", SOURCE_DIR, name);
    buf_init(text, MiB(1));
    if (file_read(path, text, &err) != STATUS_OK) {
        print_message("skipped: %s\n", err.message);
        skip();
    }
    batch_init(b, signal, MiB(4));
    if (otlp_decode_json(b, buf_view(text), NULL, NULL, &err) != STATUS_OK)
        fail_msg("%s: %s", name, err.message);

    batch again;
    buf bytes;
    batch_init(&again, signal, 0);
    buf_init(&bytes, 0);
    assert_int_equal(otlp_encode(b, &bytes, &err), STATUS_OK);
    assert_int_equal(otlp_decode(&again, buf_view(&bytes), NULL, NULL, &err), STATUS_OK);
    assert_true(batch_equal(b, &again));
    batch_done(&again);
    batch_init(&again, signal, 0);
    buf_clear(&bytes);
    assert_int_equal(otlp_encode_json(b, &bytes, &err), STATUS_OK);
    assert_int_equal(otlp_decode_json(&again, buf_view(&bytes), NULL, NULL, &err), STATUS_OK);
    assert_true(batch_equal(b, &again));
    batch_done(&again);
    buf_done(&bytes);
}

static void the_example_of_traces_is_read(void **state)
{
    (void)state;
    batch b;
    buf text;
    example("trace.json", SIGNAL_TRACES, &b, &text);
    assert_int_equal(batch_row_count(&b), 1);
    assert_true(
        str_is(attrs_get_str(&b.resources[0].attributes, STR("service.name")), "my.service"));
    assert_true(str_is(b.scopes[0].version, "1.0.0"));
    assert_true(str_is(b.spans.name[0], "I'm a server span"));
    assert_int_equal(b.spans.trace[0].bytes[0], 0x5B);
    assert_int_equal(b.spans.parent[0].bytes[7], 0x73);
    assert_int_equal(b.spans.end_ns[0] - b.spans.start_ns[0], NS_PER_S);
    assert_int_equal(b.spans.kind[0], SPAN_KIND_SERVER);
    batch_done(&b);
    buf_done(&text);
}

static void the_example_of_logs_is_read(void **state)
{
    (void)state;
    batch b;
    buf text;
    example("logs.json", SIGNAL_LOGS, &b, &text);
    assert_int_equal(batch_row_count(&b), 1);
    assert_int_equal(b.logs.severity[0], 10);
    assert_true(str_is(b.logs.body[0].s, "Example log record"));
    assert_true(b.logs.attributes[0].count >= 5);
    batch_done(&b);
    buf_done(&text);
}

static void the_example_of_events_is_read(void **state)
{
    (void)state;
    batch b;
    buf text;
    example("events.json", SIGNAL_LOGS, &b, &text);
    assert_true(batch_row_count(&b) >= 1);
    assert_true(b.logs.event_name[0].len > 0);
    batch_done(&b);
    buf_done(&text);
}

static void the_example_of_metrics_is_read(void **state)
{
    (void)state;
    batch b;
    buf text;
    example("metrics.json", SIGNAL_METRICS, &b, &text);
    bool seen[METRIC_SUMMARY + 1] = { false };
    for (uint32_t i = 0; i < batch_row_count(&b); i++)
        seen[b.metrics[b.points.metric[i]].type] = true;
    assert_true(seen[METRIC_GAUGE] && seen[METRIC_SUM] && seen[METRIC_HISTOGRAM] &&
                seen[METRIC_EXP_HISTOGRAM]);
    batch_done(&b);
    buf_done(&text);
}

/* ---- what proto3's JSON allows ---- */

#define LOG_RECORD(members) \
    "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{" members "}]}]}]}"
#define GAUGE_POINT(members) \
    "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"gauge\":{\"dataPoints\":[{" members \
    "}]}}]}]}]}"

static void integers_come_as_numbers_or_strings(void **state)
{
    (void)state;
    batch b;
    decode(&b, SIGNAL_LOGS,
           LOG_RECORD("\"timeUnixNano\":1544712660300000000,\"observedTimeUnixNano\":"
                      "\"1544712660300000001\",\"flags\":\"1\",\"body\":{\"intValue\":-5}"));
    assert_int_equal(b.logs.time_ns[0], INT64_C(1544712660300000000));
    assert_int_equal(b.logs.observed_ns[0], INT64_C(1544712660300000001));
    assert_int_equal(b.logs.flags[0], 1);
    assert_int_equal(b.logs.body[0].i64, -5);
    batch_done(&b);
}

static void enums_come_as_numbers_or_names(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int severity;
    } cases[] = {
        { LOG_RECORD("\"severityNumber\":17"), 17 },
        { LOG_RECORD("\"severityNumber\":\"SEVERITY_NUMBER_FATAL4\""), 24 },
        { LOG_RECORD("\"severityNumber\":\"9\""), 9 },
        { LOG_RECORD("\"severityNumber\":99"), 0 },
        { LOG_RECORD("\"severityNumber\":-1"), 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        batch b;
        decode(&b, SIGNAL_LOGS, cases[i].json);
        assert_int_equal(b.logs.severity[0], cases[i].severity);
        batch_done(&b);
    }
}

static void ids_come_in_either_case_or_empty(void **state)
{
    (void)state;
    batch b;
    decode(&b, SIGNAL_LOGS,
           LOG_RECORD("\"traceId\":\"5b8EFFf798038103D269B633813FC60C\",\"spanId\":\"\""));
    assert_int_equal(b.logs.trace[0].bytes[1], 0x8E);
    assert_int_equal(b.logs.trace[0].bytes[15], 0x0C);
    assert_false(span_id_is_set(b.logs.span[0]));
    batch_done(&b);
}

static void unknown_members_and_nulls_are_passed_over(void **state)
{
    (void)state;
    batch b;
    decode(
        &b, SIGNAL_LOGS,
        "{\"new\":[1,{\"x\":[]}],\"resourceLogs\":[{\"resource\":null,\"later\":{},\"scopeLogs\":"
        "[{\"scope\":{\"name\":\"s\",\"x\":1},\"logRecords\":[{\"body\":null,\"attributes\":"
        "[{\"key\":\"k\",\"value\":null,\"more\":[]},{\"key\":\"l\",\"value\":{\"laterValue\":"
        "[1]}}],\"severityText\":null,\"trace_id\":\"not camel case\"}]}]}]}");
    assert_int_equal(batch_row_count(&b), 1);
    assert_true(str_is(b.scopes[0].name, "s"));
    assert_int_equal(b.logs.attributes[0].count, 2);
    assert_int_equal(b.logs.attributes[0].items[0].value.type, VALUE_EMPTY);
    assert_int_equal(b.logs.attributes[0].items[1].value.type, VALUE_EMPTY);
    assert_int_equal(b.logs.body[0].type, VALUE_EMPTY);
    batch_done(&b);
    decode(&b, SIGNAL_METRICS, "{}");
    assert_int_equal(b.resource_count, 0);
    batch_done(&b);
}

static void members_come_in_any_order(void **state)
{
    (void)state;
    batch b;
    decode(&b, SIGNAL_METRICS,
           "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"sum\":{\"dataPoints\":"
           "[{\"asInt\":\"3\"}],\"isMonotonic\":true,\"aggregationTemporality\":2},\"unit\":\"1\","
           "\"name\":\"n\"}],\"scope\":{\"name\":\"s\"}}],\"schemaUrl\":\"u\",\"resource\":"
           "{\"attributes\":[{\"value\":{\"boolValue\":true},\"key\":\"k\"}]}}]}");
    assert_true(str_is(b.metrics[0].name, "n"));
    assert_int_equal(b.metrics[0].type, METRIC_SUM);
    assert_int_equal(b.metrics[0].temporality, TEMPORALITY_CUMULATIVE);
    assert_true(b.metrics[0].monotonic);
    assert_true(str_is(b.scopes[0].name, "s"));
    assert_true(str_is(b.resources[0].schema_url, "u"));
    assert_true(attrs_get(&b.resources[0].attributes, STR("k"))->b);
    assert_true(b.points.value[0].is_int && b.points.value[0].i64 == 3);
    batch_done(&b);
}

static void doubles_have_names_for_what_is_not_finite(void **state)
{
    (void)state;
    batch b;
    buf text;
    error err;
    decode(&b, SIGNAL_METRICS, GAUGE_POINT("\"asDouble\":\"NaN\""));
    assert_true(isnan(b.points.value[0].f64));
    buf_init(&text, 0);
    assert_int_equal(otlp_encode_json(&b, &text, &err), STATUS_OK);
    assert_true(str_contains(buf_view(&text), STR("\"asDouble\":\"NaN\"")));
    buf_done(&text);
    batch_done(&b);
    decode(&b, SIGNAL_METRICS, GAUGE_POINT("\"asDouble\":\"-Infinity\""));
    assert_true(isinf(b.points.value[0].f64) && b.points.value[0].f64 < 0);
    batch_done(&b);
}

static void more_items_than_first_expected_are_kept(void **state)
{
    (void)state;
    batch b;
    buf text;
    error err;
    buf_init(&text, 0);
    buf_lit(&text, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"attributes\":[");
    for (int i = 0; i < 200; i++)
        buf_fmt(&text,
                "%s{\"key\":\"k\\u00e9%d\",\"value\":{\"arrayValue\":{\"values\":[{\"intValue"
                "\":%d},{\"stringValue\":\"a\\nb\"}]}}}",
                i ? "," : "", i, i);
    buf_lit(&text, "]}]}]}]}");
    batch_init(&b, SIGNAL_LOGS, MiB(1));
    assert_int_equal(otlp_decode_json(&b, buf_view(&text), NULL, NULL, &err), STATUS_OK);
    assert_int_equal(b.logs.attributes[0].count, 200);
    for (uint32_t i = 0; i < 200; i++) {
        char key[16];
        const attr *a = &b.logs.attributes[0].items[i];
        snprintf(key, sizeof(key), "ké%u", i);
        assert_true(str_is(a->key, key));
        assert_int_equal(a->value.array.count, 2);
        assert_int_equal(a->value.array.items[0].i64, i);
        assert_true(str_is(a->value.array.items[1].s, "a\nb"));
    }
    buf_done(&text);
    batch_done(&b);
}

/* ---- what is refused ---- */

static void wrong_requests_are_refused_with_their_place(void **state)
{
    (void)state;
    refused(SIGNAL_LOGS, "",
            "request: the text ends in the middle of a value, at line 1, column 1");
    refused(SIGNAL_LOGS, "[]", "request: expected an object, at line 1, column 1");
    refused(SIGNAL_LOGS, "{} {}", "request: nothing may follow the value, at line 1, column 4");
    refused(SIGNAL_LOGS, "{\"resourceLogs\":{}}",
            "request: expected an array of objects, at line 1, column 17");
    refused(SIGNAL_LOGS, "{\"resourceLogs\":[{\n\"scopeLogs\":[null]}]}",
            "resourceLogs[0].scopeLogs[0]: expected an object, at line 2, column 14");
    refused(SIGNAL_LOGS, LOG_RECORD("\"traceId\":\"5b8e\""),
            "resourceLogs[0].scopeLogs[0].logRecords[0].traceId: a trace id must be 32 hexadecimal "
            "digits in quotes, or \"\", at line 1, column 58");
    refused(
        SIGNAL_LOGS, LOG_RECORD("\"attributes\":[{\"key\":\"a\"},{\"key\":5}]"),
        "resourceLogs[0].scopeLogs[0].logRecords[0].attributes[1]: an attribute's key must be a "
        "string, at line 1, column 81");
    refused(
        SIGNAL_LOGS, LOG_RECORD("\"body\":{\"intValue\":\"x\"}"),
        "resourceLogs[0].scopeLogs[0].logRecords[0].body: the value does not have the type that "
        "its name says, at line 1, column 67");
    refused(
        SIGNAL_LOGS, LOG_RECORD("\"body\":{\"bytesValue\":\"?\"}"),
        "resourceLogs[0].scopeLogs[0].logRecords[0].body: the value does not have the type that "
        "its name says, at line 1, column 69");
    refused(
        SIGNAL_LOGS, LOG_RECORD("\"severityText\":\"a\xff\""),
        "resourceLogs[0].scopeLogs[0].logRecords[0].severityText: text must be UTF-8, at line 1, "
        "column 65");
    refused(
        SIGNAL_LOGS, LOG_RECORD("\"timeUnixNano\":-1"),
        "resourceLogs[0].scopeLogs[0].logRecords[0].timeUnixNano: expected an integer from 0 to "
        "18446744073709551615, at line 1, column 63");
    refused(
        SIGNAL_LOGS, LOG_RECORD("\"severityNumber\":\"LOUD\""),
        "resourceLogs[0].scopeLogs[0].logRecords[0].severityNumber: an enum must be a number or "
        "one of its names, at line 1, column 65");
    refused(
        SIGNAL_METRICS, GAUGE_POINT("\"asDouble\":\"five\""),
        "resourceMetrics[0].scopeMetrics[0].metrics[0].gauge.dataPoints[0].asDouble: expected a "
        "number, \"NaN\", \"Infinity\" or \"-Infinity\", at line 1, column 86");
}

static void contradictory_rows_are_left_out_and_counted(void **state)
{
    (void)state;
    batch b;
    error err;
    otlp_partial partial;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    assert_int_equal(otlp_decode_json(&b,
                                      STR(GAUGE_POINT("},{\"asInt\":1},{\"asInt\":2,"
                                                      "\"timeUnixNano\":\"9223372036854775808\"")),
                                      NULL, &partial, &err),
                     STATUS_OK);
    assert_int_equal(batch_row_count(&b), 1);
    assert_int_equal(partial.rejected, 2);
    assert_string_equal(
        partial.message,
        "resourceMetrics[0].scopeMetrics[0].metrics[0].gauge.dataPoints[0]: a number "
        "point must have as_double or as_int");
    batch_done(&b);
}

static void nesting_and_counts_are_limited(void **state)
{
    (void)state;
    for (int depth = 32; depth <= 33; depth++) {
        batch b;
        buf text;
        error err;
        buf_init(&text, 0);
        batch_init(&b, SIGNAL_LOGS, MiB(1));
        buf_lit(&text, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":");
        for (int i = 0; i < depth; i++)
            buf_str(&text, i % 2 ? STR("{\"arrayValue\":{\"values\":[")
                                 : STR("{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":"));
        buf_lit(&text, "{}");
        for (int i = depth; i > 0; i--)
            buf_str(&text, i % 2 ? STR("}]}}") : STR("]}}"));
        buf_lit(&text, "}]}]}]}");
        status st = otlp_decode_json(&b, buf_view(&text), NULL, NULL, &err);
        if (st != (depth == 32 ? STATUS_OK : STATUS_LIMIT))
            fail_msg("%d: %s", depth, err.message);
        if (depth == 33)
            assert_string_equal(err.message, "resourceLogs[0].scopeLogs[0].logRecords[0].body: a "
                                             "value is nested deeper than the limit of 32");
        buf_done(&text);
        batch_done(&b);
    }
    batch b;
    error err;
    batch_init(&b, SIGNAL_LOGS, MiB(1));
    assert_int_equal(otlp_decode_json(&b, STR(LOG_RECORD("\"attributes\":[{},{},{}]")),
                                      &(otlp_limits){ .max_attributes = 2 }, NULL, &err),
                     STATUS_LIMIT);
    assert_string_equal(err.message,
                        "resourceLogs[0].scopeLogs[0].logRecords[0].attributes[2]: more "
                        "attributes than the limit of 2");
    batch_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_decodes_to_the_same_batch),
        cmocka_unit_test(the_example_of_traces_is_read),
        cmocka_unit_test(the_example_of_logs_is_read),
        cmocka_unit_test(the_example_of_events_is_read),
        cmocka_unit_test(the_example_of_metrics_is_read),
        cmocka_unit_test(integers_come_as_numbers_or_strings),
        cmocka_unit_test(enums_come_as_numbers_or_names),
        cmocka_unit_test(ids_come_in_either_case_or_empty),
        cmocka_unit_test(unknown_members_and_nulls_are_passed_over),
        cmocka_unit_test(members_come_in_any_order),
        cmocka_unit_test(doubles_have_names_for_what_is_not_finite),
        cmocka_unit_test(more_items_than_first_expected_are_kept),
        cmocka_unit_test(wrong_requests_are_refused_with_their_place),
        cmocka_unit_test(contradictory_rows_are_left_out_and_counted),
        cmocka_unit_test(nesting_and_counts_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* OTLP in protobuf: what is encoded decodes to the same batch; what is malformed, too much or
 * contradictory is refused with its place; answers. */
#include "codec/native_convert.h"
#include "codec/otlp.h"
#include "codec/protobuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "unit/codec/batch_equal.h"

static status decode(batch *b, signal_kind signal, str bytes, const otlp_limits *limits,
                     otlp_partial *partial, error *err)
{
    batch_init(b, signal, MiB(4));
    return otlp_decode(b, bytes, limits, partial, err);
}

static void what_is_encoded_decodes_to_the_same_batch(void **state)
{
    (void)state;
    for (int s = 0; s < SIGNAL_COUNT; s++) {
        batch b, again;
        buf bytes, second;
        error err;
        otlp_partial partial;
        sample_batch(&b, (signal_kind)s);
        assert_true(batch_equal(&b, &b));
        buf_init(&bytes, 0);
        buf_init(&second, 0);
        assert_int_equal(otlp_encode(&b, &bytes, &err), STATUS_OK);
        if (decode(&again, b.signal, buf_view(&bytes), NULL, &partial, &err) != STATUS_OK)
            fail_msg("%s: %s", signal_name(b.signal), err.message);
        assert_int_equal(partial.rejected, 0);
        assert_true(batch_equal(&b, &again));
        assert_int_equal(otlp_encode(&again, &second, &err), STATUS_OK);
        assert_true(str_eq(buf_view(&bytes), buf_view(&second)));
        buf_done(&bytes);
        buf_done(&second);
        batch_done(&b);
        batch_done(&again);
    }
}

static void every_prefix_of_a_request_is_refused_or_decoded_without_harm(void **state)
{
    (void)state;
    for (int s = 0; s < SIGNAL_COUNT; s++) {
        batch b;
        buf bytes;
        error err;
        sample_batch(&b, (signal_kind)s);
        buf_init(&bytes, 0);
        assert_int_equal(otlp_encode(&b, &bytes, &err), STATUS_OK);
        size_t refused = 0;
        for (size_t n = 0; n < bytes.len; n += 7) {
            batch part;
            char *exact = malloc(n + 1);
            memcpy(exact + 1, bytes.ptr, n);
            if (decode(&part, b.signal, str_n(exact + 1, n), NULL, NULL, &err) != STATUS_OK) {
                assert_int_equal(err.code, STATUS_INVALID);
                refused++;
            }
            batch_done(&part);
            free(exact);
        }
        assert_true(refused > bytes.len / 7 - 10);
        buf_done(&bytes);
        batch_done(&b);
    }
}

static void rows_in_any_order_are_grouped_by_their_parents(void **state)
{
    (void)state;
    batch b, again;
    buf bytes;
    error err;
    batch_init(&b, SIGNAL_LOGS, 0);
    buf_init(&bytes, 0);
    for (uint32_t i = 0; i < 2; i++)
        batch_add_resource(&b);
    /* Scopes 0, 1, 2 belong to resources 1, 0, 1. */
    for (uint32_t i = 0; i < 3; i++)
        batch_add_scope(&b, 1 - i % 2);
    for (uint32_t i = 0; i < 9; i++) {
        uint32_t row = batch_add_log(&b, i % 3);
        b.logs.time_ns[row] = i;
    }
    assert_int_equal(otlp_encode(&b, &bytes, &err), STATUS_OK);
    assert_int_equal(decode(&again, SIGNAL_LOGS, buf_view(&bytes), NULL, NULL, &err), STATUS_OK);
    static const int64_t times[] = { 1, 4, 7, 0, 3, 6, 2, 5, 8 };
    static const uint32_t resources[] = { 0, 0, 0, 1, 1, 1, 1, 1, 1 };
    assert_int_equal(batch_row_count(&again), 9);
    for (uint32_t i = 0; i < 9; i++) {
        assert_int_equal(again.logs.time_ns[i], times[i]);
        assert_int_equal(again.scopes[again.logs.scope[i]].resource, resources[i]);
    }
    buf_done(&bytes);
    batch_done(&b);
    batch_done(&again);
}

/* ---- requests built by hand ---- */

/* resource_spans { scope_spans { spans { BODY } } }, also the shape of logs. */
static void wrap_row(buf *out, str body)
{
    pb_mark resource = pb_begin(out, 1, 64);
    pb_mark scope = pb_begin(out, 2, 64);
    pb_put_bytes(out, 2, STR_EMPTY);
    pb_put_bytes(out, 2, body);
    pb_end(out, scope);
    pb_end(out, resource);
}

static void refused(signal_kind signal, str body, const otlp_limits *limits, status expected,
                    const char *message)
{
    batch b;
    buf request;
    error err;
    buf_init(&request, 0);
    wrap_row(&request, body);
    assert_int_equal(decode(&b, signal, buf_view(&request), limits, NULL, &err), expected);
    assert_string_equal(err.message, message);
    buf_done(&request);
    batch_done(&b);
}

static void malformed_rows_are_refused_with_their_place(void **state)
{
    (void)state;
    refused(SIGNAL_TRACES, STR("\x0a\x05hello"), NULL, STATUS_INVALID,
            "resource_spans[0].scope_spans[0].spans[1]: trace_id has 5 bytes, not 16 or 0");
    refused(SIGNAL_TRACES,
            STR("\x12\x10"
                "0123456789abcdef"),
            NULL, STATUS_INVALID,
            "resource_spans[0].scope_spans[0].spans[1]: span_id has 16 bytes, not 8 or 0");
    refused(SIGNAL_LOGS, STR("\x08\x01"), NULL, STATUS_INVALID,
            "resource_logs[0].scope_logs[0].log_records[1]: time_unix_nano has the wrong wire "
            "type, at byte 9");
    refused(SIGNAL_LOGS, STR("\x32\x04\x0a\x02k"), NULL, STATUS_INVALID,
            "resource_logs[0].scope_logs[0].log_records[1].attributes[0]: a length goes past the "
            "end of its "
            "message, at byte 9");
    refused(SIGNAL_LOGS, STR("\x32\x03\x0a\x01k\x32\x04\x0a\x01k\x12"), NULL, STATUS_INVALID,
            "resource_logs[0].scope_logs[0].log_records[1].attributes[1]: a varint is cut short, "
            "at byte 19");
    refused(SIGNAL_TRACES, STR("\x5a\x02\x12\x00\x5a\x04\x1a\x02\x12\x05"), NULL, STATUS_INVALID,
            "resource_spans[0].scope_spans[0].spans[1].events[1].attributes[0]: a length goes past "
            "the end of its message, at byte 17");
    refused(SIGNAL_LOGS, STR("\x2a\x02\x18"), NULL, STATUS_INVALID,
            "resource_logs[0].scope_logs[0].log_records[1].body: a length goes past the end of its "
            "message, at byte 9");
    refused(
        SIGNAL_LOGS, STR("\x2a\x01\x18"), NULL, STATUS_INVALID,
        "resource_logs[0].scope_logs[0].log_records[1].body: a varint is cut short, at byte 11");
}

static void unknown_fields_and_enums_are_passed_over(void **state)
{
    (void)state;
    batch b;
    buf request, row;
    error err;
    buf_init(&request, 0);
    buf_init(&row, 0);
    pb_put_varint(&row, 2, 99);
    pb_put_bytes(&row, 100, STR("later versions"));
    pb_put_fixed32(&row, 4, 5);
    /* group 31 { 1: 1 } */
    buf_lit(&row, "\xfb\x01\x08\x01\xfc\x01");
    pb_put_bytes(&row, 12, STR("name"));
    wrap_row(&request, buf_view(&row));
    if (decode(&b, SIGNAL_LOGS, buf_view(&request), NULL, NULL, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(b.logs.severity[1], 0);
    assert_true(str_is(b.logs.event_name[1], "name"));
    buf_done(&request);
    buf_done(&row);
    batch_done(&b);
}

/* ---- limits ---- */

static void nested_value(buf *out, int depth)
{
    if (depth == 0) {
        pb_put_varint(out, 3, 5);
        return;
    }
    pb_mark array = pb_begin(out, depth % 2 ? 5 : 6, 10);
    pb_mark item = pb_begin(out, 1, 10);
    if (depth % 2 == 0) {
        pb_put_bytes(out, 1, STR("k"));
        pb_mark inner = pb_begin(out, 2, 10);
        nested_value(out, depth - 1);
        pb_end(out, inner);
    } else {
        nested_value(out, depth - 1);
    }
    pb_end(out, item);
    pb_end(out, array);
}

static void values_nested_up_to_the_limit_are_taken(void **state)
{
    (void)state;
    for (int depth = 31; depth <= 33; depth++) {
        batch b;
        buf request, row;
        error err;
        buf_init(&request, 0);
        buf_init(&row, 0);
        pb_mark body = pb_begin(&row, 5, 100);
        nested_value(&row, depth);
        pb_end(&row, body);
        wrap_row(&request, buf_view(&row));
        status st = decode(&b, SIGNAL_LOGS, buf_view(&request), NULL, NULL, &err);
        assert_int_equal(st, depth <= 32 ? STATUS_OK : STATUS_LIMIT);
        if (depth > 32)
            assert_string_equal(err.message,
                                "resource_logs[0].scope_logs[0].log_records[1].body: a value is "
                                "nested deeper than the limit of 32");
        buf_done(&request);
        buf_done(&row);
        batch_done(&b);
    }
}

static void attributes_are_limited_however_they_are_spread(void **state)
{
    (void)state;
    for (int spread = 0; spread < 2; spread++) {
        for (int count = 3; count <= 4; count++) {
            batch b;
            buf request, row;
            error err;
            buf_init(&request, 0);
            buf_init(&row, 0);
            for (int i = 0; i < count; i++) {
                pb_put_bytes(&row, 6, STR("\x0a\x01k"));
                if (spread)
                    pb_put_fixed32(&row, 8, 1);
            }
            wrap_row(&request, buf_view(&row));
            status st = decode(&b, SIGNAL_LOGS, buf_view(&request),
                               &(otlp_limits){ .max_attributes = 3 }, NULL, &err);
            assert_int_equal(st, count == 3 ? STATUS_OK : STATUS_LIMIT);
            if (count == 3)
                assert_int_equal(b.logs.attributes[1].count, 3);
            else
                assert_string_equal(err.message,
                                    "resource_logs[0].scope_logs[0].log_records[1].attributes[3]: "
                                    "more attributes than the limit of 3");
            buf_done(&request);
            buf_done(&row);
            batch_done(&b);
        }
    }
}

static void rows_are_limited(void **state)
{
    (void)state;
    refused(SIGNAL_TRACES, STR("\x2a\x01x"), &(otlp_limits){ .max_rows = 1 }, STATUS_LIMIT,
            "resource_spans[0].scope_spans[0].spans[1]: the request has more rows than the limit "
            "of 1");
}

static void memory_is_limited(void **state)
{
    (void)state;
    batch b;
    buf request;
    error err;
    buf_init(&request, 0);
    pb_mark resource = pb_begin(&request, 1, 20000);
    pb_mark scope = pb_begin(&request, 2, 20000);
    for (int i = 0; i < 10000; i++)
        pb_put_bytes(&request, 2, STR_EMPTY);
    pb_end(&request, scope);
    pb_end(&request, resource);
    batch_init(&b, SIGNAL_TRACES, KiB(512));
    assert_int_equal(otlp_decode(&b, buf_view(&request), NULL, NULL, &err), STATUS_LIMIT);
    assert_true(str_ends(str_c(err.message),
                         STR("the decoded request would exceed 524288 bytes of memory")));
    assert_true(b.arena.used <= KiB(512));
    buf_done(&request);
    batch_done(&b);
}

/* ---- rows that contradict themselves ---- */

/* One metric with two points of field `data`: `bad`, then `good`. */
static void one_point_rejected(uint32_t data, str bad, str good, const char *message)
{
    batch b;
    buf request;
    error err;
    otlp_partial partial;
    buf_init(&request, 0);
    pb_mark resource = pb_begin(&request, 1, 64);
    pb_mark scope = pb_begin(&request, 2, 64);
    pb_mark metric = pb_begin(&request, 2, 64);
    pb_put_bytes(&request, 1, STR("m"));
    pb_mark points = pb_begin(&request, data, 64);
    pb_put_bytes(&request, 1, bad);
    pb_put_bytes(&request, 1, good);
    pb_end(&request, points);
    pb_end(&request, metric);
    pb_end(&request, scope);
    pb_end(&request, resource);
    if (decode(&b, SIGNAL_METRICS, buf_view(&request), NULL, &partial, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(partial.rejected, 1);
    assert_string_equal(partial.message, message);
    assert_int_equal(batch_row_count(&b), 1);
    assert_int_equal(b.points.time_ns[0], 7);
    buf_done(&request);
    batch_done(&b);
}

#define AT_7     "\x19\x07\0\0\0\0\0\0\0"
#define AS_INT_1 "\x31\x01\0\0\0\0\0\0\0"
#define COUNT_1  "\x01\0\0\0\0\0\0\0"

static void contradictory_points_are_left_out_and_counted(void **state)
{
    (void)state;
    one_point_rejected(5, STR(AT_7), STR(AT_7 AS_INT_1),
                       "resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0]: a "
                       "number point must have as_double or as_int");
    one_point_rejected(7, STR("\x19\xff\xff\xff\xff\xff\xff\xff\xff" AS_INT_1), STR(AT_7 AS_INT_1),
                       "resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0]: a time "
                       "is past the year 2262");
    /* bucket_counts [1, 1] without bounds; then with the bound 1.0 */
    one_point_rejected(
        9, STR(AT_7 "\x32\x10" COUNT_1 COUNT_1),
        STR(AT_7 "\x32\x10" COUNT_1 COUNT_1 "\x3a\x08\0\0\0\0\0\0\xf0\x3f"),
        "resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points[0]: a "
        "histogram must have one bucket count more than it has bounds");
    /* bounds 1.0, 1.0 */
    one_point_rejected(
        9,
        STR(AT_7 "\x32\x18" COUNT_1 COUNT_1 COUNT_1
                 "\x3a\x10\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\xf0\x3f"),
        STR(AT_7),
        "resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points[0]: a "
        "histogram's bounds must rise");
    /* scale 53 as sint32 */
    one_point_rejected(10, STR(AT_7 "\x30\x6a"), STR(AT_7 "\x30\x05"),
                       "resource_metrics[0].scope_metrics[0].metrics[0].exponential_histogram."
                       "data_points[0]: an exponential histogram's scale must be within -10 to 52");
}

static void a_point_without_a_number_needs_the_flag(void **state)
{
    (void)state;
    one_point_rejected(5, STR(AT_7 "\x40\x02"), STR(AT_7 "\x40\x01"),
                       "resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0]: a "
                       "number point must have as_double or as_int");
}

static void numbers_may_stand_unpacked(void **state)
{
    (void)state;
    batch b;
    buf request;
    error err;
    buf_init(&request, 0);
    pb_mark resource = pb_begin(&request, 1, 64);
    pb_mark scope = pb_begin(&request, 2, 64);
    pb_mark metric = pb_begin(&request, 2, 64);
    pb_mark data = pb_begin(&request, 9, 64);
    pb_mark point = pb_begin(&request, 1, 64);
    for (uint64_t i = 0; i < 4; i++) {
        pb_put_fixed64(&request, 6, i);
        if (i < 3)
            pb_put_double(&request, 7, (double)i);
    }
    pb_put_bytes(&request, 6, STR(COUNT_1));
    pb_put_double(&request, 7, 9);
    pb_end(&request, point);
    pb_end(&request, data);
    pb_end(&request, metric);
    pb_end(&request, scope);
    pb_end(&request, resource);
    assert_int_equal(decode(&b, SIGNAL_METRICS, buf_view(&request), NULL, NULL, &err), STATUS_OK);
    assert_int_equal(batch_row_count(&b), 1);
    const histogram_value *h = b.points.value[0].histogram;
    assert_int_equal(h->bucket_count, 5);
    assert_int_equal(h->bound_count, 4);
    assert_int_equal(h->buckets[3], 3);
    assert_int_equal(h->buckets[4], 1);
    assert_true(h->bounds[3] == 9);
    buf_done(&request);
    batch_done(&b);
}

static void a_metric_of_two_kinds_is_refused(void **state)
{
    (void)state;
    batch b;
    error err;
    assert_int_equal(decode(&b, SIGNAL_METRICS, STR("\x0a\x08\x12\x06\x12\x04\x2a\x00\x3a\x00"),
                            NULL, NULL, &err),
                     STATUS_INVALID);
    assert_string_equal(err.message,
                        "resource_metrics[0].scope_metrics[0].metrics[0].sum: a metric "
                        "must not have two kinds of data");
    batch_done(&b);
}

static void text_that_is_not_utf8_is_repaired_and_counted(void **state)
{
    (void)state;
    batch b;
    buf request, row;
    error err;
    otlp_partial partial;
    buf_init(&request, 0);
    buf_init(&row, 0);
    pb_put_bytes(&row, 3, STR("a\xff\xffz"));
    pb_put_bytes(&row, 12, STR("long enough to be é checked by words \xc3"));
    wrap_row(&request, buf_view(&row));
    assert_int_equal(decode(&b, SIGNAL_LOGS, buf_view(&request), NULL, &partial, &err), STATUS_OK);
    assert_true(str_is(b.logs.severity_text[1], "a\xEF\xBF\xBD\xEF\xBF\xBDz"));
    assert_true(str_is(b.logs.event_name[1], "long enough to be é checked by words \xEF\xBF\xBD"));
    assert_int_equal(partial.repaired, 2);
    assert_string_equal(partial.message,
                        "2 texts were not UTF-8; their wrong bytes were replaced by U+FFFD");
    assert_int_equal(partial.rejected, 0);
    buf_done(&request);
    buf_done(&row);
    batch_done(&b);
}

/* ---- answers ---- */

static void answers_survive_in_both_formats(void **state)
{
    (void)state;
    for (int format = 0; format < 2; format++) {
        for (int s = 0; s < SIGNAL_COUNT; s++) {
            otlp_partial sent = { .rejected = 12345678901, .message = "too \"old\"" }, got;
            buf out;
            error err;
            buf_init(&out, 0);
            otlp_encode_response((otlp_format)format, (signal_kind)s, &sent, &out);
            assert_int_equal(otlp_decode_response((otlp_format)format, (signal_kind)s,
                                                  buf_view(&out), &got, &err),
                             STATUS_OK);
            assert_int_equal(got.rejected, sent.rejected);
            assert_string_equal(got.message, sent.message);
            buf_clear(&out);
            otlp_encode_response((otlp_format)format, (signal_kind)s, NULL, &out);
            assert_true(str_is(buf_view(&out), format == OTLP_JSON ? "{}" : ""));
            assert_int_equal(otlp_decode_response((otlp_format)format, (signal_kind)s,
                                                  buf_view(&out), &got, &err),
                             STATUS_OK);
            assert_int_equal(got.rejected, 0);
            buf_done(&out);
        }
        buf out;
        error err;
        int code;
        char message[8];
        buf_init(&out, 0);
        otlp_encode_status((otlp_format)format, 3, STR("trace_id has 5 bytes"), &out);
        assert_int_equal(otlp_decode_status((otlp_format)format, buf_view(&out), &code, message,
                                            sizeof(message), &err),
                         STATUS_OK);
        assert_int_equal(code, 3);
        assert_string_equal(message, "trace_i");
        buf_done(&out);
    }
}

static void broken_answers_are_refused(void **state)
{
    (void)state;
    otlp_partial got;
    error err;
    assert_int_equal(
        otlp_decode_response(OTLP_PROTOBUF, SIGNAL_LOGS, STR("\x0a\x05\x08"), &got, &err),
        STATUS_INVALID);
    assert_int_equal(otlp_decode_response(OTLP_JSON, SIGNAL_LOGS, STR("<html>"), &got, &err),
                     STATUS_INVALID);
    assert_int_equal(otlp_decode_response(OTLP_JSON, SIGNAL_LOGS,
                                          STR("{\"partialSuccess\":{\"rejectedLogRecords\":[]}}"),
                                          &got, &err),
                     STATUS_INVALID);
    assert_string_equal(err.message, "OTLP answer: line 1, column 41: the number of rejected items "
                                     "must be a whole number");
}

static void formats_follow_the_content_type(void **state)
{
    (void)state;
    otlp_format f;
    assert_true(otlp_format_of(STR("application/json; charset=utf-8"), &f) && f == OTLP_JSON);
    assert_true(otlp_format_of(STR("Application/X-Protobuf"), &f) && f == OTLP_PROTOBUF);
    assert_false(otlp_format_of(STR("text/plain"), &f));
    assert_false(otlp_format_of(STR(""), &f));
}

/* Both kinds of points carry what Prometheus sent, in our own log only. */
static void native_histograms_pass_the_log_exactly(void **state)
{
    (void)state;
    static const native_span spans[] = { { 0, 3 } };
    static const double counts[] = { 0.5, 2, 3 }, bounds[] = { 1, 2.5 };
    const histogram in[] = {
        { .schema = 2, .hint = HISTOGRAM_RESET, .count = 6, .positive = { spans, counts, 1, 3 } },
        { .schema = NATIVE_SCHEMA_CUSTOM,
          .count = 6,
          .positive = { spans, counts, 1, 3 },
          .custom = bounds,
          .custom_count = 2 },
    };
    batch b, back, other;
    buf own, plain;
    otlp_partial partial;
    error err;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    batch_init(&back, SIGNAL_METRICS, MiB(1));
    batch_init(&other, SIGNAL_METRICS, MiB(1));
    buf_init(&own, 0);
    buf_init(&plain, 0);
    uint32_t scope = batch_add_scope(&b, batch_add_resource(&b));
    for (size_t i = 0; i < 2; i++) {
        point_value v;
        uint32_t m = batch_add_metric(&b, scope);
        assert_true(native_to_point(&b.arena, &in[i], &b.metrics[m].type, &v));
        uint32_t p = batch_add_point(&b, m);
        b.points.value[p] = v;
    }
    assert_int_equal(otlp_encode_own(&b, &own, &err), STATUS_OK);
    assert_int_equal(otlp_encode(&b, &plain, &err), STATUS_OK);
    assert_int_equal(otlp_decode(&other, buf_view(&plain), NULL, NULL, &err), STATUS_OK);
    assert_null(other.points.value[0].exp->native);
    assert_null(other.points.value[1].histogram->native);
    assert_int_equal(otlp_decode(&back, buf_view(&own), NULL, NULL, &err), STATUS_OK);
    assert_int_equal(back.points.value[0].exp->native->hint, HISTOGRAM_RESET);
    assert_memory_equal(back.points.value[0].exp->native->positive.counts, counts, sizeof(counts));
    assert_memory_equal(back.points.value[1].histogram->native->custom, bounds, sizeof(bounds));
    assert_int_equal(back.points.value[1].histogram->buckets[2], 3);
    batch_clear(&back);
    for (size_t i = 0; i + 2 < own.len; i++) /* the second histogram's first byte: unknown flags */
        if (memcmp(own.ptr + i, "\x0c\x02\0\0", 4) == 0 ||
            memcmp(own.ptr + i, "\x08\x02\0\0", 4) == 0)
            own.ptr[i] = (char)0xff;
    assert_int_equal(otlp_decode(&back, buf_view(&own), NULL, &partial, &err), STATUS_OK);
    assert_int_equal(partial.rejected, 1);
    assert_non_null(strstr(partial.message, "damaged"));
    batch_done(&b);
    batch_done(&back);
    batch_done(&other);
    buf_done(&own);
    buf_done(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_decodes_to_the_same_batch),
        cmocka_unit_test(every_prefix_of_a_request_is_refused_or_decoded_without_harm),
        cmocka_unit_test(rows_in_any_order_are_grouped_by_their_parents),
        cmocka_unit_test(malformed_rows_are_refused_with_their_place),
        cmocka_unit_test(unknown_fields_and_enums_are_passed_over),
        cmocka_unit_test(values_nested_up_to_the_limit_are_taken),
        cmocka_unit_test(attributes_are_limited_however_they_are_spread),
        cmocka_unit_test(rows_are_limited),
        cmocka_unit_test(memory_is_limited),
        cmocka_unit_test(contradictory_points_are_left_out_and_counted),
        cmocka_unit_test(a_point_without_a_number_needs_the_flag),
        cmocka_unit_test(numbers_may_stand_unpacked),
        cmocka_unit_test(a_metric_of_two_kinds_is_refused),
        cmocka_unit_test(text_that_is_not_utf8_is_repaired_and_counted),
        cmocka_unit_test(answers_survive_in_both_formats),
        cmocka_unit_test(broken_answers_are_refused),
        cmocka_unit_test(formats_follow_the_content_type),
        cmocka_unit_test(native_histograms_pass_the_log_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

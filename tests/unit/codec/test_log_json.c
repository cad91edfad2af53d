// SPDX-License-Identifier: Apache-2.0
/* Log records, spans and points as JSON lines: shape, order, unique keys, odd values. */
#include "codec/log_json.h"
#include "codec/span_json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct {
    batch b;
    buf out;
    uint32_t capacity;
} fixture;

static void start(fixture *f, signal_kind signal)
{
    memset(f, 0, sizeof(*f));
    batch_init(&f->b, signal, MiB(1));
    buf_init(&f->out, MiB(1));
    uint32_t r = batch_add_resource(&f->b), capacity = 0;
    attrs_append(&f->b.arena, &f->b.resources[r].attributes, &capacity, STR("service.name"),
                 VALUE_S(STR("api")));
    batch_add_scope(&f->b, r);
}

static void put(fixture *f, attrs *list, const char *key, value v)
{
    assert_true(attrs_append(&f->b.arena, list, &f->capacity, str_c(key), v));
}

static void stop(fixture *f, const char *want)
{
    if (!str_is(buf_view(&f->out), want))
        fail_msg("got  %.*swant %s", STR_ARG(buf_view(&f->out)), want);
    batch_done(&f->b);
    buf_done(&f->out);
}

#define T0 1760301000125000000LL /* 2025-10-12T20:30:00.125Z */

static void a_record_is_one_flat_object(void **state UNUSED)
{
    fixture f;
    start(&f, SIGNAL_LOGS);
    uint32_t i = batch_add_log(&f.b, 0);
    log_rows *l = &f.b.logs;
    l->time_ns[i] = T0;
    l->severity[i] = 9;
    l->event_name[i] = STR("Image created");
    memset(l->trace[i].bytes, 0xab, 16);
    memset(l->span[i].bytes, 0xcd, 8);
    put(&f, &l->attributes[i], "user_id", VALUE_S(STR("u-1")));
    put(&f, &l->attributes[i], "duration_ms", VALUE_I(45));
    put(&f, &l->attributes[i], "ratio", VALUE_D(0.5));
    put(&f, &l->attributes[i], "ok", VALUE_B(true));
    put(&f, &l->attributes[i], "nothing", (value){ .type = VALUE_EMPTY });
    put(&f, &l->attributes[i], "sonde.record.id", VALUE_S(STR("1:2:3")));
    log_json_row(&f.b, i, NULL, &f.out);
    stop(&f,
         "{\"timestamp\":\"2025-10-12T20:30:00.125000Z\",\"level\":\"info\",\"service\":\"api\","
         "\"trace_id\":\"abababababababababababababababab\",\"span_id\":\"cdcdcdcdcdcdcdcd\","
         "\"message\":\"Image created\",\"user_id\":\"u-1\",\"duration_ms\":45,\"ratio\":0.5,"
         "\"ok\":true,\"nothing\":null}\n");
}

static void what_is_absent_is_left_out(void **state UNUSED)
{
    fixture f;
    start(&f, SIGNAL_LOGS);
    uint32_t i = batch_add_log(&f.b, 0);
    f.b.resources[0].attributes.count = 0;
    f.b.logs.body[i] = VALUE_S(STR("plain"));
    log_json_row(&f.b, i, NULL, &f.out);
    stop(&f, "{\"message\":\"plain\"}\n");
}

static void keys_are_unique_and_the_last_value_counts(void **state UNUSED)
{
    fixture f;
    start(&f, SIGNAL_LOGS);
    uint32_t i = batch_add_log(&f.b, 0);
    attrs *a = &f.b.logs.attributes[i];
    f.b.logs.severity[i] = 17;
    f.b.logs.event_name[i] = STR("e");
    put(&f, a, "user", VALUE_S(STR("outer")));
    put(&f, a, "level", VALUE_S(STR("mine")));
    put(&f, a, "user", VALUE_S(STR("inner")));
    put(&f, a, "service", VALUE_I(1));
    log_json_row(&f.b, i, NULL, &f.out);
    stop(&f, "{\"level\":\"error\",\"service\":\"api\",\"message\":\"e\",\"field_level\":\"mine\","
             "\"user\":\"inner\",\"field_service\":1}\n");
}

static void odd_numbers_and_bytes_stay_valid_json(void **state UNUSED)
{
    fixture f;
    start(&f, SIGNAL_LOGS);
    uint32_t i = batch_add_log(&f.b, 0);
    attrs *a = &f.b.logs.attributes[i];
    put(&f, a, "nan", VALUE_D(NAN));
    put(&f, a, "inf", VALUE_D(-INFINITY));
    put(&f, a, "big", VALUE_I(INT64_MIN));
    put(&f, a, "bad\xff", VALUE_S(STR("a\x80z\"\n\x01")));
    log_json_row(&f.b, i, &(log_json_options){ .with_type = true }, &f.out);
    stop(&f,
         "{\"type\":\"log\",\"service\":\"api\",\"nan\":\"NaN\",\"inf\":\"-Infinity\","
         "\"big\":-9223372036854775808,\"bad\xef\xbf\xbd\":\"a\xef\xbf\xbdz\\\"\\n\\u0001\"}\n");
}

static void every_severity_has_its_name(void **state UNUSED)
{
    assert_string_equal(severity_name(0), "");
    assert_string_equal(severity_name(1), "trace");
    assert_string_equal(severity_name(5), "debug");
    assert_string_equal(severity_name(12), "info");
    assert_string_equal(severity_name(13), "warn");
    assert_string_equal(severity_name(20), "error");
    assert_string_equal(severity_name(24), "fatal");
    assert_string_equal(severity_name(25), "");
}

static void a_span_shows_its_times_and_its_failure(void **state UNUSED)
{
    fixture f;
    start(&f, SIGNAL_TRACES);
    uint32_t i = batch_add_span(&f.b, 0);
    span_rows *s = &f.b.spans;
    s->name[i] = STR("GET /x");
    s->kind[i] = SPAN_KIND_SERVER;
    s->start_ns[i] = T0;
    s->end_ns[i] = T0 + 1500000;
    s->status[i] = SPAN_STATUS_ERROR;
    s->status_message[i] = STR("it died");
    s->parent[i].bytes[0] = 1;
    put(&f, &s->attributes[i], "k", VALUE_I(1));
    span_json_row(&f.b, i, &f.out);
    stop(&f, "{\"type\":\"span\",\"name\":\"GET /x\",\"kind\":\"server\",\"service\":\"api\","
             "\"trace_id\":\"00000000000000000000000000000000\",\"span_id\":\"0000000000000000\","
             "\"parent_span_id\":\"0100000000000000\",\"start\":\"2025-10-12T20:30:00.125000000Z\","
             "\"end\":\"2025-10-12T20:30:00.126500000Z\",\"duration_ms\":1.5,\"status\":\"error\","
             "\"status_message\":\"it died\",\"attributes\":{\"k\":1}}\n");
}

static void a_histogram_point_shows_its_buckets(void **state UNUSED)
{
    fixture f;
    double bounds[] = { 0.5, 1 };
    uint64_t buckets[] = { 1, 2, 0 };
    histogram_value h = { .count = 3,
                          .sum = 2.5,
                          .has_sum = true,
                          .bucket_count = 3,
                          .bound_count = 2,
                          .buckets = buckets,
                          .bounds = bounds };
    start(&f, SIGNAL_METRICS);
    uint32_t m = batch_add_metric(&f.b, 0);
    f.b.metrics[m].name = STR("latency");
    f.b.metrics[m].unit = STR("s");
    f.b.metrics[m].type = METRIC_HISTOGRAM;
    uint32_t i = batch_add_point(&f.b, m);
    f.b.points.value[i].histogram = &h;
    put(&f, &f.b.points.attributes[i], "route", VALUE_S(STR("/")));
    point_json_row(&f.b, i, &f.out);
    stop(&f, "{\"type\":\"metric\",\"name\":\"latency\",\"kind\":\"histogram\",\"service\":\"api\","
             "\"unit\":\"s\",\"attributes\":{\"route\":\"/\"},\"count\":3,\"sum\":2.5,"
             "\"bounds\":[0.5,1],\"buckets\":[1,2,0]}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_one_flat_object),
        cmocka_unit_test(what_is_absent_is_left_out),
        cmocka_unit_test(keys_are_unique_and_the_last_value_counts),
        cmocka_unit_test(odd_numbers_and_bytes_stay_valid_json),
        cmocka_unit_test(every_severity_has_its_name),
        cmocka_unit_test(a_span_shows_its_times_and_its_failure),
        cmocka_unit_test(a_histogram_point_shows_its_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

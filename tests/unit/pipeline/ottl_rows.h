// SPDX-License-Identifier: Apache-2.0
/* The rows that tests of conditions look at, as tests/pipeline/ottl.test describes them. */
#ifndef SONDE_TESTS_OTTL_ROWS_H
#define SONDE_TESTS_OTTL_ROWS_H

#include "pipeline/ottl.h"

typedef struct {
    batch spans, points, logs;
} ottl_rows;

static void ottl_put(batch *b, attrs *list, const char *key, value v)
{
    uint32_t capacity = list->count;
    bool ok = attrs_append(&b->arena, list, &capacity, str_c(key), v);
    (void)ok;
}

static void ottl_base(batch *b, signal_kind signal)
{
    batch_init(b, signal, 0);
    batch_add_resource(b);
    ottl_put(b, &b->resources[0].attributes, "service.name", VALUE_S(STR("shop")));
    b->resources[0].schema_url = STR("https://example.com/schema");
    batch_add_scope(b, 0);
    b->scopes[0].name = STR("lib");
    b->scopes[0].version = STR("1.2");
}

static void ottl_rows_spans(batch *b)
{
    static value roles[] = { { .type = VALUE_STR, .s = STR_INIT("a") },
                             { .type = VALUE_STR, .s = STR_INIT("b") } };
    static attr user[] = {
        { STR_INIT("id"), { .type = VALUE_I64, .i64 = 7 } },
        { STR_INIT("roles"), { .type = VALUE_ARRAY, .array = { roles, 2 } } },
    };
    static attr of_event[] = { { STR_INIT("exception.type"),
                                 { .type = VALUE_STR, .s = STR_INIT("timeout") } } };
    static span_event event = { 1100000000, STR_INIT("exception"), { of_event, 1, 0 } };
    ottl_base(b, SIGNAL_TRACES);
    batch_add_span(b, 0);
    span_rows *s = &b->spans;
    for (uint8_t i = 0; i < 16; i++)
        s->trace[0].bytes[i] = i + 1;
    for (uint8_t i = 0; i < 8; i++)
        s->span[0].bytes[i] = 0x11 + i;
    s->parent[0].bytes[7] = 1;
    s->trace_state[0] = STR("vendor=x,ot=th:8");
    s->flags[0] = 1;
    s->name[0] = STR("GET /cart");
    s->kind[0] = SPAN_KIND_SERVER;
    s->status[0] = SPAN_STATUS_ERROR;
    s->status_message[0] = STR("deadline");
    s->start_ns[0] = NS_PER_S;
    s->end_ns[0] = NS_PER_S + 250 * NS_PER_MS;
    attrs *a = &s->attributes[0];
    ottl_put(b, a, "http.method", VALUE_S(STR("GET")));
    ottl_put(b, a, "http.status", VALUE_I(503));
    ottl_put(b, a, "ratio", VALUE_D(0.5));
    ottl_put(b, a, "retry", VALUE_B(true));
    ottl_put(b, a, "user", (value){ .type = VALUE_MAP, .map = { user, 2, 0 } });
    ottl_put(b, a, "json", VALUE_S(STR("{\"k\": [1, 2]}")));
    a->dropped = 2;
    s->events[0] = (span_events){ &event, 1, 0 };
}

static void ottl_rows_points(batch *b)
{
    static histogram_value h = { .count = 3, .sum = 1.5, .has_sum = true };
    ottl_base(b, SIGNAL_METRICS);
    batch_add_metric(b, 0);
    batch_add_metric(b, 0);
    b->metrics[0] = (batch_metric){ .type = METRIC_HISTOGRAM,
                                    .temporality = TEMPORALITY_DELTA,
                                    .name = STR("http.server.duration"),
                                    .unit = STR("s"),
                                    .description = STR("how long") };
    b->metrics[1] =
        (batch_metric){ .type = METRIC_SUM, .monotonic = true, .name = STR("requests") };
    batch_add_point(b, 0);
    b->points.value[0].histogram = &h;
    ottl_put(b, &b->points.attributes[0], "http.route", VALUE_S(STR("/cart")));
    batch_add_point(b, 1);
    b->points.value[1] = (point_value){ .is_int = true, .i64 = 42 };
    ottl_put(b, &b->points.attributes[1], "host", VALUE_S(STR("a")));
}

static void ottl_rows_logs(batch *b)
{
    static attr body[] = {
        { STR_INIT("msg"), { .type = VALUE_STR, .s = STR_INIT("hello world") } },
        { STR_INIT("n"), { .type = VALUE_I64, .i64 = 3 } },
    };
    ottl_base(b, SIGNAL_LOGS);
    batch_add_log(b, 0);
    b->logs.time_ns[0] = 1;
    b->logs.observed_ns[0] = 2;
    b->logs.severity[0] = 17;
    b->logs.severity_text[0] = STR("ERROR");
    b->logs.body[0] = (value){ .type = VALUE_MAP, .map = { body, 2, 0 } };
    ottl_put(b, &b->logs.attributes[0], "app", VALUE_S(STR("shop")));
}

static void ottl_rows_init(ottl_rows *r)
{
    ottl_rows_spans(&r->spans);
    ottl_rows_points(&r->points);
    ottl_rows_logs(&r->logs);
}

static void ottl_rows_done(ottl_rows *r)
{
    batch_done(&r->spans);
    batch_done(&r->points);
    batch_done(&r->logs);
}

static ottl_row ottl_rows_of(const ottl_rows *r, ottl_context c)
{
    switch (c) {
    case OTTL_METRIC:
        return (ottl_row){ .b = &r->points, .metric = 0, .point_from = 0, .point_to = 2 };
    case OTTL_DATAPOINT:
        return (ottl_row){ .b = &r->points, .row = 1, .metric = 1 };
    case OTTL_LOG:
        return (ottl_row){ .b = &r->logs };
    default:
        return (ottl_row){ .b = &r->spans, .event = &r->spans.spans.events[0].items[0] };
    }
}

#endif

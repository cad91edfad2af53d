// SPDX-License-Identifier: Apache-2.0
/* Scrape pages: the two formats, their negotiation, and Prometheus's own linter. */
#include "tests/support.h"

#include "base/file.h"
#include "codec/prom_text.h"
#include "codec/prometheus_scope.h"

#include <math.h>

static error err;

static uint32_t add_metric(batch *b, metric_type type, bool monotonic, const char *name,
                           const char *unit, const char *help)
{
    if (b->scope_count == 0)
        batch_add_scope(b, batch_add_resource(b));
    uint32_t m = batch_add_metric(b, 0);
    b->metrics[m].type = type;
    b->metrics[m].monotonic = monotonic;
    b->metrics[m].temporality = TEMPORALITY_CUMULATIVE;
    b->metrics[m].name = str_c(name);
    b->metrics[m].unit = str_c(unit);
    b->metrics[m].description = str_c(help);
    return m;
}

static uint32_t add_number(batch *b, uint32_t metric, const char *key, const char *text, int64_t n)
{
    uint32_t p = batch_add_point(b, metric);
    uint32_t capacity = 0;
    if (key)
        assert_true(attrs_append(&b->arena, &b->points.attributes[p], &capacity, str_c(key),
                                 VALUE_S(str_c(text))));
    b->points.value[p] = (point_value){ .is_int = true, .i64 = n };
    b->points.time_ns[p] = 1700000000123 * NS_PER_MS;
    return p;
}

static uint32_t add_histogram(batch *b, uint32_t metric)
{
    static double bounds[] = { 0.5, 1, 2.5 };
    static uint64_t buckets[] = { 1, 2, 0, 4 };
    uint32_t p = batch_add_point(b, metric);
    histogram_value *h = ARENA_NEW(&b->arena, histogram_value);
    *h = (histogram_value){ .count = 7, .sum = 21.25, .has_sum = true };
    h->bounds = bounds;
    h->bound_count = 3;
    h->buckets = buckets;
    h->bucket_count = 4;
    b->points.value[p].histogram = h;
    return p;
}

static void assert_page(const batch *b, prom_format format, const prom_text_options *options,
                        const char *expected)
{
    buf out;
    buf_init(&out, 0);
    assert_ok(prom_text_write(b, format, options, &out, NULL, &err));
    assert_str(buf_view(&out), str_c(expected));
    buf_done(&out);
}

static void families_stand_together_and_texts_are_escaped(void **state)
{
    (void)state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t orders = add_metric(&b, METRIC_SUM, true, "orders", "", "Orders\\taken\nby \"us\".");
    uint32_t depth = add_metric(&b, METRIC_GAUGE, false, "a.depth", "", "");
    uint32_t again = add_metric(&b, METRIC_SUM, true, "orders_total", "", "ignored");
    add_number(&b, orders, "currency", "E\"U\\R\n", 3);
    add_number(&b, depth, NULL, NULL, -2);
    add_number(&b, again, "shop.id",
               "\xff"
               "x",
               4);
    assert_page(&b, PROM_TEXT_0_0_4, NULL,
                "# HELP a_depth No description was given.\n"
                "# TYPE a_depth gauge\n"
                "a_depth -2\n"
                "# HELP orders_total Orders\\\\taken\\nby \"us\".\n"
                "# TYPE orders_total counter\n"
                "orders_total{currency=\"E\\\"U\\\\R\\n\"} 3\n"
                "orders_total{shop_id=\"\xef\xbf\xbdx\"} 4\n");
    assert_page(&b, PROM_OPENMETRICS_1_0_0, &(prom_text_options){ .timestamps = true },
                "# HELP a_depth No description was given.\n"
                "# TYPE a_depth gauge\n"
                "a_depth -2 1700000000.123\n"
                "# HELP orders Orders\\\\taken\\nby \\\"us\\\".\n"
                "# TYPE orders counter\n"
                "orders_total{currency=\"E\\\"U\\\\R\\n\"} 3 1700000000.123\n"
                "orders_total{shop_id=\"\xef\xbf\xbdx\"} 4 1700000000.123\n"
                "# EOF\n");
    batch_done(&b);
}

static void histograms_are_cumulative_with_exemplars(void **state)
{
    (void)state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t m = add_metric(&b, METRIC_HISTOGRAM, false, "http.server.request.duration", "s", "H.");
    uint32_t p = add_histogram(&b, m);
    exemplar e = { .time_ns = 1700000000 * NS_PER_S, .f64 = 0.75 };
    memset(e.trace.bytes, 0xab, sizeof(e.trace.bytes));
    memset(e.span.bytes, 0xcd, sizeof(e.span.bytes));
    b.points.exemplars[p] = (exemplars){ &e, 1 };
    assert_page(&b, PROM_TEXT_0_0_4, NULL,
                "# HELP http_server_request_duration_seconds H.\n"
                "# TYPE http_server_request_duration_seconds histogram\n"
                "http_server_request_duration_seconds_bucket{le=\"0.5\"} 1\n"
                "http_server_request_duration_seconds_bucket{le=\"1\"} 3\n"
                "http_server_request_duration_seconds_bucket{le=\"2.5\"} 3\n"
                "http_server_request_duration_seconds_bucket{le=\"+Inf\"} 7\n"
                "http_server_request_duration_seconds_sum 21.25\n"
                "http_server_request_duration_seconds_count 7\n");
    assert_page(&b, PROM_OPENMETRICS_1_0_0, NULL,
                "# HELP http_server_request_duration_seconds H.\n"
                "# TYPE http_server_request_duration_seconds histogram\n"
                "# UNIT http_server_request_duration_seconds seconds\n"
                "http_server_request_duration_seconds_bucket{le=\"0.5\"} 1\n"
                "http_server_request_duration_seconds_bucket{le=\"1.0\"} 3 # "
                "{trace_id=\"abababababababababababababababab\",span_id=\"cdcdcdcdcdcdcdcd\"} "
                "0.75 1700000000.000\n"
                "http_server_request_duration_seconds_bucket{le=\"2.5\"} 3\n"
                "http_server_request_duration_seconds_bucket{le=\"+Inf\"} 7\n"
                "http_server_request_duration_seconds_sum 21.25\n"
                "http_server_request_duration_seconds_count 7\n"
                "# EOF\n");
    batch_done(&b);
}

static void resources_become_target_info_and_job(void **state)
{
    (void)state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t m = add_metric(&b, METRIC_GAUGE, false, "load", "1", "L.");
    add_number(&b, m, NULL, NULL, 1);
    uint32_t capacity = 0;
    attrs *resource = &b.resources[0].attributes;
    assert_true(
        attrs_append(&b.arena, resource, &capacity, STR("service.name"), VALUE_S(STR("api"))));
    assert_true(attrs_append(&b.arena, resource, &capacity, STR("host.name"), VALUE_S(STR("h"))));
    assert_page(&b, PROM_TEXT_0_0_4, &(prom_text_options){ .target_info = true },
                "# HELP target_info What reports these metrics.\n"
                "# TYPE target_info gauge\n"
                "target_info{host_name=\"h\"} 1\n"
                "# HELP load_ratio L.\n"
                "# TYPE load_ratio gauge\n"
                "load_ratio 1\n");
    assert_page(&b, PROM_OPENMETRICS_1_0_0,
                &(prom_text_options){ .target_info = true, .resource_labels = true },
                "# HELP target What reports these metrics.\n"
                "# TYPE target info\n"
                "target_info{host_name=\"h\",job=\"api\"} 1\n"
                "# HELP load_ratio L.\n"
                "# TYPE load_ratio gauge\n"
                "load_ratio{job=\"api\",service_name=\"api\"} 1\n"
                "# EOF\n");
    batch_done(&b);
}

static void what_cannot_be_shown_is_counted(void **state)
{
    (void)state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    add_number(&b, add_metric(&b, METRIC_GAUGE, false, "???", "", ""), NULL, NULL, 1);
    add_number(&b, add_metric(&b, METRIC_SUM, true, "x_total", "", "X."), NULL, NULL, 1);
    add_number(&b, add_metric(&b, METRIC_GAUGE, false, "x_total", "", "X."), NULL, NULL, 2);
    uint32_t stale = add_number(&b, 1, NULL, NULL, 3);
    b.points.flags[stale] = POINT_FLAG_NO_RECORDED_VALUE;
    uint32_t skipped = 0;
    buf out;
    buf_init(&out, 0);
    assert_ok(prom_text_write(&b, PROM_TEXT_0_0_4, NULL, &out, &skipped, &err));
    assert_int_equal(skipped, 2);
    assert_str(buf_view(&out), STR("# HELP x_total X.\n# TYPE x_total counter\nx_total 1\n"));
    buf_done(&out);
    buf_init(&out, 20);
    assert_int_equal(prom_text_write(&b, PROM_TEXT_0_0_4, NULL, &out, NULL, &err), STATUS_LIMIT);
    buf_done(&out);
    batch_done(&b);
}

static void summaries_and_special_values(void **state)
{
    (void)state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t m = add_metric(&b, METRIC_SUMMARY, false, "rpc", "", "R.");
    uint32_t p = batch_add_point(&b, m);
    quantile_value quantiles[] = { { 0.5, NAN }, { 1, INFINITY } };
    summary_value s = { .count = 2, .sum = -INFINITY, .quantiles = quantiles, .quantile_count = 2 };
    b.points.value[p].summary = &s;
    assert_page(&b, PROM_OPENMETRICS_1_0_0, NULL,
                "# HELP rpc R.\n# TYPE rpc summary\n"
                "rpc{quantile=\"0.5\"} NaN\nrpc{quantile=\"1.0\"} +Inf\n"
                "rpc_sum -Inf\nrpc_count 2\n# EOF\n");
    batch_done(&b);
}

/* No suffix is added, and what the format cannot say is untyped rather than another name. */
static void the_prometheus_scope_keeps_its_names(void **state)
{
    (void)state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t up = add_metric(&b, METRIC_SUM, true, "hits", "s", "Hits.");
    b.scopes[0].name = STR(PROMETHEUS_SCOPE);
    uint32_t dotted = add_metric(&b, METRIC_GAUGE, false, "a.b:c", "1", "");
    add_number(&b, up, "_x", "1", 3);
    add_number(&b, dotted, "http.route:y", "/", 4);
    assert_page(&b, PROM_OPENMETRICS_1_0_0, NULL,
                "# HELP a_b:c No description was given.\n"
                "# TYPE a_b:c gauge\n"
                "a_b:c{http_route_y=\"/\"} 4\n"
                "# HELP hits Hits.\n"
                "# TYPE hits unknown\n"
                "hits{_x=\"1\"} 3\n"
                "# EOF\n");
    buf out;
    buf_init(&out, 0);
    assert_ok(
        prom_write(&b, &(prom_choice){ .escaping = PROM_ALLOW_UTF8 }, NULL, &out, NULL, &err));
    buf_char(&out, 0);
    assert_non_null(strstr(out.ptr, "{\"a.b:c\",\"http.route:y\"=\"/\"} 4\n"));
    buf_done(&out);
    batch_done(&b);
}

static void accept_headers_choose_the_format(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        prom_format expected;
    } cases[] = {
        { "", PROM_TEXT_0_0_4 },
        { "*/*", PROM_TEXT_0_0_4 },
        { "text/html", PROM_TEXT_0_0_4 },
        { "application/openmetrics-text", PROM_OPENMETRICS_1_0_0 },
        { "application/openmetrics-text; version=0.0.1", PROM_OPENMETRICS_0_0_1 },
        { "application/openmetrics-text; version=9.0.0, text/plain", PROM_TEXT_0_0_4 },
        { "text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4",
          PROM_TEXT_0_0_4 },
        { "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
          "encoding=delimited;q=0.7,application/openmetrics-text;version=1.0.0;"
          "escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
          "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,"
          "*/*;q=0.2",
          PROM_OPENMETRICS_1_0_0 },
        { "application/openmetrics-text;version=1.0.0;q=0", PROM_TEXT_0_0_4 },
        { "APPLICATION/OpenMetrics-Text ; VERSION=1.0.0 ; Q=1", PROM_OPENMETRICS_1_0_0 },
        { ",,;;=,q", PROM_TEXT_0_0_4 },
        { "application/openmetrics-text;q=nan", PROM_TEXT_0_0_4 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (prom_negotiate(str_c(cases[i].accept)) != cases[i].expected)
            fail_msg("for \"%s\"", cases[i].accept);
    assert_string_equal(prom_content_type(PROM_TEXT_0_0_4),
                        "text/plain; version=0.0.4; charset=utf-8");
}

static void promtool_accepts_the_page(void **state)
{
    (void)state;
    if (access("/usr/bin/promtool", X_OK) != 0)
        skip();
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t orders = add_metric(&b, METRIC_SUM, true, "orders", "", "Orders\\taken\nby \"us\".");
    add_number(&b, orders, "currency", "E\"U\\R\n", 3);
    add_number(&b, orders, "currency", "\xff", 4);
    add_number(&b, add_metric(&b, METRIC_GAUGE, false, "depth", "", ""), NULL, NULL, -2);
    add_histogram(&b, add_metric(&b, METRIC_HISTOGRAM, false, "http.duration", "s", "H."));
    char dir[64], path[128], command[256];
    test_make_dir(dir);
    buf out;
    buf_init(&out, 0);
    assert_ok(prom_text_write(&b, PROM_TEXT_0_0_4, &(prom_text_options){ .target_info = true },
                              &out, NULL, &err));
    assert_ok(file_replace(dir, "page", buf_view(&out), &err));
    (void)snprintf(path, sizeof(path), "%s/page", dir);
    (void)snprintf(command, sizeof(command), "/usr/bin/promtool check metrics < %s", path);
    assert_int_equal(system(command), 0);
    test_remove_dir(dir);
    buf_done(&out);
    batch_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_stand_together_and_texts_are_escaped),
        cmocka_unit_test(histograms_are_cumulative_with_exemplars),
        cmocka_unit_test(resources_become_target_info_and_job),
        cmocka_unit_test(what_cannot_be_shown_is_counted),
        cmocka_unit_test(summaries_and_special_values),
        cmocka_unit_test(the_prometheus_scope_keeps_its_names),
        cmocka_unit_test(accept_headers_choose_the_format),
        cmocka_unit_test(promtool_accepts_the_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

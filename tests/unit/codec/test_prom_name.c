// SPDX-License-Identifier: Apache-2.0
/* OpenTelemetry names as Prometheus has them. */
#include "tests/support.h"

#include "codec/prom_name.h"

typedef struct {
    const char *name;
    const char *unit;
    char kind; /* c counter, g gauge, u non-monotonic sum, h histogram */
    const char *expected;
} name_case;

static const name_case names[] = {
    { "simple_metric", "", 'g', "simple_metric" },
    { "requests", "", 'c', "requests_total" },
    { "requests_total", "", 'c', "requests_total" },
    { "http_total_requests", "", 'c', "http_requests_total" },
    { "total", "", 'c', "total" },
    { "cpu_usage", "1", 'g', "cpu_usage_ratio" },
    { "cpu_usage_ratio", "1", 'g', "cpu_usage_ratio" },
    { "items", "1", 'c', "items_total" },
    { "active", "1", 'u', "active" },
    { "response_time", "ms", 'g', "response_time_milliseconds" },
    { "http.server.request.duration", "s", 'h', "http_server_request_duration_seconds" },
    { "http_request_duration_seconds", "s", 'h', "http_request_duration_seconds" },
    { "process.cpu.time", "s", 'c', "process_cpu_time_seconds_total" },
    { "process_cpu_seconds_total", "s", 'c', "process_cpu_seconds_total" },
    { "memory.usage", "By", 'g', "memory_usage_bytes" },
    { "requests", "1/s", 'g', "requests_per_second" },
    { "throughput", "By/s", 'g', "throughput_bytes_per_second" },
    { "custom_metric", "custom_unit", 'g', "custom_metric_custom_unit" },
    { "custom_metric", "{custom}", 'g', "custom_metric" },
    { "custom_metric", "By/{custom}", 'g', "custom_metric_bytes" },
    { "custom_metric", "{objects}/s", 'g', "custom_metric_per_second" },
    { "123_requests", "", 'c', "_123_requests_total" },
    { "metric__with__underscores", "unit__more__underscores", 'g',
      "metric_with_underscores_unit_more_underscores" },
    { "custom_metric", "unit@with#special/chars", 'g',
      "custom_metric_unit_with_special_per_chars" },
    { "\t system.filesystem.usage       ", "  By\t", 'g', "system_filesystem_usage_bytes" },
    { "system.network.packets.dropped", "packets", 'g', "system_network_packets_dropped" },
    { "broken.metric.speed", "km/h", 'g', "broken_metric_speed_km_per_hour" },
    { "broken.metric.speed", "km/\xc2\xb0", 'g', "broken_metric_speed_km" },
    { "astro.light.speed_limit", "m/s", 'g', "astro_light_speed_limit_meters_per_second" },
    { "memcached.operation_hit_ratio", "%", 'g', "memcached_operation_hit_ratio_percent" },
    { ":foo::bar", "", 'c', ":foo::bar_total" },
    { "temperature", "%*()\xc2\xb0:C", 'g', "temperature_:C" },
    { "metric_with_\xe5\xad\x97_foreign", "", 'c', "metric_with_foreign_total" },
    { "3.14 digits", "", 'g', "_3_14_digits" },
    { "system.cpu.load_average.15m", "1", 'g', "system_cpu_load_average_15m_ratio" },
};

static batch_metric metric_of(const char *name, const char *unit, char kind)
{
    return (batch_metric){
        .name = str_c(name),
        .unit = str_c(unit),
        .type = kind == 'g'   ? METRIC_GAUGE
                : kind == 'h' ? METRIC_HISTOGRAM
                              : METRIC_SUM,
        .monotonic = kind == 'c',
    };
}

static void metric_names_follow_the_otlp_rules(void **state)
{
    (void)state;
    buf out;
    buf_init(&out, 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        batch_metric m = metric_of(names[i].name, names[i].unit, names[i].kind);
        buf_clear(&out);
        buf_lit(&out, "|"); /* what stood before is left alone */
        assert_true(prom_metric_name(&out, &m));
        assert_str(str_slice(buf_view(&out), 1, SIZE_MAX), str_c(names[i].expected));
        assert_int_equal(out.ptr[0], '|');
    }
    buf_done(&out);
}

static void a_name_without_usable_characters_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "@#$%", "___", "\xe5\xad\x97" };
    buf out;
    buf_init(&out, 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        batch_metric m = metric_of(bad[i], "", 'g');
        assert_false(prom_metric_name(&out, &m));
        m = metric_of(bad[i], "", 'c');
        assert_false(prom_metric_name(&out, &m));
        assert_int_equal(out.len, 0);
    }
    buf_done(&out);
}

static void units_are_written_in_words(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "", "" },
        { "s", "seconds" },
        { "1", "" },
        { "1/s", "per_second" },
        { "/s", "per_second" },
        { "By/", "bytes" },
        { "By/s", "bytes_per_second" },
        { "requests/m", "requests_per_minute" },
        { "{custom}/{other}", "" },
        { "custom@unit#x", "custom_unit_x" },
        { "By/_custom__unit_", "bytes_per_custom_unit" },
        { "@#$%", "" },
    };
    buf out;
    buf_init(&out, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_clear(&out);
        buf_lit(&out, "<");
        prom_unit_name(&out, str_c(cases[i][0]));
        assert_str(str_slice(buf_view(&out), 1, SIZE_MAX), str_c(cases[i][1]));
    }
    buf_done(&out);
}

static void label_names_are_legal(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "label:with:colons", "label_with_colons" },
        { "http.route", "http_route" },
        { "special!&)", "special___" },
        { "foreign_\xe5\xad\x97\xe7\xac\xa6", "foreign___" },
        { "123label", "key_123label" },
        { "_one", "key_one" },
        { "__two", "__two" },
        { "__", "__" },
    };
    buf out;
    buf_init(&out, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_clear(&out);
        assert_true(prom_label_name(&out, str_c(cases[i][0])));
        assert_str(buf_view(&out), str_c(cases[i][1]));
    }
    buf_clear(&out);
    assert_false(prom_label_name(&out, STR("")));
    assert_false(prom_label_name(&out, STR("\xe5\xad\x97\xe5\xad\x97")));
    assert_int_equal(out.len, 0);
    buf_done(&out);
}

static void assert_labels(const prom_labels *l, const char *expected)
{
    buf out;
    buf_init(&out, 0);
    for (uint32_t i = 0; i < l->count; i++)
        buf_fmt(&out, "%.*s=%.*s ", STR_ARG(l->items[i].name), STR_ARG(l->items[i].value));
    assert_str(str_trim(buf_view(&out)), str_c(expected));
    buf_done(&out);
}

static void colliding_keys_join_and_job_wins(void **state)
{
    (void)state;
    arena a;
    arena_init(&a, 0);
    attr resource_items[] = {
        { STR_INIT("service.name"), VALUE_S(STR("api")) },
        { STR_INIT("service.namespace"), VALUE_S(STR("shop")) },
        { STR_INIT("service.instance.id"), VALUE_S(STR("i-1")) },
        { STR_INIT("host.name"), VALUE_S(STR("h")) },
        { STR_INIT("deployment.environment.name"), VALUE_S(STR("prod")) },
    };
    attrs resource = { resource_items, ARRAY_LEN(resource_items), 0 };
    attr point_items[] = {
        { STR_INIT("z"), VALUE_I(7) },
        { STR_INIT("a_b"), VALUE_S(STR("3")) },
        { STR_INIT("a.b"), VALUE_S(STR("2")) },
        { STR_INIT("job"), VALUE_S(STR("mine")) },
        { STR_INIT("service_name"), VALUE_S(STR("own")) },
        { STR_INIT("none"), VALUE_S(STR("")) },
        { STR_INIT("yes"), VALUE_B(true) },
    };
    attrs point = { point_items, ARRAY_LEN(point_items), 0 };
    prom_labels from_resource, labels;
    assert_true(prom_resource_labels(&a, &resource, &from_resource));
    assert_labels(&from_resource, "deployment_environment_name=prod instance=i-1 job=shop/api "
                                  "service_name=api");
    assert_true(prom_point_labels(&a, &point, &from_resource, &labels));
    assert_labels(&labels, "a_b=2;3 deployment_environment_name=prod instance=i-1 job=shop/api "
                           "service_name=own yes=true z=7");
    assert_true(prom_point_labels(&a, &point, NULL, &labels));
    assert_labels(&labels, "a_b=2;3 job=mine service_name=own yes=true z=7");
    arena_done(&a);
}

static void target_info_has_what_does_not_identify(void **state)
{
    (void)state;
    arena a;
    arena_init(&a, 0);
    attr items[] = {
        { STR_INIT("service.name"), VALUE_S(STR("api")) },
        { STR_INIT("host.name"), VALUE_S(STR("h")) },
        { STR_INIT("job"), VALUE_S(STR("odd")) },
    };
    attrs resource = { items, 3, 0 };
    prom_labels labels;
    assert_true(prom_target_info(&a, &resource, true, &labels));
    assert_labels(&labels, "host_name=h job=api");
    assert_true(prom_target_info(&a, &resource, false, &labels));
    assert_labels(&labels, "host_name=h job=odd");
    resource.count = 1; /* only what job says already */
    assert_true(prom_target_info(&a, &resource, true, &labels));
    assert_int_equal(labels.count, 0);
    resource = (attrs){ items + 1, 1, 0 }; /* no identity to join by */
    assert_true(prom_target_info(&a, &resource, true, &labels));
    assert_int_equal(labels.count, 0);
    arena_done(&a);
}

static void labels_fail_cleanly_at_the_limit(void **state)
{
    (void)state;
    attr items[64];
    for (size_t i = 0; i < ARRAY_LEN(items); i++)
        items[i] = (attr){ STR("a.key.that.must.be.copied"), VALUE_S(STR("v")) };
    attrs point = { items, ARRAY_LEN(items), 0 };
    for (size_t limit = 1; limit <= MiB(1); limit *= 4) {
        arena a;
        arena_init(&a, limit);
        prom_labels labels;
        bool done = prom_point_labels(&a, &point, NULL, &labels);
        if (done)
            assert_int_equal(labels.count, 1);
        assert_true(done || limit < MiB(1));
        assert_true(!done || limit > 1024);
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metric_names_follow_the_otlp_rules),
        cmocka_unit_test(a_name_without_usable_characters_is_refused),
        cmocka_unit_test(units_are_written_in_words),
        cmocka_unit_test(label_names_are_legal),
        cmocka_unit_test(colliding_keys_join_and_job_wins),
        cmocka_unit_test(target_info_has_what_does_not_identify),
        cmocka_unit_test(labels_fail_cleanly_at_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

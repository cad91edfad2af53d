// SPDX-License-Identifier: Apache-2.0
/* Options and environment: order, merging, and what happens to values that do not parse. */
#include "lib/env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* Everything written to stderr while settings are loaded. */
static char warnings[4096];

static settings load(const sonde_options *options)
{
    settings s;
    error err;
    FILE *capture = tmpfile();
    assert_non_null(capture);
    int saved = dup(STDERR_FILENO);
    dup2(fileno(capture), STDERR_FILENO);
    status st = settings_load(&s, options, &err);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(capture);
    size_t n = fread(warnings, 1, sizeof(warnings) - 1, capture);
    warnings[n] = '\0';
    fclose(capture);
    assert_int_equal(st, STATUS_OK);
    return s;
}

static int clean_environment(void **state UNUSED)
{
    return clearenv();
}

static const char *resource(const settings *s, const char *key)
{
    static char text[128];
    str_copy_c(text, sizeof(text), attrs_get_str(&s->resource, str_c(key)));
    return text;
}

static void assert_text(str got, const char *want)
{
    if (!str_is(got, want))
        fail_msg("got \"%.*s\", want \"%s\"", STR_ARG(got), want);
}

static void nothing_given_means_the_defaults(void **state UNUSED)
{
    settings s = load(NULL);
    assert_string_equal(warnings, "");
    assert_true(str_starts(s.service, STR("unknown_service:unit_lib_env")));
    assert_int_equal(s.log_severity, 9);
    assert_int_equal(s.log_output, LOG_TO_STDOUT);
    assert_true(s.propagators == 3 && s.sampler_parent_based);
    assert_int_equal(s.sampler, SAMPLER_ALWAYS_ON);
    assert_int_equal(s.metric_interval_ms, 60000);
    assert_int_equal(s.signal[SIGNAL_TRACES].schedule_ms, 5000);
    assert_int_equal(s.signal[SIGNAL_LOGS].schedule_ms, 1000);
    assert_int_equal(s.attribute_count_max[SIGNAL_LOGS], 128);
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        assert_false(s.signal[i].otlp);
        assert_int_equal(s.signal[i].timeout_ms, 10000);
    }
    assert_text(s.signal[SIGNAL_TRACES].url, "http://localhost:4318/v1/traces");
    settings_done(&s);
}

static void environment_wins_over_options_and_options_over_defaults(void **state UNUSED)
{
    const char *more[] = { "team", "payments", "service.namespace", "shop", NULL };
    sonde_options o = { .service = "api",
                        .version = "1.2",
                        .environment = "staging",
                        .resource = more,
                        .log_level = SONDE_ERROR,
                        .admin_addr = "9464" };
    settings s = load(&o);
    assert_text(s.service, "api");
    assert_text(s.version, "1.2");
    assert_text(s.environment, "staging");
    assert_int_equal(s.log_severity, 17);
    settings_done(&s);

    setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=ignored,team=core%20team,host.name=h1", 1);
    setenv("OTEL_SERVICE_NAME", "renamed", 1);
    setenv("LOG_LEVEL", "debug", 1);
    s = load(&o);
    assert_text(s.service, "renamed");
    assert_string_equal(resource(&s, "team"), "core team");
    assert_string_equal(resource(&s, "host.name"), "h1");
    assert_string_equal(resource(&s, "service.namespace"), "shop");
    assert_int_equal(s.log_severity, 5);
    settings_done(&s);

    setenv("SONDE_LOG_LEVEL", "WARN", 1);
    s = load(&o);
    assert_int_equal(s.log_severity, 13);
    settings_done(&s);

    o.ignore_environment = true;
    s = load(&o);
    assert_text(s.service, "api");
    assert_int_equal(s.log_severity, 17);
    settings_done(&s);
}

static void a_value_that_does_not_parse_costs_one_line_and_counts_as_unset(void **state UNUSED)
{
    static const char *const bad[][2] = {
        { "OTEL_SDK_DISABLED", "yes" },
        { "OTEL_TRACES_SAMPLER", "sometimes" },
        { "OTEL_TRACES_SAMPLER_ARG", "1.5" },
        { "OTEL_BSP_SCHEDULE_DELAY", "5s" },
        { "OTEL_BLRP_MAX_QUEUE_SIZE", "0" },
        { "OTEL_METRIC_EXPORT_INTERVAL", "-1" },
        { "OTEL_RESOURCE_ATTRIBUTES", "good=1,bad" },
        { "OTEL_PROPAGATORS", "ottrace" },
        { "OTEL_TRACES_EXPORTER", "prometheus" },
        { "OTEL_METRICS_EXPORTER", "zipkin" },
        { "OTEL_EXPORTER_ZIPKIN_ENDPOINT", "localhost:9411" },
        { "OTEL_EXPORTER_ZIPKIN_TIMEOUT", "0" },
        { "OTEL_EXPORTER_OTLP_INSECURE", "yes" },
        { "OTEL_LOG_LEVEL", "loud" },
        { "OTEL_ENTITIES", "service" },
        { "OTEL_ENTITIES", "service{}" },
        { "OTEL_ENTITIES", "1x{a=b}" },
        { "OTEL_ENTITIES", "x{a=b" },
        { "OTEL_ENTITIES", "x{a=%zz}" },
        { "OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318" },
        { "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "ftp://x" },
        { "OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon" },
        { "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "lzma" },
        { "OTEL_EXPORTER_OTLP_TIMEOUT", "soon" },
        { "OTEL_EXPORTER_OTLP_HEADERS", "a b=c" },
        { "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=%0d%0aInjected: 1" },
        { "SONDE_LOG_LEVEL", "loud" },
        { "SONDE_LOG_OUTPUT", "printer" },
        { "SONDE_RECORDER_BYTES", "16 apples" },
        { "SONDE_LOG_ROTATE_KEEP", "many" },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        clearenv();
        settings plain = load(NULL);
        setenv(bad[i][0], bad[i][1], 1);
        settings s = load(NULL);
        if (!strstr(warnings, bad[i][0]) || strchr(warnings, '\n') != strrchr(warnings, '\n'))
            fail_msg("%s=%s warned: \"%s\"", bad[i][0], bad[i][1], warnings);
        assert_int_equal(s.resource.count, plain.resource.count);
        assert_int_equal(s.log_severity, plain.log_severity);
        assert_int_equal(s.recorder_bytes, plain.recorder_bytes);
        assert_int_equal(s.metric_interval_ms, plain.metric_interval_ms);
        for (int k = 0; k < SIGNAL_COUNT; k++) {
            assert_int_equal(s.signal[k].otlp, false);
            assert_int_equal(s.signal[k].timeout_ms, plain.signal[k].timeout_ms);
            assert_int_equal(s.signal[k].schedule_ms, plain.signal[k].schedule_ms);
            assert_text(s.signal[k].headers, "");
        }
        settings_done(&plain);
        settings_done(&s);
    }
}

static void empty_means_unset(void **state UNUSED)
{
    setenv("OTEL_SERVICE_NAME", "", 1);
    setenv("OTEL_SDK_DISABLED", " ", 1);
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "", 1);
    settings s = load(&(sonde_options){ .service = "kept" });
    assert_string_equal(warnings, "");
    assert_text(s.service, "kept");
    assert_false(s.disabled || s.signal[SIGNAL_LOGS].otlp);
    settings_done(&s);
}

static void an_endpoint_turns_sending_on(void **state UNUSED)
{
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/base/", 1);
    setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://metrics:9/custom", 1);
    setenv("OTEL_LOGS_EXPORTER", "none", 1);
    settings s = load(NULL);
    assert_string_equal(warnings, "");
    assert_text(s.signal[SIGNAL_TRACES].url, "http://collector:4318/base/v1/traces");
    assert_text(s.signal[SIGNAL_METRICS].url, "https://metrics:9/custom");
    assert_true(s.signal[SIGNAL_TRACES].otlp && s.signal[SIGNAL_METRICS].otlp);
    assert_false(s.signal[SIGNAL_LOGS].otlp);
    settings_done(&s);
}

static void one_signals_endpoint_turns_on_that_signal_only(void **state UNUSED)
{
    setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:1/x", 1);
    settings s = load(NULL);
    assert_true(s.signal[SIGNAL_TRACES].otlp);
    assert_false(s.signal[SIGNAL_LOGS].otlp || s.signal[SIGNAL_METRICS].otlp);
    settings_done(&s);
}

static void an_exporter_named_otlp_uses_the_standard_endpoint(void **state UNUSED)
{
    setenv("OTEL_TRACES_EXPORTER", "otlp,console", 1);
    setenv("OTEL_METRICS_EXPORTER", "prometheus", 1);
    settings s = load(NULL);
    assert_true(s.signal[SIGNAL_TRACES].otlp && s.signal[SIGNAL_TRACES].console);
    assert_text(s.signal[SIGNAL_TRACES].url, "http://localhost:4318/v1/traces");
    assert_false(s.signal[SIGNAL_METRICS].otlp);
    assert_text(s.admin_addr, "localhost:9464");
    settings_done(&s);
}

static void per_signal_variables_win_over_general_ones(void **state UNUSED)
{
    setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", 1);
    setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf", 1);
    setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", 1);
    setenv("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "none", 1);
    setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2000", 1);
    setenv("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "3000", 1);
    setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x-team = core", 1);
    setenv("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "api-key=other", 1);
    settings s = load(NULL);
    assert_string_equal(warnings, "");
    assert_int_equal(s.signal[SIGNAL_LOGS].format, OTLP_JSON);
    assert_int_equal(s.signal[SIGNAL_TRACES].format, OTLP_PROTOBUF);
    assert_true(s.signal[SIGNAL_TRACES].gzip);
    assert_false(s.signal[SIGNAL_LOGS].gzip);
    assert_int_equal(s.signal[SIGNAL_LOGS].timeout_ms, 2000);
    assert_int_equal(s.signal[SIGNAL_METRICS].timeout_ms, 3000);
    assert_text(s.signal[SIGNAL_TRACES].headers, "api-key: a b\nx-team: core\n");
    assert_text(s.signal[SIGNAL_LOGS].headers, "api-key: other\n");
    settings_done(&s);
}

/* protocol, _INSECURE, endpoint of all signals, endpoint of traces -> url of traces, of logs */
static void every_protocol_has_its_endpoint_rules(void **state UNUSED)
{
#define TRACE_CALL "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
#define LOGS_CALL  "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
    static const char *const cases[][6] = {
        { "grpc", "", "", "", "http://localhost:4317" TRACE_CALL,
          "http://localhost:4317" LOGS_CALL },
        { "grpc", "", "http://c:4317", "", "http://c:4317" TRACE_CALL, "http://c:4317" LOGS_CALL },
        { "grpc", "", "https://c/", "", "https://c" TRACE_CALL, "https://c" LOGS_CALL },
        { "grpc", "", "http://c:1/some/path", "", "http://c:1" TRACE_CALL, "http://c:1" LOGS_CALL },
        { "grpc", "", "c:4317", "", "https://c:4317" TRACE_CALL, "https://c:4317" LOGS_CALL },
        { "grpc", "true", "c:4317", "", "http://c:4317" TRACE_CALL, "http://c:4317" LOGS_CALL },
        { "grpc", "true", "https://c:4317", "d:1", "http://d:1" TRACE_CALL,
          "https://c:4317" LOGS_CALL },
        { "http/json", "", "http://c:4318//", "", "http://c:4318/v1/traces",
          "http://c:4318/v1/logs" },
        { "http/protobuf", "true", "https://c/base", "http://d/own/", "http://d/own/",
          "https://c/base/v1/logs" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        clearenv();
        setenv("OTEL_EXPORTER_OTLP_PROTOCOL", cases[i][0], 1);
        setenv("OTEL_EXPORTER_OTLP_INSECURE", cases[i][1], 1);
        setenv("OTEL_EXPORTER_OTLP_ENDPOINT", cases[i][2], 1);
        setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", cases[i][3], 1);
        settings s = load(NULL);
        assert_string_equal(warnings, "");
        assert_text(s.signal[SIGNAL_TRACES].url, cases[i][4]);
        assert_text(s.signal[SIGNAL_LOGS].url, cases[i][5]);
        assert_int_equal(s.signal[SIGNAL_LOGS].grpc, cases[i][0][0] == 'g');
        assert_int_equal(s.signal[SIGNAL_LOGS].otlp, cases[i][2][0] != 0);
        settings_done(&s);
    }
}

/* A protocol in the environment decides how an endpoint in the options is read. */
static void the_protocol_may_come_later_than_the_endpoint(void **state UNUSED)
{
    sonde_options o = { .otlp_endpoint = "http://c:4317", .otlp_protocol = "http/json" };
    setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", 1);
    settings s = load(&o);
    assert_string_equal(warnings, "");
    assert_text(s.signal[SIGNAL_TRACES].url, "http://c:4317" TRACE_CALL);
    assert_text(s.signal[SIGNAL_LOGS].url, "http://c:4317/v1/logs");
    assert_int_equal(s.signal[SIGNAL_LOGS].format, OTLP_JSON);
    settings_done(&s);
}

static void several_exporters_of_a_signal_and_none(void **state UNUSED)
{
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1", 1);
    setenv("OTEL_TRACES_EXPORTER", "zipkin, otlp,console", 1);
    setenv("OTEL_METRICS_EXPORTER", "none", 1);
    setenv("OTEL_LOGS_EXPORTER", "console", 1);
    settings s = load(NULL);
    assert_string_equal(warnings, "");
    const signal_settings *t = &s.signal[SIGNAL_TRACES];
    assert_true(t->zipkin && t->otlp && t->console);
    assert_text(s.zipkin_url, "http://localhost:9411/api/v2/spans");
    assert_int_equal(s.zipkin_timeout_ms, 10000);
    assert_false(s.signal[SIGNAL_METRICS].otlp || s.signal[SIGNAL_METRICS].console);
    assert_true(s.signal[SIGNAL_LOGS].console && !s.signal[SIGNAL_LOGS].otlp);
    settings_done(&s);
    setenv("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "http://z:9411/api/v2/spans", 1);
    setenv("OTEL_EXPORTER_ZIPKIN_TIMEOUT", "250", 1);
    s = load(NULL);
    assert_text(s.zipkin_url, "http://z:9411/api/v2/spans");
    assert_int_equal(s.zipkin_timeout_ms, 250);
    settings_done(&s);
}

static void the_librarys_own_level_silences_its_warnings(void **state UNUSED)
{
    static const struct {
        const char *level;
        bool warns;
    } cases[] = { { "", true },       { "debug", true },  { "info", true },
                  { "warn", true },   { "all", true },    { "TRACE", true },
                  { "error", false }, { "fatal", false }, { "none", false } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        clearenv();
        setenv("OTEL_LOG_LEVEL", cases[i].level, 1);
        setenv("SONDE_FULL_WAIT_MS", "soon", 1);
        settings s = load(&(sonde_options){ .log_output = "printer" });
        assert_int_equal(strstr(warnings, "printer") != NULL, cases[i].warns);
        assert_int_equal(strstr(warnings, "SONDE_FULL_WAIT_MS") != NULL, cases[i].warns);
        settings_done(&s);
    }
}

static void entities_become_resource_attributes(void **state UNUSED)
{
    setenv("OTEL_ENTITIES",
           ";service{service.name=shop%2Cone,service.instance.id=i-1}[service.version=2.0]"
           "@https://opentelemetry.io/schemas/1.21.0;;host{host.id=h-1}[host.name=web-01];"
           "bad{x;k8s.pod{k8s.pod.uid=p}",
           1);
    settings s = load(NULL);
    assert_text(s.service, "shop,one");
    assert_string_equal(resource(&s, "service.instance.id"), "i-1");
    assert_text(s.version, "2.0");
    assert_string_equal(resource(&s, "host.name"), "web-01");
    assert_string_equal(resource(&s, "k8s.pod.uid"), "p");
    assert_non_null(strstr(warnings, "bad{x"));
    settings_done(&s);

    /* The last of two that contradict; other variables win over entities. */
    setenv("OTEL_ENTITIES",
           "service{service.name=a}[old=1];service{service.name=b}[new=2];"
           "host{host.id=1}@nonsense",
           1);
    setenv("OTEL_RESOURCE_ATTRIBUTES", "new=3", 1);
    s = load(NULL);
    assert_text(s.service, "b");
    assert_string_equal(resource(&s, "old"), "");
    assert_string_equal(resource(&s, "new"), "3");
    assert_string_equal(resource(&s, "host.id"), "1");
    assert_non_null(strstr(warnings, "occurs again"));
    assert_non_null(strstr(warnings, "schema"));
    settings_done(&s);
}

static void the_origin_of_a_setting_is_known(void **state UNUSED)
{
    setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "50", 1);
    setenv("SONDE_RECORDER_BYTES", "1MiB", 1);
    setenv("OTEL_BSP_SCHEDULE_DELAY", "nonsense", 1);
    settings s =
        load(&(sonde_options){ .service = "x", .recorder_bytes = 9, .sampler = "always_on" });
    static const struct {
        const char *variable;
        int from;
    } want[] = { { "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", FROM_ENVIRONMENT },
                 { "SONDE_RECORDER_BYTES", FROM_ENVIRONMENT },
                 { "OTEL_SERVICE_NAME", FROM_OPTION },
                 { "OTEL_TRACES_SAMPLER", FROM_OPTION },
                 { "OTEL_BSP_SCHEDULE_DELAY", FROM_DEFAULT },
                 { "OTEL_EXPORTER_OTLP_TIMEOUT", FROM_DEFAULT } };
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        const given_setting *g = settings_given(&s, str_c(want[i].variable));
        assert_int_equal(g ? (int)g->from : FROM_DEFAULT, want[i].from);
    }
    settings_done(&s);
}

static void sizes_outputs_limits_and_samplers_are_read(void **state UNUSED)
{
    setenv("SONDE_RECORDER_BYTES", "32MiB", 1);
    setenv("SONDE_LOG_OUTPUT", "file:/var/log/api.log", 1);
    setenv("SONDE_LOG_ROTATE_BYTES", "10m", 1);
    setenv("OTEL_TRACES_SAMPLER", "traceidratio", 1);
    setenv("OTEL_TRACES_SAMPLER_ARG", "0.25", 1);
    setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "10", 1);
    setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "20", 1);
    setenv("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "99", 1);
    setenv("OTEL_PROPAGATORS", "tracecontext", 1);
    setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "database, http/dup", 1);
    settings s = load(NULL);
    assert_string_equal(warnings, "");
    assert_int_equal(s.recorder_bytes, MiB(32));
    assert_int_equal(s.log_output, LOG_TO_FILE);
    assert_text(s.log_path, "/var/log/api.log");
    assert_int_equal(s.log_rotate_bytes, MiB(10));
    assert_int_equal(s.sampler, SAMPLER_RATIO);
    assert_false(s.sampler_parent_based);
    assert_true(s.sampler_ratio == 0.25);
    assert_int_equal(s.attribute_count_max[SIGNAL_LOGS], 10);
    assert_int_equal(s.attribute_count_max[SIGNAL_TRACES], 20);
    assert_int_equal(s.attribute_length_max[SIGNAL_LOGS], 99);
    assert_int_equal(s.attribute_length_max[SIGNAL_TRACES], UINT32_MAX);
    assert_true(s.propagators == 1 && s.http_old_names);
    settings_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_given_means_the_defaults, clean_environment),
        cmocka_unit_test_setup(environment_wins_over_options_and_options_over_defaults,
                               clean_environment),
        cmocka_unit_test_setup(a_value_that_does_not_parse_costs_one_line_and_counts_as_unset,
                               clean_environment),
        cmocka_unit_test_setup(empty_means_unset, clean_environment),
        cmocka_unit_test_setup(an_endpoint_turns_sending_on, clean_environment),
        cmocka_unit_test_setup(one_signals_endpoint_turns_on_that_signal_only, clean_environment),
        cmocka_unit_test_setup(an_exporter_named_otlp_uses_the_standard_endpoint,
                               clean_environment),
        cmocka_unit_test_setup(per_signal_variables_win_over_general_ones, clean_environment),
        cmocka_unit_test_setup(every_protocol_has_its_endpoint_rules, clean_environment),
        cmocka_unit_test_setup(the_protocol_may_come_later_than_the_endpoint, clean_environment),
        cmocka_unit_test_setup(several_exporters_of_a_signal_and_none, clean_environment),
        cmocka_unit_test_setup(the_librarys_own_level_silences_its_warnings, clean_environment),
        cmocka_unit_test_setup(entities_become_resource_attributes, clean_environment),
        cmocka_unit_test_setup(the_origin_of_a_setting_is_known, clean_environment),
        cmocka_unit_test_setup(sizes_outputs_limits_and_samplers_are_read, clean_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

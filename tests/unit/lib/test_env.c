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
        { "OTEL_TRACES_EXPORTER", "zipkin" },
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

static void grpc_becomes_http_with_a_warning(void **state UNUSED)
{
    setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", 1);
    settings s = load(NULL);
    assert_non_null(strstr(warnings, "http/protobuf is used"));
    assert_int_equal(s.signal[SIGNAL_LOGS].format, OTLP_PROTOBUF);
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
        cmocka_unit_test_setup(grpc_becomes_http_with_a_warning, clean_environment),
        cmocka_unit_test_setup(sizes_outputs_limits_and_samplers_are_read, clean_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* The variables that exist for each signal: OTEL_EXPORTER_OTLP_* four times (for all signals and
 * for each), with the endpoint rules of each protocol, and OTEL_<SIGNAL>_EXPORTER. */
#include "lib/env_internal.h"

#include <stdio.h>

typedef bool otlp_setter(settings *s, signal_settings *one, str text);

static bool otlp_protocol_set(settings *s UNUSED, signal_settings *one, str text)
{
    static const struct {
        const char *name;
        otlp_format format;
        bool grpc;
    } protocols[] = {
        { "http/protobuf", OTLP_PROTOBUF, false },
        { "http/json", OTLP_JSON, false },
        { "grpc", OTLP_PROTOBUF, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        if (str_is(text, protocols[i].name)) {
            one->format = protocols[i].format;
            one->grpc = protocols[i].grpc;
            return true;
        }
    return false;
}

static bool otlp_compression_set(settings *s UNUSED, signal_settings *one, str text)
{
    if (!str_is(text, "gzip") && !str_is(text, "none"))
        return false;
    one->gzip = str_is(text, "gzip");
    return true;
}

static bool otlp_insecure_set(settings *s, signal_settings *one, str text)
{
    return env_set_bool(s, &one->insecure, text);
}

static bool otlp_timeout_set(settings *s, signal_settings *one, str text)
{
    return env_set_positive(s, &one->timeout_ms, text);
}

static bool header_name_is_good(str name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c <= ' ' || c >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", c))
            return false;
    }
    return name.len > 0;
}

/* Header lines from key=value pairs; a text with a control character is refused, so that nobody
 * injects a header. */
static bool otlp_headers_set(settings *s, signal_settings *one, str list)
{
    buf lines;
    buf_init(&lines, KiB(16));
    bool good = true;
    while (list.len && good) {
        str item = str_trim(str_cut(list, ',', &list)), text = STR_EMPTY;
        if (item.len == 0)
            continue;
        size_t equals = str_find_char(item, '=');
        str key = equals == SIZE_MAX ? STR_EMPTY : str_trim(str_slice(item, 0, equals));
        good =
            header_name_is_good(key) &&
            env_percent_decode(&s->arena, str_trim(str_slice(item, equals + 1, item.len)), &text);
        for (size_t i = 0; i < text.len && good; i++)
            good = (unsigned char)text.ptr[i] >= ' ' && text.ptr[i] != 0x7f;
        buf_fmt(&lines, "%.*s: %.*s\n", STR_ARG(key), STR_ARG(text));
    }
    good = good && !lines.failed;
    if (good)
        one->headers = arena_str(&s->arena, buf_view(&lines));
    buf_done(&lines);
    return good;
}

#define OTLP_TEXT_SETTER(field) \
    static bool otlp_##field##_set(settings *s, signal_settings *one, str text) \
    { \
        one->field = arena_str(&s->arena, text); \
        return true; \
    }
OTLP_TEXT_SETTER(ca_file)
OTLP_TEXT_SETTER(client_certificate)
OTLP_TEXT_SETTER(client_key)

static const struct {
    const char *suffix;
    otlp_setter *set;
    const char *expected;
} otlp_rows[] = {
    { "PROTOCOL", otlp_protocol_set, "http/protobuf, http/json or grpc" },
    { "INSECURE", otlp_insecure_set, "true or false" },
    { "COMPRESSION", otlp_compression_set, "gzip or none" },
    { "TIMEOUT", otlp_timeout_set, "a positive number of milliseconds" },
    { "HEADERS", otlp_headers_set, "key=value,key=value" },
    { "CERTIFICATE", otlp_ca_file_set, "a file" },
    { "CLIENT_CERTIFICATE", otlp_client_certificate_set, "a file" },
    { "CLIENT_KEY", otlp_client_key_set, "a file" },
};

const char *const env_signal_names[SIGNAL_COUNT] = {
    [SIGNAL_LOGS] = "LOGS",
    [SIGNAL_METRICS] = "METRICS",
    [SIGNAL_TRACES] = "TRACES",
};

/* "OTEL_EXPORTER_OTLP_SUFFIX", with the signal's name before SUFFIX; signal -1: none. */
static void otlp_name(char *ret, size_t size, int signal, const char *suffix)
{
    snprintf(ret, size, "OTEL_EXPORTER_OTLP_%s%s%s", signal < 0 ? "" : env_signal_names[signal],
             signal < 0 ? "" : "_", suffix);
}

/* Sets one row for the signals from..to; false when the text means nothing. */
static bool otlp_row_set(settings *s, size_t row, str text, int from, int to)
{
    for (int i = from; i <= to; i++)
        if (!otlp_rows[row].set(s, &s->signal[i], text))
            return false;
    return true;
}

static void otlp_rows_load(settings *s, int signal)
{
    char name[96];
    int from = signal < 0 ? 0 : signal, to = signal < 0 ? SIGNAL_COUNT - 1 : signal;
    for (size_t row = 0; row < ARRAY_LEN(otlp_rows); row++) {
        otlp_name(name, sizeof(name), signal, otlp_rows[row].suffix);
        str text = env_get(name);
        if (text.len == 0)
            continue;
        if (otlp_row_set(s, row, text, from, to))
            env_given(s, name, FROM_ENVIRONMENT, text);
        else
            env_warn_value(name, text, otlp_rows[row].expected);
    }
}

/* The options that are rows of the table, too. */
static void otlp_options_load(settings *s, const sonde_options *o)
{
    const struct {
        const char *option, *suffix, *text;
    } given[] = {
        { "sonde_options.otlp_protocol", "PROTOCOL", o->otlp_protocol },
        { "sonde_options.otlp_headers", "HEADERS", o->otlp_headers },
    };
    char name[96];
    for (size_t i = 0; i < ARRAY_LEN(given); i++) {
        str text = str_c(given[i].text);
        size_t row = 0;
        while (strcmp(otlp_rows[row].suffix, given[i].suffix) != 0)
            row++;
        if (text.len == 0)
            continue;
        otlp_name(name, sizeof(name), -1, given[i].suffix);
        if (otlp_row_set(s, row, text, 0, SIGNAL_COUNT - 1))
            env_given(s, name, FROM_OPTION, text);
        else if (otlp_rows[row].set == otlp_headers_set)
            lib_warn("%s is ignored: it must be %s", given[i].option, otlp_rows[row].expected);
        else
            env_warn_value(given[i].option, text, otlp_rows[row].expected);
    }
}

/* ---- endpoints ---- */

#define HTTP_URL "an http:// or https:// URL"

static bool is_http_url(str url)
{
    return (str_starts(url, STR("http://")) && url.len > 7) ||
           (str_starts(url, STR("https://")) && url.len > 8);
}

/* gRPC: scheme and authority; a path has no meaning there, and without a scheme _INSECURE decides.
 */
static bool grpc_endpoint(settings *s, signal_settings *one, signal_kind signal, str text)
{
    static const char *const services[SIGNAL_COUNT] = {
        [SIGNAL_LOGS] = "logs.v1.LogsService",
        [SIGNAL_METRICS] = "metrics.v1.MetricsService",
        [SIGNAL_TRACES] = "trace.v1.TraceService",
    };
    str scheme = one->insecure ? STR("http://") : STR("https://");
    if (is_http_url(text)) {
        scheme = str_slice(text, 0, str_find(text, STR("//")) + 2);
        text = str_slice(text, scheme.len, text.len);
    } else if (str_contains(text, STR("://"))) {
        return false;
    }
    str authority = str_cut(text, '/', &text);
    if (authority.len == 0)
        return false;
    one->url = arena_fmt(&s->arena, "%.*s%.*s/opentelemetry.proto.collector.%s/Export",
                         STR_ARG(scheme), STR_ARG(authority), services[signal]);
    return true;
}

/* False when the text is no endpoint for the signal's protocol. `base`: the endpoint of all
 * signals, to which HTTP has a path added. */
static bool endpoint_set(settings *s, signal_kind signal, str text, bool base)
{
    signal_settings *one = &s->signal[signal];
    if (one->grpc)
        return grpc_endpoint(s, one, signal, text);
    if (!is_http_url(text))
        return false;
    while (base && text.ptr[text.len - 1] == '/')
        text.len--;
    one->url = base ? arena_fmt(&s->arena, "%.*s/v1/%s", STR_ARG(text), signal_name(signal))
                    : arena_str(&s->arena, text);
    return true;
}

static void endpoint_load(settings *s, const char *name, setting_origin from, str text, int signal)
{
    bool good = true;
    char variable[96];
    if (text.len == 0)
        return;
    for (int i = 0; i < SIGNAL_COUNT; i++)
        if (signal < 0 || signal == i) {
            bool set = endpoint_set(s, (signal_kind)i, text, signal < 0);
            s->signal[i].has_url = s->signal[i].has_url || set;
            good = good && set;
        }
    otlp_name(variable, sizeof(variable), signal, "ENDPOINT");
    if (good)
        env_given(s, variable, from, text);
    else
        env_warn_value(name, text, HTTP_URL);
}

void env_otlp_load(settings *s, const sonde_options *o, bool environment)
{
    char name[96];
    if (o)
        otlp_options_load(s, o);
    for (int i = -1; i < SIGNAL_COUNT && environment; i++)
        otlp_rows_load(s, i);
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        str base = s->signal[i].grpc ? STR("http://localhost:4317") : STR("http://localhost:4318");
        (void)endpoint_set(s, (signal_kind)i, base, true);
    }
    if (o)
        endpoint_load(s, "sonde_options.otlp_endpoint", FROM_OPTION, str_c(o->otlp_endpoint), -1);
    for (int i = -1; i < SIGNAL_COUNT && environment; i++) {
        otlp_name(name, sizeof(name), i, "ENDPOINT");
        endpoint_load(s, name, FROM_ENVIRONMENT, env_get(name), i);
    }
}

/* ---- which exporters ---- */

static void zipkin_load(settings *s, bool environment)
{
    str url = environment ? env_get("OTEL_EXPORTER_ZIPKIN_ENDPOINT") : STR_EMPTY;
    str timeout = environment ? env_get("OTEL_EXPORTER_ZIPKIN_TIMEOUT") : STR_EMPTY;
    s->zipkin_url = STR("http://localhost:9411/api/v2/spans");
    s->zipkin_timeout_ms = 10000;
    if (url.len && is_http_url(url)) {
        s->zipkin_url = arena_str(&s->arena, url);
        env_given(s, "OTEL_EXPORTER_ZIPKIN_ENDPOINT", FROM_ENVIRONMENT, url);
    } else if (url.len) {
        env_warn_value("OTEL_EXPORTER_ZIPKIN_ENDPOINT", url, HTTP_URL);
    }
    if (timeout.len && env_set_positive(s, &s->zipkin_timeout_ms, timeout))
        env_given(s, "OTEL_EXPORTER_ZIPKIN_TIMEOUT", FROM_ENVIRONMENT, timeout);
    else if (timeout.len)
        env_warn_value("OTEL_EXPORTER_ZIPKIN_TIMEOUT", timeout,
                       "a positive number of milliseconds");
}

/* The port of the prometheus exporter is the admin port, unless that has an address already. */
static void prometheus_load(settings *s)
{
    str host = env_get("OTEL_EXPORTER_PROMETHEUS_HOST");
    str port = env_get("OTEL_EXPORTER_PROMETHEUS_PORT");
    uint64_t number;
    if (port.len && (!str_to_u64(port, &number) || number > UINT16_MAX)) {
        env_warn_value("OTEL_EXPORTER_PROMETHEUS_PORT", port, "a port number");
        port = STR_EMPTY;
    }
    if (s->admin_addr.len)
        return;
    s->admin_addr = arena_fmt(&s->arena, "%.*s:%.*s", STR_ARG(host.len ? host : STR("localhost")),
                              STR_ARG(port.len ? port : STR("9464")));
}

typedef enum { TO_NONE, TO_OTLP, TO_CONSOLE, TO_PROMETHEUS, TO_ZIPKIN } exporter_kind;

/* The bits of the exporters in a list; 0 when one is unknown or not for the signal. */
static uint32_t exporters_of(str list, signal_kind signal)
{
    enum { ALL = 1 << SIGNAL_LOGS | 1 << SIGNAL_METRICS | 1 << SIGNAL_TRACES };
    static const struct {
        const char *name;
        exporter_kind kind;
        uint32_t signals;
    } known[] = {
        { "none", TO_NONE, ALL },
        { "otlp", TO_OTLP, ALL },
        { "console", TO_CONSOLE, ALL },
        { "prometheus", TO_PROMETHEUS, 1 << SIGNAL_METRICS },
        { "zipkin", TO_ZIPKIN, 1 << SIGNAL_TRACES },
    };
    uint32_t chosen = 0;
    while (list.len) {
        str item = str_trim(str_cut(list, ',', &list));
        size_t i = 0;
        while (i < ARRAY_LEN(known) &&
               !(str_is(item, known[i].name) && known[i].signals >> signal & 1))
            i++;
        if (i == ARRAY_LEN(known))
            return 0;
        chosen |= 1u << known[i].kind;
    }
    return chosen;
}

/* OTEL_<SIGNAL>_EXPORTER decides where it is set; else a named endpoint turns sending on. */
void env_exporters_load(settings *s, bool environment)
{
    static const char *const expected[SIGNAL_COUNT] = {
        [SIGNAL_LOGS] = "otlp, console or none, or several of them",
        [SIGNAL_METRICS] = "otlp, prometheus, console or none, or several of them",
        [SIGNAL_TRACES] = "otlp, zipkin, console or none, or several of them",
    };
    char name[96];
    zipkin_load(s, environment);
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        signal_settings *one = &s->signal[i];
        one->otlp = one->has_url;
        snprintf(name, sizeof(name), "OTEL_%s_EXPORTER", env_signal_names[i]);
        str list = environment ? env_get(name) : STR_EMPTY;
        uint32_t chosen = exporters_of(list, (signal_kind)i);
        if (list.len && !chosen)
            env_warn_value(name, list, expected[i]);
        if (!chosen)
            continue;
        env_given(s, name, FROM_ENVIRONMENT, list);
        one->set = true;
        one->otlp = chosen >> TO_OTLP & 1;
        one->zipkin = chosen >> TO_ZIPKIN & 1;
        one->console = chosen >> TO_CONSOLE & 1;
        if (chosen >> TO_PROMETHEUS & 1)
            prometheus_load(s);
        /* The console exporter of logs is the log lines. */
        if (i == SIGNAL_LOGS && one->console && s->log_output == LOG_TO_NONE)
            s->log_output = LOG_TO_STDOUT;
    }
}

// SPDX-License-Identifier: Apache-2.0
/* The variables that exist for each signal: OTEL_EXPORTER_OTLP_* four times (for all signals and
 * for each), and OTEL_<SIGNAL>_EXPORTER. One table of suffixes. */
#include "lib/env_internal.h"

#include <stdio.h>
#include <stdlib.h>

typedef bool otlp_setter(settings *s, signal_settings *one, str text);

static bool otlp_protocol_set(settings *s UNUSED, signal_settings *one, str text)
{
    if (str_is(text, "http/json"))
        one->format = OTLP_JSON;
    else if (str_is(text, "http/protobuf"))
        one->format = OTLP_PROTOBUF;
    else
        return false;
    return true;
}

static bool otlp_compression_set(settings *s UNUSED, signal_settings *one, str text)
{
    if (!str_is(text, "gzip") && !str_is(text, "none"))
        return false;
    one->gzip = str_is(text, "gzip");
    return true;
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
bool env_otlp_headers(settings *s, signal_settings *one, str list)
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
    { "PROTOCOL", otlp_protocol_set, "http/protobuf or http/json" },
    { "COMPRESSION", otlp_compression_set, "gzip or none" },
    { "TIMEOUT", otlp_timeout_set, "a positive number of milliseconds" },
    { "HEADERS", env_otlp_headers, "key=value,key=value" },
    { "CERTIFICATE", otlp_ca_file_set, "a file" },
    { "CLIENT_CERTIFICATE", otlp_client_certificate_set, "a file" },
    { "CLIENT_KEY", otlp_client_key_set, "a file" },
};

static const char *const signal_names[SIGNAL_COUNT] = {
    [SIGNAL_LOGS] = "LOGS",
    [SIGNAL_METRICS] = "METRICS",
    [SIGNAL_TRACES] = "TRACES",
};

bool env_endpoint_is_good(str url)
{
    return (str_starts(url, STR("http://")) && url.len > 7) ||
           (str_starts(url, STR("https://")) && url.len > 8);
}

void env_endpoint_base(settings *s, str base)
{
    while (base.len && base.ptr[base.len - 1] == '/')
        base.len--;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        s->signal[i].url =
            arena_fmt(&s->arena, "%.*s/v1/%s", STR_ARG(base), signal_name((signal_kind)i));
        s->signal[i].has_url = true;
    }
}

static void otlp_row_load(settings *s, size_t row, const char *name, int from, int to)
{
    str text = env_get(name);
    if (text.len == 0)
        return;
    if (otlp_rows[row].set == otlp_protocol_set && str_is(text, "grpc")) {
        lib_warn("%s=grpc: this library speaks OTLP over HTTP; http/protobuf is used", name);
        text = STR("http/protobuf");
    }
    for (int i = from; i <= to; i++)
        if (!otlp_rows[row].set(s, &s->signal[i], text)) {
            env_warn_value(name, text, otlp_rows[row].expected);
            return;
        }
}

void env_otlp_load(settings *s)
{
    char name[96];
    str base = env_get("OTEL_EXPORTER_OTLP_ENDPOINT");
    if (base.len && env_endpoint_is_good(base))
        env_endpoint_base(s, base);
    else if (base.len)
        env_warn_value("OTEL_EXPORTER_OTLP_ENDPOINT", base, "an http:// or https:// URL");
    for (size_t row = 0; row < ARRAY_LEN(otlp_rows); row++) {
        snprintf(name, sizeof(name), "OTEL_EXPORTER_OTLP_%s", otlp_rows[row].suffix);
        otlp_row_load(s, row, name, 0, SIGNAL_COUNT - 1);
    }
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        snprintf(name, sizeof(name), "OTEL_EXPORTER_OTLP_%s_ENDPOINT", signal_names[i]);
        str url = env_get(name);
        if (url.len && env_endpoint_is_good(url)) {
            s->signal[i].url = arena_str(&s->arena, url);
            s->signal[i].has_url = true;
        } else if (url.len)
            env_warn_value(name, url, "an http:// or https:// URL");
        for (size_t row = 0; row < ARRAY_LEN(otlp_rows); row++) {
            snprintf(name, sizeof(name), "OTEL_EXPORTER_OTLP_%s_%s", signal_names[i],
                     otlp_rows[row].suffix);
            otlp_row_load(s, row, name, i, i);
        }
    }
}

/* OTEL_<SIGNAL>_EXPORTER decides where it is set; else a named endpoint turns sending on. */
void env_exporters_load(settings *s)
{
    char name[96];
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        signal_settings *one = &s->signal[i];
        one->otlp = one->has_url;
        snprintf(name, sizeof(name), "OTEL_%s_EXPORTER", signal_names[i]);
        str list = env_get(name), whole = list;
        bool otlp = false, console = false, prometheus = false, good = list.len > 0;
        while (list.len) {
            str item = str_trim(str_cut(list, ',', &list));
            if (str_is(item, "otlp"))
                otlp = true;
            else if (str_is(item, "console"))
                console = true;
            else if (str_is(item, "prometheus") && i == SIGNAL_METRICS)
                prometheus = true;
            else if (!str_is(item, "none")) {
                env_warn_value(name, whole, "otlp, console or none");
                good = false;
            }
        }
        if (!good)
            continue;
        one->set = true;
        one->otlp = otlp;
        one->console = console;
        if (prometheus && s->admin_addr.len == 0) {
            str host = env_get("OTEL_EXPORTER_PROMETHEUS_HOST");
            str port = env_get("OTEL_EXPORTER_PROMETHEUS_PORT");
            s->admin_addr =
                arena_fmt(&s->arena, "%.*s:%.*s", STR_ARG(host.len ? host : STR("localhost")),
                          STR_ARG(port.len ? port : STR("9464")));
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
/* The effective settings as text, from the tables that read them; see describe.h. */
#include "lib/describe.h"

#include "lib/env_internal.h"
#include "lib/redact.h"

#include <stdio.h>

typedef struct {
    const settings *settings;
    describe_setting_fn *each;
    void *user;
    buf text;    /* the value as it is */
    buf visible; /* and without its secrets */
} teller;

const char *describe_origin(setting_origin from)
{
    static const char *const names[] = { "default", "option", "environment" };
    return names[from];
}

/* Of "key=value,key=value" only the keys: a value of a header may be any kind of secret. */
static void put_header_names(buf *out, str list)
{
    for (bool first = true; list.len; first = false) {
        str item = str_trim(str_cut(list, ',', &list)), text;
        buf_fmt(out, "%s%.*s=" REDACTED, first ? "" : ",",
                STR_ARG(str_trim(str_cut(item, '=', &text))));
    }
}

static void tell(teller *t, const char *name, setting_origin from)
{
    str variable = str_c(name), text = buf_view(&t->text);
    buf_clear(&t->visible);
    if (str_ends(variable, STR("TOKEN")) && text.len)
        buf_str(&t->visible, STR(REDACTED));
    else if (str_ends(variable, STR("HEADERS")))
        put_header_names(&t->visible, text);
    else
        redact_to_buf(redact_current(), text, &t->visible);
    t->each(t->user, variable, buf_view(&t->visible), from);
}

/* ---- the variables that exist once ---- */

static void put_field(buf *out, const settings *s, const env_row *row)
{
    const void *field = (const char *)s + row->field;
    if (row->set == env_set_bool)
        buf_fmt(out, "%s", *(const bool *)field ? "true" : "false");
    else if (row->set == env_set_bytes)
        buf_u64(out, *(const uint64_t *)field);
    else if (row->set != env_set_u32 && row->set != env_set_positive)
        buf_str(out, *(const str *)field);
    else if (*(const uint32_t *)field != UINT32_MAX)
        buf_u64(out, *(const uint32_t *)field);
}

static void tell_row(teller *t, const env_row *row)
{
    const given_setting *given = settings_given(t->settings, str_c(row->name));
    buf_clear(&t->text);
    if (!row->fallback)
        put_field(&t->text, t->settings, row);
    else if (given)
        buf_str(&t->text, given->text);
    else if (strcmp(row->fallback, "-") != 0)
        buf_fmt(&t->text, "%s", row->fallback);
    else
        return;
    tell(t, row->name, given ? given->from : FROM_DEFAULT);
}

/* ---- those of a signal ---- */

static void tell_exporter(teller *t, int signal)
{
    const signal_settings *one = &t->settings->signal[signal];
    char name[64];
    snprintf(name, sizeof(name), "OTEL_%s_EXPORTER", env_signal_names[signal]);
    const given_setting *given = settings_given(t->settings, str_c(name));
    buf_clear(&t->text);
    if (given)
        buf_str(&t->text, given->text);
    else
        buf_fmt(&t->text, "%s", one->otlp ? "otlp" : "none");
    tell(t, name, given ? given->from : FROM_DEFAULT);
}

static void put_protocol(buf *out, const signal_settings *one)
{
    buf_fmt(out, "%s",
            one->grpc                  ? "grpc"
            : one->format == OTLP_JSON ? "http/json"
                                       : "http/protobuf");
}
static void put_endpoint(buf *out, const signal_settings *one)
{
    buf_str(out, one->url);
}
static void put_compression(buf *out, const signal_settings *one)
{
    buf_fmt(out, "%s", one->gzip ? "gzip" : "none");
}
static void put_timeout(buf *out, const signal_settings *one)
{
    buf_u64(out, one->timeout_ms);
}
static void put_headers(buf *out, const signal_settings *one)
{
    for (str rest = one->headers; rest.len;) {
        str text, line = str_cut(rest, '\n', &rest);
        buf_fmt(out, "%s%.*s", out->len ? "," : "", STR_ARG(str_cut(line, ':', &text)));
    }
}
static void put_ca_file(buf *out, const signal_settings *one)
{
    buf_str(out, one->ca_file);
}
static void put_client_certificate(buf *out, const signal_settings *one)
{
    buf_str(out, one->client_certificate);
}
static void put_client_key(buf *out, const signal_settings *one)
{
    buf_str(out, one->client_key);
}

/* Where a signal goes by OTLP: its own variable, or the one of all signals. */
static void tell_otlp(teller *t, int signal)
{
    static const struct {
        const char *suffix;
        void (*put)(buf *out, const signal_settings *one);
        bool always; /* also where it was not given */
    } rows[] = {
        { "PROTOCOL", put_protocol, true },
        { "ENDPOINT", put_endpoint, true },
        { "HEADERS", put_headers, false },
        { "TIMEOUT", put_timeout, true },
        { "COMPRESSION", put_compression, true },
        { "CERTIFICATE", put_ca_file, false },
        { "CLIENT_CERTIFICATE", put_client_certificate, false },
        { "CLIENT_KEY", put_client_key, false },
    };
    char own[96], all[96];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(own, sizeof(own), "OTEL_EXPORTER_OTLP_%s_%s", env_signal_names[signal],
                 rows[i].suffix);
        snprintf(all, sizeof(all), "OTEL_EXPORTER_OTLP_%s", rows[i].suffix);
        const given_setting *given = settings_given(t->settings, str_c(own));
        if (!given)
            given = settings_given(t->settings, str_c(all));
        if (!given && !rows[i].always)
            continue;
        buf_clear(&t->text);
        rows[i].put(&t->text, &t->settings->signal[signal]);
        tell(t, own, given ? given->from : FROM_DEFAULT);
    }
}

static void tell_zipkin(teller *t)
{
    const given_setting *url = settings_given(t->settings, STR("OTEL_EXPORTER_ZIPKIN_ENDPOINT"));
    const given_setting *time = settings_given(t->settings, STR("OTEL_EXPORTER_ZIPKIN_TIMEOUT"));
    buf_clear(&t->text);
    buf_str(&t->text, t->settings->zipkin_url);
    tell(t, "OTEL_EXPORTER_ZIPKIN_ENDPOINT", url ? url->from : FROM_DEFAULT);
    buf_clear(&t->text);
    buf_u64(&t->text, t->settings->zipkin_timeout_ms);
    tell(t, "OTEL_EXPORTER_ZIPKIN_TIMEOUT", time ? time->from : FROM_DEFAULT);
}

/* What only the options can set. */
static void tell_options(teller *t)
{
    const given_setting *given = settings_given(t->settings, STR("sonde_options.stop_timeout_ms"));
    buf_clear(&t->text);
    buf_u64(&t->text, t->settings->stop_timeout_ms);
    tell(t, "sonde_options.stop_timeout_ms", given ? given->from : FROM_DEFAULT);
}

void describe_each_setting(const settings *s, describe_setting_fn *each, void *user)
{
    teller t = { .settings = s, .each = each, .user = user };
    buf_init(&t.text, KiB(64));
    buf_init(&t.visible, KiB(64));
    for (size_t i = 0; i < env_row_count; i++)
        tell_row(&t, &env_rows[i]);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        tell_exporter(&t, i);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        if (s->signal[i].otlp)
            tell_otlp(&t, i);
    if (s->signal[SIGNAL_TRACES].zipkin)
        tell_zipkin(&t);
    tell_options(&t);
    buf_done(&t.text);
    buf_done(&t.visible);
}

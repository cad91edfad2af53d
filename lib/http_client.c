// SPDX-License-Identifier: Apache-2.0
/* A request on the client side; see sonde/http_client.h. */
#include "sonde/http_client.h"

#include "lib/http_internal.h"
#include "lib/request_redact.h"

#include "base/clock.h"

#include <stdio.h>

enum { URL_MOST = 2048, CLIENT_ATTRIBUTES = 24 };

/* scheme, host and port of an absolute URL. */
static void take_target(sonde_http_call *call, str url)
{
    size_t colon = str_find(url, STR("://"));
    if (colon == SIZE_MAX)
        return;
    str rest = str_slice(url, colon + 3, url.len);
    size_t end = 0;
    while (end < rest.len && str_find_char(STR("/?#"), rest.ptr[end]) == SIZE_MAX)
        end++;
    str authority = str_slice(rest, 0, end);
    for (size_t at; (at = str_find_char(authority, '@')) != SIZE_MAX;)
        authority = str_slice(authority, at + 1, authority.len);
    str_copy_c(call->scheme, sizeof(call->scheme), str_slice(url, 0, colon));
    call->port = http_split_host(authority, call->address, sizeof(call->address));
    if (!call->port)
        call->port = strcmp(call->scheme, "https") == 0 ? 443 : 80;
}

/* By the method, in lower case behind the configured prefix. */
static void name_span(sonde_span *span, const char *method)
{
    const char *prefix = http_config_now()->client_span_prefix;
    char name[64];
    if (!*prefix) {
        sonde_span_rename_on(span, method);
        return;
    }
    size_t n = (size_t)snprintf(name, sizeof(name), "%s", prefix);
    for (; *method && n + 1 < sizeof(name); method++)
        name[n++] = *method >= 'A' && *method <= 'Z' ? (char)(*method - 'A' + 'a') : *method;
    name[n] = 0;
    sonde_span_rename_on(span, name);
}

/* Sets what is known of method and URL. */
static void describe(sonde_http_call *call, const char *method, const char *url)
{
    sonde_attr attributes[CLIENT_ATTRIBUTES];
    size_t n = 0;
    buf clean;
    buf_init(&clean, 4 * URL_MOST);
    if (method) {
        const char *known = http_known_method(method);
        str_copy_c(call->method, sizeof(call->method), str_c(known));
        attributes[n++] = sonde_kv_str("http.request.method", call->method);
        if (known[0] == '_')
            attributes[n++] = sonde_kv_str("http.request.method_original", method);
        name_span(call->span, known[0] == '_' ? "HTTP" : known);
    }
    if (url) {
        take_target(call, str_c(url));
        redact_url_text(&clean, str_slice(str_c(url), 0, URL_MOST));
        attributes[n++] = sonde_kv_text("url.full", (sonde_str){ clean.ptr, clean.len });
        attributes[n++] = sonde_kv_str("server.address", call->address);
        attributes[n++] = sonde_kv_i64("server.port", call->port);
    }
    if (http_config_now()->old_names)
        n = http_add_old_names(attributes, n, CLIENT_ATTRIBUTES, true);
    http_plain_keys(http_config_now(), attributes, n);
    if (n)
        sonde_span_set_on_(call->span, attributes, n);
    buf_done(&clean);
}

sonde_http_call sonde_http_call_begin(const sonde_http_call_options *options)
{
    static const sonde_http_call_options none;
    const sonde_http_call_options *o = options ? options : &none;
    sonde_http_call call = { .start_ns = clock_mono_ns() };
    call.span = sonde_span_start("HTTP", &(sonde_span_options){ .kind = SONDE_CLIENT });
    describe(&call, o->method, o->url);
    if (o->set_header && call.span) {
        sonde_context inside = sonde_span_context(call.span);
        SONDE_WITH (inside) {
            sonde_inject(o->set_header, o->user);
        }
    } else if (o->set_header) {
        sonde_inject(o->set_header, o->user);
    }
    return call;
}

static void finish(sonde_http_call *call, const sonde_http_call_result *r, const char *error_type)
{
    sonde_attr attributes[CLIENT_ATTRIBUTES];
    size_t n = 0;
    if (r->status)
        attributes[n++] = sonde_kv_i64("http.response.status_code", r->status);
    if (r->protocol_version)
        attributes[n++] = sonde_kv_str("network.protocol.version", r->protocol_version);
    if (r->peer_address && *r->peer_address)
        attributes[n++] = sonde_kv_str("network.peer.address", r->peer_address);
    if (r->resend_count > 0)
        attributes[n++] = sonde_kv_i64("http.request.resend_count", r->resend_count);
    if (http_config_now()->old_names)
        n = http_add_old_names(attributes, n, CLIENT_ATTRIBUTES, true);
    http_plain_keys(http_config_now(), attributes, n);
    if (n)
        sonde_span_set_on_(call->span, attributes, n);
    if (error_type) {
        sonde_attr type = sonde_kv_str("error.type", error_type);
        sonde_span_fail_on(call->span, r->message, &type, 1);
    }
    sonde_span_end(call->span);
}

void sonde_http_call_end(sonde_http_call *call, const sonde_http_call_result *result)
{
    static const sonde_http_call_result none;
    const sonde_http_call_result *r = result ? result : &none;
    char status[16] = "", port[16] = "";
    if (!call || !call->start_ns)
        return;
    double seconds = (double)(clock_mono_ns() - call->start_ns) / (double)NS_PER_S;
    describe(call, r->method, r->url);
    if (r->status)
        snprintf(status, sizeof(status), "%d", r->status);
    if (call->port)
        snprintf(port, sizeof(port), "%d", call->port);
    const char *error_type = r->error_type      ? r->error_type
                             : r->status >= 400 ? status
                             : r->status        ? NULL
                                                : "_OTHER";
    sonde_histogram_record(http_config_now()->client_duration, seconds, call->method, call->scheme,
                           call->address, port, status, error_type, r->protocol_version);
    finish(call, r, error_type);
    *call = (sonde_http_call){ 0 };
}

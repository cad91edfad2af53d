// SPDX-License-Identifier: Apache-2.0
/* The part of a request that is kept until its end, for the case that the answer is an error:
 * query, chosen headers, the start of a body of text. Secrets are known by their names: headers
 * that name one are kept without their value, fields of forms and members of JSON are redacted when
 * it is recorded. Values that look like secrets are left to every reader, as everywhere. */
#include "lib/http_internal.h"

#include "lib/request_redact.h"
#include "lib/site.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define DEFAULT_HEADERS "accept,authorization,content-type,cookie,x-api-key"

void http_keep_parse(http_config *c, const sonde_http_options *o)
{
    c->no_reproduce = o->no_reproduce;
    c->reproduce_from = o->reproduce_from > 0 ? o->reproduce_from : 500;
    c->body_most = o->reproduce_body_bytes ? o->reproduce_body_bytes : BODY_DEFAULT;
    c->body_most = MIN(c->body_most, (uint32_t)BODY_MOST);
    c->kept_content_type = -1;
    str rest = str_c(o->reproduce_headers ? o->reproduce_headers : DEFAULT_HEADERS);
    while (rest.len && c->kept_header_count < KEPT_HEADERS_MAX) {
        str item = str_trim(str_cut(rest, ',', &rest));
        if (!item.len || item.len >= HEADER_NAME_SIZE)
            continue;
        uint32_t i = c->kept_header_count++;
        char *name = c->kept_header[i];
        str_copy_c(name, HEADER_NAME_SIZE, item);
        for (; *name; name++)
            if (*name >= 'A' && *name <= 'Z')
                *name = (char)(*name - 'A' + 'a');
        c->kept_is_secret[i] = site_key_is_secret(item);
        if (strcmp(c->kept_header[i], "content-type") == 0)
            c->kept_content_type = (int8_t)i;
    }
}

static void keep_header(sonde_http *x, const char *name, bool is_secret, const char *text)
{
    str n = str_c(name), v = is_secret ? STR(REDACTED_TEXT) : str_c(text);
    if (n.len + v.len + 2 > sizeof(x->headers) - x->headers_len) {
        x->headers_cut = true;
        return;
    }
    char *at = x->headers + x->headers_len;
    str_copy_c(at, n.len + 1, n);
    str_copy_c(at + n.len + 1, v.len + 1, v);
    x->headers_len += n.len + v.len + 2;
}

static bool names_text(const char *type)
{
    static const str parts[] = { STR_INIT("text/"), STR_INIT("json"),
                                 STR_INIT("x-www-form-urlencoded"), STR_INIT("xml") };
    str rest = str_c(type);
    for (; rest.len; rest = str_slice(rest, 1, rest.len)) {
        char first = (char)(rest.ptr[0] | 0x20);
        for (size_t i = 0; i < ARRAY_LEN(parts); i++)
            if (first == parts[i].ptr[0] &&
                str_eq_nocase(str_slice(rest, 0, parts[i].len), parts[i]))
                return true;
    }
    return false;
}

void http_keep(const http_config *c, sonde_http *x, const sonde_http_request *request)
{
    if (c->no_reproduce || !request->header)
        return;
    for (uint32_t i = 0; i < c->kept_header_count; i++) {
        const char *text = request->header(request->user, c->kept_header[i]);
        if (text)
            keep_header(x, c->kept_header[i], c->kept_is_secret[i], text);
        if ((int)i == c->kept_content_type)
            x->body_is_text = names_text(text);
    }
    if (c->kept_content_type < 0)
        x->body_is_text = names_text(request->header(request->user, "content-type"));
    if (request->body)
        http_keep_body(c, x, request->body, request->body_len);
}

void http_keep_body(const http_config *c, sonde_http *x, const void *bytes, size_t len)
{
    x->body_total += len;
    size_t n = MIN(len, c->body_most - MIN(x->body_len, (size_t)c->body_most));
    if (c->no_reproduce || !x->body_is_text || n == 0)
        return;
    char *more = realloc(x->body, x->body_len + n);
    if (!more)
        return;
    memcpy(more + x->body_len, bytes, n);
    x->body = more;
    x->body_len += n;
}

static const char *kept_header(const sonde_http *x, const char *name)
{
    for (size_t at = 0; at < x->headers_len;) {
        const char *key = x->headers + at, *text = key + strlen(key) + 1;
        if (strcmp(key, name) == 0)
            return text;
        at = (size_t)(text + strlen(text) + 1 - x->headers);
    }
    return "";
}

static void redact_body(const sonde_http *x, buf *out)
{
    str body = str_n(x->body, x->body_len);
    const char *type = kept_header(x, "content-type");
    if (strcasestr(type, "form-urlencoded"))
        redact_form_text(out, body);
    else
        redact_json_text(out, body);
}

typedef struct {
    sonde_attr attributes[16 + KEPT_HEADERS_MAX];
    size_t count;
    char header_key[KEPT_HEADERS_MAX][HEADER_NAME_SIZE + 32];
} kept_event;

static void add_headers(const sonde_http *x, kept_event *e)
{
    size_t n = 0;
    for (size_t at = 0; at < x->headers_len && n < KEPT_HEADERS_MAX; n++) {
        const char *name = x->headers + at, *text = name + strlen(name) + 1;
        snprintf(e->header_key[n], sizeof(e->header_key[n]), "http.request.header.%s", name);
        e->attributes[e->count++] = sonde_kv_str(e->header_key[n], text);
        at = (size_t)(text + strlen(text) + 1 - x->headers);
    }
}

static sonde_attr text_attr(const char *key, const buf *b)
{
    return sonde_kv_text(key, (sonde_str){ b->ptr, b->len });
}

void http_keep_record(const sonde_http *x, int status)
{
    kept_event e = { .count = 0 };
    buf query, body;
    buf_init(&query, 4 * QUERY_SIZE);
    buf_init(&body, 4 * BODY_MOST);
    redact_form_text(&query, str_c(x->query));
    redact_body(x, &body);
    e.attributes[e.count++] =
        sonde_kv_str("http.request.method", x->method[0] ? x->method : x->known_method);
    e.attributes[e.count++] = sonde_kv_str("url.scheme", x->scheme);
    e.attributes[e.count++] = sonde_kv_str("server.address", x->host);
    if (x->port)
        e.attributes[e.count++] = sonde_kv_i64("server.port", x->port);
    e.attributes[e.count++] = sonde_kv_str("url.path", x->path);
    if (x->route[0])
        e.attributes[e.count++] = sonde_kv_str("http.route", x->route);
    if (query.len)
        e.attributes[e.count++] = text_attr("url.query", &query);
    e.attributes[e.count++] = sonde_kv_i64("http.response.status_code", status);
    add_headers(x, &e);
    if (x->body_total)
        e.attributes[e.count++] = sonde_kv_u64("http.request.body.size", x->body_total);
    if (body.len)
        e.attributes[e.count++] = text_attr("sonde.request.body", &body);
    if (x->path_cut || x->query_cut || x->headers_cut || x->body_len < x->body_total)
        e.attributes[e.count++] = sonde_kv_bool("sonde.request.cut", true);
    sonde_span_event_on(x->span, "sonde.request", e.attributes, e.count);
    buf_done(&query);
    buf_done(&body);
}

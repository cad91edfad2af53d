// SPDX-License-Identifier: Apache-2.0
/* A request on the server side: span, context, request id; see sonde/http.h. Each request is one
 * allocation, linked from the thread that works on it. Metrics, access log and reproduction have
 * files of their own. */
#include "lib/http_internal.h"

#include "lib/context.h"
#include "lib/log_attr.h"
#include "lib/redact.h"
#include "sonde/log.h"

#include "base/clock.h"
#include "lib/propagate_w3c.h"
#include "lib/state_thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { UUID_SIZE = 37, CLIENT_GONE = 499, ATTRIBUTES = 32 };

static _Thread_local sonde_http *current;

/* This thread's request; NULL in the child of a fork that was made within one: it is the parent's.
 */
static sonde_http *own_request(void)
{
    return current && current->fork_id == thread_context()->fork_id ? current : NULL;
}

static const char *const context_keys[3] = { "session_id", "user_id", "team_id" };

/* ---- configuration ---- */

static pthread_mutex_t configuring = PTHREAD_MUTEX_INITIALIZER;
static const http_config before_start = { .no_access_log = true, .no_reproduce = true };
static _Atomic(const http_config *) config = &before_start;

const http_config *http_config_now(void)
{
    return config;
}

static void lower_copy(char *ret, size_t size, const char *text)
{
    str_copy_c(ret, size, str_c(text));
    for (; *ret; ret++)
        if (*ret >= 'A' && *ret <= 'Z')
            *ret = (char)(*ret - 'A' + 'a');
}

void http_configure(const sonde_http_options *options, bool old_names)
{
    http_config *c = calloc(1, sizeof(*c));
    if (!c)
        return;
    const char *headers[3] = { options->session_header, options->user_header,
                               options->team_header };
    for (int i = 0; i < 3; i++)
        lower_copy(c->context_header[i], HEADER_NAME_SIZE, headers[i]);
    str_copy_c(c->request_id_prefix, sizeof(c->request_id_prefix),
               str_c(options->request_id_prefix));
    str_copy_c(c->client_span_prefix, sizeof(c->client_span_prefix),
               str_c(options->client_span_prefix));
    c->old_names = old_names;
    c->plain_keys = redact_current()->keys.count == 0;
    c->url_query = options->url_query;
    http_access_parse(c, options);
    http_keep_parse(c, options);
    pthread_mutex_lock(&configuring);
    http_metrics_make(c, options);
    c->earlier = config;
    config = c;
    pthread_mutex_unlock(&configuring);
}

/* ---- names ---- */

const char *http_known_method(const char *method)
{
    static const char *const known[] = { "GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                         "CONNECT", "OPTIONS", "TRACE", "PATCH" };
    for (size_t i = 0; method && i < ARRAY_LEN(known); i++)
        if (strcmp(known[i], method) == 0)
            return known[i];
    return "_OTHER";
}

int http_split_host(str text, char *ret, size_t size)
{
    uint64_t port = 0;
    size_t end = text.len;
    if (text.len && text.ptr[0] == '[') {
        size_t close = str_find_char(text, ']');
        end = close == SIZE_MAX ? text.len : close + 1;
    } else {
        size_t colon = str_find_char(text, ':');
        end = colon == SIZE_MAX ? text.len : colon;
    }
    if (end < text.len && text.ptr[end] == ':' &&
        (!str_to_u64(str_slice(text, end + 1, text.len), &port) || port > 65535))
        port = 0;
    str host = str_slice(text, 0, end);
    if (host.len > 2 && host.ptr[0] == '[')
        host = str_slice(host, 1, host.len - 1);
    str_copy_c(ret, size, host);
    return (int)port;
}

/* OpenTelemetry's older names, by the length of the present one: at most two have the same. */
typedef struct {
    str name, server, client; /* of no length: none */
} old_name;

#define OLD(name, server, client) \
    { \
        STR_INIT(name), STR_INIT(server), STR_INIT(client) \
    }
static const old_name old_names[][2] = {
    [8] = { OLD("url.path", "http.target", ""), OLD("url.full", "", "http.url") },
    [10] = { OLD("url.scheme", "http.scheme", "http.scheme") },
    [11] = { OLD("server.port", "net.host.port", "net.peer.port") },
    [14] = { OLD("server.address", "net.host.name", "net.peer.name"),
             OLD("client.address", "http.client_ip", "") },
    [19] = { OLD("http.request.method", "http.method", "http.method"),
             OLD("user_agent.original", "http.user_agent", "http.user_agent") },
    [20] = { OLD("network.peer.address", "net.sock.peer.addr", "net.sock.peer.addr") },
    [24] = { OLD("network.protocol.version", "http.flavor", "http.flavor") },
    [25] = { OLD("http.response.status_code", "http.status_code", "http.status_code") },
};

size_t http_add_old_names(sonde_attr *attrs, size_t count, size_t room, bool client)
{
    size_t total = count;
    for (size_t i = 0; i < count; i++) {
        if (attrs[i].key_len >= ARRAY_LEN(old_names))
            continue;
        const old_name *names = old_names[attrs[i].key_len];
        for (size_t n = 0; n < 2 && names[n].name.len && total < room; n++) {
            str old = client ? names[n].client : names[n].server;
            if (!old.len || memcmp(names[n].name.ptr, attrs[i].key, names[n].name.len) != 0)
                continue;
            attrs[total] = attrs[i];
            attrs[total].key = old.ptr;
            attrs[total++].key_len = (uint16_t)old.len;
        }
    }
    return total;
}

void http_plain_keys(const http_config *c, sonde_attr *attrs, size_t count)
{
    for (size_t i = 0; i < count && c->plain_keys; i++)
        attrs[i].literal = ATTR_PLAIN_KEY;
}

/* ---- begin ---- */

/* Each request needs one, so it is put together by hand. */
static void write_uuid(char *ret, size_t size, const char hex[32])
{
    static const uint8_t parts[] = { 8, 4, 4, 4, 12 };
    char *to = ret;
    if (size < UUID_SIZE)
        return;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++, hex += parts[i - 1]) {
        if (i)
            *to++ = '-';
        memcpy(to, hex, parts[i]);
        to += parts[i];
    }
    *to = '\0';
}

static void new_request_id(const http_config *c, char *ret, size_t size)
{
    uint8_t b[16];
    char hex[33];
    ids_trace(b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* UUID version 4, RFC 9562 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    str_to_hex(b, 16, hex);
    hex[32] = '\0';
    if (c->request_id_prefix[0])
        snprintf(ret, size, "%s%.12s%.8s", c->request_id_prefix, hex, hex + 24);
    else
        write_uuid(ret, size, hex);
}

static sonde_context *own_context(sonde_http *x)
{
    return &x->context[x->active];
}

static const char *header_of(const sonde_http_request *request, const char *name)
{
    return request->header ? request->header(request->user, name) : NULL;
}

static void take_request(sonde_http *x, const sonde_http_request *request)
{
    str query, path = str_cut(str_c(request->path), '?', &query);
    if (request->query)
        query = str_c(request->query);
    x->start_ns = clock_mono_ns();
    x->known_method = http_known_method(request->method);
    str_copy_c(x->method, sizeof(x->method), str_c(request->method));
    str_copy_c(x->path, sizeof(x->path), path);
    x->path_cut = path.len >= sizeof(x->path);
    x->query_cut = query.len >= sizeof(x->query);
    str_copy_c(x->query, sizeof(x->query), query);
    str_copy_c(x->client, sizeof(x->client), str_c(request->client_address));
    str_copy_c(x->scheme, sizeof(x->scheme), str_c(request->scheme ? request->scheme : "http"));
    str_copy_c(x->version, sizeof(x->version), str_c(request->protocol_version));
    const char *host = request->host ? request->host : header_of(request, "host");
    x->port = http_split_host(str_c(host), x->host, sizeof(x->host));
    *own_context(x) = sonde_extract(request->header, request->user);
}

/* Values from outside are taken under the same rule as request ids. */
static void take_context_headers(const http_config *c, sonde_http *x,
                                 const sonde_http_request *request)
{
    for (int i = 0; i < 3; i++) {
        const char *given =
            c->context_header[i][0] ? header_of(request, c->context_header[i]) : NULL;
        if (!given || !request_id_is_good(str_c(given)))
            continue;
        sonde_attr attribute = sonde_kv_str(context_keys[i], given);
        (void)context_put(own_context(x), &attribute);
    }
}

static void settle_request_id(const http_config *c, sonde_http *x,
                              const sonde_http_request *request)
{
    char id[REQUEST_ID_MAX + 1];
    str given;
    if (context_text(own_context(x), STR("request_id"), &given)) {
        str_copy_c(id, sizeof(id), given);
    } else {
        new_request_id(c, id, sizeof(id));
        sonde_attr attribute = sonde_kv_str("request_id", id);
        http_plain_keys(c, &attribute, 1);
        (void)context_put(own_context(x), &attribute);
    }
    if (request->set_header)
        request->set_header(request->user, "X-Request-ID", id);
}

static size_t span_attributes(const http_config *c, const sonde_http *x, const char *agent,
                              sonde_attr ret[ATTRIBUTES])
{
    const struct {
        const char *key, *text;
    } texts[] = {
        { "server.address", x->host },
        { "client.address", x->client },
        { "user_agent.original", agent },
        { "network.protocol.version", x->version },
    };
    size_t n = 0;
    ret[n++] = sonde_kv_str("http.request.method", x->known_method);
    ret[n++] = sonde_kv_str("url.path", x->path);
    ret[n++] = sonde_kv_str("url.scheme", x->scheme);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].text[0])
            ret[n++] = sonde_kv_str(texts[i].key, texts[i].text);
    if (x->host[0] && x->port)
        ret[n++] = sonde_kv_i64("server.port", x->port);
    if (x->known_method[0] == '_' && x->method[0])
        ret[n++] = sonde_kv_str("http.request.method_original", x->method);
    if (c->url_query && x->query[0])
        ret[n++] = sonde_kv_str("url.query", x->query);
    if (c->old_names) {
        n = http_add_old_names(ret, n, ATTRIBUTES - 1, false);
        if (x->host[0])
            ret[n++] = sonde_kv_str("http.host", x->host);
    }
    http_plain_keys(c, ret, n);
    return n;
}

static const char *method_name(const sonde_http *x)
{
    return x->known_method[0] == '_' ? "HTTP" : x->known_method;
}

static void start_span(const http_config *c, sonde_http *x, const sonde_http_request *request)
{
    char agent[256];
    sonde_attr attributes[ATTRIBUTES];
    str_copy_c(agent, sizeof(agent), str_c(header_of(request, "user-agent")));
    size_t n = span_attributes(c, x, agent, attributes);
    x->span = sonde_span_start(
        method_name(x),
        &(sonde_span_options){ .kind = SONDE_SERVER, .attrs = attributes, .attr_count = n });
}

void sonde_http_begin(const sonde_http_request *request)
{
    static const sonde_http_request none;
    const http_config *c = http_config_now();
    sonde_with_scope scope;
    sonde_http *x = malloc(sizeof(*x));
    if (!x)
        return;
    memset(x, 0, offsetof(sonde_http, method));
    if (!request)
        request = &none;
    take_request(x, request);
    take_context_headers(c, x, request);
    settle_request_id(c, x, request);
    http_keep(c, x, request);
    x->saved = *context_current();
    x->fork_id = thread_context()->fork_id;
    x->outer = current;
    current = x;
    sonde_with_enter_(&scope, own_context(x));
    start_span(c, x, request);
    if (x->span) {
        x->context[1] = sonde_span_context(x->span);
        x->active = 1;
        sonde_with_enter_(&scope, own_context(x));
    }
}

/* ---- meanwhile ---- */

void sonde_http_route(const char *route)
{
    sonde_http *x = own_request();
    char name[METHOD_SIZE + ROUTE_SIZE];
    if (!x || !route)
        return;
    str_copy_c(x->route, sizeof(x->route), str_c(route));
    if (!x->span)
        return;
    str method = str_c(method_name(x));
    str_copy_c(name, sizeof(name), method);
    name[method.len] = ' ';
    str_copy_c(name + method.len + 1, sizeof(name) - method.len - 1, str_c(x->route));
    sonde_span_rename_on(x->span, name);
    sonde_attr attribute = sonde_kv_str("http.route", x->route);
    http_plain_keys(http_config_now(), &attribute, 1);
    sonde_span_set_on_(x->span, &attribute, 1);
}

void sonde_http_body(const void *bytes, size_t len)
{
    sonde_http *x = own_request();
    if (x && bytes)
        http_keep_body(http_config_now(), x, bytes, len);
}

void sonde_http_set_(const sonde_attr *attrs, size_t count)
{
    sonde_http *x = own_request();
    if (!x)
        return;
    /* Built beside the one in use, which a signal handler may be reading. */
    const sonde_context *old = own_context(x);
    sonde_context *fresh = &x->context[!x->active];
    sonde_current_ now = *context_current();
    *fresh = *old;
    /* Each key is looked at for secrets once, for the context and for the span. */
    sonde_attr known[8];
    for (size_t i = 0; i < count && count <= ARRAY_LEN(known); i++) {
        known[i] = attrs[i];
        if (!attr_is_secret(&attrs[i]))
            known[i].literal = ATTR_PLAIN_KEY;
    }
    attrs = count <= ARRAY_LEN(known) ? known : attrs;
    for (size_t i = 0; i < count; i++)
        (void)context_put(fresh, &attrs[i]);
    x->active = !x->active;
    if (now.bag == old || !now.bag) {
        now.bag = fresh;
        context_set_current(&now);
    }
    sonde_span_set_on_(x->span, attrs, count);
}

void sonde_http_status(int status)
{
    sonde_http *x = own_request();
    if (x)
        x->status = status;
}

bool http_note_error(void)
{
    sonde_http *x = own_request();
    bool first = !x || !x->is_error;
    if (x)
        x->is_error = true;
    return first;
}

/* ---- end ---- */

static http_outcome outcome_of(const sonde_http *x, int status)
{
    http_outcome end = { .status = status ? status : x->status };
    end.seconds = (double)(clock_mono_ns() - x->start_ns) / (double)NS_PER_S;
    bool gone = end.status == 0;
    if (gone)
        end.status = CLIENT_GONE;
    if (LIKELY(end.status >= 100 && end.status <= 999)) {
        const char digits[] = { (char)('0' + end.status / 100), (char)('0' + end.status / 10 % 10),
                                (char)('0' + end.status % 10), '\0' };
        memcpy(end.status_text, digits, sizeof(digits));
    } else {
        snprintf(end.status_text, sizeof(end.status_text), "%d", end.status);
    }
    return end;
}

static void finish_span(const http_config *c, const sonde_http *x, const http_outcome *end,
                        bool answered)
{
    sonde_attr attributes[2];
    size_t n = 0;
    if (answered) {
        attributes[n++] = sonde_kv_i64("http.response.status_code", end->status);
        n = c->old_names ? http_add_old_names(attributes, n, ARRAY_LEN(attributes), false) : n;
        http_plain_keys(c, attributes, n);
        sonde_span_set_on_(x->span, attributes, n);
    }
    if (end->error_type) {
        sonde_attr type = sonde_kv_str("error.type", end->error_type);
        sonde_span_fail_on(x->span, NULL, &type, 1);
    }
}

static void leave(sonde_http *x)
{
    sonde_span_end(x->span);
    context_set_current(&x->saved);
    current = x->outer;
    free(x->body);
    free(x);
}

void sonde_http_end(int status)
{
    sonde_http *x = own_request();
    const http_config *c = http_config_now();
    sonde_with_scope scope;
    if (!x)
        return;
    /* Scopes that the handler left open end here. */
    sonde_with_enter_(&scope, own_context(x));
    http_outcome end = outcome_of(x, status);
    bool answered = status || x->status;
    end.error_type = !answered ? "disconnected" : end.status >= 500 ? end.status_text : NULL;
    http_metrics_record(c, x, &end);
    if (!c->no_reproduce && answered && (end.status >= c->reproduce_from || x->is_error))
        http_keep_record(x, end.status);
    finish_span(c, x, &end, answered);
    if (!c->no_access_log)
        http_access_log(c, x, &end);
    leave(x);
}

/* ---- moving between threads ---- */

sonde_http *sonde_http_suspend(void)
{
    sonde_http *x = own_request();
    if (!x)
        return NULL;
    context_set_current(&x->saved);
    current = x->outer;
    x->outer = NULL;
    return x;
}

void sonde_http_resume(sonde_http *request)
{
    sonde_with_scope scope;
    if (!request || request->fork_id != thread_context()->fork_id)
        return;
    request->saved = *context_current();
    request->outer = current;
    current = request;
    sonde_with_enter_(&scope, own_context(request));
}

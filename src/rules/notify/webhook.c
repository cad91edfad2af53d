// SPDX-License-Identifier: Apache-2.0
/* Notifications by HTTP: Alertmanager's webhook JSON (version 4), and the request that it and Slack
 * are sent by. */
#include "base/file.h"
#include "net/client_curl.h"
#include "rules/notify/state.h"

#include <stdio.h>

enum { HEADERS_MAX = 64, URL_MAX = 8 << 10 };

/* ---- the JSON ---- */

static void put_labels(json_writer *w, const char *name, labels l)
{
    json_key(w, str_c(name));
    labels_to_json(w, l);
}

/* As Go's RFC3339Nano: without zeros at the fraction's end. */
static void put_time(json_writer *w, const char *name, int64_t time_ms, bool known)
{
    buf text;
    buf_init(&text, 64);
    if (!known)
        buf_lit(&text, "0001-01-01T00:00:00Z");
    else
        clock_format_rfc3339(&text, time_ms * NS_PER_MS, time_ms % 1000 ? 3 : 0);
    if (known && time_ms % 1000) {
        while (text.len > 2 && text.ptr[text.len - 2] == '0')
            text.len--;
        text.ptr[text.len - 1] = 'Z';
    }
    json_key(w, str_c(name));
    json_str(w, buf_view(&text));
    buf_done(&text);
}

static void put_alert(json_writer *w, const notification *n, const kept_alert *a)
{
    char fingerprint[17];
    bool resolved = is_resolved(a, n->now_ms);
    snprintf(fingerprint, sizeof(fingerprint), "%016llx", (unsigned long long)a->fingerprint);
    json_begin_object(w);
    JSON_PUT(w, str, "status", resolved ? STR("resolved") : STR("firing"));
    put_labels(w, "labels", a->labels);
    put_labels(w, "annotations", a->annotations);
    put_time(w, "startsAt", a->starts_ms, true);
    put_time(w, "endsAt", a->ends_ms, resolved);
    JSON_PUT(w, str, "generatorURL", a->generator);
    JSON_PUT(w, str, "fingerprint", str_c(fingerprint));
    json_end_object(w);
}

status webhook_content(const notification *n, buf *out, error *err)
{
    json_writer writer = json_write(out), *w = &writer;
    (void)err;
    json_begin_object(w);
    JSON_PUT(w, str, "receiver", n->integration->receiver->name);
    JSON_PUT(w, str, "status", str_c(content_status(n)));
    json_key(w, STR("alerts"));
    json_begin_array(w);
    for (uint32_t i = 0; i < n->count && !out->failed; i++)
        put_alert(w, n, n->alerts[i]);
    json_end_array(w);
    put_labels(w, "groupLabels", n->group_labels);
    put_labels(w, "commonLabels", n->common_labels);
    put_labels(w, "commonAnnotations", n->common_annotations);
    JSON_PUT(w, str, "externalURL", n->external_url);
    JSON_PUT(w, str, "version", STR("4"));
    JSON_PUT(w, str, "groupKey", n->group_key);
    JSON_PUT(w, u64, "truncatedAlerts", n->truncated);
    json_end_object(w);
    return STATUS_OK;
}

/* ---- the request ---- */

/* The path of a webhook's URL is as good as a password: of the URL only scheme and host are told.
 */
static void tell_reason(send_outcome *ret, const char *url, const char *message)
{
    char shown[256];
    curl_show_url(url, shown, sizeof(shown));
    str text = str_c(message), whole = str_c(shown);
    size_t start = str_find(whole, STR("://"));
    size_t host = start == SIZE_MAX ? 0 : start + 3;
    while (host < whole.len && whole.ptr[host] != '/')
        host++;
    if (str_starts(text, whole))
        snprintf(ret->reason, sizeof(ret->reason), "%.*s/…%.*s", (int)host, whole.ptr,
                 (int)MIN(text.len - whole.len, (size_t)250), text.ptr + whole.len);
    else
        str_copy_c(ret->reason, sizeof(ret->reason), text);
}

static status read_url(const integration *g, buf *out, error *err)
{
    bool slack = g->kind == NOTIFY_SLACK;
    str url = slack ? g->slack->api_url : g->webhook->url;
    str path = slack ? g->slack->api_url_file : g->webhook->url_file;
    status st = STATUS_OK;
    if (path.len)
        st = file_read(path.ptr, out, err);
    else
        buf_str(out, url);
    str text = str_trim(buf_view(out));
    if (out->ptr && text.ptr != out->ptr)
        memmove(out->ptr, text.ptr, text.len);
    out->len = text.len;
    buf_char(out, '\0');
    return st == STATUS_OK ? buf_check(out, err, "the URL") : st;
}

/* Slack answers some mistakes with 200 and {"ok": false}. */
static bool is_slack_refusal(const http_answer *a, char *reason, size_t size)
{
    arena memory;
    json_reader r;
    str key;
    bool refused = false;
    if (!str_starts(str_c(a->content_type), STR("application/json")))
        return false;
    arena_init(&memory, MiB(1));
    json_read(&r, buf_view(&a->body), &memory, 8);
    if (json_next(&r) == JSON_OBJECT)
        while (json_next_key(&r, &key)) {
            if (str_is(key, "ok") && json_next(&r) == JSON_BOOL)
                refused = !r.boolean;
            else if (str_is(key, "error") && json_next(&r) == JSON_STRING)
                snprintf(reason, size, "Slack answered: %.*s", STR_ARG(str_slice(r.text, 0, 100)));
            else if (!json_skip(&r))
                break;
        }
    arena_done(&memory);
    return refused;
}

/* 2xx is done. What asks for patience, and every mistake of the server's, is tried again; what
 * blames the request is not. */
static void judge(const integration *g, const http_answer *a, const char *url, send_outcome *ret)
{
    error err;
    if (http_answer_check(a, url, &err) == STATUS_OK) {
        ret->result = SENT;
        if (g->kind == NOTIFY_SLACK && is_slack_refusal(a, ret->reason, sizeof(ret->reason)))
            ret->result = SEND_NEVER;
        return;
    }
    bool again = a->code >= 500 || a->code == 429 || a->code == 408;
    ret->result = again ? SEND_LATER : SEND_NEVER;
    ret->retry_after_ms = a->retry_after_ns / NS_PER_MS;
    tell_reason(ret, url, err.message);
}

typedef struct {
    const integration *g;
    str content;
    const char *key;
    const _Atomic int *canceled;
    arena arena;
    buf url;
    prometheus_auth auth;
    const char *headers[HEADERS_MAX + 1];
    unsigned count;
} request;

static bool add_header(request *r, const char *name, str value)
{
    str line = arena_fmt(&r->arena, "%s: %.*s", name, STR_ARG(value));
    if (!line.ptr || r->count == HEADERS_MAX)
        return false;
    r->headers[r->count++] = line.ptr;
    return true;
}

static status add_headers(request *r, error *err)
{
    bool good = add_header(r, "Content-Type", STR("application/json")) &&
                add_header(r, "Idempotency-Key", str_c(r->key));
    if (good && r->auth.basic) {
        buf text, quoted;
        buf_init(&text, KiB(128));
        buf_init(&quoted, KiB(256));
        buf_fmt(&text, "%s:%s", r->auth.name.ptr, r->auth.password.ptr);
        json_writer w = json_write(&quoted);
        json_base64(&w, buf_view(&text));
        str encoded = str_slice(buf_view(&quoted), 1, quoted.len ? quoted.len - 1 : 0);
        str value = arena_fmt(&r->arena, "Basic %.*s", STR_ARG(encoded));
        good = value.ptr && add_header(r, "Authorization", value);
        buf_done(&text);
        buf_done(&quoted);
    }
    if (good && r->auth.header.len && r->count < HEADERS_MAX)
        r->headers[r->count++] = r->auth.header.ptr;
    if (!good)
        return fail(err, STATUS_NO_MEMORY, "no memory for a request's headers");
    return prometheus_http_headers(&r->arena, r->g->http, r->headers, &r->count, HEADERS_MAX, err);
}

/* Clients keep their connections: each is used by one sender at a time, and waits here between. */
static status take_client(const integration *g, http_client **ret, error *err)
{
    http_client_options options;
    _Atomic(http_client *) *idle = ((integration *)(uintptr_t)g)->idle;
    for (size_t i = 0; i < IDLE_CLIENTS; i++)
        if ((*ret = atomic_exchange(&idle[i], NULL)))
            return STATUS_OK;
    prometheus_http_client(&options, g->http);
    return http_client_new(ret, &options, err);
}

static void give_client(const integration *g, http_client *client)
{
    _Atomic(http_client *) *idle = ((integration *)(uintptr_t)g)->idle;
    for (size_t i = 0; i < IDLE_CLIENTS; i++) {
        http_client *none = NULL;
        if (atomic_compare_exchange_strong(&idle[i], &none, client))
            return;
    }
    http_client_free(client);
}

static status send_request(request *r, send_outcome *ret, error *err)
{
    http_client *client = NULL;
    http_answer answer = { 0 };
    status st = take_client(r->g, &client, err);
    if (st == STATUS_OK) {
        r->headers[r->count] = NULL;
        st = http_client_send(client,
                              &(http_request){ .method = "POST",
                                               .url = r->url.ptr,
                                               .headers = r->headers,
                                               .body = r->content,
                                               .timeout_ns = r->g->timeout_ns,
                                               .canceled = r->canceled },
                              &answer, err);
        if (st == STATUS_OK || st == STATUS_LIMIT) /* an answer that is too long is one */
            judge(r->g, &answer, r->url.ptr, ret);
        http_answer_done(&answer);
    }
    if (st == STATUS_OK)
        give_client(r->g, client);
    else
        http_client_free(client);
    return st == STATUS_LIMIT ? STATUS_OK : st;
}

void http_notification_send(const integration *g, str content, const char *key,
                            const _Atomic int *canceled, send_outcome *ret)
{
    error err;
    request r = { .g = g, .content = content, .key = key, .canceled = canceled };
    arena_init(&r.arena, MiB(1));
    buf_init(&r.url, URL_MAX);
    ret->result = SEND_LATER;
    status st = prometheus_auth_set(&r.auth, g->http, &err);
    if (st == STATUS_OK)
        st = read_url(g, &r.url, &err);
    if (st == STATUS_OK)
        st = add_headers(&r, &err);
    if (st == STATUS_OK)
        st = send_request(&r, ret, &err);
    if (st != STATUS_OK) /* a file, a name or a server that may come back */
        tell_reason(ret, r.url.ptr ? r.url.ptr : "", err.message);
    prometheus_auth_done(&r.auth);
    buf_done(&r.url);
    arena_done(&r.arena);
}

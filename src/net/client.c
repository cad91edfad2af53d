// SPDX-License-Identifier: Apache-2.0
/* Outgoing HTTP requests; see client.h. A multi handle of libcurl holds the connections, one easy
 * handle is set up anew for each request. The wait is cut into short ones, so that a request can be
 * given up at any time, while the name is being resolved too. */
#include "net/client.h"

#include "base/clock.h"
#include "net/client_curl.h"
#include "net/client_tls.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { POLL_MS = 50, REDIRECTS = 10, CONNECTIONS = 4 };
static const int64_t default_timeout = 30 * NS_PER_S, connect_timeout = 10 * NS_PER_S;
static const size_t default_answer = MiB(4);
static const int64_t retry_after_max = 3600; /* seconds; who says more is asked again then */

struct http_client {
    http_client_options options;
    CURLM *multi;
    CURL *easy;
};

status http_client_new(http_client **ret, const http_client_options *options, error *err)
{
    /* What is wrong with certificates is said at once; without settings nothing can be. */
    bool plain = memcmp(&options->tls, &(tls_client){ 0 }, sizeof(options->tls)) == 0;
    status st = plain ? STATUS_OK : client_tls_check(&options->tls, err);
    if (st != STATUS_OK)
        return st;
    curl_use_init();
    http_client *k = calloc(1, sizeof(*k));
    if (k) {
        k->options = *options;
        k->multi = curl_multi_init();
        k->easy = curl_easy_init();
    }
    if (!k || !k->multi || !k->easy) {
        http_client_free(k);
        return fail(err, STATUS_NO_MEMORY, "no memory for an HTTP client");
    }
    curl_multi_setopt(k->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS);
    *ret = k;
    return STATUS_OK;
}

void http_client_free(http_client *k)
{
    if (!k)
        return;
    curl_easy_cleanup(k->easy);
    curl_multi_cleanup(k->multi);
    free(k);
}

/* ---- one request ---- */

typedef struct {
    const http_request *request;
    http_answer *answer;
    struct curl_slist *headers;
    curl_renamed name;
    char reason[CURL_ERROR_SIZE];
    char shown[256];
} exchange;

static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
    exchange *x = user;
    buf_add(&x->answer->body, bytes, size * count);
    return x->answer->body.failed ? 0 : size * count;
}

static bool add_header(exchange *x, const char *line)
{
    struct curl_slist *list = curl_slist_append(x->headers, line);
    if (list)
        x->headers = list;
    return list != NULL;
}

static bool add_headers(exchange *x)
{
    bool good = add_header(x, "Expect:"), typed = false;
    for (const char *const *h = x->request->headers; h && *h; h++) {
        typed = typed || str_eq_nocase(str_slice(str_c(*h), 0, 13), STR("Content-Type:"));
        good = good && add_header(x, *h);
    }
    if (!typed)
        good = good && add_header(x, "Content-Type:"); /* curl would say it is a form */
    if (x->name.host_header[0])
        good = good && add_header(x, x->name.host_header);
    return good;
}

static void set_request(CURL *c, const http_client_options *o, const http_request *r)
{
    int64_t timeout = r->timeout_ns > 0 ? r->timeout_ns : default_timeout;
    bool get = !r->method || str_is(str_c(r->method), "GET");
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)MAX(timeout / NS_PER_MS, (int64_t)1));
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)MAX(MIN(timeout, connect_timeout) / NS_PER_MS, (int64_t)1));
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L); /* a name's resolution is not waited for */
    curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "gzip, deflate, zstd");
    curl_easy_setopt(c, CURLOPT_USERAGENT, o->user_agent ? o->user_agent : "sonde/" SONDE_VERSION);
    if (o->proxy)
        curl_easy_setopt(c, CURLOPT_PROXY, o->proxy);
    if (o->follow_redirects) {
        curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
        curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    }
    if (!get || r->body.len) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body.ptr ? r->body.ptr : "");
    }
    if (str_is(str_c(r->method), "HEAD"))
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    else if (!(get && !r->body.len) && !str_is(str_c(r->method), "POST"))
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, get ? "GET" : r->method);
}

static status canceled(const exchange *x, error *err)
{
    return fail(err, STATUS_CANCELED, "%s: given up", x->shown);
}

static status not_a_url(const exchange *x, error *err)
{
    return fail(err, STATUS_INVALID, "%s: not an http:// or https:// URL that can be asked",
                x->shown);
}

/* Runs the transfer that was added to the multi handle. */
static status run(http_client *k, const exchange *x, CURLcode *ret, error *err)
{
    for (;;) {
        int running = 0, left;
        CURLMcode rc = curl_multi_perform(k->multi, &running);
        CURLMsg *m = rc ? NULL : curl_multi_info_read(k->multi, &left);
        if (m && m->msg == CURLMSG_DONE) {
            *ret = m->data.result;
            return STATUS_OK;
        }
        if (x->request->canceled && atomic_load(x->request->canceled))
            return canceled(x, err);
        if (!rc)
            rc = curl_multi_poll(k->multi, NULL, 0, POLL_MS, NULL);
        if (rc)
            return fail(err, STATUS_IO, "%s: %s", x->shown, curl_multi_strerror(rc));
    }
}

static status judge(const http_client *k, exchange *x, CURLcode rc, error *err)
{
    const char *type = NULL;
    long code = 0;
    curl_off_t pause = 0;
    if (x->answer->body.failed)
        return fail(err, STATUS_LIMIT, "%s: the answer is larger than %zu bytes", x->shown,
                    x->answer->body.limit);
    if (rc == CURLE_URL_MALFORMAT)
        return not_a_url(x, err);
    if (rc != CURLE_OK)
        return fail(err, STATUS_IO, "%s: %s", x->shown,
                    x->reason[0] ? x->reason : curl_easy_strerror(rc));
    curl_easy_getinfo(k->easy, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(k->easy, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(k->easy, CURLINFO_RETRY_AFTER, &pause);
    x->answer->code = (int)code;
    str_copy_c(x->answer->content_type, sizeof(x->answer->content_type), str_c(type));
    x->answer->retry_after_ns = MIN(MAX((int64_t)pause, 0), retry_after_max) * NS_PER_S;
    return STATUS_OK;
}

static status perform(http_client *k, exchange *x, error *err)
{
    CURL *c = k->easy;
    const tls_client *t = &k->options.tls;
    CURLcode rc = CURLE_OK;
    curl_easy_reset(c);
    set_request(c, &k->options, x->request);
    curl_use_tls(c, t);
    if (t->server_name && str_starts(str_c(x->request->url), STR("https:"))) {
        if (!curl_rename_host(&x->name, x->request->url, t->server_name))
            return fail(err, STATUS_INVALID, "%s: not a URL", x->shown);
        curl_easy_setopt(c, CURLOPT_CONNECT_TO, x->name.connect_to);
    }
    if (!add_headers(x))
        return fail(err, STATUS_NO_MEMORY, "no memory for a request's headers");
    curl_easy_setopt(c, CURLOPT_URL, x->name.url ? x->name.url : x->request->url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, x->reason);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
    CURLMcode added = curl_multi_add_handle(k->multi, c);
    if (added)
        return fail(err, STATUS_IO, "%s: %s", x->shown, curl_multi_strerror(added));
    status st = run(k, x, &rc, err);
    if (st == STATUS_OK)
        st = judge(k, x, rc, err);
    curl_multi_remove_handle(k->multi, c);
    return st;
}

status http_client_send(http_client *k, const http_request *r, http_answer *ret, error *err)
{
    exchange x = { .request = r, .answer = ret };
    *ret = (http_answer){ 0 };
    buf_init(&ret->body, r->answer_limit ? r->answer_limit : default_answer);
    curl_show_url(r->url, x.shown, sizeof(x.shown));
    if (r->canceled && atomic_load(r->canceled))
        return canceled(&x, err);
    if (!str_eq_nocase(str_slice(str_c(r->url), 0, 7), STR("http://")) &&
        !str_eq_nocase(str_slice(str_c(r->url), 0, 8), STR("https://")))
        return not_a_url(&x, err);
    status st = perform(k, &x, err);
    curl_slist_free_all(x.headers);
    curl_renamed_done(&x.name);
    return st;
}

void http_answer_done(http_answer *a)
{
    buf_done(&a->body);
}

status http_answer_check(const http_answer *a, const char *url, error *err)
{
    char shown[256], text[200];
    if (a->code >= 200 && a->code < 300)
        return STATUS_OK;
    curl_show_url(url, shown, sizeof(shown));
    str body = str_trim(str_slice(buf_view(&a->body), 0, sizeof(text) - 1));
    body.len = utf8_valid_prefix(body);
    str_copy_c(text, sizeof(text), body);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
    static const int later[] = { 408, 429, 502, 503, 504 };
    status st = STATUS_INVALID;
    for (size_t i = 0; i < ARRAY_LEN(later); i++)
        if (a->code == later[i])
            st = STATUS_BUSY;
    return fail(err, st, "%s answered %d%s%s", shown, a->code, *text ? ": " : "", text);
}

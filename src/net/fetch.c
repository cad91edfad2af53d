// SPDX-License-Identifier: Apache-2.0
/* Many requests at once; see fetch.h. Easy handles are kept in a list and used again. */
#include "net/fetch.h"

#include "net/client_curl.h"

#include <stdlib.h>

enum { REDIRECTS = 10 };

typedef struct transfer {
    struct transfer *next, *before; /* of the running ones; of the free ones, next */
    CURL *easy;
    struct curl_slist *headers;
    curl_renamed name;
    void *user;
    buf body;
    char reason[CURL_ERROR_SIZE];
} transfer;

struct fetcher {
    CURLM *multi;
    transfer *running, *unused;
    unsigned count;
};

status fetcher_new(fetcher **ret, unsigned connections, error *err)
{
    curl_use_init();
    fetcher *f = calloc(1, sizeof(*f));
    if (f)
        f->multi = curl_multi_init();
    if (!f || !f->multi) {
        free(f);
        return fail(err, STATUS_NO_MEMORY, "no memory for HTTP requests");
    }
    curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, (long)connections);
    *ret = f;
    return STATUS_OK;
}

static void transfer_free(transfer *t)
{
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    curl_renamed_done(&t->name);
    buf_done(&t->body);
    free(t);
}

void fetcher_free(fetcher *f)
{
    if (!f)
        return;
    for (transfer *t = f->running, *next; t; t = next) {
        next = t->next;
        curl_multi_remove_handle(f->multi, t->easy);
        transfer_free(t);
    }
    for (transfer *t = f->unused, *next; t; t = next) {
        next = t->next;
        transfer_free(t);
    }
    curl_multi_cleanup(f->multi);
    free(f);
}

static transfer *transfer_new(fetcher *f)
{
    transfer *t = f->unused;
    if (t) {
        f->unused = t->next;
        curl_easy_reset(t->easy);
        return t;
    }
    t = calloc(1, sizeof(*t));
    if (t && !(t->easy = curl_easy_init())) {
        free(t);
        return NULL;
    }
    return t;
}

static void recycle(fetcher *f, transfer *t)
{
    curl_slist_free_all(t->headers);
    curl_renamed_done(&t->name);
    t->headers = NULL;
    t->name = (curl_renamed){ 0 };
    t->next = f->unused;
    f->unused = t;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
    transfer *t = user;
    buf_add(&t->body, bytes, size * count);
    return t->body.failed ? 0 : size * count;
}

static void set_options(transfer *t, const fetch_request *r)
{
    const http_client_options *o = r->options;
    CURL *c = t->easy;
    curl_easy_setopt(c, CURLOPT_PRIVATE, t);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)MAX(r->timeout_ns / NS_PER_MS, (int64_t)1));
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, r->gzip ? "gzip" : "identity");
    curl_easy_setopt(c, CURLOPT_USERAGENT, o->user_agent ? o->user_agent : "sonde/" SONDE_VERSION);
    curl_easy_setopt(c, CURLOPT_PROXY, o->proxy ? o->proxy : "");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, o->follow_redirects ? 1L : 0L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->reason);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    if (r->name || r->password) {
        curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(c, CURLOPT_USERNAME, r->name ? r->name : "");
        curl_easy_setopt(c, CURLOPT_PASSWORD, r->password ? r->password : "");
    }
    curl_use_tls(c, &o->tls);
}

static bool add_header(transfer *t, const char *line)
{
    struct curl_slist *list = curl_slist_append(t->headers, line);
    if (list)
        t->headers = list;
    return list != NULL;
}

static status set_target(transfer *t, const fetch_request *r, error *err)
{
    const char *name = r->options->tls.server_name;
    if (name && str_starts(str_c(r->url), STR("https:"))) {
        if (!curl_rename_host(&t->name, r->url, name) || !add_header(t, t->name.host_header))
            return fail(err, STATUS_INVALID, "%s is no URL", r->url);
        curl_easy_setopt(t->easy, CURLOPT_CONNECT_TO, t->name.connect_to);
    }
    for (const char *const *h = r->headers; h && *h; h++)
        if (!add_header(t, *h))
            return fail(err, STATUS_NO_MEMORY, "no memory for a request's headers");
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(t->easy, CURLOPT_URL, t->name.url ? t->name.url : r->url);
    return STATUS_OK;
}

status fetch_start(fetcher *f, const fetch_request *r, error *err)
{
    transfer *t = transfer_new(f);
    if (!t)
        return fail(err, STATUS_NO_MEMORY, "no memory for an HTTP request");
    t->user = r->user;
    t->reason[0] = 0;
    buf_init(&t->body, r->answer_limit);
    set_options(t, r);
    status st = set_target(t, r, err);
    CURLMcode added = st == STATUS_OK ? curl_multi_add_handle(f->multi, t->easy) : CURLM_OK;
    if (added)
        st = fail(err, STATUS_IO, "%s", curl_multi_strerror(added));
    if (st != STATUS_OK) {
        recycle(f, t);
        return st;
    }
    t->before = NULL;
    t->next = f->running;
    if (f->running)
        f->running->before = t;
    f->running = t;
    f->count++;
    return STATUS_OK;
}

unsigned fetch_running(const fetcher *f)
{
    return f->count;
}

void fetch_wait(fetcher *f, int64_t timeout_ns)
{
    int running = 0;
    (void)curl_multi_perform(f->multi, &running);
    if ((unsigned)running < f->count)
        return; /* one ended */
    int64_t ms = (MAX(timeout_ns, (int64_t)0) + NS_PER_MS - 1) / NS_PER_MS;
    (void)curl_multi_poll(f->multi, NULL, 0, (int)MIN(ms, (int64_t)60000), NULL);
    (void)curl_multi_perform(f->multi, &running);
}

void fetch_wake(fetcher *f)
{
    (void)curl_multi_wakeup(f->multi);
}

static void judge(transfer *t, CURLcode result, fetch_answer *ret)
{
    const char *type = NULL;
    long http = 0;
    ret->user = t->user;
    ret->body = t->body;
    ret->code = STATUS_OK;
    buf_init(&t->body, 1);
    if (ret->body.failed) {
        ret->code =
            fail(&ret->error, STATUS_LIMIT, "body size limit exceeded: %zu bytes", ret->body.limit);
    } else if (result != CURLE_OK) {
        ret->code = fail(&ret->error, STATUS_IO, "%s",
                         t->reason[0] ? t->reason : curl_easy_strerror(result));
    }
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &http);
    curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type);
    ret->http = (int)http;
    str_copy_c(ret->content_type, sizeof(ret->content_type), str_c(type));
}

bool fetch_next(fetcher *f, fetch_answer *ret)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(f->multi, &left));) {
        transfer *t = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode result = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
        judge(t, result, ret);
        curl_multi_remove_handle(f->multi, t->easy);
        if (t->before)
            t->before->next = t->next;
        else
            f->running = t->next;
        if (t->next)
            t->next->before = t->before;
        f->count--;
        recycle(f, t);
        return true;
    }
    return false;
}

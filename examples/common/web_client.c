// SPDX-License-Identifier: Apache-2.0
/* Observed requests by libcurl; see web_client.h. */
#include "examples/common/web_client.h"

#include <sonde/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ANSWER_BYTES = 8 << 20, MAX_HEADERS = 8, CONNECT_MS = 2000 };

struct web_client {
    CURL *curl;
    struct curl_slist *next; /* headers of the next request */
    unsigned next_count;
};

/* Addresses come from outside, too: none of them names a file of this machine. */
static void only_http(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
}

web_client *web_client_new(void)
{
    web_client *c = calloc(1, sizeof(*c));
    if (c && !(c->curl = curl_easy_init())) {
        free(c);
        return NULL;
    }
    return c;
}

void web_client_free(web_client *c)
{
    if (!c)
        return;
    curl_slist_free_all(c->next);
    curl_easy_cleanup(c->curl);
    free(c);
}

/* Bytes to allocate for n: doubled each time, so that a large answer is not copied for each piece.
 */
static size_t room(size_t n)
{
    size_t bytes = 4096;
    while (bytes < n)
        bytes *= 2;
    return bytes;
}

static size_t take(char *data, size_t one, size_t size, void *user)
{
    (void)one;
    web_response *r = user;
    if (r->size + size > MAX_ANSWER_BYTES)
        return 0;
    if (!r->bytes || room(r->size + 1) < r->size + size + 1) {
        char *more = realloc(r->bytes, room(r->size + size + 1));
        if (!more)
            return 0;
        r->bytes = more;
    }
    memcpy(r->bytes + r->size, data, size);
    r->size += size;
    r->bytes[r->size] = 0;
    return size;
}

static void add_header(void *user, const char *name, const char *value)
{
    struct curl_slist **list = user;
    char line[1024];
    if (snprintf(line, sizeof(line), "%s: %s", name, value) < (int)sizeof(line))
        *list = curl_slist_append(*list, line);
}

void web_client_header(web_client *c, const char *name, const char *value)
{
    if (c->next_count++ < MAX_HEADERS)
        add_header(&c->next, name, value);
}

typedef struct {
    const char *bytes;
    size_t size, sent;
} upload;

static size_t give(char *to, size_t one, size_t most, void *user)
{
    upload *u = user;
    size_t left = u->size - u->sent, n = left < one * most ? left : one * most;
    memcpy(to, u->bytes + u->sent, n);
    u->sent += n;
    return n;
}

/* The body is read by a function that cannot start over: so libcurl does not send it again, as it
 * would when a connection that was kept turns out to be closed. */
static void prepare_body(web_client *c, const char *method, upload *u)
{
    curl_easy_setopt(c->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)u->size);
    curl_easy_setopt(c->curl, CURLOPT_READFUNCTION, give);
    curl_easy_setopt(c->curl, CURLOPT_READDATA, (void *)u);
}

/* Sets the handle up for one request; its headers to be freed by curl_slist_free_all. */
static struct curl_slist *prepare(web_client *c, const char *method, const char *url,
                                  const char *content_type, upload *u, long timeout_ms,
                                  web_response *r)
{
    struct curl_slist *headers = c->next;
    c->next = NULL;
    c->next_count = 0;
    if (content_type)
        add_header(&headers, "Content-Type", content_type);
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_reset(c->curl);
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c->curl, CURLOPT_NOBODY, strcmp(method, "HEAD") == 0 ? 1L : 0L);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    only_http(c->curl);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, (void *)r);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, r->error);
    if (u->bytes)
        prepare_body(c, method, u);
    return headers;
}

/* What came of it; the handle forgets `r`, which moves to the caller. */
static void finish(web_client *c, struct curl_slist *headers, CURLcode code, web_response *r)
{
    if (code == CURLE_OK)
        curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &r->status);
    else if (code == CURLE_WRITE_ERROR)
        snprintf(r->error, sizeof(r->error), "the answer is larger than %d bytes",
                 MAX_ANSWER_BYTES);
    else if (code == CURLE_SEND_FAIL_REWIND)
        snprintf(r->error, sizeof(r->error), "the connection was closed before an answer came");
    else if (!*r->error)
        snprintf(r->error, sizeof(r->error), "%s", curl_easy_strerror(code));
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
}

web_response web_send_quietly(web_client *c, const char *method, const char *url,
                              const char *content_type, const void *body, size_t size,
                              long timeout_ms)
{
    web_response r = { 0 };
    upload u = { body, size, 0 };
    struct curl_slist *headers = prepare(c, method, url, content_type, &u, timeout_ms, &r);
    sonde_inject(add_header, &headers);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    finish(c, headers, curl_easy_perform(c->curl), &r);
    return r;
}

web_response web_send(web_client *c, const char *method, const char *url, const char *content_type,
                      const void *body, size_t size, long timeout_ms)
{
    web_response r = { 0 };
    upload u = { body, size, 0 };
    struct curl_slist *headers = prepare(c, method, url, content_type, &u, timeout_ms, &r);
    finish(c, headers, sonde_curl_easy_perform(c->curl, headers), &r);
    return r;
}

void web_response_done(web_response *r)
{
    free(r->bytes);
    *r = (web_response){ 0 };
}

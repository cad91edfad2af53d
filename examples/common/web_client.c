// SPDX-License-Identifier: Apache-2.0
/* Observed requests by libcurl; see web_client.h. */
#include "examples/common/web_client.h"

#include <sonde/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ANSWER_BYTES = 8 << 20, MAX_HEADERS = 8 };

struct web_client {
    CURL *curl;
    struct curl_slist *next; /* headers of the next request */
    unsigned next_count;
};

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

static size_t take(char *data, size_t one, size_t size, void *user)
{
    (void)one;
    web_response *r = user;
    char *more = r->size + size < MAX_ANSWER_BYTES ? realloc(r->bytes, r->size + size + 1) : NULL;
    if (!more)
        return 0;
    memcpy(more + r->size, data, size);
    r->bytes = more;
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

/* Sets the handle up for one request; its headers to be freed by curl_slist_free_all. */
static struct curl_slist *prepare(web_client *c, const char *method, const char *url,
                                  const char *content_type, const void *body, size_t size,
                                  long timeout_ms, web_response *r)
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
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, (void *)r);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, r->error);
    if (body) {
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
    }
    return headers;
}

web_response web_send_quietly(web_client *c, const char *method, const char *url,
                              const char *content_type, const void *body, size_t size,
                              long timeout_ms)
{
    web_response r = { 0 };
    struct curl_slist *headers = prepare(c, method, url, content_type, body, size, timeout_ms, &r);
    sonde_inject(add_header, &headers);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    if (curl_easy_perform(c->curl) == CURLE_OK)
        curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &r.status);
    curl_slist_free_all(headers);
    return r;
}

web_response web_send(web_client *c, const char *method, const char *url, const char *content_type,
                      const void *body, size_t size, long timeout_ms)
{
    web_response r = { 0 };
    struct curl_slist *headers = prepare(c, method, url, content_type, body, size, timeout_ms, &r);
    if (sonde_curl_easy_perform(c->curl, headers) == CURLE_OK)
        curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &r.status);
    curl_slist_free_all(headers);
    return r;
}

void web_response_done(web_response *r)
{
    free(r->bytes);
    *r = (web_response){ 0 };
}

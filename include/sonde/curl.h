/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl, observed: each transfer is a client span with the HTTP conventions, its context travels
 * in the request's headers, and failures carry error.type (http_client.h).
 *
 *     CURLcode code = sonde_curl_easy_perform(curl);             // no headers of your own
 *     CURLcode code = sonde_curl_easy_perform(curl, headers);    // what CURLOPT_HTTPHEADER would
 * get
 *
 * libcurl does not tell which header list a handle has, so a list of your own is given here instead
 * of to CURLOPT_HTTPHEADER; it stays yours, and the handle has it afterwards. With the multi
 * interface: sonde_curl_begin before curl_multi_add_handle, sonde_curl_end for its CURLMSG_DONE.
 *
 * Include this where <curl/curl.h> is to be had. A handle belongs to one thread at a time, as ever.
 */
#ifndef SONDE_CURL_H
#define SONDE_CURL_H

#include <sonde/http_client.h>

#include <curl/curl.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A transfer that runs; the members are not for programs. */
typedef struct {
    sonde_http_call call;
    CURL *curl;
    struct curl_slist *own, *own_last; /* ours, in front of the program's */
    struct curl_slist *headers;
} sonde_curl_call;

static inline void sonde_curl_add_(void *user, const char *name, const char *value)
{
    sonde_curl_call *c = (sonde_curl_call *)user;
    char line[2048];
    int n = snprintf(line, sizeof(line), "%s: %s", name, value);
    struct curl_slist *list =
        n > 0 && n < (int)sizeof(line) ? curl_slist_append(c->own, line) : NULL;
    if (!list)
        return;
    c->own = list;
    c->own_last = c->own_last && c->own_last->next ? c->own_last->next : list;
    while (c->own_last->next)
        c->own_last = c->own_last->next;
}

/* Starts the span and sets the handle's headers: ours, then `headers` (may be NULL), which must
 * live until sonde_curl_end. */
static inline sonde_curl_call sonde_curl_begin(CURL *curl, struct curl_slist *headers)
{
    sonde_curl_call c;
    sonde_http_call_options options;
    memset(&c, 0, sizeof(c));
    memset(&options, 0, sizeof(options));
    c.curl = curl;
    c.headers = headers;
    options.set_header = sonde_curl_add_;
    options.user = &c;
    c.call = sonde_http_call_begin(&options);
    if (c.own_last)
        c.own_last->next = headers;
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, c.own ? c.own : headers);
    return c;
}

/* Of few kinds, so that they are good labels; NULL: none. */
static inline const char *sonde_curl_error_type_(CURLcode code)
{
    switch ((int)code) {
    case CURLE_OK:
        return NULL;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return "name_resolution";
    case CURLE_COULDNT_CONNECT:
        return "connection_refused";
    case CURLE_OPERATION_TIMEDOUT:
        return "timeout";
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return "connection_lost";
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
        return "tls";
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return "bad_url";
    case CURLE_ABORTED_BY_CALLBACK:
        return "cancelled";
    default:
        return "_OTHER";
    }
}

static inline const char *sonde_curl_version_(long version)
{
    switch (version) {
    case CURL_HTTP_VERSION_1_0:
        return "1.0";
    case CURL_HTTP_VERSION_1_1:
        return "1.1";
    case CURL_HTTP_VERSION_2_0:
        return "2";
    case 30: /* CURL_HTTP_VERSION_3 */
        return "3";
    default:
        return NULL;
    }
}

/* Ends the span with what the handle says of the transfer, and gives the handle its own headers
 * back. A second end does nothing. */
static inline void sonde_curl_end(sonde_curl_call *c, CURLcode code)
{
    long status = 0, version = 0, redirects = 0;
    char *url = NULL, *address = NULL, *method = NULL;
    sonde_http_call_result result;
    if (!c->curl)
        return;
    memset(&result, 0, sizeof(result));
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(c->curl, CURLINFO_HTTP_VERSION, &version);
    curl_easy_getinfo(c->curl, CURLINFO_REDIRECT_COUNT, &redirects);
    curl_easy_getinfo(c->curl, CURLINFO_EFFECTIVE_URL, &url);
    curl_easy_getinfo(c->curl, CURLINFO_PRIMARY_IP, &address);
#if LIBCURL_VERSION_NUM >= 0x074800
    curl_easy_getinfo(c->curl, CURLINFO_EFFECTIVE_METHOD, &method);
#endif
    result.status = (int)status;
    result.error_type = sonde_curl_error_type_(code);
    result.message = code == CURLE_OK ? NULL : curl_easy_strerror(code);
    result.method = method;
    result.url = url && *url ? url : NULL;
    result.protocol_version = sonde_curl_version_(version);
    result.peer_address = address;
    result.resend_count = (int)redirects;
    sonde_http_call_end(&c->call, &result);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
    if (c->own_last)
        c->own_last->next = NULL;
    curl_slist_free_all(c->own);
    memset(c, 0, sizeof(*c));
}

static inline CURLcode sonde_curl_perform_(CURL *curl, struct curl_slist *headers, ...)
{
    sonde_curl_call c = sonde_curl_begin(curl, headers);
    CURLcode code = curl_easy_perform(curl);
    sonde_curl_end(&c, code);
    return code;
}

/* sonde_curl_easy_perform(curl) or (curl, headers): see the head of this file. */
#define sonde_curl_easy_perform(...) sonde_curl_perform_(__VA_ARGS__, (struct curl_slist *)NULL, 0)

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* libmicrohttpd, observed: each request is a server span with X-Request-ID in and out, metrics and
 * an access log line (http.h), and is kept for `sonde trace --curl` when it fails.
 *
 *     static sonde_MHD_handler observed = { .handler = handle, .user = &shop };
 *
 *     MHD_start_daemon(flags, port, NULL, NULL, sonde_MHD_handle, &observed,
 *                      MHD_OPTION_NOTIFY_COMPLETED, sonde_MHD_completed, &observed,
 * MHD_OPTION_END);
 *
 *     static enum MHD_Result handle(void *user, struct MHD_Connection *c, const char *url, …)
 *     {
 *         sonde_http_route("/users/{id}");
 *         …                                     // logs and spans in here belong to the request
 *         return sonde_MHD_queue_response(c, 200, response);
 *     }
 *
 * `handle` is an MHD_AccessHandlerCallback as ever, called as libmicrohttpd calls it, its own
 * `con_cls` included. /metrics, the
 * health paths and /debug (http.h) are answered before it. Include this where
 * <microhttpd.h> is to be had; libsonde itself does not need it. Works in every threading mode of
 * libmicrohttpd; a connection that was suspended is answered, as always, in the handler's next
 * call.
 */
#ifndef SONDE_MICROHTTPD_H
#define SONDE_MICROHTTPD_H

#include <sonde/http.h>

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Lives as long as the daemon; {0} but for `handler`. */
typedef struct {
    MHD_AccessHandlerCallback handler;
    void *user;                             /* given to it */
    MHD_RequestCompletedCallback completed; /* may be NULL; as MHD_OPTION_NOTIFY_COMPLETED */
    const char *scheme;                     /* NULL: "http" */
    bool no_own_paths; /* /metrics, the health paths and /debug are the handler's */
} sonde_MHD_handler;

/* A request between libmicrohttpd's calls; not for programs. */
typedef struct {
    sonde_http *request;
    void *user_state; /* the handler's con_cls */
    bool own;         /* answered by the library: not observed */
    bool own_waits;   /* for the body */
    char request_id[132];
    char query[1024];
    char own_body[1024];
    size_t query_len, own_body_len;
    struct MHD_Connection *connection;
} sonde_MHD_request_;

static inline const char *sonde_MHD_header_(void *user, const char *name)
{
    return MHD_lookup_connection_value(((sonde_MHD_request_ *)user)->connection, MHD_HEADER_KIND,
                                       name);
}

static inline void sonde_MHD_keep_id_(void *user, const char *name, const char *value)
{
    sonde_MHD_request_ *r = (sonde_MHD_request_ *)user;
    size_t n = strlen(value);
    (void)name;
    if (n >= sizeof(r->request_id))
        n = sizeof(r->request_id) - 1;
    memcpy(r->request_id, value, n);
    r->request_id[n] = 0;
}

static inline void sonde_MHD_query_text_(sonde_MHD_request_ *r, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (; *text && r->query_len + 4 < sizeof(r->query); text++) {
        unsigned char c = (unsigned char)*text;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("-._~/:,", c)) {
            r->query[r->query_len++] = (char)c;
        } else {
            r->query[r->query_len++] = '%';
            r->query[r->query_len++] = digits[c >> 4];
            r->query[r->query_len++] = digits[c & 15];
        }
    }
}

/* libmicrohttpd has taken the query apart; here it is put together again. */
static inline enum MHD_Result sonde_MHD_query_(void *user, enum MHD_ValueKind kind, const char *key,
                                               const char *value)
{
    sonde_MHD_request_ *r = (sonde_MHD_request_ *)user;
    (void)kind;
    if (r->query_len && r->query_len + 2 < sizeof(r->query))
        r->query[r->query_len++] = '&';
    sonde_MHD_query_text_(r, key);
    if (value && r->query_len + 2 < sizeof(r->query)) {
        r->query[r->query_len++] = '=';
        sonde_MHD_query_text_(r, value);
    }
    r->query[r->query_len] = 0;
    return MHD_YES;
}

static inline const char *sonde_MHD_client_(struct MHD_Connection *c, char *ret, size_t size)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info ? info->client_addr : NULL;
    if (address && address->sa_family == AF_INET)
        return inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, ret,
                         (socklen_t)size);
    if (address && address->sa_family == AF_INET6)
        return inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, ret,
                         (socklen_t)size);
    return NULL;
}

static inline enum MHD_Result sonde_MHD_send_own_(struct MHD_Connection *connection,
                                                  const sonde_http_response *page)
{
    enum MHD_Result result;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(page->body_len, page->body, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, page->content_type);
    for (int i = 0; i < SONDE_HTTP_HEADERS && page->headers[i].name; i++)
        MHD_add_response_header(response, page->headers[i].name, page->headers[i].value);
    result = MHD_queue_response(connection, (unsigned)page->status, response);
    MHD_destroy_response(response);
    return result;
}

/* The library's own paths; r->own becomes false when it is none. */
static inline enum MHD_Result sonde_MHD_own_(sonde_MHD_request_ *r, sonde_http_request *request)
{
    sonde_http_response page;
    r->own_waits = false;
    request->body = r->own_body_len ? r->own_body : NULL;
    request->body_len = r->own_body_len;
    r->own = sonde_http_handle(request, &page);
    request->body = NULL;
    request->body_len = 0;
    if (!r->own)
        return MHD_YES;
    enum MHD_Result result = sonde_MHD_send_own_(r->connection, &page);
    sonde_http_response_free(&page);
    return result;
}

/* Of the library's own paths this one alone takes a body: it is answered when that is there. */
static inline bool sonde_MHD_own_waits_(const sonde_MHD_handler *h, const char *method,
                                        const char *url)
{
    return !h->no_own_paths && strcmp(method, "POST") == 0 && strcmp(url, "/debug/log-level") == 0;
}

static inline sonde_http_request sonde_MHD_describe_(sonde_MHD_request_ *r,
                                                     const sonde_MHD_handler *h, const char *url,
                                                     const char *method, const char *version,
                                                     char client[64])
{
    sonde_http_request request;
    memset(&request, 0, sizeof(request));
    request.method = method;
    request.path = url;
    request.query = r->query_len ? r->query : NULL;
    request.scheme = h->scheme;
    request.client_address = sonde_MHD_client_(r->connection, client, 64);
    request.protocol_version = strncmp(version, "HTTP/", 5) == 0 ? version + 5 : NULL;
    request.header = sonde_MHD_header_;
    request.set_header = sonde_MHD_keep_id_;
    request.user = r;
    return request;
}

static inline enum MHD_Result sonde_MHD_begin_(sonde_MHD_request_ *r, const sonde_MHD_handler *h,
                                               const char *url, const char *method,
                                               const char *version)
{
    char client[64];
    enum MHD_Result result = MHD_YES;
    MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, sonde_MHD_query_, r);
    r->own_waits = sonde_MHD_own_waits_(h, method, url);
    r->own = r->own_waits;
    if (r->own)
        return MHD_YES;
    sonde_http_request request = sonde_MHD_describe_(r, h, url, method, version, client);
    if (!h->no_own_paths)
        result = sonde_MHD_own_(r, &request);
    if (!r->own)
        sonde_http_begin(&request);
    return result;
}

/* A later call for one of the library's own paths. */
static inline enum MHD_Result sonde_MHD_go_on_(sonde_MHD_request_ *r, const sonde_MHD_handler *h,
                                               const char *url, const char *method,
                                               const char *version, const char *data, size_t *size)
{
    static const char none[] = "there is no such path\n";
    char client[64];
    size_t room = sizeof(r->own_body) - r->own_body_len, n = *size < room ? *size : room;
    if (*size) {
        memcpy(r->own_body + r->own_body_len, data, n);
        r->own_body_len += n;
        *size = 0;
        return MHD_YES;
    }
    if (!r->own_waits)
        return MHD_YES;
    sonde_http_request request = sonde_MHD_describe_(r, h, url, method, version, client);
    enum MHD_Result result = sonde_MHD_own_(r, &request);
    if (r->own)
        return result;
    sonde_http_response page; /* hidden in production */
    memset(&page, 0, sizeof(page));
    page.status = 404;
    page.content_type = "text/plain; charset=utf-8";
    page.body = (char *)(uintptr_t)none;
    page.body_len = sizeof(none) - 1;
    r->own = true;
    return sonde_MHD_send_own_(r->connection, &page);
}

/* The MHD_AccessHandlerCallback; `cls` is the sonde_MHD_handler. */
static inline enum MHD_Result sonde_MHD_handle(void *cls, struct MHD_Connection *connection,
                                               const char *url, const char *method,
                                               const char *version, const char *upload_data,
                                               size_t *upload_data_size, void **con_cls)
{
    const sonde_MHD_handler *h = (const sonde_MHD_handler *)cls;
    sonde_MHD_request_ *r = (sonde_MHD_request_ *)*con_cls;
    enum MHD_Result result = MHD_YES;
    if (r && r->own)
        return sonde_MHD_go_on_(r, h, url, method, version, upload_data, upload_data_size);
    if (r) {
        sonde_http_resume(r->request);
    } else {
        r = (sonde_MHD_request_ *)calloc(1, sizeof(*r));
        *con_cls = r;
        if (!r)
            return MHD_NO;
        r->connection = connection;
        result = sonde_MHD_begin_(r, h, url, method, version);
        if (r->own)
            return result;
    }
    if (*upload_data_size)
        sonde_http_body(upload_data, *upload_data_size);
    result = h->handler(h->user, connection, url, method, version, upload_data, upload_data_size,
                        &r->user_state);
    r->request = sonde_http_suspend();
    return result;
}

/* The MHD_RequestCompletedCallback; `cls` is the sonde_MHD_handler. Ends the request: its duration
 * is until the answer was sent. */
static inline void sonde_MHD_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                                       enum MHD_RequestTerminationCode code)
{
    const sonde_MHD_handler *h = (const sonde_MHD_handler *)cls;
    sonde_MHD_request_ *r = (sonde_MHD_request_ *)*con_cls;
    if (!r)
        return;
    if (!r->own) {
        sonde_http_resume(r->request);
        if (h->completed)
            h->completed(h->user, connection, &r->user_state, code);
        sonde_http_end(0);
    }
    free(r);
    *con_cls = NULL;
}

/* Instead of MHD_queue_response, in the handler: sends X-Request-ID back and remembers the status.
 * The response is for this request: one that is shared by several would get several ids. */
static inline enum MHD_Result sonde_MHD_queue_response(struct MHD_Connection *connection,
                                                       unsigned int status,
                                                       struct MHD_Response *response)
{
    char id[132];
    sonde_str current = sonde_request_id();
    if (current.len && current.len < sizeof(id)) {
        memcpy(id, current.ptr, current.len);
        id[current.len] = 0;
        MHD_add_response_header(response, "X-Request-ID", id);
    }
    sonde_http_status((int)status);
    return MHD_queue_response(connection, status, response);
}

#ifdef __cplusplus
}
#endif
#endif

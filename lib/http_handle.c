// SPDX-License-Identifier: Apache-2.0
/* The paths that the library answers, for the admin port and for servers of the program's own: one
 * table. /metrics and health are open; /debug is for who has the token, or, where there is none,
 * for who asks from this machine. */
#include "lib/http_handle.h"

#include "lib/debug.h"
#include "lib/health.h"
#include "lib/http.h"
#include "lib/metric_page.h"
#include "sonde/error.h"
#include "sonde/span.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { PAGE_MAX = 64 << 20 };

void http_release(void)
{
    metric_page_release();
    debug_release();
}

void http_forked(void)
{
    metric_page_forked();
    debug_forked();
}

/* ---- errors ---- */

static const char *error_code(int status)
{
    static const struct {
        int status;
        const char *code;
    } codes[] = {
        { 400, "INVALID_REQUEST" }, { 401, "UNAUTHENTICATED" },    { 403, "FORBIDDEN" },
        { 404, "NOT_FOUND" },       { 405, "METHOD_NOT_ALLOWED" }, { 409, "CONFLICT" },
        { 413, "BODY_TOO_LARGE" },  { 501, "NOT_IMPLEMENTED" },    { 503, "UNAVAILABLE" },
    };
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i].status == status)
            return codes[i].code;
    return "INTERNAL";
}

/* The path without its query, which may hold what nobody should read again. */
static sonde_attr path_detail(const page *p)
{
    str query, path = str_cut(str_c(p->request->path), '?', &query);
    return sonde_kv_text("path", (sonde_str){ path.ptr, path.len });
}

/* What the request brought, where the program has not made it current by sonde_http_begin. */
static sonde_context context_of(const sonde_http_request *request)
{
    char trace[33];
    if (!request->header || sonde_request_id().len || sonde_trace_id(trace))
        return sonde_context_capture();
    return sonde_extract(request->header, request->user);
}

int page_fail(page *p, int status, const char *help, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    sonde_attr path = path_detail(p);
    char *envelope = NULL;
    sonde_context from = context_of(p->request);
    SONDE_WITH (from)
        envelope = sonde_error_envelope(&(sonde_error){ .code = error_code(status),
                                                        .message = message,
                                                        .help = help,
                                                        .details = { &path, 1 },
                                                        .status = status });
    buf_clear(p->out);
    buf_fmt(p->out, "%s\n", envelope ? envelope : "{}");
    free(envelope);
    p->content_type = "application/json";
    return status;
}

void page_header(page *p, const char *name, const char *value)
{
    for (size_t i = 0; i < ARRAY_LEN(p->headers); i++)
        if (!p->headers[i].name) {
            p->headers[i] = (sonde_http_header){ name, value };
            return;
        }
}

static const char *header_of(const page *p, const char *name)
{
    return p->request->header ? p->request->header(p->request->user, name) : NULL;
}

/* ---- open pages ---- */

static int metrics_page(page *p)
{
    return metric_page(header_of(p, "accept"), p->out, &p->content_type);
}

static int health_page(page *p)
{
    p->content_type = "application/json";
    return health_report(HEALTH_LIVE, p->out);
}

static int ready_page(page *p)
{
    p->content_type = "application/json";
    return health_report(HEALTH_READY, p->out);
}

/* ---- the table ---- */

typedef enum { FOR_ALL, FOR_DEBUG, FOR_DEVELOPMENT } audience;

static int index_page(page *p);

static const struct {
    bool post; /* else GET and HEAD */
    audience who;
    const char *path;
    int (*answer)(page *p);
    const char *help;
} routes[] = {
    { false, FOR_ALL, "/metrics", metrics_page, "" },
    { false, FOR_ALL, "/health", health_page, "" },
    { false, FOR_ALL, "/healthz", health_page, "" },
    { false, FOR_ALL, "/ready", ready_page, "" },
    { false, FOR_ALL, "/readyz", ready_page, "" },
    { false, FOR_DEBUG, "/debug", index_page, "this list" },
    { false, FOR_DEBUG, "/debug/", index_page, "this list" },
    { false, FOR_DEBUG, "/debug/status", debug_status_page, "what the program says of itself" },
    { false, FOR_DEBUG, "/debug/workflow", debug_workflow_page, "nodes and progress; ?status=S" },
    { false, FOR_DEBUG, "/debug/logs", debug_logs_page, "last log records; ?lines=N&level=L" },
    { false, FOR_DEBUG, "/debug/spans", debug_spans_page, "spans that are open now" },
    { false, FOR_DEBUG, "/debug/queue", debug_queue_page, "depth and oldest age of queues" },
    { false, FOR_DEBUG, "/debug/memory", debug_memory_page, "memory of the process" },
    { false, FOR_DEBUG, "/debug/artifacts", debug_artifacts_page, "what was made; ?KEY=VALUE" },
    { false, FOR_DEBUG, "/debug/pprof/profile", pprof_cpu_page, "CPU profile; ?seconds=N" },
    { false, FOR_DEBUG, "/debug/pprof/heap", pprof_heap_page, "heap profile; ?debug=1" },
    { false, FOR_DEBUG, "/debug/pprof/threads", pprof_threads_page, "stacks; ?debug=1|2" },
    { false, FOR_DEBUG, "/debug/pprof/goroutine", pprof_threads_page, "as threads" },
#if SONDE_DEBUG_ENDPOINTS
    { false, FOR_DEVELOPMENT, "/debug/config", debug_config_page, "effective configuration" },
    { false, FOR_DEVELOPMENT, "/debug/connections", debug_connections_page, "pools" },
    { true, FOR_DEVELOPMENT, "/debug/log-level", debug_log_level_page,
      "POST {\"level\":\"debug\"}, {\"logger\":\"db\",\"level\":\"debug\"} or ?level=debug" },
#endif
};

static bool is_hidden(audience who)
{
    return who == FOR_DEVELOPMENT && debug_in_production();
}

static void list_paths(buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        if (routes[i].who != FOR_ALL && !is_hidden(routes[i].who))
            buf_fmt(out, "%-24s %s\n", routes[i].path, routes[i].help);
}

static int index_page(page *p)
{
    list_paths(p->out);
    return 200;
}

static int unknown_page(page *p)
{
    buf known;
    buf_init(&known, KiB(4));
    buf_lit(&known, "these are known:");
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        if (routes[i].who != FOR_ALL && !is_hidden(routes[i].who))
            buf_fmt(&known, " %s", routes[i].path);
    buf_char(&known, '\0');
    page_fail(p, 404, known.failed ? "ask for /debug/" : known.ptr, "there is no such path");
    buf_done(&known);
    return 404;
}

/* ---- who may see /debug ---- */

static bool is_local_name(str name)
{
    return str_is(name, "localhost") || str_is(name, "::1") || str_is(name, "[::1]") ||
           str_starts(name, STR("127.")) || str_starts(name, STR("::ffff:127.")) ||
           str_is(name, "unix");
}

/* A browser page from elsewhere must not reach a port of this machine: it sends an Origin, or,
 * where a name was made to point here, that name as Host. */
static bool from_a_foreign_page(const page *p)
{
    str host = str_c(header_of(p, "host")), port;
    if (header_of(p, "origin"))
        return true;
    if (!host.len)
        return false;
    if (host.ptr[0] == '[')
        return !str_starts(host, STR("[::1]"));
    return !is_local_name(str_cut(host, ':', &port));
}

static int refuse_without_token(page *p, http_door door)
{
    const sonde_http_request *r = p->request;
    if (door == DOOR_PUBLIC)
        return page_fail(p, 403, "set SONDE_ADMIN_TOKEN, or let the port listen on 127.0.0.1",
                         "the debug paths need a token on a port that other machines reach");
    if (door == DOOR_PROGRAM && r->debug_allowed)
        return 0;
    bool proxied = header_of(p, "forwarded") || header_of(p, "x-forwarded-for");
    if (door == DOOR_PROGRAM && (proxied || !is_local_name(str_c(r->client_address))))
        return page_fail(p, 403, "set SONDE_ADMIN_TOKEN, or ask from this machine",
                         "without a token the debug paths are for requests from this machine");
    if (from_a_foreign_page(p))
        return page_fail(p, 403, "ask for localhost without Origin, or set SONDE_ADMIN_TOKEN",
                         "without a token the debug paths are not for web pages from elsewhere");
    return 0;
}

/* 0: allowed; else the status, and the page says why. */
static int check_access(page *p, http_door door)
{
    switch (debug_check_token(str_c(header_of(p, "authorization")))) {
    case TOKEN_RIGHT:
        return 0;
    case TOKEN_NONE_SET:
        return refuse_without_token(p, door);
    case TOKEN_WRONG:
        break;
    }
    page_header(p, "WWW-Authenticate", "Bearer realm=\"debug\"");
    return page_fail(p, 401,
                     "send the header Authorization with the scheme Bearer, and what "
                     "SONDE_ADMIN_TOKEN is set to",
                     "the debug paths need a token, and this is not it");
}

/* ---- answering ---- */

/* The route's index; ARRAY_LEN(routes): none. */
static size_t find_route(str path)
{
    size_t i = 0;
    while (i < ARRAY_LEN(routes) && (!str_is(path, routes[i].path) || is_hidden(routes[i].who)))
        i++;
    return i;
}

static int answer_route(page *p, size_t i, str method, http_door door)
{
    bool debug = i == ARRAY_LEN(routes) || routes[i].who != FOR_ALL;
    int refused = debug ? check_access(p, door) : 0;
    if (refused)
        return refused;
    if (i == ARRAY_LEN(routes))
        return unknown_page(p);
    bool get = str_is(method, "GET") || p->head;
    if (routes[i].post ? str_is(method, "POST") : get)
        return routes[i].answer(p);
    page_header(p, "Allow", routes[i].post ? "POST" : "GET, HEAD");
    return page_fail(p, 405, routes[i].post ? "use POST" : "use GET or HEAD",
                     "this path does not answer %.16s", method.ptr);
}

bool http_answer(const sonde_http_request *request, http_door door, sonde_http_response *ret)
{
    if (!request || !ret)
        return false;
    str query, path = str_cut(str_c(request->path), '?', &query);
    str method = request->method ? str_c(request->method) : STR("GET");
    size_t i = find_route(path);
    if (i == ARRAY_LEN(routes) && (door == DOOR_PROGRAM || !str_starts(path, STR("/debug/"))))
        return false;
    buf out;
    buf_init(&out, PAGE_MAX);
    page p = { .request = request,
               .query = request->query ? str_c(request->query) : query,
               .body = str_n(request->body, request->body ? request->body_len : 0),
               .head = str_is(method, "HEAD"),
               .out = &out,
               .content_type = "text/plain; charset=utf-8" };
    debug_used();
    int code = answer_route(&p, i, method, door);
    if (out.failed)
        code = page_fail(&p, 500, "ask for less", "the answer has no room in memory");
    *ret = (sonde_http_response){
        .status = code, .content_type = p.content_type, .body = out.ptr, .body_len = out.len
    };
    memcpy(ret->headers, p.headers, sizeof(p.headers));
    return true;
}

void http_refuse(const sonde_http_request *request, int status, const char *help,
                 const char *message, sonde_http_response *ret)
{
    buf out;
    buf_init(&out, SONDE_ERROR_BYTES);
    page p = { .request = request, .out = &out };
    page_fail(&p, status, help, "%s", message);
    *ret = (sonde_http_response){
        .status = status, .content_type = p.content_type, .body = out.ptr, .body_len = out.len
    };
}

bool sonde_http_handle(const sonde_http_request *request, sonde_http_response *ret)
{
    if (!request || !ret)
        return false;
    return http_answer(request, DOOR_PROGRAM, ret);
}

void sonde_http_response_free(sonde_http_response *response)
{
    if (!response)
        return;
    free(response->body);
    response->body = NULL;
    response->body_len = 0;
}

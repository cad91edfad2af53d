// SPDX-License-Identifier: Apache-2.0
/* Observed HTTP server on libmicrohttpd; see web_server.h. libsonde's wrapper stands between
 * libmicrohttpd and `handle`. */
#include "examples/common/web_server.h"

#include "examples/common/config.h"
#include "examples/common/text.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <sonde/microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a body that is too large the rest is read, so that the client gets its answer, up to a limit.
 */
enum { MAX_BODY_BYTES = 1 << 20, MAX_READ_BYTES = 64 << 20, MAX_HIDDEN = 4 };

static const char *hidden[MAX_HIDDEN];
static size_t hidden_count;

struct web_server {
    struct MHD_Daemon *daemon;
    sonde_MHD_handler observed, bare; /* with libsonde's own paths, and without */
    const web_route *routes;
    size_t route_count;
    void *user;
};

struct web_request {
    struct MHD_Connection *connection;
    char *body;
    size_t size, read;
    bool too_large;
    char segment[128];
    int status;
    struct MHD_Response *response;
};

const char *web_header(const web_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

const char *web_query(const web_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *web_segment(const web_request *r)
{
    return r->segment;
}

json_t *web_body(const web_request *r)
{
    return r->body ? json_loadb(r->body, r->size, 0, NULL) : NULL;
}

web_problem web_body_problem(const web_request *r)
{
    web_problem problem = { "there is no body" };
    json_error_t e;
    json_t *body = r->body ? json_loadb(r->body, r->size, 0, &e) : NULL;
    if (body)
        *problem.text = 0;
    else if (r->body)
        snprintf(problem.text, sizeof(problem.text),
                 "the body is no JSON: %s at line %d, column %d", e.text, e.line, e.column);
    json_decref(body);
    return problem;
}

/* Takes the text; NULL is an empty one. */
static void answer_text(web_request *r, int status, char *text)
{
    r->status = status;
    r->response = text ? MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE)
                       : MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(r->response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
}

void web_answer(web_request *r, int status, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (text)
        answer_text(r, status, text);
    else
        web_fail(r, 500, "INTERNAL_ERROR", "the answer could not be written");
}

void web_answer_with(web_request *r, int status, struct MHD_Response *response)
{
    r->status = status;
    r->response = response;
}

void web_fail_with(web_request *r, const sonde_error *e)
{
    answer_text(r, e->status ? e->status : sonde_error_status(e->code), sonde_error_envelope(e));
}

void web_fail(web_request *r, int status, const char *code, const char *message)
{
    web_fail_with(r, &(sonde_error){ .code = code, .message = message, .status = status });
}

/* Whether the path fits the route; what stood for {…} goes to `segment`. */
static bool matches(const char *route, const char *path, char *segment, size_t size)
{
    const char *open = strchr(route, '{'), *close = open ? strchr(open, '}') : NULL;
    size_t before = open ? (size_t)(open - route) : 0;
    if (!close)
        return strcmp(route, path) == 0;
    if (strncmp(route, path, before) != 0)
        return false;
    size_t length = strcspn(path + before, "/");
    if (!length || strcmp(path + before + length, close + 1) != 0)
        return false;
    snprintf(segment, size, "%.*s", (int)length, path + before);
    text_make_utf8(segment);
    return true;
}

static bool is_method(const char *of_route, const char *method)
{
    return strcmp(of_route, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(of_route, "GET") == 0);
}

/* Notes a method that the path has, for the header Allow. */
static void allow(char *list, size_t size, const char *method)
{
    size_t length = strlen(list);
    snprintf(list + length, size - length, "%s%s%s", length ? ", " : "", method,
             strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

static void fail_unknown(web_request *r, const char *allowed)
{
    if (!*allowed) {
        web_fail_with(r, &(sonde_error){ .status = 404,
                                         .code = "NOT_FOUND",
                                         .message = "there is no such path",
                                         .help = "compare the path with the routes of the API" });
        return;
    }
    web_fail_with(r, &(sonde_error){ .status = 405,
                                     .code = "METHOD_NOT_ALLOWED",
                                     .message = "the path exists, but not for this method",
                                     .help = "use a method that the path has" });
    MHD_add_response_header(r->response, MHD_HTTP_HEADER_ALLOW, allowed);
}

static void dispatch(web_server *s, web_request *r, const char *method, const char *path)
{
    char allowed[128] = "";
    for (size_t i = 0; i < s->route_count; i++) {
        const web_route *route = &s->routes[i];
        if (!matches(route->path, path, r->segment, sizeof(r->segment)))
            continue;
        sonde_http_route(route->path);
        if (is_method(route->method, method)) {
            route->handler(r, s->user);
            return;
        }
        allow(allowed, sizeof(allowed), route->method);
    }
    fail_unknown(r, allowed);
}

static void fail_too_large(web_request *r)
{
    web_fail_with(r,
                  &(sonde_error){ .status = 413,
                                  .code = "BODY_TOO_LARGE",
                                  .message = "the body is too large",
                                  .details = SONDE_DETAILS(sonde_kv("most_bytes", MAX_BODY_BYTES)),
                                  .help = "send less at once" });
}

static enum MHD_Result take_body(web_request *r, const char *data, size_t *size)
{
    r->read += *size;
    r->too_large |= r->size + *size > MAX_BODY_BYTES;
    if (r->too_large) {
        *size = 0;
        return r->read <= MAX_READ_BYTES ? MHD_YES : MHD_NO;
    }
    char *more = realloc(r->body, r->size + *size);
    if (!more)
        return MHD_NO;
    memcpy(more + r->size, data, *size);
    r->body = more;
    r->size += *size;
    *size = 0;
    return MHD_YES;
}

static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    web_server *s = user;
    web_request *r = *state;
    (void)version;
    if (!r) { /* the first call brings the headers only */
        *state = calloc(1, sizeof(web_request));
        return *state ? MHD_YES : MHD_NO;
    }
    if (*size)
        return take_body(r, data, size);
    r->connection = connection;
    if (r->too_large)
        fail_too_large(r);
    else
        dispatch(s, r, method, path);
    if (!r->response)
        web_fail(r, 500, "INTERNAL_ERROR", "the server has no answer");
    enum MHD_Result result = sonde_MHD_queue_response(connection, (unsigned)r->status, r->response);
    MHD_destroy_response(r->response);
    r->response = NULL;
    if (r->status == MHD_HTTP_SWITCHING_PROTOCOLS)
        sonde_http_end(r->status);
    return result;
}

void web_server_hide(const char *path)
{
    if (hidden_count < MAX_HIDDEN)
        hidden[hidden_count++] = path;
}

/* libmicrohttpd's callback: libsonde's own paths, but for the hidden ones, then `handle`. */
static enum MHD_Result enter(void *user, struct MHD_Connection *connection, const char *path,
                             const char *method, const char *version, const char *data,
                             size_t *size, void **state)
{
    web_server *s = user;
    sonde_MHD_handler *handler = &s->observed;
    for (size_t i = 0; i < hidden_count; i++)
        if (strcmp(path, hidden[i]) == 0)
            handler = &s->bare;
    return sonde_MHD_handle(handler, connection, path, method, version, data, size, state);
}

static void completed(void *user, struct MHD_Connection *c, void **state,
                      enum MHD_RequestTerminationCode why)
{
    (void)user, (void)c, (void)why;
    web_request *r = *state;
    if (r)
        free(r->body);
    free(r);
    *state = NULL;
}

web_server *web_server_start(uint16_t port, unsigned threads, const web_route *routes, size_t count,
                             void *user)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    const char *where = config_text("BIND_ADDRESS", "127.0.0.1");
    if (inet_pton(AF_INET, where, &address.sin_addr) != 1) {
        fprintf(stderr, "BIND_ADDRESS is '%s'; it must be an IPv4 address\n", where);
        return NULL;
    }
    web_server *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    *s = (web_server){ .observed = { .handler = handle, .user = s, .completed = completed },
                       .routes = routes,
                       .route_count = count,
                       .user = user };
    s->bare = s->observed;
    s->bare.no_own_paths = true;
    s->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_ALLOW_UPGRADE,
                                 port, NULL, NULL, enter, s, MHD_OPTION_SOCK_ADDR, &address,
                                 MHD_OPTION_THREAD_POOL_SIZE, threads, MHD_OPTION_NOTIFY_COMPLETED,
                                 sonde_MHD_completed, &s->observed, MHD_OPTION_CONNECTION_TIMEOUT,
                                 75u, MHD_OPTION_END);
    if (!s->daemon) {
        fprintf(stderr, "cannot listen on %s:%u\n", where, port);
        free(s);
        return NULL;
    }
    return s;
}

void web_server_stop(web_server *s)
{
    if (!s)
        return;
    MHD_stop_daemon(s->daemon);
    free(s);
}

// SPDX-License-Identifier: Apache-2.0
/* The admin port on libmicrohttpd; see admin.h. One daemon for each address; start and stop are
 * called under the library's lock. */
#include "lib/admin.h"

#include "lib/env.h"
#include "lib/http_handle.h"
#include "lib/pprof.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic uint16_t admin_port;

uint16_t sonde_admin_port(void)
{
    return admin_port;
}

#if SONDE_ADMIN
#include "lib/microhttpd_api.h"

enum { CONNECTIONS_MAX = 16, IDLE_SECONDS = 30, CONNECTION_BYTES = 32 << 10, BODY_MAX = 64 << 10 };

/* Two daemons' worth of addresses in the common case; all of them reach the same paths. */
static struct MHD_Daemon *daemons[ADMIN_ADDRS_MAX];
static size_t daemon_count;
static struct MHD_Daemon *parents_daemons[ADMIN_ADDRS_MAX]; /* in the child of a fork */
static _Thread_local bool on_admin_thread;

/* What stays with a request until it is answered. */
typedef struct {
    char *uri;
    buf body;
    bool seen;
} admin_request;

static const char *header_of(void *user, const char *name)
{
    return MHD_lookup_connection_value(user, MHD_HEADER_KIND, name);
}

static enum MHD_Result answer(struct MHD_Connection *connection, const sonde_http_response *r)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        r->body_len, (void *)(uintptr_t)r->body, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", r->content_type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    for (size_t i = 0; i < SONDE_HTTP_HEADERS && r->headers[i].name; i++)
        MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
    /* An answer that took longer than an idle connection may: its time begins now. */
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)IDLE_SECONDS);
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return result;
}

/* The daemon gives the path decoded and without its query: the whole is kept. */
static void *on_uri(void *user UNUSED, const char *uri, struct MHD_Connection *connection UNUSED)
{
    admin_request *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->uri = strdup(uri);
    buf_init(&r->body, BODY_MAX);
    return r;
}

static void on_completed(void *user UNUSED, struct MHD_Connection *connection UNUSED, void **state,
                         enum MHD_RequestTerminationCode why UNUSED)
{
    admin_request *r = *state;
    if (!r)
        return;
    free(r->uri);
    buf_done(&r->body);
    free(r);
    *state = NULL;
}

static void client_of(struct MHD_Connection *connection, char *ret, size_t size)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *at = info ? info->client_addr : NULL;
    ret[0] = '\0';
    if (at && at->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)at)->sin_addr, ret, (socklen_t)size);
    else if (at && at->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)at)->sin6_addr, ret, (socklen_t)size);
}

static enum MHD_Result on_request(void *door, struct MHD_Connection *connection,
                                  const char *url UNUSED, const char *method,
                                  const char *version UNUSED, const char *upload,
                                  size_t *upload_size, void **state)
{
    admin_request *r = *state;
    char client[INET6_ADDRSTRLEN];
    sonde_http_response response;
    if (!r || !r->uri)
        return MHD_NO;
    if (!r->seen) {
        r->seen = true; /* the headers are there, the body is still to come */
        return MHD_YES;
    }
    if (*upload_size) {
        buf_add(&r->body, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    client_of(connection, client, sizeof(client));
    sonde_http_request request = { .method = method,
                                   .path = r->uri,
                                   .client_address = client,
                                   .header = header_of,
                                   .user = connection,
                                   .body = r->body.ptr,
                                   .body_len = r->body.len };
    on_admin_thread = true;
    if (r->body.failed)
        http_refuse(&request, 413, "send 65536 bytes at most", "the body is too large", &response);
    else if (!http_answer(&request, (http_door)(uintptr_t)door, &response))
        http_refuse(&request, 404, "this port has /metrics, /health, /ready and /debug/",
                    "there is no such path", &response);
    on_admin_thread = false;
    enum MHD_Result result = answer(connection, &response);
    sonde_http_response_free(&response);
    return result;
}

static uint16_t port_of(struct MHD_Daemon *d)
{
    struct sockaddr_storage at;
    socklen_t size = sizeof(at);
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(d, MHD_DAEMON_INFO_LISTEN_FD);
    if (!info || getsockname(info->listen_fd, (struct sockaddr *)&at, &size) != 0)
        return 0;
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                          : ((struct sockaddr_in *)&at)->sin_port);
}

static bool is_loopback(const struct sockaddr_storage *at)
{
    if (at->ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)at)->sin6_addr);
    return ntohl(((const struct sockaddr_in *)at)->sin_addr.s_addr) >> 24 == 127;
}

static void start_one(str addr)
{
    struct sockaddr_storage at;
    socklen_t size;
    if (!admin_parse_addr(addr, &at, &size)) {
        lib_warn("the admin address \"%.*s\" is ignored: it must be PORT, ADDRESS:PORT or :PORT",
                 STR_ARG(addr));
        return;
    }
    if (daemon_count == ADMIN_ADDRS_MAX) {
        lib_warn("the admin address \"%.*s\" is ignored: there can be %d", STR_ARG(addr),
                 ADMIN_ADDRS_MAX);
        return;
    }
    http_door door = is_loopback(&at) ? DOOR_LOOPBACK : DOOR_PUBLIC;
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
                     MHD_USE_POLL | (at.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* its threads inherit this */
    struct MHD_Daemon *d = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, (void *)(uintptr_t)door, MHD_OPTION_SOCK_ADDR,
        (struct sockaddr *)&at, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_BYTES, MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!d) {
        lib_warn("the admin port %.*s cannot be opened: is it in use?", STR_ARG(addr));
        return;
    }
    daemons[daemon_count++] = d;
    if (!admin_port)
        admin_port = port_of(d);
}

void admin_start(str addrs)
{
    error err;
    if (microhttpd_load(&err) != STATUS_OK) {
        lib_warn("the admin port %.*s is not opened: %s", STR_ARG(addrs), err.message);
        return;
    }
    while (addrs.len) {
        str addr = str_trim(str_cut(addrs, ',', &addrs));
        if (addr.len)
            start_one(addr);
    }
}

void admin_stop(void)
{
    pprof_cancel();
    /* A callback that stops the library runs on a thread that would be waited for. */
    for (size_t i = 0; i < daemon_count && !on_admin_thread; i++)
        MHD_stop_daemon(daemons[i]);
    for (size_t i = 0; i < daemon_count && on_admin_thread; i++) {
        MHD_socket fd = MHD_quiesce_daemon(daemons[i]);
        if (fd != MHD_INVALID_SOCKET)
            close(fd);
    }
    pprof_allow();
    daemon_count = 0;
    admin_port = 0;
}

void admin_forked(void)
{
    for (size_t i = 0; i < daemon_count; i++) {
        const union MHD_DaemonInfo *info =
            MHD_get_daemon_info(daemons[i], MHD_DAEMON_INFO_LISTEN_FD);
        if (info)
            close(info->listen_fd);
        parents_daemons[i] = daemons[i];
    }
    daemon_count = 0;
    admin_port = 0;
    on_admin_thread = false;
    (void)parents_daemons; /* kept reachable, so that nobody takes them for leaked */
}

#else /* a library without libmicrohttpd */

void admin_start(str addr)
{
    lib_warn("the admin port %.*s is not opened: this build of libsonde has none", STR_ARG(addr));
}

void admin_stop(void)
{
}

void admin_forked(void)
{
}
#endif

// SPDX-License-Identifier: Apache-2.0
/* The admin port on libmicrohttpd; see admin.h. One daemon in a process; start and stop are called
 * under the library's lock. */
#include "lib/admin.h"

#include "lib/env.h"
#include "sonde/http.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic uint16_t admin_port;

uint16_t sonde_admin_port(void)
{
    return admin_port;
}

#if SONDE_ADMIN
#include <microhttpd.h>

enum { CONNECTIONS_MAX = 16, IDLE_SECONDS = 30, CONNECTION_BYTES = 32 << 10 };

static struct MHD_Daemon *admin_daemon;
static struct MHD_Daemon *parents_daemon; /* in the child of a fork */

static const char *header_of(void *user, const char *name)
{
    return MHD_lookup_connection_value(user, MHD_HEADER_KIND, name);
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned code, const char *type,
                              const char *body, size_t n)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(n, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    if (code == 405)
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_request(void *user UNUSED, struct MHD_Connection *connection,
                                  const char *url, const char *method, const char *version UNUSED,
                                  const char *upload UNUSED, size_t *upload_size, void **state)
{
    static int seen;
    sonde_http_response response;
    if (!*state) {
        *state = &seen; /* the headers are there, the body is still to come */
        return MHD_YES;
    }
    if (*upload_size) {
        *upload_size = 0;
        return MHD_YES;
    }
    sonde_http_request request = {
        .method = method, .path = url, .header = header_of, .user = connection
    };
    if (!sonde_http_handle(&request, &response))
        return answer(connection, 404, "text/plain; charset=utf-8", "not found\n", 10);
    enum MHD_Result result = answer(connection, (unsigned)response.status, response.content_type,
                                    response.body, response.body_len);
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

void admin_start(str addr)
{
    struct sockaddr_storage at;
    socklen_t size;
    if (!admin_parse_addr(addr, &at, &size)) {
        lib_warn("the admin address \"%.*s\" is ignored: it must be PORT, ADDRESS:PORT or :PORT",
                 STR_ARG(addr));
        return;
    }
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
                     MHD_USE_POLL | (at.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* its threads inherit this */
    admin_daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, NULL, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at,
        MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (admin_daemon)
        admin_port = port_of(admin_daemon);
    else
        lib_warn("the admin port %.*s cannot be opened: is it in use?", STR_ARG(addr));
}

void admin_stop(void)
{
    if (admin_daemon)
        MHD_stop_daemon(admin_daemon);
    admin_daemon = NULL;
    admin_port = 0;
}

void admin_forked(void)
{
    const union MHD_DaemonInfo *info =
        admin_daemon ? MHD_get_daemon_info(admin_daemon, MHD_DAEMON_INFO_LISTEN_FD) : NULL;
    if (info)
        close(info->listen_fd);
    parents_daemon = admin_daemon;
    admin_daemon = NULL;
    admin_port = 0;
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

// SPDX-License-Identifier: Apache-2.0
/* The worker's observability server; see observability.h. What is answered is libsonde's; being
 * asked is no part of the worker's work, so there are no spans, metrics and log lines of it. */
#include "examples/personaworlds/observability.h"

#include "examples/common/config.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <sonde/sonde.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *header_of(void *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result answer(struct MHD_Connection *c, int status, const char *type,
                              const char *body, size_t length)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(length, (void *)body, MHD_RESPMEM_MUST_COPY);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    enum MHD_Result result = MHD_queue_response(c, (unsigned)status, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *c)
{
    char *body = sonde_error_envelope(
        &(sonde_error){ .code = "NOT_FOUND",
                        .message = "there is no such path",
                        .help = "only GET /healthz and GET /metrics are here" });
    enum MHD_Result result =
        answer(c, MHD_HTTP_NOT_FOUND, "application/json", body ?: "", body ? strlen(body) : 0);
    free(body);
    return result;
}

static enum MHD_Result handle(void *user, struct MHD_Connection *c, const char *path,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    sonde_http_request request = { .method = method, .path = path, .header = header_of, .user = c };
    sonde_http_response response;
    (void)user, (void)version, (void)data, (void)state;
    *size = 0;
    if ((strcmp(path, "/healthz") != 0 && strcmp(path, "/metrics") != 0) ||
        !sonde_http_handle(&request, &response))
        return refuse(c);
    enum MHD_Result result =
        answer(c, response.status, response.content_type, response.body, response.body_len);
    sonde_http_response_free(&response);
    return result;
}

struct MHD_Daemon *observability_start(void)
{
    uint16_t port = (uint16_t)config_number("WORKER_OBSERVABILITY_PORT", 9091, 1, 65535);
    const char *where = config_text("BIND_ADDRESS", "127.0.0.1");
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct MHD_Daemon *d = NULL;
    if (inet_pton(AF_INET, where, &address.sin_addr) == 1)
        d = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, handle,
                             NULL, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_CONNECTION_TIMEOUT,
                             10u, MHD_OPTION_END);
    if (!d)
        fprintf(stderr,
                "cannot listen on %s:%u (BIND_ADDRESS, an IPv4 address, and "
                "WORKER_OBSERVABILITY_PORT)\n",
                where, port);
    return d;
}

void observability_stop(struct MHD_Daemon *d)
{
    if (d)
        MHD_stop_daemon(d);
}

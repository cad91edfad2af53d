// SPDX-License-Identifier: Apache-2.0
/* Requests to other services by libcurl, observed: each is a client span with OpenTelemetry's HTTP
 * attributes, and carries the trace in its headers. One `web_client` per thread: it keeps its
 * connections for the next request. No request with a body is sent twice, also when a kept
 * connection turns out to be closed; connecting takes 2 s at most. */
#ifndef EXAMPLES_COMMON_WEB_CLIENT_H
#define EXAMPLES_COMMON_WEB_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct web_client web_client;

typedef struct {
    long status; /* 0: no answer came */
    char *bytes; /* terminated; freed by web_response_done */
    size_t size;
    char error[256]; /* why there was no answer; of curl's texts one line */
} web_response;

web_client *web_client_new(void);
void web_client_free(web_client *c);

/* A header of the next request alone; both texts are copied, at most 8. */
void web_client_header(web_client *c, const char *name, const char *value);

/* `body` may be NULL. Answers of up to 8 MiB, within timeout_ms. */
web_response web_send(web_client *c, const char *method, const char *url, const char *content_type,
                      const void *body, size_t size, long timeout_ms);
/* The same without a span of its own: for polls, which are no step of the work. */
web_response web_send_quietly(web_client *c, const char *method, const char *url,
                              const char *content_type, const void *body, size_t size,
                              long timeout_ms);
void web_response_done(web_response *r);

#endif

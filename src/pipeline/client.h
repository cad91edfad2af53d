// SPDX-License-Identifier: Apache-2.0
/* The sending side that HTTP exporters share: client_settings made into requests (headers, auth,
 * compression, TLS), and answers made into what `send` returns. One thread at a time. */
#ifndef SONDE_PIPELINE_CLIENT_H
#define SONDE_PIPELINE_CLIENT_H

#include "net/client.h"
#include "net/grpc_client.h"
#include "pipeline/component.h"

typedef struct client client;

bool client_is_url(str s); /* starts with http:// or https:// */
/* For option checks of exporters whose endpoint is a whole URL. */
MUST_USE status client_check_url(const client_settings *s, const char *example, char *where,
                                 size_t where_size, error *err);

/* `preferred`: what compression: default means. */
MUST_USE status client_new(client **ret, component *c, const client_settings *s,
                           compression preferred, error *err);
void client_free(client *k); /* NULL is fine */

/* "gzip", … as Content-Encoding and grpc-encoding have it; NULL for none. `preferred`: what
 * compression: default means. */
const char *client_encoding(const client_settings *s, compression preferred);

/* POSTs to settings' endpoint + path (path may be "", or a whole URL in place of both). `headers`:
 * more of them, ended by NULL.
 * The result is what the exporter's `send` returns; *answer (may be NULL) has the body and must be
 * done by http_answer_done. */
MUST_USE status client_post(client *k, const char *path, const char *content_type, str body,
                            const char *const *headers, http_answer *answer, send_result *ret,
                            error *err);

/* The same for gRPC: endpoint is host:port or a URL; TLS unless tls.insecure. */
MUST_USE status client_grpc_new(grpc_client **ret, component *c, const client_settings *s,
                                error *err);

#endif

// SPDX-License-Identifier: Apache-2.0
/* TLS on the server's side, on OpenSSL: certificates and rules of one listener, and the transport
 * of its connections. Network thread only, but for tls_context_new and _free. */
#ifndef SONDE_NET_TLS_H
#define SONDE_NET_TLS_H

#include "net/server.h"

#include <sys/types.h>
#include <sys/uio.h>

typedef struct conn conn;
typedef struct tls_context tls_context;

/* Reads the files. The error says which of them cannot be used, and why. */
MUST_USE status tls_context_new(tls_context **ret, const http_tls *options, error *err);
void tls_context_free(tls_context *t); /* NULL is fine; connections made with it go on */

/* What became of a step of a handshake. */
typedef enum { HANDSHAKE_DONE, HANDSHAKE_WAITS, HANDSHAKE_FAILED, HANDSHAKE_PLAIN } handshake_state;

/* A byte stream below the protocols: a socket as it is, or one with encryption. */
typedef struct {
    /* As read(2) and writev(2), non-blocking. */
    ssize_t (*read)(conn *c, void *bytes, size_t n);
    ssize_t (*write)(conn *c, const struct iovec *parts, int count);
    handshake_state (*handshake)(conn *c); /* NULL: none */
    void (*end)(conn *c);                  /* nothing more is written */
    void (*done)(conn *c);
} transport;

extern const transport tls_transport;

#endif

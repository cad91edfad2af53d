// SPDX-License-Identifier: Apache-2.0
/* What tls_client asks for, made into an OpenSSL context: the certificates that are trusted, the
 * client's own, the oldest version. Files are read each time, so that renewed certificates are
 * taken with the next connection. Any thread. */
#ifndef SONDE_NET_CLIENT_TLS_H
#define SONDE_NET_CLIENT_TLS_H

#include "net/client.h"

#include <openssl/ssl.h>

/* STATUS_INVALID with the file and the reason when something of it cannot be used. */
MUST_USE status client_tls_context(SSL_CTX **ret, const tls_client *t, error *err);
/* Whether all of it can be used, without the system's authorities, which take long to load. */
MUST_USE status client_tls_check(const tls_client *t, error *err);
/* A connection over `fd` (not yet shaken hands) to `host`, whose certificate must name t's
 * server_name, else `host`. alpn: as on the wire ("\x02h2"); empty: none. */
MUST_USE status client_tls_new(SSL **ret, SSL_CTX *context, const tls_client *t, const char *host,
                               int fd, str alpn, error *err);
/* The newest of OpenSSL's errors, as text; empties its list. */
const char *client_tls_reason(char *text, size_t size);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Addresses as users write them ("127.0.0.1:4319", "[::1]:0", ":80", "localhost:80"), and listening
 * sockets on them. */
#ifndef SONDE_NET_LISTEN_H
#define SONDE_NET_LISTEN_H

#include "base/error.h"
#include "base/str.h"

#include <netdb.h>

/* The caller frees *ret with freeaddrinfo. */
MUST_USE status listen_resolve(const char *address, struct addrinfo **ret, error *err);
/* A non-blocking listening socket; a port of 0 in `at` is replaced by *port when that is not 0, and
 * the port in use is returned there. */
MUST_USE status listen_open(int *ret, const struct addrinfo *at, unsigned *port,
                            const char *address, error *err);

#endif

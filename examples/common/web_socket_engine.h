// SPDX-License-Identifier: Apache-2.0
/* What web_socket.c gives to the two sides: sockets that are connected already. */
#ifndef EXAMPLES_COMMON_WEB_SOCKET_ENGINE_H
#define EXAMPLES_COMMON_WEB_SOCKET_ENGINE_H

#include "examples/common/web_socket.h"

enum { WEB_SOCKET_KEY_BYTES = 29 }; /* a key or its answer, with the terminator */

/* Takes the descriptor, which it makes non-blocking; `first` is what was read beyond the handshake.
 * NULL without memory; the descriptor is still the caller's then. */
web_socket *web_socket_new(int fd, bool is_client, const void *first, size_t first_len,
                           const web_socket_limits *limits, const web_socket_handlers *handlers,
                           void *user);
/* The answer to a Sec-WebSocket-Key. */
void web_socket_answer_key(const char *key, char ret[WEB_SOCKET_KEY_BYTES]);
/* A socket of the server's side: the descriptor goes back by `release`. */
void web_socket_on_release(web_socket *s, void (*release)(void *handle), void *handle);
/* The loop's: the next socket, and the handlers' user once it is known. */
void web_socket_set_user(web_socket *s, void *user);
/* Milliseconds until web_socket_work has to be called though nothing comes. */
int web_socket_next_ms(const web_socket *s);

#endif

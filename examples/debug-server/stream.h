// SPDX-License-Identifier: Apache-2.0
/* A WebSocket, observed: a span as long as it is open, and the metrics of streams. */
#ifndef DEBUG_SERVER_STREAM_H
#define DEBUG_SERVER_STREAM_H

#include "examples/common/web_socket.h"
#include "examples/debug-server/observability/observability.h"

typedef struct {
    const server_metrics *metrics;
    const char *role; /* "client" or "runner" */
    sonde_span *span;
    web_socket_counts seen; /* what the metrics have already */
} stream;

/* The span "stream ROLE", a child of `parent`. */
void stream_open(stream *s, const server_metrics *metrics, const char *role,
                 const sonde_context *parent, const char *session);
/* Adds to the metrics what happened since the last time. */
void stream_note(stream *s, const web_socket *socket);
/* All that waited was sent. */
void stream_drained(stream *s, const web_socket *socket, int64_t waited_ns);
/* The reader was too slow: an event of the span. */
void stream_dropped(stream *s, uint64_t count);
/* Ends the span with what is only known now; `why` NULL: the socket never came to be. */
void stream_close(stream *s, const web_socket *socket, int code, const char *why);

#endif

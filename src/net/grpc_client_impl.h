// SPDX-License-Identifier: Apache-2.0
/* What the files of the gRPC client share: one connection (grpc_client_h2.c), the call that runs on
 * it (grpc_client.c), and what an answer says (grpc_client_status.c). */
#ifndef SONDE_NET_GRPC_CLIENT_IMPL_H
#define SONDE_NET_GRPC_CLIENT_IMPL_H

#include "net/grpc_client.h"

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#define GRPC_ANSWER_LIMIT MiB(4)
enum { GRPC_FRAME_HEAD = 5, GRPC_NOT_SAID = -1 };

/* One request and what has come of its answer. */
typedef struct {
    uint8_t head[GRPC_FRAME_HEAD];
    str message;
    size_t sent; /* of head and message */
    int32_t stream;
    bool ended; /* the far side has said all, or the stream is gone */
    bool reset; /* it is gone, and `reason` says why */
    uint32_t reason;
    int http_status; /* 0: not said */
    bool is_grpc;    /* by its content type */
    int code;        /* grpc-status, or GRPC_NOT_SAID */
    char encoding[16];
    buf text;    /* grpc-message as it came */
    buf details; /* grpc-status-details-bin as it came */
    buf body;    /* framed messages */
} grpc_call;

typedef struct {
    int fd; /* -1: none */
    SSL *ssl;
    nghttp2_session *session;
    buf out; /* frames that are not yet written, from out_sent on */
    size_t out_sent;
    bool leaving;                          /* GOAWAY: this call is the last one */
    uint64_t received;                     /* bytes, ever */
    int64_t received_ns, used_ns, ping_ns; /* clock_mono_ns; ping_ns 0: none is under way */
    grpc_call *call;                       /* NULL between calls */
} grpc_connection;

/* Takes over fd and ssl (NULL: plain), also on failure. */
MUST_USE status grpc_connection_open(grpc_connection *c, int fd, SSL *ssl, error *err);
void grpc_connection_close(grpc_connection *c);
/* Writes and reads what can be without waiting. STATUS_IO: the connection is gone. */
MUST_USE status grpc_connection_step(grpc_connection *c, error *err);
/* What to poll for when a step has been made. */
short grpc_connection_events(const grpc_connection *c);
/* Sends the request's headers; its message follows by steps. */
MUST_USE status grpc_connection_submit(grpc_connection *c, grpc_call *call, const nghttp2_nv *nv,
                                       size_t count, error *err);
/* The call is no longer part of the connection. */
void grpc_connection_forget(grpc_connection *c);

/* What the call's answer says: *ret is filled. STATUS_IO: it says nothing. */
MUST_USE status grpc_call_judge(const grpc_call *call, const char *target, grpc_answer *ret,
                                error *err);

#endif

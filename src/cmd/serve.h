// SPDX-License-Identifier: Apache-2.0
/* The parts of `sonde serve`: its options, and the routes that the command itself answers (health,
 * metrics, the web UI). */
#ifndef SONDE_CMD_SERVE_H
#define SONDE_CMD_SERVE_H

#include "net/server.h"
#include "pipeline/otlp.h"
#include "pipeline/recorder.h"
#include "store/store.h"

#include <sonde/log.h>
#include <stdatomic.h>

typedef struct {
    const char *data;
    const char *http;
    const char *otlp_grpc;
    const char *otlp_http;
    int64_t retention_ns;  /* 0: keep everything */
    int64_t seal_after_ns; /* 0: the store's default */
    recorder_receiver_options recorders;
    bool no_auth;
    const char *features; /* names separated by commas; NULL: none */
    sonde_level log_level;
    bool help;
} serve_options;

/* Fills *ret from the command line; STATUS_INVALID with what is wrong. */
MUST_USE status serve_parse(serve_options *ret, int argc, char **argv, error *err);
void serve_print_help(void);

/* What the self routes speak about; the user of their rows. */
typedef struct {
    store *store;
    http_server *server;
    otlp_receiver *receiver;
    recorder_receiver *recorders; /* NULL: no --recorder */
    atomic_bool stopping;         /* not ready any more */
} serve_self;

const http_route *serve_self_routes(size_t *ret_count); /* /metrics, /healthz, /readyz, /-/… */
const http_route *serve_web_routes(size_t *ret_count);  /* the web UI: everything else */

#endif

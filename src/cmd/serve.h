// SPDX-License-Identifier: Apache-2.0
/* The parts of `sonde serve`: its options, and the routes that the command itself answers (health,
 * metrics, the web UI). */
#ifndef SONDE_CMD_SERVE_H
#define SONDE_CMD_SERVE_H

#include "cmd/serve_rules.h"
#include "net/server.h"
#include "pipeline/pipelines.h"
#include "store/store.h"

#include <sonde/log.h>
#include <stdatomic.h>

enum { SERVE_RECORDERS_MAX = 16, SERVE_RULES_MAX = 64, SERVE_ALERTMANAGERS_MAX = 16 };
enum { SERVE_FLAGS_MAX = 32 };

typedef struct {
    const char *data;
    const char *config; /* NULL: the built-in one */
    const char *http;
    const char *otlp_grpc;
    const char *otlp_http;
    const char *retention;
    const char *seal_after;
    const char *recorders[SERVE_RECORDERS_MAX];
    unsigned recorder_count;
    const char *recorder_metrics;
    const char *rules[SERVE_RULES_MAX]; /* paths, folders, globs */
    unsigned rule_count;
    const char *alertmanagers[SERVE_ALERTMANAGERS_MAX]; /* URLs */
    unsigned alertmanager_count;
    const char *alertmanager_config;
    const char *external_url;
    const char *evaluation_interval;
    size_t intake_limit; /* bytes; 0: the store's default */
    bool no_auth;
    const char *features; /* names separated by commas; NULL: none */
    sonde_level log_level;
    bool help;
    const char *overridden[16]; /* flags that a configuration file decides; ended by NULL */
} serve_options;

/* Fills *ret from the command line; STATUS_INVALID with what is wrong. */
MUST_USE status serve_parse(serve_options *ret, int argc, char **argv, error *err);
void serve_print_help(void);
/* Every option with the value that it has, given or not; URLs without users. `text` holds the
 * values. Returns how many. */
uint32_t serve_flags(const serve_options *o, text_pair ret[SERVE_FLAGS_MAX], buf *text);

/* ---- configuration (serve_config.c) ---- */

/* Reads --config, or the built-in one; findings go to stderr, or to the log once it runs. */
MUST_USE status serve_read_config(config *ret, const serve_options *o, bool running, error *err);
/* What the command line and the file together mean for the query and UI port. *ret lives as long as
 * o and the file's memory. */
MUST_USE status serve_web_settings(server_settings *ret, const serve_options *o, const config *file,
                                   error *err);
/* When the file on disk is another one than last time. */
typedef struct {
    int64_t modified_ns, size;
    uint64_t inode;
} file_mark;
bool serve_config_changed(const serve_options *o, file_mark *mark);

/* ---- routes that the command itself answers ---- */

/* What the self routes speak about; the user of their rows. */
typedef struct {
    store *store;
    http_server *server;
    collector *collector;
    serve_rules *rules;
    struct api *api;
    atomic_bool stopping; /* not ready any more */
} serve_self;

const http_route *serve_health_routes(size_t *ret_count); /* /healthz, /readyz, /-/… */
const http_route *serve_self_routes(size_t *ret_count);   /* /metrics */
const http_route *serve_web_routes(size_t *ret_count);    /* the web UI: everything else */

#endif

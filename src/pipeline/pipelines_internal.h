// SPDX-License-Identifier: Apache-2.0
/* What the parts of the collector share: graph.c (from a file to components and paths), flow.c
 * (rows along a path), delivery.c (a reader of the log for an exporter), listen.c, pipelines.c
 * (life). */
#ifndef SONDE_PIPELINE_PIPELINES_INTERNAL_H
#define SONDE_PIPELINE_PIPELINES_INTERNAL_H

#include "pipeline/pipelines.h"

#include <pthread.h>
#include <stdatomic.h>

enum { STAGES_MAX = 64, PATHS_MAX = 4096, ORIGINS_MAX = 65535 };

/* One way of rows: from records of some senders, through processors and connectors, to one sink. */
typedef struct {
    const char *pipeline; /* the first one's id */
    uint16_t *origins;
    uint32_t origin_count;
    signal_kind signal; /* of the records */
    component **stages;
    uint32_t stage_count;
    uint32_t shared; /* the first stages, which another path counts */
    component *sink; /* exporter, the store, or a processor that waits */
    component *gate; /* memory_limiter: what it refuses is not taken; NULL: none */
    batch_settings batching;
    bool has_batching;
} path;

/* Routes that a component wants on an endpoint. */
typedef struct {
    component *owner; /* NULL: the server's own */
    const server_settings *settings;
    http_route_table table;
} mount;

typedef struct delivery delivery;

struct pipelines {
    collector *owner;
    store_router router; /* of what its components send */
    config file;
    component *components; /* one per used component, more for processors that wait */
    uint32_t count, opened;
    path *paths;
    uint32_t path_count;
    mount *mounts;
    uint32_t mount_count, mount_capacity;
    delivery **deliveries;
    uint32_t delivery_count;
    atomic_int canceled;
    atomic_uint routes_in_use; /* route sets of listeners that lead to its components */
    pipelines *next_retired;
};

typedef struct {
    char *endpoint; /* as components name it, "localhost" made 127.0.0.1 */
    char *components;
    unsigned port;
    http_listener *listener;
    bool wanted; /* while listen_switch runs */
} open_port;

struct collector {
    collector_options options;
    store *store;
    http_server *server;
    collector_web web;
    store_router router; /* while the log is replayed */
    pipelines *current;
    pipelines *retired;    /* replaced, with requests still on their way to them */
    error trouble;         /* of the current one, which runs without what could not be started */
    pthread_rwlock_t lock; /* current and its deliveries, written by a reload */
    char **origins;        /* by number - 1 */
    uint32_t origin_count;
    bool origins_changed;
    component_counts *counts;
    pthread_mutex_t counts_lock;
    open_port *ports;
    uint32_t port_count;
};

/* ---- graph.c ---- */

/* Components and paths of p->file; nothing is opened. */
MUST_USE status graph_build(pipelines *p, error *err);
void graph_free(pipelines *p);
bool path_takes(const path *p, uint16_t origin, signal_kind signal);
/* The number of a sender by its name; given for ever. 0: there are too many. */
uint16_t origin_number(collector *c, const char *name);
MUST_USE status origins_load(collector *c, error *err);
MUST_USE status origins_save(collector *c, error *err);

/* ---- flow.c ---- */

void flow_init(pipelines *p);

/* What came out of the stages; `own` must be done by path_done. */
typedef struct {
    const batch *rows; /* the batch that went in, when there is no stage */
    batch own[2];
    unsigned used; /* bits: which of own are */
} path_result;

/* Runs the stages over a copy of `in`. Rows may have become none. */
MUST_USE status path_run(const path *p, const batch *in, path_result *ret, error *err);
void path_done(path_result *r);

/* ---- delivery.c ---- */

/* A thread with a reader of the log, for one exporter or processor that waits. */
MUST_USE status delivery_start(delivery **ret, component *sink, const path *const *paths,
                               uint32_t count, error *err);
/* Lets it send what it has; after that, what is left stays in the log. Then delivery_stop. */
void delivery_drain(delivery *d);
bool delivery_is_done(const delivery *d);
void delivery_stop(delivery *d); /* waits, frees; NULL is fine */
log_behind delivery_behind(const delivery *d);
const component *delivery_sink(const delivery *d);
bool delivery_keeps_place(const component *sink);
/* "exporter otlp/backup": the name of its place in the log. */
enum { DELIVERY_NAME = 256 };
void delivery_name(const component *sink, char *ret, size_t size);
/* Gives a sink that is new a place in the log: from here on it misses nothing. */
MUST_USE status delivery_begin(const component *sink, error *err);

/* ---- listen.c ---- */

/* Makes the open ports those of p: new ones are opened, the routes of others are replaced, those
 * that p does not name are closed. p->routes_in_use tells when no listener and no request needs its
 * components any more. On failure some ports may be p's already: listen_restore. */
MUST_USE status listen_switch(collector *c, pipelines *p, error *err);
/* The same for what ran before; a port that cannot be had again is closed, and that is said. */
void listen_restore(collector *c, pipelines *p);
/* Waits a while for requests on replaced routes. */
void listen_settle(collector *c);
void listen_forget(collector *c); /* frees the list; the listeners are the server's */

#endif

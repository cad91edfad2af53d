// SPDX-License-Identifier: Apache-2.0
/* What a component of the collector is: a row of options and functions. A new one is one file in
 * receivers/, processors/, connectors/, exporters/ or extensions/, and one line in components.c.
 *
 * Data flows one way: receiver -> component_ingest -> intake log (durable) -> processors ->
 * exporter or store. Only what stands in the intake log is worked on, so that no component has a
 * queue of its own; a processor sees rows after they were acknowledged, and again when they are
 * replayed.
 *
 * Life of a component: open (settings are complete and were checked; nothing runs yet), start,
 * stop (no more calls of component_ingest after it returned), close. open and close are called by
 * the main thread; `self` is what open returned. On a reload the new components are opened, then
 * the old ones are stopped and closed, then the new ones are started. */
#ifndef SONDE_PIPELINE_COMPONENT_H
#define SONDE_PIPELINE_COMPONENT_H

#include "net/http.h"
#include "net/server.h"
#include "settings/settings.h"
#include "store/store.h"

typedef enum {
    COMPONENT_RECEIVER,
    COMPONENT_PROCESSOR,
    COMPONENT_CONNECTOR,
    COMPONENT_EXPORTER,
    COMPONENT_EXTENSION,
    COMPONENT_KINDS
} component_kind;
const char *component_kind_name(component_kind k); /* "receiver", … */

typedef struct component component;
typedef struct pipelines pipelines; /* what one configuration makes: pipeline/pipelines.h */

enum {
    SIGNALS_LOGS = 1 << SIGNAL_LOGS,
    SIGNALS_METRICS = 1 << SIGNAL_METRICS,
    SIGNALS_TRACES = 1 << SIGNAL_TRACES,
    SIGNALS_ALL = 7
};

/* What became of a batch that an exporter sent. */
typedef struct {
    uint32_t rejected; /* items that the far side refused for good, of those sent */
    uint32_t left_out; /* items that were not sent; the exporter counted them (component_drop) */
    int64_t retry_after_ns; /* it asked for this pause; 0: none */
    char reason[256];
} send_result;

typedef struct {
    const char *type; /* "otlp": an id is "otlp" or "otlp/name" */
    component_kind kind;
    unsigned signals; /* SIGNALS_…; of a connector: those that it takes */
    const char *help; /* one line */
    option_table options;
    option_check *check; /* NULL: the table says all */

    /* All kinds. *ret_self is given to every other function. */
    status (*open)(void **ret_self, component *c, error *err);
    status (*start)(void *self, error *err); /* NULL: nothing runs by itself */
    void (*stop)(void *self);                /* NULL */
    void (*close)(void *self);               /* NULL; `self` may be half made if open failed: no */

    /* Processor: changes the batch in place (codec/batch_rows.h helps). The batch's tables and
     * columns are its own; texts and attribute lists may be shared and must be replaced, not
     * written to. New memory comes from b->arena. Several threads at once, nothing remembered. */
    status (*process)(void *self, batch *b, error *err);

    /* Connector: what `in` gives in the pipeline behind it, appended to `out` (of `signal`).
     * NULL: the rows pass as they are (forward). Several threads at once, nothing remembered. */
    signal_kind produces;
    status (*produce)(void *self, const batch *in, batch *out, error *err);

    /* Exporter: sends b and waits for the answer; one call at a time. STATUS_OK: taken (but for
     * ret->rejected). STATUS_BUSY, STATUS_IO, STATUS_FULL, STATUS_NO_MEMORY, STATUS_CANCELED: try
     * the same again. Any other: this batch will never be taken; it is dropped and counted. Returns
     * soon when *component_canceled(c) becomes 1. */
    status (*send)(void *self, const batch *b, send_result *ret, error *err);
    bool ephemeral; /* shows what passes by and keeps no place in the log (prometheus, debug) */
    bool is_store; /* the store itself: no `send`, rows are visible before the sender is answered */

    /* Processor that is a wish to the exporters' readers (batch): 1 + offset of batch_settings. */
    size_t batching;
    /* Processor that may refuse all that comes (memory_limiter): called by receivers before
     * anything is done with a batch; STATUS_BUSY with the reason. Any thread. */
    status (*admit)(void *self, error *err);

    /* Processor that waits before it decides (tail_sampling). It reads the log by itself, on one
     * thread, in order; `sequence` is the record's. What it lets pass goes out by component_emit.
     * `needs`: records from that sequence on are still needed (the cursor is before it). */
    status (*take)(void *self, uint64_t sequence, const batch *b, error *err);
    status (*tick)(void *self, int64_t now_ns, error *err); /* at least every 100 ms */
    uint64_t (*needs)(void *self);                          /* UINT64_MAX: none of what it took */
    status (*save)(void *self, buf *out, error *err); /* what it must know beside those records */
    status (*load)(void *self, str bytes, error *err);

    /* Extension that can be named as `authenticator`. */
    status (*authenticate)(void *self, http_exchange *x, error *err); /* who calls may call */
    /* Appends what a client has to send: "Authorization: …". */
    status (*authorize)(void *self, arena *a, pair_list *headers, error *err);
} component_type;

struct component {
    const component_type *type;
    const char *id;       /* "otlp/2" */
    const void *settings; /* by type->options */
    void *self;
    pipelines *owner;
    struct component_counts *counts;
    uint16_t origin; /* of a receiver, and of a processor that waits: its number in the log */
    char *dir;       /* component_dir */
    bool running;    /* started, and not stopped */
};

/* ---- for receivers ---- */

/* Makes b durable and hands it to every pipeline of this receiver and signal; blocks until then.
 * `encoded`: the OTLP protobuf request that b was decoded from, or empty. As store_ingest; also
 * STATUS_BUSY when memory_limiter says so. Counts accepted, refused and failed items; transport:
 * a short name ("http", "grpc", "scrape", "file") that stands in the metrics. */
MUST_USE status component_ingest(component *c, const char *transport, const batch *b, str encoded,
                                 ingest_result *ret, error *err);
/* Whether ingest is possible now; the reason otherwise. */
MUST_USE status component_ready(component *c, error *err);
/* A request that never became a batch: malformed, too large. */
void component_failed(component *c, const char *transport, signal_kind signal);

/* ---- for all ---- */

/* In open: mounts routes on the listener of s->endpoint (opened when the whole file was), below
 * s->path_prefix, behind its TLS, CORS, auth, and limits. Rows whose user is NULL get `user`. */
MUST_USE status component_listen(component *c, const server_settings *s, const http_route *rows,
                                 size_t count, void *user, error *err);
/* The extension that `id` names; STATUS_NOT_FOUND with the reason. For clients: authorize. */
MUST_USE status component_extension(component *c, str id, const component **ret, error *err);
/* Items of a request that were refused before ingest, each for a reason that the sender is told. */
void component_refused(component *c, const char *transport, signal_kind signal, uint64_t items);
/* Items that this component left out for `reason` ("filtered", "sampled", "policy"; static text).
 */
void component_drop(component *c, signal_kind signal, const char *reason, uint64_t items);
/* Becomes 1 when the component is being stopped. */
const _Atomic int *component_canceled(const component *c);
/* A directory of this component's own in the data directory ("DATA/pipeline/filelog-app"), made
 * when first asked for; for checkpoints. Lives as long as the component. */
MUST_USE status component_dir(component *c, const char **ret, error *err);
/* For `take` and `tick`: appends rows to the log as the output of this processor. */
MUST_USE status component_emit(component *c, const batch *b, error *err);
/* Something that an operator should know, for the server's log; not more than once a second of one
 * kind, the rest is counted and said in the next. */
void component_warn(component *c, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);

/* The same for what is no trouble; each is said. */
void component_note(const component *c, const char *event, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Bytes that the batch of a request may take: `times` as many as the request has, within 16 and 512
 * MiB. Usual ones take 2 to 4 times; the requests in flight are bounded by the HTTP server. */
size_t ingest_memory(size_t request_bytes, unsigned times);

/* ---- answers to senders ---- */

/* What a failed ingest is called over HTTP and gRPC (OTLP's rules, which others share). */
typedef struct {
    int http;
    int grpc;
    unsigned retry_s; /* 0: trying again is no use */
} ingest_failure;
ingest_failure ingest_failure_of(status code);
/* Plain text with Retry-After, as Loki, Prometheus and Zipkin answer. */
void ingest_fail_http(http_exchange *x, const error *err);
void ingest_fail_grpc(http_exchange *x, const error *err);

/* ---- the table ---- */

/* By kind and type name; NULL when there is none. */
const component_type *component_find(component_kind k, str type);
/* All of them, by kind and name. */
const component_type *const *component_all(size_t *ret_count);

#endif

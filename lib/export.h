// SPDX-License-Identifier: Apache-2.0
/* OTLP over HTTP: one lane for each signal, each with at most one request under way. All of it runs
 * on the drainer's thread and never blocks it (libcurl's multi interface).
 *
 * A request that meets 429, 502, 503, 504 or a failure of the transport is sent again, the same
 * bytes, after Retry-After or an exponential back-off with jitter, for as long as the owner lets
 * it. Any other answer than 2xx is final: the rows are refused. */
#ifndef SONDE_LIB_EXPORT_H
#define SONDE_LIB_EXPORT_H

#include "lib/env.h"

typedef struct exporter exporter;

typedef enum {
    LANE_IDLE,    /* takes a body */
    LANE_SENDING, /* a request is under way */
    LANE_WAITING, /* the last attempt failed; the next one has a time */
} lane_state;

/* How a body ended. */
typedef struct {
    bool taken;        /* 2xx; else refused for good */
    uint64_t rows;     /* as given to exporter_send */
    uint64_t rejected; /* rows that the receiver did not take: all of them when !taken */
} export_result;

typedef void export_done_fn(void *user, signal_kind signal, const export_result *result);

/* `s` must outlive it. Fails without memory, and with STATUS_UNSUPPORTED in a build without
 * libcurl. `done` is called from exporter_step. */
MUST_USE status exporter_new(exporter **ret, const settings *s, export_done_fn *done, void *user,
                             error *err);
void exporter_free(exporter *e); /* NULL is fine; drops what is under way */

/* Prepares libcurl and its TLS library: before atexit(), so that their own exit handlers run after
 * the last batch was sent. */
void export_prepare(void);

lane_state exporter_state(const exporter *e, signal_kind signal);

/* Copies (and compresses, where told to) the request body. Only in LANE_IDLE, or in LANE_WAITING
 * with `replace`: the newer body then takes the place of the waiting one, at its time. */
MUST_USE status exporter_send(exporter *e, signal_kind signal, str body, uint64_t rows, error *err);

/* In LANE_WAITING: gives the body up; `done` is called as for a refusal. */
void exporter_abandon(exporter *e, signal_kind signal);

/* Starts what is due, moves what is under way, reports what is done. */
void exporter_step(exporter *e);

/* Waits for network events, exporter_wake or the time. */
void exporter_wait(exporter *e, int timeout_ms);
void exporter_wake(exporter *e); /* from any thread */

/* Milliseconds until a waiting lane is due; -1: none waits. */
int exporter_next_ms(const exporter *e);

/* The delay before attempt number `attempt` (1: the first repetition), without Retry-After: between
 * half and the whole of 500 ms doubled each time, at most 30 s. `random` is any number. */
uint32_t export_backoff_ms(uint32_t attempt, uint64_t random);
/* Retry-After: seconds or an HTTP date, at most 5 minutes; -1 when it is neither. */
int64_t export_retry_after_ms(str text, int64_t now_ns);
/* The status codes of OTLP/HTTP after which a request is sent again. */
bool export_status_is_retryable(long code);

#endif

// SPDX-License-Identifier: Apache-2.0
/* What goes over the network: one lane for each destination of a signal, each with at most one
 * request under way. All of it runs on the drainer's thread and never blocks it (libcurl's multi
 * interface). How a body is packed, sent and judged is the lane's protocol: OTLP over HTTP
 * (export_http.c) or gRPC (export_grpc.c), Zipkin.
 *
 * A request that fails in a way that the protocol calls passing is sent again, the same bytes,
 * after the time that the receiver named or an exponential back-off with jitter, for as long as it
 * takes. Any other failure is final: the rows are refused. */
#ifndef SONDE_LIB_EXPORT_H
#define SONDE_LIB_EXPORT_H

#include "lib/env.h"

typedef struct exporter exporter;

/* The first three are OTLP, and have their signal's number. */
typedef enum { LANE_LOGS, LANE_METRICS, LANE_TRACES, LANE_ZIPKIN, LANE_COUNT } lane_id;

static inline signal_kind lane_signal(lane_id lane)
{
    return lane == LANE_ZIPKIN ? SIGNAL_TRACES : (signal_kind)lane;
}
const char *lane_name(lane_id lane); /* "otlp logs", …, "zipkin" */
/* Whether the settings send anything there. */
bool lane_wanted(const settings *s, lane_id lane);

typedef enum {
    LANE_IDLE,    /* takes a body */
    LANE_SENDING, /* a request is under way */
    LANE_WAITING, /* the last attempt failed; the next one has a time */
} lane_state;

/* How a body ended. */
typedef struct {
    bool taken;        /* else refused for good */
    uint64_t rows;     /* as given to exporter_send */
    uint64_t rejected; /* rows that the receiver did not take: all of them when !taken */
} export_result;

typedef void export_done_fn(void *user, lane_id lane, const export_result *result);

/* `s` must outlive it. Fails without memory, and with STATUS_UNSUPPORTED in a build without
 * libcurl. `done` is called from exporter_step. */
MUST_USE status exporter_new(exporter **ret, const settings *s, export_done_fn *done, void *user,
                             error *err);
void exporter_free(exporter *e); /* NULL is fine; drops what is under way */

/* Loads and prepares libcurl and its TLS library: before atexit(), so that their own exit handlers
 * run after the last batch was sent. Fails with STATUS_UNSUPPORTED where there is none. */
MUST_USE status export_prepare(error *err);

lane_state exporter_state(const exporter *e, lane_id lane);

/* The request body for a batch in the lane's encoding, appended to `out`. */
MUST_USE status exporter_encode(const exporter *e, lane_id lane, const batch *b, buf *out,
                                error *err);
/* Whether that encoding is OTLP's protobuf. */
bool exporter_encodes_protobuf(const exporter *e, lane_id lane);

/* Copies (and compresses, where told to) the request body. Only in LANE_IDLE, or in LANE_WAITING:
 * the newer body then takes the place of the waiting one, at its time. */
MUST_USE status exporter_send(exporter *e, lane_id lane, str body, uint64_t rows, error *err);

/* Starts what is due, moves what is under way, reports what is done. */
void exporter_step(exporter *e);

/* Waits for network events, exporter_wake or the time. */
void exporter_wait(exporter *e, int timeout_ms);
void exporter_wake(exporter *e); /* from any thread */

/* Milliseconds until a waiting lane is due; -1: none waits. */
int exporter_next_ms(const exporter *e);

/* What a person wants to know of a lane. Times are wall clock, 0: never. */
typedef struct {
    char url[256]; /* without credentials */
    const char *protocol;
    lane_state state;
    int64_t taken_ns;    /* the last body that was taken */
    int64_t failed_ns;   /* the last attempt that failed */
    int64_t waiting_ns;  /* since when the present body meets failures; 0: it does not */
    char failure[320];   /* what the last failure was */
    uint64_t rows_taken; /* by the receiver */
    uint64_t rows_refused;
    uint64_t retries;
} lane_report;
void exporter_report(exporter *e, lane_id lane, lane_report *ret); /* any thread */

/* ---- when to send again: pure functions ---- */

/* The delay before attempt number `attempt` (1: the first repetition), without Retry-After: between
 * half and the whole of 500 ms doubled each time, at most 30 s. `random` is any number. */
uint32_t export_backoff_ms(uint32_t attempt, uint64_t random);
/* Retry-After: seconds or an HTTP date, at most 5 minutes; -1 when it is neither. */
int64_t export_retry_after_ms(str text, int64_t now_ns);
/* The status codes of OTLP/HTTP after which a request is sent again. */
bool export_status_is_retryable(long code);
/* grpc-status; RESOURCE_EXHAUSTED only with a RetryInfo among the details. */
bool export_grpc_is_retryable(uint64_t code, bool has_retry_info);
/* The delay of the google.rpc.RetryInfo in grpc-status-details-bin (base64), at most 5 minutes; -1:
 * there is none. */
int64_t export_retry_info_ms(str details);

#endif

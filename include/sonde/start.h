/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and stopping the library in a process.
 *
 * Before sonde_start every call of the library costs one branch and is counted as dropped; after
 * sonde_stop likewise. Settings come from three places, each over the one before: the defaults, the
 * options given here, the environment (OTEL_* as OpenTelemetry names them, SONDE_*). Resource
 * attributes merge key by key. All texts are copied. */
#ifndef SONDE_START_H
#define SONDE_START_H

#include <sonde/log.h>

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* How /health and /ready answer. */
typedef enum {
    /* {"status":"ok","checks":{"db":{"status":"ok","duration_ms":1.2}},"version":…,
     * "uptime_seconds":…} */
    SONDE_HEALTH_CHECKS = 0,
    /* {"status":"healthy","db":"connected","uptime_seconds":…}: each check by its own words */
    SONDE_HEALTH_FLAT,
    /* {"status":"ok" or "degraded","checks":{"db":"ok" or what is wrong},"version":…} */
    SONDE_HEALTH_WORDS
} sonde_health_shape;

/* What the HTTP server side (sonde_http_begin …) records; docs/http.md. NULL means the default. */
typedef struct {
    const char *requests_metric; /* "http_requests_total" {route,method,status}; "none": without */
    const char *duration_metric; /* "http_request_duration_seconds" {route,method}; likewise */
    bool no_access_log;          /* no log line for each request */
    /* Names of the labels: "route", "method", "status". */
    const char *route_label, *method_label, *status_label;
    bool duration_has_status; /* the status is a label of the duration, too */
    bool otel_metrics;        /* also http.server.request.duration, http.client.request.duration */
    /* NULL: client spans are named by their method, "GET"; else by this and the method in lower
     * case: "http_" makes http_get. At most 31 bytes. */
    const char *client_span_prefix;
    bool url_query; /* url.query on every span, secrets by their names redacted */
    /* Ids made here are this and 20 hexadecimal digits ("req_…"); NULL: a UUID. At most 15 bytes.
     */
    const char *request_id_prefix;
    /* Request headers whose value becomes the context's session_id, user_id, team_id; NULL: none.
     * Only where something in front of the program vouches for them. */
    const char *session_header, *user_header, *team_header;
    const char *access_event;  /* "http_request" */
    const char *access_fields; /* "method,path,route,status,duration_ms,client_address" */
    sonde_level access_level;  /* of answers below 500; 0: info */
    /* The redacted request is kept on the span when the answer has this status or a higher one
     * (0: 500), or is an error envelope: `sonde trace ID --curl` repeats it. */
    int reproduce_from;
    bool no_reproduce;
    uint32_t reproduce_body_bytes; /* of a body that is text; 0: 4,096; at most 32,768 */
    /* Default: "accept,authorization,content-type,cookie,x-api-key"; secrets only by their name. */
    const char *reproduce_headers;
} sonde_http_options;

/* What database calls (sonde_db_begin …) record; docs/instrumentation.md. */
typedef struct {
    bool no_otel_metric;      /* without db.client.operation.duration */
    const char *query_metric; /* also a histogram of seconds without labels, of this name:
                                 "db_query_duration_seconds" */
    bool no_query_text;       /* without db.query.text */
} sonde_db_options;

typedef struct {
    sonde_health_shape shape;
    bool ready_always_200;  /* /ready answers 200 also when a check fails; the body tells */
    bool health_has_checks; /* /health shows the checks too; it stays 200 */
    uint32_t cache_ms;      /* how long a check's result is used again; 0: 1,000 */
} sonde_health_options;

/* All of it may be zero. */
typedef struct sonde_options {
    const char *service;     /* service.name; default: unknown_service:PROGRAM */
    const char *version;     /* service.version */
    const char *environment; /* deployment.environment.name */
    /* More resource attributes: key, value, key, value, …, NULL. */
    const char *const *resource;

    sonde_level log_level;     /* lowest level that is kept; 0: info */
    const char *log_levels;    /* by logger name: "db=debug,http=warn" (log.h) */
    const char *log_output;    /* "stdout" (default), "stderr", "file:PATH", "none" */
    const char *log_format;    /* "json", "console", or a schema: docs/logs.md */
    uint64_t log_rotate_bytes; /* rotate the file before it gets longer; 0: never */
    uint32_t log_rotate_age_s; /* rotate the file when it is that old; 0: never */
    uint32_t log_rotate_keep;  /* rotated files kept; 0: 5 */

    /* More keys whose values are secrets, beside those of kv.h: "iban,*_pin" (redact.h). */
    const char *redact_keys;
    /* What is looked for inside of values: "all" (default), "none", or a list (redact.h). */
    const char *redact_values;

    const char *recorder_dir; /* default: SONDE_RECORDER_DIR, $STATE_DIRECTORY, /dev/shm/… */
    uint64_t recorder_bytes;  /* default: 16 MiB, taken as needed */
    /* A call that meets a full recorder waits this long for room, at most 10,000; 0: it never
     * waits, the record is dropped and counted. */
    uint32_t full_wait_ms;
    /* Who reads the recorder and writes logs and sends telemetry: "auto" (default: a server that
     * reads the recorder directory, else a thread of this process), "thread", "server" (no thread
     * of the library at all), as SONDE_DRAIN. */
    const char *drain;
    /* Where unsent telemetry goes while a receiver is away longer than the recorder lasts; NULL:
     * nowhere, the oldest is dropped and counted. spool_bytes: at most this; 0: 64 MiB. */
    const char *spool_dir;
    uint64_t spool_bytes;

    /* As OTEL_TRACES_SAMPLER and _ARG, and "ratelimited", "parentbased_ratelimited" with the number
     * of new traces a second. */
    const char *sampler;
    const char *sampler_arg;
    /* Exports an unsampled trace's spans of this process when their local root fails. */
    bool always_on_error;

    /* OTLP is sent only when an endpoint is named here or in the environment, or when
     * OTEL_{TRACES,METRICS,LOGS}_EXPORTER says otlp: a program without a collector is silent. */
    const char *otlp_endpoint;   /* base, "http://127.0.0.1:4318": /v1/traces … are appended */
    const char *otlp_protocol;   /* "http/protobuf" (default), "http/json", "grpc" */
    const char *otlp_headers;    /* "key=value,key2=value2" */
    uint32_t metric_interval_ms; /* 0: 60,000 */

    /* "9464", "127.0.0.1:9464", ":9464" is all addresses; several with commas; NULL: none. */
    const char *admin_addr;
    const char *admin_token;  /* bearer token that the /debug paths require; NULL: none */
    uint32_t stop_timeout_ms; /* sonde_stop takes no longer than this; 0: 5,000 */
    bool ignore_environment;  /* the options alone decide */

    sonde_http_options http;
    sonde_db_options db;
    sonde_health_options health;
} sonde_options;

/* Starts the library: opens the recorder, picks up what dead processes of the same service left,
 * starts the drainer and, where told to, the admin port. `options` may be NULL.
 *
 * Returns 0, also when something optional could not be had (no recorder directory, admin port in
 * use: one line on stderr says so, and the program runs on); -1 when the library stays off (no
 * memory). Calling it again while it runs does nothing and returns 0; after sonde_stop it starts
 * anew. Thread-safe; not for signal handlers. A child of fork() needs no call of its own. */
int sonde_start(const sonde_options *options);

/* Drains and sends what was recorded, within options.stop_timeout_ms, and stops all threads of the
 * library. What could not be sent in that time stays in the recorder file and is picked up by the
 * next start or by `sonde recover`. Also called at exit(). Twice is fine. Thread-safe; not for
 * signal handlers. */
void sonde_stop(void);

/* Waits until everything recorded before the call was taken by every sink, at most timeout_ms.
 * False when the time ran out (or the library is off). */
bool sonde_flush(uint32_t timeout_ms);

/* Writes for people what the library is doing, to a file descriptor (2: stderr): whether it runs,
 * the recorder, each sink with its state (what it has taken, what failed last and since when it
 * waits), what was recorded and what was dropped for which reason, and every setting with the place
 * that it comes from. Secrets are redacted. The first thing to look at when no logs appear, metrics
 * do not change or traces do not show. Takes at most a quarter of a second, and the time to write.
 * Thread-safe, also before sonde_start and after sonde_stop; not for signal handlers. */
void sonde_describe(int fd);

/* The port that the admin server listens on (for an address with port 0); 0: there is none. */
uint16_t sonde_admin_port(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif

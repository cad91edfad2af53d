// SPDX-License-Identifier: Apache-2.0
/* What the library was told: defaults, then the program's sonde_options, then the environment, each
 * over the one before (the operator of a compiled program can change only the environment).
 * Resource attributes merge key by key in the same order. A value that does not parse costs one
 * line on stderr and counts as unset. Filled once by sonde_start, read-only afterwards. */
#ifndef SONDE_LIB_ENV_H
#define SONDE_LIB_ENV_H

#include "sonde/start.h"

#include "codec/otlp.h"

/* How one signal leaves the process. */
typedef struct {
    bool otlp;    /* send by OTLP/HTTP to `url` */
    bool console; /* traces and metrics: JSON lines beside the log lines */
    bool set;     /* OTEL_<SIGNAL>_EXPORTER was given */
    bool has_url; /* an endpoint was given */
    str url;      /* complete, with the signal's path */
    str headers;  /* "Name: value" lines, each ended by a newline */
    str ca_file, client_certificate, client_key;
    otlp_format format;
    bool gzip;
    uint32_t timeout_ms;        /* of one request */
    uint32_t export_timeout_ms; /* the batch processor's; the smaller one holds */
    uint32_t schedule_ms;       /* longest wait before a batch is sent */
    uint32_t queue_max; /* undrained records of the signal; 0: the recorder's size decides */
    uint32_t batch_max; /* records in one request */
} signal_settings;

typedef enum {
    SAMPLER_ALWAYS_ON,
    SAMPLER_ALWAYS_OFF,
    SAMPLER_RATIO,
} sampler_kind;

typedef enum { LOG_TO_STDOUT, LOG_TO_STDERR, LOG_TO_FILE, LOG_TO_NONE } log_output_kind;

typedef struct settings {
    arena arena;
    bool disabled;
    attrs resource; /* service.name is always there */
    uint32_t resource_capacity;
    str service, version, environment; /* as in `resource`; empty when absent */

    uint8_t log_severity; /* OpenTelemetry severity number of the lowest level kept */
    log_output_kind log_output;
    str log_path;
    uint64_t log_rotate_bytes; /* 0: never */
    uint32_t log_rotate_keep;

    str recorder_dir; /* empty: the recorder's own rules */
    uint64_t recorder_bytes;
    str admin_addr; /* empty: no port */

    bool tracecontext, baggage; /* propagators */
    sampler_kind sampler;
    bool sampler_parent_based;
    double sampler_ratio;

    uint32_t attribute_count_max[SIGNAL_COUNT];  /* UINT32_MAX: none */
    uint32_t attribute_length_max[SIGNAL_COUNT]; /* UINT32_MAX: none */

    uint32_t metric_interval_ms;
    uint32_t stop_timeout_ms;
    bool http_old_names; /* http.method and http.status_code beside the stable names */
    signal_settings signal[SIGNAL_COUNT];
} settings;

/* Fills *ret; what cannot be used is reported on stderr. Fails only without memory. `options` may
 * be NULL. settings_done frees. */
MUST_USE status settings_load(settings *ret, const sonde_options *options, error *err);
void settings_done(settings *s);

/* The value of a variable; the empty string when unset or empty. */
str env_get(const char *name);
/* One line on stderr, written with one system call: "sonde: …". */
void lib_warn(const char *format, ...) PRINTF_LIKE(1, 2);

#endif

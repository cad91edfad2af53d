// SPDX-License-Identifier: Apache-2.0
/* What the library was told: defaults, then the program's sonde_options, then the environment, each
 * over the one before (the operator of a compiled program can change only the environment).
 * Resource attributes merge key by key in the same order. A value that does not parse costs one
 * line on stderr and counts as unset. Filled once by sonde_start, read-only afterwards. */
#ifndef SONDE_LIB_ENV_H
#define SONDE_LIB_ENV_H

#include "sonde/start.h"

#include "codec/otlp.h"

typedef enum { FROM_DEFAULT, FROM_OPTION, FROM_ENVIRONMENT } setting_origin;

/* A setting that was given and could be used, by the name of its variable. */
typedef struct {
    str variable;
    str text;
    setting_origin from;
} given_setting;

/* How one signal leaves the process. */
typedef struct {
    bool otlp;     /* send by OTLP to `url` */
    bool zipkin;   /* traces: send as Zipkin v2 JSON to `zipkin_url` */
    bool grpc;     /* OTLP over gRPC instead of HTTP */
    bool insecure; /* OTEL_EXPORTER_OTLP_INSECURE: gRPC to an endpoint without a scheme */
    bool console;  /* traces and metrics: JSON lines beside the log lines */
    bool set;      /* OTEL_<SIGNAL>_EXPORTER was given */
    bool has_url;  /* an endpoint was given */
    str url;       /* complete, with the signal's or the service's path */
    str headers;   /* "Name: value" lines, each ended by a newline */
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
    SAMPLER_RATE, /* sampler_rate new traces a second */
} sampler_kind;

typedef enum { DRAIN_AUTO, DRAIN_THREAD, DRAIN_SERVER } drain_kind;
typedef enum { PREFER_CUMULATIVE, PREFER_DELTA, PREFER_LOWMEMORY } temporality_preference;
typedef enum { EXEMPLARS_TRACE_BASED, EXEMPLARS_ALWAYS_ON, EXEMPLARS_ALWAYS_OFF } exemplar_filter;
typedef enum {
    PROPAGATE_TRACECONTEXT,
    PROPAGATE_BAGGAGE,
    PROPAGATE_B3,
    PROPAGATE_B3_MULTI,
    PROPAGATE_XRAY,
    PROPAGATE_JAEGER,
} propagator_kind;

typedef enum { LOG_TO_STDOUT, LOG_TO_STDERR, LOG_TO_FILE, LOG_TO_NONE } log_output_kind;

typedef struct settings {
    arena arena;
    bool disabled;
    attrs resource; /* service.name is always there */
    uint32_t resource_capacity;
    str service, version, environment; /* as in `resource`; empty when absent */

    uint8_t log_severity; /* OpenTelemetry severity number of the lowest level kept */
    str log_levels;       /* "name=level,…", as given; empty: none */
    log_output_kind log_output;
    str log_path;
    str log_format;            /* empty: json, or console when stdout is a terminal */
    uint64_t log_rotate_bytes; /* 0: never */
    uint32_t log_rotate_age_s; /* 0: never */
    uint32_t log_rotate_keep;

    str recorder_dir; /* empty: the recorder's own rules */
    uint64_t recorder_bytes;
    uint32_t full_wait_ms;
    drain_kind drain;
    str spool_dir; /* empty: no spool */
    uint64_t spool_bytes;
    str redact_keys, redact_values;
    str admin_addr; /* empty: no port */
    str admin_token;

    uint32_t propagators; /* bits: 1 << propagator_kind */
    sampler_kind sampler;
    bool sampler_parent_based;
    double sampler_ratio;
    double sampler_rate;
    bool always_on_error;

    uint32_t attribute_count_max[SIGNAL_COUNT];  /* UINT32_MAX: none */
    uint32_t attribute_length_max[SIGNAL_COUNT]; /* UINT32_MAX: none */

    uint32_t metric_interval_ms;
    uint32_t stop_timeout_ms;
    temporality_preference temporality;
    bool exponential_histograms; /* the default aggregation of histograms without bounds */
    exemplar_filter exemplars;
    bool http_old_names; /* http.method and http.status_code beside the stable names */
    bool db_old_names;   /* db.system and db.statement beside the stable names */
    uint32_t span_event_max, span_link_max, event_attribute_max, link_attribute_max;
    signal_settings signal[SIGNAL_COUNT];
    str zipkin_url;
    uint32_t zipkin_timeout_ms;

    given_setting *given;
    uint32_t given_count, given_capacity;
} settings;

/* Fills *ret; what cannot be used is reported on stderr. Fails only without memory. `options` may
 * be NULL. settings_done frees. */
MUST_USE status settings_load(settings *ret, const sonde_options *options, error *err);
void settings_done(settings *s);

/* The value of a variable; the empty string when unset or empty. */
str env_get(const char *name);
/* Where a setting comes from, by its variable's name; NULL: the default holds. */
const given_setting *settings_given(const settings *s, str variable);

/* One line on stderr, written with one system call: "sonde: …". OTEL_LOG_LEVEL can silence them. */
void lib_warn(const char *format, ...) PRINTF_LIKE(1, 2);
void lib_error(const char *format, ...) PRINTF_LIKE(1, 2);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, gauges and histograms.
 *
 *     sonde_counter *orders = sonde_counter_new("orders_total", "Orders taken.",
 *                                               SONDE_LABELS("currency"));
 *     sonde_counter_add(orders, 1, "EUR");                        // labels by position
 *
 *     sonde_bound_counter *eur = sonde_counter_bind(orders, "EUR"); // resolved once …
 *     sonde_counter_add(eur, 1);                                    // … then costs nothing
 *
 *     SONDE_TIMER(duration, "/users/{id}") { … }                  // seconds, also on return
 *
 * Names and units are kept as they are given: "http_requests_total" and "http.server.duration" with
 * .unit = "s" both work, and are translated where a protocol wants other names.
 *
 * Values are written into the recorder: what was added before a crash is exported after it. Metrics
 * may be made and used before sonde_start; their values move in when it starts. After sonde_stop
 * they count from zero again.
 *
 * Every function takes NULL for a metric and then does nothing. All are thread-safe without a lock
 * of the caller. What cannot be counted is counted itself, in
 * sonde_dropped_total{signal="metrics"}: a wrong number of labels, a counter that would fall, a
 * NaN, a full recorder. A metric has at most `series_limit` series (2,000); what comes after goes
 * to the series {otel.metric.overflow="true"}.
 *
 * An update of a counter or histogram inside of a sampled span leaves an exemplar: the value with
 * the trace and span id, one for each span.
 *
 * In a signal handler: adding integers to a bound counter and setting a bound gauge are safe. After
 * fork: everything is; the child counts from zero in a recorder of its own. */
#ifndef SONDE_METRIC_H
#define SONDE_METRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define SONDE_METRIC_LABELS_MAX 12   /* label names of one metric */
#define SONDE_METRIC_BOUNDS_MAX 128  /* bounds of one histogram */
#define SONDE_METRIC_VALUE_MAX  1024 /* bytes of a label value; longer ones are cut */

typedef struct sonde_counter sonde_counter;
typedef struct sonde_gauge sonde_gauge;
typedef struct sonde_histogram sonde_histogram;
/* One series of a metric. Never freed by the caller; valid as long as the metric is. */
typedef struct sonde_bound_counter sonde_bound_counter;
typedef struct sonde_bound_gauge sonde_bound_gauge;
typedef struct sonde_bound_histogram sonde_bound_histogram;

/* Label names of a metric: SONDE_LABELS("method", "route"), or SONDE_LABELS() for none. */
typedef struct {
    const char *const *names; /* ended by NULL; NULL: none */
} sonde_labels;

/* Upper bounds of a histogram's buckets, rising: SONDE_BOUNDS(0.1, 0.5, 1). */
typedef struct {
    const double *values;
    size_t count;
} sonde_bounds;

/* All of it may be zero but the name. Everything is copied. */
typedef struct {
    const char *name;
    const char *help;
    sonde_labels labels;
    const char *unit; /* UCUM, as OpenTelemetry has it: "s", "By", "{request}" */
    /* Histograms. None: 0.005 to 10 for one in seconds (unit "s", or a name that ends in
     * "seconds"), else OpenTelemetry's default 0, 5, 10, 25, … 10000. */
    sonde_bounds bounds;
    /* Histograms without bounds: buckets that grow by a factor and adapt to the values
     * (OpenTelemetry's exponential histogram, Prometheus's native one), so that any quantile is
     * right within a few percent. Also the default of all histograms without bounds that are made
     * after a start with OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION =
     * base2_exponential_bucket_histogram. Infinite values are refused. */
    bool exponential;
    uint32_t max_size; /* buckets of one sign, 2 to 320; 0: 160 */
    int32_t max_scale; /* resolution to begin with, -10 to 20: 2^scale buckets for a factor of 2;
                          0: 20 */
    uint32_t series_limit; /* 0: 2,000 */
    /* A series that was not updated for so many seconds is no longer exported, and makes room for
     * others below the limit. Its next update, also by a bound handle, brings it back, counted from
     * zero and with a new start time. Noticed when metrics are collected. 0: never. */
    uint32_t expire_s;
} sonde_metric_options;

/* ---- making ----
 *
 * sonde_counter_new(name, help, SONDE_LABELS(…), .unit = "By"): what follows the labels are members
 * of sonde_metric_options. A name that exists already, with the same kind and labels, gives the
 * same metric once more (each _new wants its _free). NULL, and one line on stderr, when the name
 * exists as something else, is empty, or there is no memory. Not for signal handlers. */
#ifndef __cplusplus
#define SONDE_LABELS(...) \
    ((sonde_labels){ (const char *const[SONDE_METRIC_LABELS_MAX + 1]){ __VA_ARGS__ } })
#define SONDE_BOUNDS(...) \
    ((sonde_bounds){ (const double[]){ __VA_ARGS__ }, \
                     sizeof((const double[]){ __VA_ARGS__ }) / sizeof(double) })
#define SONDE_METRIC_(name_, help_, ...) \
    (&(sonde_metric_options){ .name = (name_), .help = (help_), .labels = __VA_ARGS__ })
#define sonde_counter_new(name, help, ...) \
    sonde_counter_create(SONDE_METRIC_(name, help, __VA_ARGS__))
#define sonde_updown_counter_new(name, help, ...) \
    sonde_updown_counter_create(SONDE_METRIC_(name, help, __VA_ARGS__))
#define sonde_gauge_new(name, help, ...) sonde_gauge_create(SONDE_METRIC_(name, help, __VA_ARGS__))
#define sonde_histogram_new(name, help, ...) \
    sonde_histogram_create(SONDE_METRIC_(name, help, __VA_ARGS__))
#endif

/* Only rises. */
sonde_counter *sonde_counter_create(const sonde_metric_options *options);
/* Rises and falls: a sum of parts, such as connections open. */
sonde_counter *sonde_updown_counter_create(const sonde_metric_options *options);
sonde_gauge *sonde_gauge_create(const sonde_metric_options *options);
sonde_histogram *sonde_histogram_create(const sonde_metric_options *options);

/* A gauge that is read when metrics are collected: `read` sets its series, sonde_gauge_set(gauge,
 * v, labels…), from a thread of the library or of whoever asks for /metrics; never from two at
 * once. It makes and frees no metrics itself. */
typedef void sonde_gauge_read(sonde_gauge *gauge, void *user);
sonde_gauge *sonde_gauge_callback_create(const sonde_metric_options *options,
                                         sonde_gauge_read *read, void *user);
/* sonde_gauge_callback(name, help, read, user, SONDE_LABELS(…)) */
#ifndef __cplusplus
#define sonde_gauge_callback(name, help, read, user, ...) \
    sonde_gauge_callback_create(SONDE_METRIC_(name, help, __VA_ARGS__), (read), (user))
#endif

/* The metric is no longer exported once each _new has had its _free. No thread may use it or its
 * bound handles then; for a callback this also waits until it does not run. */
void sonde_counter_free(sonde_counter *c);
void sonde_gauge_free(sonde_gauge *g);
void sonde_histogram_free(sonde_histogram *h);

/* ---- using ----
 *
 * sonde_counter_add(c, n, labels…), sonde_gauge_set(g, v, labels…), sonde_gauge_add(g, v, labels…),
 * sonde_histogram_record(h, v, labels…): c, g and h are a metric with one value for each of its
 * labels, or a bound handle without labels. A counter takes integers and floating point numbers; it
 * is exported as an integer until the first of the latter. Label values are texts; NULL is "". */

void sonde_counter_add_i64(sonde_counter *c, int64_t n, const char *const *labels, size_t count);
void sonde_counter_add_f64(sonde_counter *c, double n, const char *const *labels, size_t count);
void sonde_bound_counter_add_i64(sonde_bound_counter *c, int64_t n);
void sonde_bound_counter_add_f64(sonde_bound_counter *c, double n);
void sonde_gauge_set_f64(sonde_gauge *g, double v, const char *const *labels, size_t count);
void sonde_gauge_add_f64(sonde_gauge *g, double v, const char *const *labels, size_t count);
void sonde_bound_gauge_set_f64(sonde_bound_gauge *g, double v);
void sonde_bound_gauge_add_f64(sonde_bound_gauge *g, double v);
void sonde_histogram_record_f64(sonde_histogram *h, double v, const char *const *labels,
                                size_t count);
void sonde_bound_histogram_record_f64(sonde_bound_histogram *h, double v);

/* The series of these label values, made when it is new. NULL when it cannot be had (wrong number
 * of labels, no memory), which every verb takes. */
sonde_bound_counter *sonde_counter_bind_labels(sonde_counter *c, const char *const *labels,
                                               size_t count);
sonde_bound_gauge *sonde_gauge_bind_labels(sonde_gauge *g, const char *const *labels, size_t count);
sonde_bound_histogram *sonde_histogram_bind_labels(sonde_histogram *h, const char *const *labels,
                                                   size_t count);

/* ---- timers ---- */

/* What SONDE_TIMER keeps; for use without a scope: t = sonde_timer_start(bound); …
 * sonde_timer_stop(&t). A second stop does nothing. */
typedef struct {
    sonde_bound_histogram *histogram;
    int64_t start_ns;
} sonde_timer;

sonde_timer sonde_timer_start(sonde_bound_histogram *h);
/* Records the seconds since the start. */
void sonde_timer_stop(sonde_timer *t);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#ifdef __cplusplus
#include <sonde/metric_cxx.h>
#else
#include <sonde/metric_verbs.h>
#endif
#endif

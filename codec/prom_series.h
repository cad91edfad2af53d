// SPDX-License-Identifier: Apache-2.0
/* The points of a batch as Prometheus series: what a metric is called, which labels a resource
 * gives, into how many series a point falls, how each is labelled and what it counts. Histograms
 * give _bucket{le}, _count and _sum, summaries quantile series, _count and _sum; an exponential
 * histogram, or one that came as a native histogram, is one series (codec/native_convert.h). The
 * scope PROMETHEUS_SCOPE is taken as it is (codec/prometheus_scope.h). The store and the exporters
 * share this; adding up deltas is theirs. Pure functions; thread-safe. */
#ifndef SONDE_CODEC_PROM_SERIES_H
#define SONDE_CODEC_PROM_SERIES_H

#include "codec/prom_name.h"

#define PROM_STALE_BITS UINT64_C(0x7FF0000000000002)

enum { PROM_SERIES_MAX = 4096 }; /* series of one histogram or summary point */

/* All zero: only job and instance from a resource, names with unit and type. */
typedef struct {
    str prefix;            /* a namespace: "prefix_" before each name; empty: none */
    bool without_suffixes; /* names without unit and type */
    bool utf8;             /* characters of names are kept */
    bool promote;          /* service_name, deployment_environment_name as labels */
    bool resource_labels;  /* every attribute of the resource as a label */
    bool without_service;  /* of those, not the three that job and instance are made of */
    prom_labels more;      /* put to every series that has no such label of its own */
} prom_series_options;

typedef struct {
    str name;
    prom_type type;
    str unit; /* in words */
    str help;
} prom_series_family;

/* What of a family's name and labels tells a point's series apart. */
typedef struct {
    str suffix;      /* "_bucket", … or empty */
    prom_label more; /* le or quantile; name.len 0: none */
} prom_series_part;

/* Whether a metric's names and labels are Prometheus's own. */
bool prom_series_is_native(const batch *b, uint32_t metric);
/* Whether the metric can be series at all: it has a type and a usable name. */
bool prom_series_acceptable(const batch *b, uint32_t metric, buf *scratch);

/* Copies to `a`. False without memory or a usable name. */
MUST_USE bool prom_series_family_of(arena *a, const batch *b, uint32_t metric,
                                    const prom_series_options *o, prom_series_family *ret);
/* The labels that a resource gives to each series of metrics that are native or not. */
MUST_USE bool prom_series_resource(arena *a, const attrs *resource, bool native,
                                   const prom_series_options *o, prom_labels *ret);
/* Labels of the resource's target_info series, without __name__; empty: there is none. */
MUST_USE bool prom_series_target_info(arena *a, const attrs *resource, bool native,
                                      const prom_series_options *o, prom_labels *ret);
/* What is the same for many points of a batch, found once. */
typedef struct {
    prom_series_family *families; /* by metric; name.len 0: it can be no series */
    bool *native;                 /* by metric */
    prom_labels *resources;       /* two by resource, the second for native metrics */
} prom_series_tables;
MUST_USE bool prom_series_tables_make(arena *a, const batch *b, const prom_series_options *o,
                                      prom_series_tables *ret);
/* Where in `resources` the labels of a metric's resource are. */
static inline uint32_t prom_series_resource_at(const prom_series_tables *t, const batch *b,
                                               uint32_t metric)
{
    return 2 * b->scopes[b->metrics[metric].scope].resource + (t->native[metric] ? 1 : 0);
}

/* A point's attributes and the resource's labels together. */
MUST_USE bool prom_series_point(arena *a, const attrs *point, bool native,
                                const prom_series_options *o, const prom_labels *base,
                                prom_labels *ret);

/* Number of series of a point, at most PROM_SERIES_MAX; 0: more than that. */
uint32_t prom_series_count(metric_type type, const point_value *v);
/* What series number n is, in the order of prom_series_values. False without memory. */
MUST_USE bool prom_series_part_of(arena *a, metric_type type, const point_value *v, uint32_t n,
                                  bool native, prom_series_part *ret);
/* The complete labels, __name__ too, sorted by name. False without memory. */
MUST_USE bool prom_series_labels(arena *a, const prom_labels *point, str family,
                                 const prom_series_part *part, prom_labels *ret);

/* Values of a classic histogram's or summary's series, in their order; ret has room for all of
 * them. Returns how many: one less than the series when the sum, which is the last, is not known.
 */
uint32_t prom_series_values(metric_type type, const point_value *v, double *ret);

static inline double prom_number(const point_value *v)
{
    return v->is_int ? (double)v->i64 : v->f64;
}

/* ---- exemplars ---- */

/* Ids of its trace and its attributes, sorted by name. False without memory. */
MUST_USE bool prom_series_exemplar(arena *a, const exemplar *x, prom_labels *ret);
/* Number of the point's series that it belongs to: of a classic histogram its bucket's. */
uint32_t prom_series_of_exemplar(metric_type type, const point_value *v, const exemplar *x);

static inline double prom_exemplar_number(const exemplar *x)
{
    return x->is_int ? (double)x->i64 : x->f64;
}

static inline double prom_stale_marker(void)
{
    uint64_t bits = PROM_STALE_BITS;
    double d;
    memcpy(&d, &bits, 8);
    return d;
}

static inline bool prom_is_stale(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, 8);
    return bits == PROM_STALE_BITS;
}

/* Milliseconds since 1970, rounded down also before it. */
static inline int64_t prom_ms(int64_t ns)
{
    int64_t ms = ns / NS_PER_MS;
    return ns % NS_PER_MS < 0 ? ms - 1 : ms;
}

/* Nanoseconds of a point whose time is known: OTLP's 0 says that it is not. */
static inline int64_t prom_ns(int64_t ms)
{
    return ms ? ms * NS_PER_MS : 1;
}

#endif

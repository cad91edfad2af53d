// SPDX-License-Identifier: Apache-2.0
/* Metrics pages as scrapers read them: Prometheus text 0.0.4 and 1.0.0, OpenMetrics 1.0, protobuf
 * (io.prometheus.client.MetricFamily, delimited). A page is read into samples, one for each series
 * as Prometheus has them ("x_bucket" with le); who scrapes changes their labels, and then
 * exposition_append makes points of them, histograms and summaries again where their parts are
 * complete. Labels le and quantile are written as Prometheus 3 does ("1.0").
 * Texts point into the page's bytes or its arena. One thread per page. */
#ifndef SONDE_CODEC_EXPOSITION_H
#define SONDE_CODEC_EXPOSITION_H

#include "codec/batch.h"
#include "codec/prom_name.h"

typedef enum { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS, EXPOSITION_PROTOBUF } exposition_format;

/* By a Content-Type header. False when it names no format that is known. */
MUST_USE bool exposition_format_of(str content_type, exposition_format *ret);
const char *exposition_format_name(exposition_format f);

typedef enum {
    FAMILY_UNKNOWN,
    FAMILY_COUNTER,
    FAMILY_GAUGE,
    FAMILY_HISTOGRAM,
    FAMILY_GAUGE_HISTOGRAM,
    FAMILY_SUMMARY,
    FAMILY_INFO,
    FAMILY_STATESET,
    FAMILY_TYPES
} family_type;

/* What a sample is in its family, by its name's suffix. */
typedef enum {
    PART_VALUE, /* all there is: of gauges, unknown ones, info and state sets */
    PART_TOTAL,
    PART_BUCKET,
    PART_SUM,
    PART_COUNT,
    PART_QUANTILE,
    PART_CREATED,
    PART_NATIVE /* a whole native histogram */
} sample_part;

typedef struct {
    str name, help, unit;
    family_type type;
    bool has_type, has_help, has_unit;
} exposition_family;

#define EXPOSITION_NO_FAMILY UINT32_MAX
/* The last time that nanoseconds since 1970 hold, in 2262, and as long before 1970. */
#define EXPOSITION_TIME_MS_MAX (INT64_MAX / NS_PER_MS)

typedef struct {
    uint64_t hash; /* of the series as it stands on the page, the same in each scrape */
    str name;
    prom_label *labels; /* sorted by name, no name twice; without the metric's name; values may
                           be empty, which is as absent, but hides a target's */
    uint32_t label_count;
    uint32_t family;
    uint32_t line; /* 0: protobuf */
    sample_part part;
    bool has_time;
    bool stale;         /* set by who scrapes: a marker that the series ended */
    int64_t time_ms;    /* within EXPOSITION_TIME_MS_MAX */
    int64_t created_ns; /* 0: not said */
    double value;
    exemplar *exemplars; /* of this sample; NULL: none */
    uint32_t exemplar_count;
    exp_histogram_value *native; /* PART_NATIVE */
} exposition_sample;

typedef struct {
    bool lenient;  /* OpenMetrics: what the standard forbids and Prometheus reads is no error */
    bool native;   /* protobuf: native histograms rather than their classic buckets */
    bool classic;  /* with native: the classic buckets, too */
    bool customs;  /* classic histograms become native ones with their bounds */
    size_t memory; /* bytes that a page's samples may take; 0: 256 MiB */
    uint32_t sample_limit; /* samples that a page may have; 0: 10,000,000 */
} exposition_options;

typedef struct {
    arena arena;
    exposition_family *families;
    uint32_t family_count, family_capacity;
    exposition_sample *samples;
    uint32_t sample_count, sample_capacity;
    bool classic, customs; /* of its options */
} exposition_page;

/* Reads a whole page. STATUS_INVALID says line, what is wrong and what would be right;
 * STATUS_LIMIT. `ret` must be done in any case; `options` may be NULL. */
MUST_USE status exposition_read(exposition_page *ret, exposition_format format, str body,
                                const exposition_options *options, error *err);
void exposition_done(exposition_page *p);

/* Adds a sample that stands on no page ("up"): a gauge. NULL without memory. */
exposition_sample *exposition_add(exposition_page *p, str name, double value);

/* Appends samples as points to a metrics batch, in scope PROMETHEUS_SCOPE; the labels job and
 * instance become the resource. Samples without a time of their own get `time_ns`. What the batch
 * then points to is the page's arena, and its bytes. False at the batch's limit. */
MUST_USE bool exposition_append(const exposition_page *p, const exposition_sample *samples,
                                uint32_t count, int64_t time_ns, batch *to);

/* The value of a label; empty when absent. */
str exposition_label(const exposition_sample *s, str name);
/* A number as le and quantile have it: "1.0", "0.005", "1e+06", "+Inf". */
void exposition_number(buf *out, double v);
/* As the formats allow numbers: decimal, NaN, Inf; not hexadecimal. */
MUST_USE bool exposition_parse_number(str s, double *ret);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Prometheus remote write 1.0 (prometheus.WriteRequest) and 2.0 (io.prometheus.write.v2.Request),
 * both ways; whoever calls takes snappy off or puts it on. https://prometheus.io/docs/specs/prw/
 *
 * In: series come into scope PROMETHEUS_SCOPE (codec/prometheus_scope.h): each is a gauge, or a
 * cumulative sum where its metadata says that it counts, by its full name; a native histogram is an
 * exponential one, or with bounds of its own a histogram. Out: codec/prom_series.h. */
#ifndef SONDE_CODEC_REMOTE_WRITE_H
#define SONDE_CODEC_REMOTE_WRITE_H

#include "base/buf.h"
#include "codec/batch.h"
#include "codec/prom_series.h"

typedef enum { REMOTE_WRITE_1, REMOTE_WRITE_2 } remote_write_version;

/* By a Content-Type header: application/x-protobuf, with or without the message's name in `proto`.
 * False when it is neither version. */
MUST_USE bool remote_write_version_of(str content_type, remote_write_version *ret);
const char *remote_write_content_type(remote_write_version v);
/* X-Prometheus-Remote-Write-Version: "0.1.0", "2.0.0" */
const char *remote_write_version_text(remote_write_version v);

/* ---- in ---- */

/* What version 1.0 says about metrics, mostly in requests of its own: kept from request to request.
 * Any thread. Bounded; what does not fit any more is forgotten. */
typedef struct remote_write_types remote_write_types;
MUST_USE status remote_write_types_new(remote_write_types **ret, error *err);
void remote_write_types_free(remote_write_types *t); /* NULL is fine */

typedef struct {
    uint32_t max_rows;   /* samples and histograms of one request; 0: 1,048,576 */
    uint32_t max_labels; /* of one series; 0: 1,024 */
} remote_write_limits;

typedef struct {
    uint32_t samples, histograms, exemplars; /* taken */
    uint32_t rejected;                       /* samples and histograms left out */
    char message[256];                       /* why the first of them was */
} remote_write_result;

/* Appends to b (signal metrics, usually fresh). Texts are views into `bytes` where they can be.
 * Series with labels that cannot be (no name, one twice, not UTF-8, a reference to nothing),
 * histograms that contradict themselves and times before 1970 or after 2262 are left out, each for
 * itself. STATUS_INVALID: malformed, with the place; STATUS_LIMIT, STATUS_NO_MEMORY: b then holds a
 * part; clear it. limits and types may be NULL. */
MUST_USE status remote_write_decode(batch *b, str bytes, remote_write_version v,
                                    const remote_write_limits *limits, remote_write_types *types,
                                    remote_write_result *ret, error *err);

/* ---- out ---- */

typedef struct {
    remote_write_version version;
    prom_series_options series;
    bool target_info;    /* a series of each resource's attributes */
    bool metadata;       /* version 1.0: type, help and unit of the families */
    size_t max_bytes;    /* at which another request is begun; 0: 3,000,000 */
    int64_t received_ns; /* time of points without one */
} remote_write_options;

typedef struct {
    uint32_t points;  /* of the batch that went out */
    uint32_t deltas;  /* points left out: delta temporality */
    uint32_t refused; /* points left out: no usable name, too many series, scale below -4 */
    uint32_t samples, histograms, exemplars;
} remote_write_counts;

/* Takes one request, and how many samples and histograms it has; its failure ends the encoding. */
typedef status remote_write_sink(void *user, str body, uint32_t samples, error *err);
/* The points of b, those of one series together and by time, as one request or several. */
MUST_USE status remote_write_encode(const batch *b, const remote_write_options *options,
                                    remote_write_sink *sink, void *user, remote_write_counts *ret,
                                    error *err);

#endif

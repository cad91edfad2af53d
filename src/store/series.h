// SPDX-License-Identifier: Apache-2.0
/* Series in memory, and how OTLP metric points become their samples. A point's identity (resource,
 * metric, attributes, bounds) leads to its series without building labels once it was seen.
 * The caller locks series_table; a mem_series lives in its mem_part. */
#ifndef SONDE_STORE_SERIES_H
#define SONDE_STORE_SERIES_H

#include "base/map.h"
#include "store/bytes.h"
#include "store/store.h"

#include <stdatomic.h>

/* A histogram is a sample whose value is a NaN that holds its address (histogram_boxed): lists of
 * samples are sorted, cut and joined without looking. Such NaNs exist within the store only, and
 * numbers that come from outside are made others first (value_tamed). */
typedef struct {
    int64_t time_ms;
    double value;
} sample;

#define HISTOGRAM_BOX UINT64_C(0x7FF4)

static inline bool value_is_histogram(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, 8);
    return bits >> 48 == HISTOGRAM_BOX;
}

static inline const histogram *value_histogram(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, 8);
    return (const histogram *)(uintptr_t)(bits & ((UINT64_C(1) << 48) - 1));
}

static inline double histogram_boxed(const histogram *h)
{
    uint64_t bits = (uint64_t)(uintptr_t)h | HISTOGRAM_BOX << 48;
    double v;
    memcpy(&v, &bits, 8);
    return v;
}

/* A number; NaNs that would be taken for a histogram are the usual one. */
static inline double value_tamed(double v)
{
    return UNLIKELY(v != v && value_is_histogram(v)) ? __builtin_nan("") : v;
}

typedef struct sample_chunk {
    struct sample_chunk *next;
    uint32_t count;
    uint32_t capacity : 31;
    uint32_t histograms : 1; /* some of its samples are */
    sample samples[];
} sample_chunk;

/* Labels of a series; counted, because parts of memory outlive the table's interest. */
typedef struct {
    atomic_uint refs;
    uint32_t key_len;
    /* newest place in memory, valid while generation is the receiving part's */
    uint64_t generation;
    struct mem_series *newest;
    bool delta_known; /* the two that follow have what is in sealed parts */
    double delta_sum; /* of points of delta temporality: what was added up so far */
    struct delta_histogram *delta_histogram; /* the same of histograms, NULL at first */
    char key[];                              /* per label, sorted by name: text name, text value */
} series_key;

typedef struct mem_series {
    series_key *key;
    struct mem_series *same_name; /* the one before it whose metric name is the same */
    sample_chunk *first, *last;
    int64_t min_ms, max_ms;
    uint64_t count;
    struct exemplar_ring *exemplars; /* NULL: none */
} mem_series;

typedef struct {
    str name, type, unit, help;
} family;

/* The samples of one part in memory. Writers and readers hold the store's metrics lock; a reader
 * may keep series[0..count) and chunk contents as they were, they never move. */
typedef struct {
    uint64_t generation;
    arena memory;
    mem_series **series;
    uint32_t count, capacity;
    map names; /* metric name -> its newest mem_series */
    uint64_t samples;
    family *families;
    uint32_t family_count, family_capacity;
} mem_metrics;

void mem_metrics_init(mem_metrics *m, uint64_t generation);
void mem_metrics_done(mem_metrics *m);

struct series_before;

typedef struct series_table {
    map keys;       /* label bytes -> series_key */
    map identities; /* -> identity */
    map resources;  /* -> known_resource */
    map metrics;    /* -> known_metric */
    arena memory;   /* identities, resources, metrics */
    uint32_t next_id;
    uint64_t trims; /* how often keys were forgotten */
    buf scratch, label_scratch;
} series_table;

enum { SERIES_MAX = 2000000 };

void series_table_init(series_table *t);
void series_table_done(series_table *t);
/* Forgets the fast paths when they have grown far beyond what `live` series need; but not the sums
 * of deltas with samples of `unsealed` or later generations, which sealed parts do not have yet. */
void series_table_trim(series_table *t, uint32_t live, uint64_t unsealed);

/* Whether a batch has points whose values are added up: then series_append wants to know what
 * their series had before. */
bool series_has_deltas(const batch *b);
/* Adds the batch's points (those whose skip byte is not set). Points that cannot be series are
 * counted in *ret_refused with the reason of the first. before: NULL when there are no deltas. */
MUST_USE status series_append(series_table *t, mem_metrics *m, const batch *b, const uint8_t *skip,
                              struct series_before *before, int64_t received_ns,
                              uint64_t *ret_samples, uint32_t *ret_refused, char *reason,
                              size_t reason_size, error *err);
/* Whether a point can be series at all: its name has a usable character and its type is known. */
bool series_point_acceptable(const batch *b, uint32_t metric, buf *scratch);

/* ---- label bytes ---- */

void label_key_write(buf *out, const label *labels, uint32_t count); /* sorted by name */
/* The value of a label, empty when absent. */
str label_key_get(str key, str name);
/* Decodes into `a`; views into key. */
MUST_USE bool label_key_labels(str key, arena *a, const label **ret, uint32_t *ret_count);
/* Order of label sets: name by name, value by value. */
int label_key_cmp(str a, str b);

#endif

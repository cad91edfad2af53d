// SPDX-License-Identifier: Apache-2.0
/* Synthetic telemetry for `sonde gen`: batches whose items carry numbers that never repeat in a
 * run, so that a reader can account for each. One gen_source per thread. */
#ifndef SONDE_CMD_GEN_ITEMS_H
#define SONDE_CMD_GEN_ITEMS_H

#include "base/random.h"
#include "codec/batch.h"

typedef struct {
    signal_kind signal;
    uint32_t services; /* at least 1 */
    uint32_t series;   /* of metrics, over all services and workers; at least 1 */
    uint32_t workers;
    uint32_t
        worker;   /* this one, from 0; metrics: it writes the series s with s % workers == worker */
    char run[17]; /* attribute gen.run of every item */
} gen_options;

typedef struct {
    gen_options options;
    random_state random;
    arena texts;           /* texts that all batches share */
    str *services;         /* names: "gen-0" … */
    str *series;           /* label values of this worker's series: "s-0" … */
    uint32_t series_count; /* 0 with fewer series than workers: then it has nothing to do */
    uint32_t next_series;
    int64_t round_ns; /* time of this pass over the series; rises by at least 1 ms */
} gen_source;

MUST_USE status gen_source_init(gen_source *s, const gen_options *options, error *err);
void gen_source_done(gen_source *s);

/* Fills `b` (fresh or cleared) with `count` items, numbered from `first` on.
 * Logs and spans: attribute gen.number, time now; five spans make a trace. Metrics: the gauge
 * gen.number, whose value is the item's number; no series has two samples in one millisecond. */
MUST_USE status gen_fill(gen_source *s, batch *b, uint64_t first, uint32_t count, error *err);

#endif

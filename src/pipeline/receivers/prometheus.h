// SPDX-License-Identifier: Apache-2.0
/* The prometheus receiver, as others in the server see it: its targets, for the Prometheus API. */
#ifndef SONDE_PIPELINE_PROMETHEUS_H
#define SONDE_PIPELINE_PROMETHEUS_H

#include "codec/prom_name.h"

typedef struct {
    str job; /* the scrape pool */
    str url;
    const prom_label *labels, *discovered;
    uint32_t label_count, discovered_count;
    const char *health; /* "up", "down", "unknown" */
    const char *last_error;
    int64_t last_scrape_ns, last_duration_ns;
    int64_t interval_ns, timeout_ns;
} prometheus_target;

typedef void prometheus_target_sink(void *user, const prometheus_target *t);

/* Every target of every prometheus receiver that runs; any thread. The sink must not wait. */
void prometheus_receiver_targets(prometheus_target_sink *sink, void *user);

/* A scrape configuration, and how many of its targets relabeling dropped. */
typedef void prometheus_pool_sink(void *user, str job, uint32_t dropped);

/* Every pool, those without targets too; as prometheus_receiver_targets. */
void prometheus_receiver_pools(prometheus_pool_sink *sink, void *user);

#endif

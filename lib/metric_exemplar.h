// SPDX-License-Identifier: Apache-2.0
/* Exemplars: a counter's or bucket's newest update inside of a span, with the span's ids, one for
 * each span. A series gets room for them at its first. */
#ifndef SONDE_LIB_METRIC_EXEMPLAR_H
#define SONDE_LIB_METRIC_EXEMPLAR_H

#include "lib/env.h"
#include "lib/metric.h"
#include "lib/state_thread.h"

/* flags of the current context: an exemplar is wanted when (flags | always) & mask. */
typedef struct {
    uint32_t always;
    uint32_t mask;
} metric_exemplar_rule;
extern metric_exemplar_rule metric_exemplars;

void metric_exemplars_configure(exemplar_filter filter);

static inline bool exemplar_wanted(void)
{
    return (thread_get()->current.flags | metric_exemplars.always) & metric_exemplars.mask;
}

/* Keeps the value in the series' place number `at`; value: bits of an i64 or f64. */
void metric_exemplar_put(metric_series *s, uint32_t at, uint64_t value, bool is_int);

#endif

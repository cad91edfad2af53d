// SPDX-License-Identifier: Apache-2.0
/* What every component counts: items by signal and a short detail (a transport, a reason). Any
 * thread; a slot, once made, stays, so that counts never go back while the server runs. */
#ifndef SONDE_PIPELINE_COUNTS_H
#define SONDE_PIPELINE_COUNTS_H

#include "pipeline/component.h"

typedef enum {
    COUNT_ACCEPTED, /* receivers; detail: transport */
    COUNT_REFUSED,
    COUNT_FAILED_REQUESTS,
    COUNT_INCOMING, /* processors and connectors */
    COUNT_OUTGOING,
    COUNT_DROPPED, /* processors, connectors and exporters; detail: reason */
    COUNT_SENT,    /* exporters */
    COUNT_RETRIES,
    COUNT_SAMPLED_TRACES, /* tail_sampling; detail: the policy that chose them */
    COUNT_KINDS
} count_kind;

typedef struct component_counts component_counts;

/* The counts of one component id; they outlive reloads. NULL: no memory. */
component_counts *counts_new(component_kind kind, const char *id);
void counts_free(component_counts *c);
bool counts_are_of(const component_counts *c, component_kind kind, const char *id);
/* The list that a collector keeps. */
component_counts **counts_next(component_counts *c);

/* detail is copied (47 bytes). When there are too many details, the rest is one called "other". */
void counts_add(component_counts *c, count_kind what, signal_kind signal, const char *detail,
                uint64_t n);
uint64_t counts_sum(component_counts *c, count_kind what, signal_kind signal);

/* Whether an operator shall be told now of that event: once a second; *ret_missed are those since.
 */
bool counts_may_warn(component_counts *c, const char *event, uint64_t *ret_missed);

/* One line of the metrics page. */
typedef struct {
    count_kind what;
    component_kind kind;
    const char *id;
    signal_kind signal;
    const char *detail; /* "": none */
    uint64_t value;
} count_line;
typedef void count_sink(void *user, const count_line *line);
void counts_each(component_counts *c, count_kind what, count_sink *sink, void *user);

#endif

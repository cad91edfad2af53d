// SPDX-License-Identifier: Apache-2.0
/* The last value of each series that passed by, for a page that is scraped. Deltas are added up;
 * what was not heard of for a while, or ended, is forgotten; there is a limit of series and of
 * bytes. All functions may be called from any thread. */
#ifndef SONDE_PIPELINE_EXPORTERS_PROM_VALUES_H
#define SONDE_PIPELINE_EXPORTERS_PROM_VALUES_H

#include "codec/prom_series.h"
#include "codec/prom_text.h"

typedef struct {
    prom_series_options series; /* its texts outlive the values */
    bool scope_labels;          /* otel_scope_name, otel_scope_version, otel_scope_schema_url */
    bool target_info;
    int64_t expiration_ns;
    uint32_t max_series; /* 0: 500,000 */
    size_t max_bytes;    /* 0: 512 MiB */
} prom_values_options;

typedef struct prom_values prom_values;

MUST_USE status prom_values_new(prom_values **ret, const prom_values_options *options, error *err);
void prom_values_free(prom_values *v); /* NULL is fine */

typedef struct {
    uint32_t over_limit; /* points of series that there was no room for */
    uint32_t unusable;   /* points without a usable name or type */
} prom_values_refused;

/* now_ns: when they passed by, from a monotonic clock. */
MUST_USE status prom_values_put(prom_values *v, const batch *b, int64_t now_ns,
                                prom_values_refused *ret, error *err);
/* Appends the page of all that did not expire. */
MUST_USE status prom_values_page(prom_values *v, const prom_choice *choice, bool timestamps,
                                 int64_t now_ns, buf *out, error *err);
uint32_t prom_values_count(prom_values *v);

#endif

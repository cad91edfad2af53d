// SPDX-License-Identifier: Apache-2.0
/* Options that the exporters prometheus and prometheusremotewrite share: how names and resources
 * become series. */
#ifndef SONDE_PIPELINE_EXPORTERS_PROM_OPTIONS_H
#define SONDE_PIPELINE_EXPORTERS_PROM_OPTIONS_H

#include "codec/prom_series.h"
#include "settings/option.h"

typedef struct {
    bool enabled, exclude_service_attributes;
} prom_resource_settings;

typedef struct {
    str namespace;
    bool add_metric_suffixes;
    int translation_strategy; /* choice; the first: as add_metric_suffixes says */
    prom_resource_settings resource;
} prom_name_settings;
extern const option_table prom_name_options; /* for OPTION_INLINE */

/* `labels`: put to every series that has none of that name. They live in `a`. */
MUST_USE bool prom_series_settings(arena *a, const prom_name_settings *s, const pair_list *labels,
                                   prom_series_options *ret);

#endif

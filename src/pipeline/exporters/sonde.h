// SPDX-License-Identifier: Apache-2.0
/* The settings of the store, as the exporter `sonde` names them. */
#ifndef SONDE_PIPELINE_EXPORTERS_SONDE_H
#define SONDE_PIPELINE_EXPORTERS_SONDE_H

#include "pipeline/component.h"

typedef struct {
    int64_t retention;  /* ns; 0: keep everything */
    int64_t seal_after; /* ns */
} sonde_exporter_settings;

#endif

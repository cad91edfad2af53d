// SPDX-License-Identifier: Apache-2.0
/* The sonde exporter: the store itself. Rows are visible to queries before the sender is answered,
 * because senders put them there; there is no thread and no request. */
#include "pipeline/exporters/sonde.h"

static const option rows[] = {
    { .name = "retention",
      .type = OPTION_DURATION,
      .offset = offsetof(sonde_exporter_settings, retention),
      .fallback = "30d",
      .help = "how long rows are kept; 0: for ever. Older rows are refused" },
    { .name = "seal_after",
      .type = OPTION_DURATION,
      .offset = offsetof(sonde_exporter_settings, seal_after),
      .fallback = "60s",
      .min = 0.001,
      .max = 3600,
      .help = "how long rows stay in memory before they go into a part" },
};

const component_type sonde_exporter = {
    .type = "sonde",
    .kind = COMPONENT_EXPORTER,
    .signals = SIGNALS_ALL,
    .help = "the store of this server: what queries, the UI and rules see",
    .options = OPTION_TABLE(rows, sonde_exporter_settings),
    .is_store = true,
};

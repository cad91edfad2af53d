// SPDX-License-Identifier: Apache-2.0
/* A metrics page as protobuf: io.prometheus.client.MetricFamily messages, each behind its length
 * (github.com/prometheus/client_model). The only format with native histograms, which exponential
 * histograms become: schema is the scale, at most 8. */
#ifndef SONDE_CODEC_PROM_PROTOBUF_H
#define SONDE_CODEC_PROM_PROTOBUF_H

#include "codec/prom_page.h"

/* Appends all families. False without memory; `out` tells about its own limit. */
MUST_USE bool prom_protobuf_page(prom_page *page, buf *out);

#endif

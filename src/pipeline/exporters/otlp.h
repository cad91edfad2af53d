// SPDX-License-Identifier: Apache-2.0
/* What the exporters of OTLP over gRPC and over HTTP share. */
#ifndef SONDE_PIPELINE_EXPORTERS_OTLP_H
#define SONDE_PIPELINE_EXPORTERS_OTLP_H

#include "codec/otlp.h"
#include "pipeline/component.h"

/* Requests are built in one buffer that is kept; a larger one is given back after each request. */
#define OTLP_REQUEST_MAX  MiB(256)
#define OTLP_REQUEST_KEEP MiB(8)

/* Encodes b into `out`, which is emptied. A batch that does not fit will never fit. */
MUST_USE status otlp_request(const batch *b, otlp_format format, buf *out, error *err);
void otlp_request_release(buf *out);
/* What a good answer rejects goes to *ret. An answer that cannot be read is still a good one. */
void otlp_response(component *c, otlp_format format, signal_kind signal, str answer,
                   send_result *ret);

#endif

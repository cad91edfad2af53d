// SPDX-License-Identifier: Apache-2.0
/* What receivers of spans share: a request's body becomes a batch, and the batch goes into the
 * intake log. Any number of threads at once; nothing is remembered. */
#ifndef SONDE_PIPELINE_RECEIVERS_SPAN_INTAKE_H
#define SONDE_PIPELINE_RECEIVERS_SPAN_INTAKE_H

#include "pipeline/component.h"

/* Appends what body says to b; `user` is what span_intake was given. */
typedef status span_decoder(const void *user, batch *b, str body, error *err);

/* STATUS_OK: all spans are in the intake log. A part of them being refused (older than the
 * retention) is STATUS_INVALID with the reason, since these protocols have no answer that says
 * "some"; the others are kept. */
MUST_USE status span_intake(component *c, const char *transport, str body, span_decoder *decode,
                            const void *user, error *err);
/* How many bytes a batch may take that is decoded from so many. */
size_t span_intake_memory(size_t bytes);
/* The second half: a batch that was decoded. */
MUST_USE status span_intake_batch(component *c, const char *transport, const batch *b, error *err);

#endif

// SPDX-License-Identifier: Apache-2.0
/* From a request to the intake log; see span_intake.h. */
#include "pipeline/receivers/span_intake.h"

size_t span_intake_memory(size_t bytes)
{
    return MIN(MAX(bytes * 8, MiB(16)), MiB(512));
}

status span_intake_batch(component *c, const char *transport, const batch *b, error *err)
{
    ingest_result result = { 0 };
    if (batch_row_count(b) == 0)
        return STATUS_OK;
    status st = component_ingest(c, transport, b, STR_EMPTY, &result, err);
    if (st == STATUS_OK && result.rejected)
        st = fail(err, STATUS_INVALID, "%u of %u spans were not taken: %s", result.rejected,
                  batch_row_count(b), result.reason);
    return st;
}

status span_intake(component *c, const char *transport, str body, span_decoder *decode,
                   const void *user, error *err)
{
    batch b;
    batch_init(&b, SIGNAL_TRACES, span_intake_memory(body.len));
    status st = decode(user, &b, body, err);
    if (st == STATUS_LIMIT)
        st = err->code = STATUS_INVALID; /* as wrong as what is malformed: it would never fit */
    if (st != STATUS_OK)
        component_failed(c, transport, SIGNAL_TRACES);
    else
        st = span_intake_batch(c, transport, &b, err);
    batch_done(&b);
    return st;
}

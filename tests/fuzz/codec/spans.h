// SPDX-License-Identifier: Apache-2.0
/* What the fuzz targets of span formats share: whatever was decoded can be written as OTLP, read
 * back (the intake log's way), and written in the format it came in. */
#ifndef SONDE_TESTS_FUZZ_SPANS_H
#define SONDE_TESTS_FUZZ_SPANS_H

#include "fuzz/fuzz.h"

#include "codec/otlp.h"

typedef status span_decoder(batch *b, str bytes, error *err);
typedef status span_encoder(const batch *b, buf *out, error *err);

static void check_otlp(const batch *b)
{
    batch again;
    buf out;
    error err;
    otlp_partial partial;
    buf_init(&out, 0);
    batch_init(&again, SIGNAL_TRACES, 0);
    FUZZ_CHECK(otlp_encode(b, &out, &err) == STATUS_OK);
    FUZZ_CHECK(otlp_decode(&again, buf_view(&out), NULL, &partial, &err) == STATUS_OK);
    FUZZ_CHECK(partial.rejected == 0 && partial.repaired == 0);
    FUZZ_CHECK(again.spans.count == b->spans.count);
    batch_done(&again);
    buf_done(&out);
}

/* `back` decodes what `encode` wrote. What a span says beside its tags may take it over the limit
 * of tags. */
static void spans_fuzz(str bytes, span_decoder *decode, span_encoder *encode, span_decoder *back)
{
    batch b, again;
    buf out;
    error err;
    batch_init(&b, SIGNAL_TRACES, MiB(64));
    status st = decode(&b, bytes, &err);
    FUZZ_CHECK(st == STATUS_OK || st == STATUS_INVALID || st == STATUS_LIMIT ||
               st == STATUS_UNSUPPORTED);
    if (st == STATUS_OK) {
        check_otlp(&b);
        buf_init(&out, 0);
        batch_init(&again, SIGNAL_TRACES, 0);
        FUZZ_CHECK(encode(&b, &out, &err) == STATUS_OK);
        st = back(&again, buf_view(&out), &err);
        FUZZ_CHECK(st == STATUS_OK || st == STATUS_LIMIT);
        FUZZ_CHECK(st != STATUS_OK || again.spans.count == b.spans.count);
        batch_done(&again);
        buf_done(&out);
    }
    batch_done(&b);
}

#endif

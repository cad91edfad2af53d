// SPDX-License-Identifier: Apache-2.0
/* A batch as Jaeger's requests, one behind the other: protobuf messages that stand so are one. */
#ifndef SONDE_TESTS_FUZZ_JAEGER_BACK_H
#define SONDE_TESTS_FUZZ_JAEGER_BACK_H

#include "fuzz/codec/spans.h"

#include "codec/jaeger.h"

static status jaeger_encode_all(const batch *b, buf *out, error *err)
{
    jaeger_cursor at = { 0, 0 };
    uint32_t spans, total = 0;
    while (jaeger_proto_encode(b, &at, 200, out, &spans)) {
        FUZZ_CHECK(spans > 0);
        total += spans;
    }
    FUZZ_CHECK(out->failed || total == b->spans.count);
    return buf_check(out, err, "requests");
}

#endif

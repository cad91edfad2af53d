// SPDX-License-Identifier: Apache-2.0
/* Zipkin's v2 JSON: any bytes, with tags left as text. */
#include "fuzz/codec/spans.h"

#include "codec/zipkin_json.h"
#include "codec/zipkin_read.h"

static status decode(batch *b, str bytes, error *err)
{
    return zipkin_json_decode(b, bytes, &(zipkin_options){ .now_ns = 1 }, err);
}

static status encode(const batch *b, buf *out, error *err)
{
    return zipkin_json_encode(b, STR("none"), out, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    spans_fuzz(str_n(data, size), decode, encode, decode);
    return 0;
}

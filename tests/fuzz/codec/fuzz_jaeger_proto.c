// SPDX-License-Identifier: Apache-2.0
/* jaeger.api_v2.PostSpansRequest: any bytes. */
#include "fuzz/codec/jaeger_back.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    spans_fuzz(str_n(data, size), jaeger_proto_decode, jaeger_encode_all, jaeger_proto_decode);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* jaeger.thrift's Batch; the first byte picks the protocol ('0' binary, '1' compact), and whether
 * it is a call to the agent ('2', '3'). */
#include "fuzz/codec/jaeger_back.h"

static status binary(batch *b, str bytes, error *err)
{
    return jaeger_thrift_decode(b, bytes, THRIFT_BINARY, err);
}

static status compact(batch *b, str bytes, error *err)
{
    return jaeger_thrift_decode(b, bytes, THRIFT_COMPACT, err);
}

static status binary_call(batch *b, str bytes, error *err)
{
    return jaeger_agent_decode(b, bytes, THRIFT_BINARY, err);
}

static status compact_call(batch *b, str bytes, error *err)
{
    return jaeger_agent_decode(b, bytes, THRIFT_COMPACT, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static span_decoder *const forms[] = { binary, compact, binary_call, compact_call };
    if (size > 0)
        spans_fuzz(str_n(data + 1, size - 1), forms[data[0] % ARRAY_LEN(forms)], jaeger_encode_all,
                   jaeger_proto_decode);
    return 0;
}

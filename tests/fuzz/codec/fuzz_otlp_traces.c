// SPDX-License-Identifier: Apache-2.0
/* OTLP traces requests in protobuf: any bytes. */
#include "fuzz/codec/otlp_round_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    otlp_fuzz(SIGNAL_TRACES, str_n(data, size), OTLP_PROTOBUF);
    return 0;
}

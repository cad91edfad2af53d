// SPDX-License-Identifier: Apache-2.0
/* OTLP requests in JSON; the first byte picks the signal ('0' logs, '1' metrics, '2' traces). */
#include "fuzz/codec/otlp_round_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0)
        otlp_fuzz((signal_kind)(data[0] % SIGNAL_COUNT), str_n(data + 1, size - 1), OTLP_JSON);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* Delimited MetricFamily messages, with native histograms and without. */
#include "fuzz/codec/exposition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str page = str_n((const char *)data, size);
    fuzz_exposition(EXPOSITION_PROTOBUF, page, true);
    fuzz_exposition(EXPOSITION_PROTOBUF, page, false);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* Text pages and OpenMetrics; the first byte chooses. */
#include "fuzz/codec/exposition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    str page = str_n((const char *)data + 1, size - 1);
    fuzz_exposition(data[0] & 1 ? EXPOSITION_OPENMETRICS : EXPOSITION_TEXT, page, data[0] & 2);
    return 0;
}

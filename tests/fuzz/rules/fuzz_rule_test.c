// SPDX-License-Identifier: Apache-2.0
/* Test files of rules: YAML, the notation of series, histograms; what is read can be printed. */
#include "fuzz/fuzz.h"

#include "rules/testing/test_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    arena a;
    error err;
    test_file file;
    series_text_values values;
    str text = str_n(bytes, size);
    arena_init(&a, MiB(64));
    status st = test_file_parse(&a, "fuzz/x.yaml", text, &file, &err);
    FUZZ_CHECK(st == STATUS_OK || err.message[0]);
    if (series_text_read(&a, text, &values, &err) == STATUS_OK)
        for (uint32_t i = 0; i < MIN(values.count, 20); i++) {
            buf out;
            buf_init(&out, KiB(64));
            if (values.items[i].kind == SERIES_HISTOGRAM)
                series_text_print_histogram(&out, values.items[i].histogram);
            buf_done(&out);
        }
    arena_done(&a);
    return 0;
}

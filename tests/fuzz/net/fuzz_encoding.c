// SPDX-License-Identifier: Apache-2.0
/* Content encodings: no input makes more than its limit, what was charged is what was taken, and
 * gzip gives back what went in. */
#include "fuzz/fuzz.h"

#include "net/encoding.h"

enum { LIMIT = 1 << 20, BUDGET = 3 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const str names[] = { STR_INIT("gzip"), STR_INIT("deflate"), STR_INIT("zstd"),
                                 STR_INIT("snappy") };
    byte_budget budget = { .limit = BUDGET };
    size_t charged = 0;
    buf out, packed;
    if (size < 1)
        return 0;
    str in = str_n(data + 1, size - 1);
    buf_init(&out, 0);
    buf_init(&packed, 0);
    status st = encoding_decode(names[data[0] % ARRAY_LEN(names)], in, LIMIT, &budget, &charged,
                                &out, NULL);
    FUZZ_CHECK(st != STATUS_OK || out.len <= LIMIT);
    FUZZ_CHECK(atomic_load(&budget.used) == charged && charged <= BUDGET);
    buf_clear(&out);
    FUZZ_CHECK(encoding_gzip(in, GZIP_FAST, &packed, NULL) == STATUS_OK);
    st = encoding_decode(names[0], buf_view(&packed), LIMIT, &budget, &charged, &out, NULL);
    FUZZ_CHECK(st == STATUS_OK ? str_eq(buf_view(&out), in) : in.len > LIMIT / 2);
    buf_done(&out);
    buf_done(&packed);
    return 0;
}

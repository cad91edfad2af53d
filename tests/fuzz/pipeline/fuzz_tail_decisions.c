// SPDX-License-Identifier: Apache-2.0
/* The saved decisions of tail_sampling: any bytes are taken or refused, and what was taken is
 * written and read again. */
#include "fuzz/fuzz.h"

#include "pipeline/processors/tail_sampling.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    error err;
    tail_memory *m = NULL, *again = NULL;
    FUZZ_CHECK(tail_memory_new(&m, 100, 100, &err) == STATUS_OK);
    FUZZ_CHECK(tail_memory_new(&again, 100, 100, &err) == STATUS_OK);
    if (tail_memory_load(m, str_n(data, size), &err) == STATUS_OK) {
        buf first, second;
        buf_init(&first, 0);
        buf_init(&second, 0);
        tail_memory_save(m, &first);
        FUZZ_CHECK(tail_memory_load(again, buf_view(&first), &err) == STATUS_OK);
        tail_memory_save(again, &second);
        FUZZ_CHECK(str_eq(buf_view(&first), buf_view(&second)));
        buf_done(&first);
        buf_done(&second);
    } else {
        FUZZ_CHECK(err.message[0]);
    }
    tail_memory_free(m);
    tail_memory_free(again);
    return 0;
}

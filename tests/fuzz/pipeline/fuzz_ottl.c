// SPDX-License-Identifier: Apache-2.0
/* OTTL: whatever parses can be evaluated on rows of its context, twice alike, within its limits.
 * The first byte says the context. */
#include "fuzz/fuzz.h"
#include "unit/pipeline/ottl_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    error err;
    ottl *o = NULL;
    if (!size)
        return 0;
    ottl_context c = (ottl_context)(data[0] % OTTL_CONTEXTS);
    if (ottl_parse(&o, c, str_n(data + 1, size - 1), &err) != STATUS_OK) {
        FUZZ_CHECK(err.message[0]);
        return 0;
    }
    ottl_rows rows;
    arena scratch;
    bool first = false, second = false;
    ottl_rows_init(&rows);
    arena_init(&scratch, MiB(1));
    ottl_row row = ottl_rows_of(&rows, c);
    status a = ottl_test(o, &row, &scratch, &first, &err);
    arena_clear(&scratch);
    status b = ottl_test(o, &row, &scratch, &second, &err);
    str text = str_n(data + 1, size - 1);
    if (!str_contains(text, STR("Now")))
        FUZZ_CHECK(a == b && first == second);
    arena_done(&scratch);
    ottl_rows_done(&rows);
    ottl_free(o);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* Bulk requests: each item has a row or a reason, and the answer is JSON. */
#include "fuzz/fuzz.h"

#include "codec/elastic_bulk.h"
#include "codec/json.h"

static void check_json(str text)
{
    arena memory;
    json_reader r;
    json_type t;
    arena_init(&memory, MiB(16));
    json_read(&r, text, &memory, 0);
    do
        t = json_next(&r);
    while (t != JSON_END && t != JSON_ERROR);
    FUZZ_CHECK(t == JSON_END);
    arena_done(&memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    batch b;
    elastic_items items = { 0 };
    error err;
    buf out;
    uint32_t rows = 0;
    batch_init(&b, SIGNAL_LOGS, MiB(16));
    buf_init(&out, MiB(64));
    if (elastic_bulk_decode(&b, str_n(data, size), size % 2 ? STR("index-1") : STR_EMPTY, NULL,
                            &items, &err) == STATUS_OK) {
        for (uint32_t i = 0; i < items.count; i++) {
            bool taken = items.items[i].status == 201;
            FUZZ_CHECK(taken == (items.items[i].row != BATCH_FULL));
            FUZZ_CHECK(taken || items.items[i].reason.len);
            rows += taken;
        }
        FUZZ_CHECK(rows == b.logs.count);
        elastic_items_reject_oldest(&items, &b, b.logs.count / 2, STR("old"));
        elastic_bulk_answer(&items, 1, 2, &out);
        check_json(buf_view(&out));
    }
    buf_done(&out);
    batch_done(&b);
    return 0;
}

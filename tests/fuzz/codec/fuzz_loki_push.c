// SPDX-License-Identifier: Apache-2.0
/* Loki push requests, protobuf and JSON, and label texts: what is taken can be sent on as streams,
 * and what was sent on is taken again with as many records. */
#include "fuzz/fuzz.h"

#include "codec/loki_push.h"

static void send_on(const batch *b)
{
    static const loki_default_labels labels = { true, true, true, true };
    arena a;
    loki_streams s;
    buf bytes;
    batch again;
    error err;
    uint32_t refused, entries = 0;
    arena_init(&a, MiB(64));
    buf_init(&bytes, MiB(64));
    batch_init(&again, SIGNAL_LOGS, MiB(64));
    if (loki_streams_build(b, &labels, 1, &a, &s, &refused, &err) == STATUS_OK &&
        loki_push_encode(s.items, s.count, &bytes, &err) == STATUS_OK) {
        for (uint32_t i = 0; i < s.count; i++) {
            entries += s.items[i].count;
            for (uint32_t n = 1; n < s.items[i].count; n++)
                FUZZ_CHECK(s.items[i].entries[n - 1].time_ns <= s.items[i].entries[n].time_ns);
        }
        FUZZ_CHECK(entries + refused == b->logs.count);
        FUZZ_CHECK(loki_push_decode(&again, buf_view(&bytes), NULL, &err) == STATUS_OK);
        FUZZ_CHECK(again.logs.count == entries);
    }
    batch_done(&again);
    buf_done(&bytes);
    arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str bytes = str_n(data, size);
    batch b;
    attrs labels = { 0 };
    error err;
    batch_init(&b, SIGNAL_LOGS, MiB(16));
    if (loki_push_decode(&b, bytes, NULL, &err) == STATUS_OK)
        send_on(&b);
    batch_clear(&b);
    if (loki_push_decode_json(&b, bytes, NULL, &err) == STATUS_OK)
        send_on(&b);
    batch_clear(&b);
    status st = loki_labels_parse(bytes, 100, &b.arena, &labels, &err);
    FUZZ_CHECK(st == STATUS_OK || err.message[0]);
    batch_done(&b);
    return 0;
}

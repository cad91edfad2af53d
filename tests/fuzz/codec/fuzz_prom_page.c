// SPDX-License-Identifier: Apache-2.0
/* Pages of metrics out of any OTLP metrics: as protobuf, every family stands behind its length and
 * is whole to the last field. The first byte chooses the escaping of names. */
#include "fuzz/fuzz.h"

#include "codec/otlp.h"
#include "codec/prom_protobuf.h"
#include "codec/protobuf.h"

enum { MEMORY = 16 << 20 };

/* Fields of a message, and of those in it; texts are fields, too, so that only what is surely a
 * message is followed. */
static void check_message(str bytes, int depth)
{
    pb_reader r = pb_read(bytes);
    pb_field field;
    while (pb_next(&r, &field)) {
        str inner;
        if (field.wire == PB_LEN && field.number == 4 && depth == 0) {
            FUZZ_CHECK(pb_bytes(&r, &inner));
            check_message(inner, depth + 1);
        } else {
            FUZZ_CHECK(pb_skip(&r, field));
        }
    }
    FUZZ_CHECK(!r.problem);
}

static void check_protobuf(str page)
{
    pb_reader r = pb_read(page);
    uint64_t length;
    while (r.at < r.end) {
        FUZZ_CHECK(pb_varint(&r, &length) && length <= (uint64_t)(r.end - r.at));
        check_message(str_n(r.at, length), 0);
        r.at += length;
    }
}

static void check_page(const batch *b, prom_escaping escaping)
{
    prom_page page;
    prom_text_options options = { 0 };
    buf out;
    buf_init(&out, 64 * MEMORY);
    if (prom_page_init(&page, b, escaping, &options) && prom_protobuf_page(&page, &out))
        check_protobuf(buf_view(&out));
    prom_page_done(&page);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    batch b;
    error err;
    batch_init(&b, SIGNAL_METRICS, MEMORY);
    if (size > 1 && otlp_decode(&b, str_n(data + 1, size - 1), NULL, NULL, &err) == STATUS_OK)
        check_page(&b, (prom_escaping)(data[0] % 4));
    batch_done(&b);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* The pieces of a part and of the manifest with any bytes: the input's first byte says whether the
 * rest is typed values, a column, or the state of record ids. A reader may refuse; it must not read
 * outside. Not here: the label index, whose bitmaps CRoaring reads without looking, and which for
 * that reason are only looked at when their checksum held. */
#include "fuzz/fuzz.h"

#include "store/column.h"
#include "store/dedup.h"
#include "store/enc.h"

enum { ROWS = 300 };

static void use_attrs(str bytes)
{
    arena a;
    attrs decoded;
    enc_view v;
    str key;
    buf scratch;
    arena_init(&a, MiB(8));
    buf_init(&scratch, MiB(8));
    bytes_reader it = enc_attrs_begin(bytes, NULL);
    while (enc_attrs_next(&it, &key, &v))
        enc_text(v, &scratch, &a);
    enc_find(bytes, STR("a_b"), &v);
    if (dec_attrs(bytes, &a, &decoded)) {
        /* What was read can be written, and reads the same again. */
        buf again;
        attrs twice;
        buf_init(&again, MiB(64));
        enc_attrs(&again, &decoded);
        FUZZ_CHECK(again.failed || dec_attrs(buf_view(&again), &a, &twice) || a.used > MiB(4));
        buf_done(&again);
    }
    span_events events;
    span_links links;
    batch_resource resource;
    batch_scope scope;
    (void)!dec_events(bytes, &a, &events);
    (void)!dec_links(bytes, &a, &links);
    (void)!dec_resource(bytes, &a, &resource);
    (void)!dec_scope(bytes, &a, &scope);
    buf_done(&scratch);
    arena_done(&a);
}

static void use_columns(str bytes)
{
    static int64_t ints[ROWS];
    static double doubles[ROWS];
    static str texts[ROWS];
    arena a;
    arena_init(&a, MiB(8));
    bytes_reader r = bytes_read(bytes);
    (void)!column_get_ints(&r, ints, ROWS);
    r = bytes_read(bytes);
    (void)!column_get_doubles(&r, doubles, ROWS);
    r = bytes_read(bytes);
    if (column_get_texts(&r, texts, ROWS, &a)) {
        size_t sum = 0;
        for (int i = 0; i < ROWS; i++)
            sum += texts[i].len ? (uint8_t)texts[i].ptr[texts[i].len - 1] : 0;
        FUZZ_CHECK(sum <= (size_t)ROWS * 255);
    }
    arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    str rest = str_n(data + 1, size - 1);
    dedup d;
    switch (data[0] % 3) {
    case 0:
        use_attrs(rest);
        break;
    case 1:
        use_columns(rest);
        break;
    default:
        dedup_init(&d);
        (void)!dedup_load(&d, rest);
        dedup_done(&d);
    }
    return 0;
}

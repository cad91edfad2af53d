// SPDX-License-Identifier: Apache-2.0
/* Native histograms from any bytes: by the input's first byte one of them, the block of a part with
 * as many as the second byte says, or the exemplars of a part. What is taken is sound, and is
 * written and read again equal to the bit. */
#include "fuzz/fuzz.h"

#include "codec/native_convert.h"
#include "store/exemplars.h"
#include "store/part_histogram.h"

static void check_again(arena *a, const histogram *h)
{
    histogram back;
    metric_type type;
    point_value v;
    const char *problem;
    buf one, other;
    buf_init(&one, 0);
    buf_init(&other, 0);
    FUZZ_CHECK(histogram_check(h, &problem));
    histogram_encode(&one, h);
    if (histogram_decode(a, buf_view(&one), &back)) {
        histogram_encode(&other, &back);
        FUZZ_CHECK(str_eq(buf_view(&one), buf_view(&other)));
    } else {
        FUZZ_CHECK(a->used > MiB(4)); /* no memory */
    }
    (void)!native_to_point(a, h, &type, &v);
    buf_done(&one);
    buf_done(&other);
}

static void use_block(str bytes, uint32_t count)
{
    const histogram *list[256], *back[256];
    arena a;
    arena_init(&a, MiB(16));
    bytes_reader r = bytes_read(bytes);
    if (part_histogram_read(&r, count, &a, list) == STATUS_OK) {
        for (uint32_t i = 0; i < count && i < 4; i++)
            check_again(&a, list[i]);
        buf again;
        buf_init(&again, 0);
        part_histogram_write(&again, list, count);
        r = bytes_read(buf_view(&again));
        status st = part_histogram_read(&r, count, &a, back);
        FUZZ_CHECK(st == STATUS_OK || st == STATUS_LIMIT);
        for (uint32_t i = 0; st == STATUS_OK && i < count; i++)
            FUZZ_CHECK(memcmp(&list[i]->sum, &back[i]->sum, 8) == 0 &&
                       list[i]->positive.count == back[i]->positive.count &&
                       list[i]->hint == back[i]->hint);
        buf_done(&again);
    }
    arena_done(&a);
}

static void use_exemplars(str bytes)
{
    exemplar_ring ring;
    uint32_t gap;
    bytes_reader r = bytes_read(bytes);
    buf out;
    buf_init(&out, 0);
    while (exemplar_ring_read(&r, &gap, &ring))
        exemplar_ring_write(&out, gap, &ring);
    FUZZ_CHECK(r.failed || r.at == r.end);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena a;
    histogram h;
    if (size < 2)
        return 0;
    switch (data[0] % 3) {
    case 0:
        arena_init(&a, MiB(8));
        if (histogram_decode(&a, str_n(data + 1, size - 1), &h))
            check_again(&a, &h);
        arena_done(&a);
        break;
    case 1:
        use_block(str_n(data + 2, size - 2), data[1]);
        break;
    default:
        use_exemplars(str_n(data + 1, size - 1));
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* The protobuf wire format: fields that could be read are written and read again, the same;
 * skipping and reading agree about where a field ends. */
#include "fuzz/fuzz.h"

#include "codec/protobuf.h"

enum { DEPTH = 8 };

static void copy_field(pb_reader *r, pb_field f, buf *out)
{
    uint64_t u64;
    uint32_t u32;
    str bytes;
    pb_reader skipped = *r;
    bool could_skip = pb_skip(&skipped, f);
    bool could_read = true;
    switch (f.wire) {
    case PB_VARINT:
        if ((could_read = pb_varint(r, &u64)))
            pb_put_varint(out, f.number, u64);
        break;
    case PB_FIXED64:
        if ((could_read = pb_fixed64(r, &u64)))
            pb_put_fixed64(out, f.number, u64);
        break;
    case PB_FIXED32:
        if ((could_read = pb_fixed32(r, &u32)))
            pb_put_fixed32(out, f.number, u32);
        break;
    case PB_LEN:
        FUZZ_CHECK(pb_count_run(r, f.number) >= 1);
        if ((could_read = pb_bytes(r, &bytes)))
            pb_put_bytes(out, f.number, bytes);
        break;
    default:
        could_read = pb_skip(r, f);
        break;
    }
    FUZZ_CHECK(could_read == could_skip);
    FUZZ_CHECK(!could_read || r->at == skipped.at);
}

/* Copies what can be read; a nested message too, when all of it looks like one. */
static bool copy_message(str bytes, buf *out, int depth)
{
    pb_reader r = pb_read(bytes);
    pb_field f;
    while (pb_next(&r, &f)) {
        pb_reader ahead = r;
        str nested;
        copy_field(&r, f, out);
        if (f.wire == PB_LEN && depth < DEPTH && pb_bytes(&ahead, &nested)) {
            buf part;
            buf_init(&part, 0);
            if (copy_message(nested, &part, depth + 1)) {
                pb_mark mark = pb_begin(out, f.number, nested.len / 2);
                buf_str(out, buf_view(&part));
                pb_end(out, mark);
            }
            buf_done(&part);
        }
        FUZZ_CHECK(r.at <= r.end && r.at >= r.base);
    }
    FUZZ_CHECK(!pb_next(&r, &f));
    return !r.problem;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    buf first, second;
    if (size > 4096)
        return 0; /* copies grow with the depth */
    buf_init(&first, MiB(64));
    buf_init(&second, 0);
    copy_message(str_n(data, size), &first, DEPTH - 2);
    if (!first.failed) {
        FUZZ_CHECK(copy_message(buf_view(&first), &second, DEPTH));
        FUZZ_CHECK(str_eq(buf_view(&first), buf_view(&second)));
    }
    buf_done(&first);
    buf_done(&second);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* Inputs made of seeds by chance (mutate.h). Each row of `mutations` changes an input through
 * `put`, which alone knows its limit. */
#include "fuzz/mutate.h"

enum { CHUNK_MAX = 256 };

typedef struct {
    mutator *m;
    uint8_t *bytes;
    size_t len, max;
} input;

static size_t below(input *in, size_t n)
{
    return n ? (size_t)(random_next(&in->m->random) % n) : 0;
}

/* The bytes from `at` on, `cut` of them, give way to `n` others, which lie elsewhere. */
static void put(input *in, size_t at, size_t cut, const void *bytes, size_t n)
{
    if (in->len - cut + n > in->max)
        return;
    memmove(in->bytes + at + n, in->bytes + at + cut, in->len - at - cut);
    if (n)
        memcpy(in->bytes + at, bytes, n);
    in->len = in->len - cut + n;
}

/* Short lengths are likely: half of all are below 1/16 of the limit. */
static size_t some_length(input *in, size_t most)
{
    size_t limit = below(in, 2) ? most : most / 16;
    return most ? 1 + below(in, MAX(limit, (size_t)1)) : 0;
}

static str some_seed(input *in)
{
    return in->m->seeds[below(in, in->m->count)];
}

static bool in_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || c == '.' ||
           c >= 0x80;
}

static bool in_number(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* The run of bytes of a kind around a place that is there by chance; *ret_at: where it begins. */
static str run_at(input *in, str text, bool (*is)(uint8_t), size_t *ret_at)
{
    size_t from = below(in, text.len), to;
    while (from < text.len && !is((uint8_t)text.ptr[from]))
        from++;
    for (to = from; to < text.len && is((uint8_t)text.ptr[to]);)
        to++;
    while (from > 0 && is((uint8_t)text.ptr[from - 1]))
        from--;
    *ret_at = from;
    return str_n(text.ptr + from, to - from);
}

static void flip_bit(input *in)
{
    if (in->len)
        in->bytes[below(in, in->len)] ^= (uint8_t)(1u << below(in, 8));
}

static void set_byte(input *in)
{
    static const uint8_t telling[] = {
        0,   1,   '\n', '\r', ' ', '"', '\'', '\\', '{',  '}',  '[',
        ']', '(', ')',  ',',  ':', '=', '-',  0x7f, 0x80, 0xc0, 0xff
    };
    if (in->len)
        in->bytes[below(in, in->len)] =
            below(in, 2) ? telling[below(in, sizeof(telling))] : (uint8_t)below(in, 256);
}

/* Integers at which widths end, in either byte order, over what is there. */
static void set_integer(input *in)
{
    static const uint64_t telling[] = { 0,          1,           0x7f,       0x80,       0xff,
                                        0x7fff,     0x8000,      0xffff,     0x7fffffff, 0x80000000,
                                        0xffffffff, 0x100000000, INT64_MAX,  1ull << 63, UINT64_MAX,
                                        16,         64,          0x10000000, 4096,       65536 };
    uint64_t n = telling[below(in, ARRAY_LEN(telling))];
    size_t width = (size_t)1 << below(in, 4);
    uint8_t bytes[8];
    if (in->len < width)
        return;
    n += below(in, 4) ? 0 : below(in, 5) - 2;
    bool big = below(in, 2);
    for (size_t i = 0; i < width; i++)
        bytes[i] = (uint8_t)(n >> (8 * (big ? width - 1 - i : i)));
    put(in, below(in, in->len - width + 1), width, bytes, width);
}

/* A number of protobuf, of 1 to 11 bytes: more than ten is an error a decoder has to see. */
static void insert_varint(input *in)
{
    uint8_t bytes[11];
    size_t n = 1 + below(in, sizeof(bytes));
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(below(in, 2) ? 0xff : 0x80 | below(in, 128));
    bytes[n - 1] &= 0x7f;
    size_t at = below(in, in->len + 1), cut = below(in, 3);
    put(in, at, MIN(cut, in->len - at), bytes, n);
}

/* A number that is written in digits becomes one at which readers of numbers break. */
static void set_number(input *in)
{
    static const str telling[] = {
        STR_INIT("0"),
        STR_INIT("-1"),
        STR_INIT("-0"),
        STR_INIT("1e309"),
        STR_INIT("-1e-400"),
        STR_INIT("NaN"),
        STR_INIT("+Inf"),
        STR_INIT("0x1p-1074"),
        STR_INIT("2147483648"),
        STR_INIT("4294967296"),
        STR_INIT("9223372036854775807"),
        STR_INIT("-9223372036854775808"),
        STR_INIT("18446744073709551615"),
        STR_INIT("18446744073709551616"),
        STR_INIT("99999999999999999999999999999999999999999"),
        STR_INIT("0.000000000000000000000000000000000000001"),
    };
    size_t at;
    str was = run_at(in, str_n(in->bytes, in->len), in_number, &at);
    str now = telling[below(in, ARRAY_LEN(telling))];
    put(in, at, was.len, now.ptr, now.len);
}

static void insert_bytes(input *in)
{
    uint8_t bytes[CHUNK_MAX];
    size_t n = some_length(in, CHUNK_MAX);
    bool same = below(in, 2);
    for (size_t i = 0; i < n; i++)
        bytes[i] = i && same ? bytes[0] : (uint8_t)below(in, 256);
    put(in, below(in, in->len + 1), 0, bytes, n);
}

static void delete_bytes(input *in)
{
    size_t n = some_length(in, in->len);
    if (n)
        put(in, below(in, in->len - n + 1), n, NULL, 0);
}

static void truncate_end(input *in)
{
    in->len -= some_length(in, in->len);
}

static size_t copy_chunk(input *in, str from, uint8_t ret[CHUNK_MAX])
{
    size_t n = some_length(in, MIN(from.len, (size_t)CHUNK_MAX));
    if (n)
        memcpy(ret, from.ptr + below(in, from.len - n + 1), n);
    return n;
}

/* Depth and length: one chunk again and again, now and then until nothing more fits. */
static void repeat_chunk(input *in)
{
    uint8_t chunk[CHUNK_MAX];
    size_t n = some_length(in, MIN(in->len, (size_t)CHUNK_MAX));
    if (!n)
        return;
    size_t at = below(in, in->len - n + 1), room = (in->max - in->len) / n;
    size_t times = below(in, 64) ? MIN((size_t)16, room) : room;
    times = below(in, times + 1);
    memcpy(chunk, in->bytes + at, n);
    memmove(in->bytes + at + times * n, in->bytes + at, in->len - at);
    for (size_t i = 0; i < times; i++)
        memcpy(in->bytes + at + i * n, chunk, n);
    in->len += times * n;
}

/* A chunk of a seed, put in or written over what is there. */
static void copy_from_seed(input *in)
{
    uint8_t chunk[CHUNK_MAX];
    size_t n = copy_chunk(in, some_seed(in), chunk), at = below(in, in->len + 1);
    put(in, at, below(in, 2) ? MIN(n, in->len - at) : 0, chunk, n);
}

/* The beginning of this, the end of a seed. */
static void splice(input *in)
{
    str seed = some_seed(in);
    size_t at = below(in, in->len + 1), from = below(in, seed.len + 1);
    size_t n = MIN(seed.len - from, in->max - at);
    put(in, at, in->len - at, seed.ptr + from, n);
}

/* A word of a seed in place of a word, or between two. */
static void put_word(input *in)
{
    size_t at;
    str word = run_at(in, some_seed(in), in_word, &at);
    str was = run_at(in, str_n(in->bytes, in->len), in_word, &at);
    put(in, at, below(in, 3) ? was.len : 0, word.ptr, word.len);
}

static void swap_bytes(input *in)
{
    uint8_t chunk[CHUNK_MAX];
    size_t n = copy_chunk(in, str_n(in->bytes, in->len), chunk);
    if (n)
        put(in, below(in, in->len - n + 1), n, chunk, n);
}

static void (*const mutations[])(input *) = {
    flip_bit,     set_byte,     set_integer,  insert_varint, set_number,
    insert_bytes, delete_bytes, truncate_end, repeat_chunk,  copy_from_seed,
    splice,       put_word,     swap_bytes,
};

size_t mutate(mutator *m, uint8_t *ret, size_t max)
{
    input in = { .m = m, .bytes = ret, .max = max };
    str seed = some_seed(&in);
    in.len = MIN(seed.len, max);
    if (in.len)
        memcpy(ret, seed.ptr, in.len);
    /* Few changes go deep, many go wide. */
    size_t times = (size_t)1 << below(&in, 5);
    for (size_t i = 1 + below(&in, times); i; i--)
        mutations[below(&in, ARRAY_LEN(mutations))](&in);
    return in.len;
}

// SPDX-License-Identifier: Apache-2.0
/* Column encodings: what goes in comes out bit by bit; cut or wrong bytes never read past the end.
 */
#include "store/column.h"

#include "base/random.h"
#include "fixture.h"

#include <math.h>

enum { MOST = 8192 };

typedef void put_ints(buf *out, const int64_t *v, uint32_t n);

static void parts_come_back(random_state *rnd, str column, const int64_t *in, uint32_t n)
{
    static int64_t out[MOST];
    bytes_reader r = bytes_read(column);
    int_column c;
    assert_true(column_open_ints(&r, n, &c));
    assert_ptr_equal(r.at, r.end);
    for (int i = 0; i < 20; i++) {
        uint32_t from = (uint32_t)(random_next(rnd) % (n + 1));
        uint32_t to = from + (uint32_t)(random_next(rnd) % (n - from + 1));
        column_ints_part(&c, from, to, out);
        assert_memory_equal(in + from, out, (to - from) * sizeof(int64_t));
    }
}

static void ints_come_back(random_state *rnd, int kind, uint32_t n, put_ints *put)
{
    static int64_t in[MOST], out[MOST];
    int64_t at = (int64_t)random_next(rnd);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t x = random_next(rnd);
        switch (kind) {
        case 0:
            in[i] = 7;
            break;
        case 1:
            in[i] = (int64_t)x; /* any 64 bits */
            break;
        case 2:
            in[i] = at += 1000000000; /* regular */
            break;
        case 3:
            in[i] = at += (int64_t)(x % 2000); /* rising */
            break;
        case 4:
            in[i] = (int64_t)(x % 10) - 5;
            break;
        default:
            in[i] = x % 100 ? 3 : INT64_MIN + (int64_t)(x % 3);
        }
    }
    buf b;
    buf_init(&b, 0);
    put(&b, in, n);
    bytes_reader r = bytes_read(buf_view(&b));
    assert_true(column_get_ints(&r, out, n));
    assert_ptr_equal(r.at, r.end);
    assert_memory_equal(in, out, n * sizeof(int64_t));
    parts_come_back(rnd, buf_view(&b), in, n);
    if (kind == 2 && n > 1000)
        assert_true(b.len < n / 8);
    for (size_t cut = 0; cut < b.len; cut += 1 + b.len / 64) {
        char *copy = malloc(cut + 1); /* the sanitizer sees a read past the cut */
        memcpy(copy, b.ptr, cut);
        r = bytes_read(str_n(copy, cut));
        assert_false(column_get_ints(&r, out, n) && cut < b.len && !r.failed && r.at > r.end);
        free(copy);
    }
    buf_done(&b);
}

static void integers_come_back(void **state)
{
    (void)state;
    random_state rnd;
    random_init(&rnd, 1);
    static const uint32_t sizes[] = { 1, 2, 3, 4, 127, 128, 129, 130, 131, 257, 1000, 8191, 8192 };
    for (int kind = 0; kind < 6; kind++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            ints_come_back(&rnd, kind, sizes[i], column_put_ints);
            ints_come_back(&rnd, kind, sizes[i], column_put_ints_in_groups);
        }
    }
}

static double double_of(random_state *rnd, int kind, uint32_t i)
{
    uint64_t x = random_next(rnd);
    double d;
    switch (kind) {
    case 0:
        return 1.5;
    case 1:
        return (double)(x % 100000);
    case 2:
        return (double)(int64_t)(x % 2000000 - 1000000) / 1000.0;
    case 3:
        memcpy(&d, &x, 8); /* any bits: NaNs with payload, infinities, denormals */
        return d;
    case 4:
        return sqrt((double)i + 2);
    case 5: /* a stale marker among numbers */
        x = i % 50 ? 0 : STALE_NAN_BITS;
        memcpy(&d, &x, 8);
        return x ? d : (double)i * 0.1;
    default:
        return i % 2 ? -0.0 : 0.0;
    }
}

static size_t doubles_come_back(random_state *rnd, int kind, uint32_t n)
{
    static double in[MOST], out[MOST];
    for (uint32_t i = 0; i < n; i++)
        in[i] = double_of(rnd, kind, i);
    buf b;
    buf_init(&b, 0);
    column_put_doubles(&b, in, n);
    bytes_reader r = bytes_read(buf_view(&b));
    assert_true(column_get_doubles(&r, out, n));
    assert_ptr_equal(r.at, r.end);
    assert_memory_equal(in, out, n * sizeof(double));
    for (size_t cut = 0; cut < b.len; cut += 1 + b.len / 64) {
        char *copy = malloc(cut + 1);
        memcpy(copy, b.ptr, cut);
        r = bytes_read(str_n(copy, cut));
        assert_false(column_get_doubles(&r, out, n));
        free(copy);
    }
    size_t size = b.len;
    buf_done(&b);
    return size;
}

static void doubles_come_back_bit_by_bit(void **state)
{
    (void)state;
    random_state rnd;
    random_init(&rnd, 2);
    static const uint32_t sizes[] = { 1, 2, 5, 31, 32, 33, 127, 1000, 8192 };
    for (int kind = 0; kind < 7; kind++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
            doubles_come_back(&rnd, kind, sizes[i]);
    }
    assert_true(doubles_come_back(&rnd, 2, 1000) < 1000 * 3); /* three decimals in 21 bits */
}

static void texts_come_back_of(random_state *rnd, int kind, uint32_t n)
{
    static str in[MOST], out[MOST];
    arena a, decoded;
    arena_init(&a, 0);
    arena_init(&decoded, 0);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t x = random_next(rnd);
        in[i] = kind == 0   ? STR("same")
                : kind == 1 ? arena_fmt(&a, "value-%llu", (unsigned long long)x % 5)
                : kind == 2
                    ? arena_fmt(&a, "%llx-%llx", (unsigned long long)x, (unsigned long long)i)
                : x % 2 ? STR_EMPTY
                        : arena_str(&a, str_n(&x, x % 9));
    }
    buf b;
    buf_init(&b, 0);
    column_put_texts(&b, in, n, &a);
    bytes_reader r = bytes_read(buf_view(&b));
    assert_true(column_get_texts(&r, out, n, &decoded));
    assert_ptr_equal(r.at, r.end);
    for (uint32_t i = 0; i < n; i++)
        assert_true(str_eq(in[i], out[i]));
    for (size_t cut = 0; cut < b.len; cut += 1 + b.len / 64) {
        char *copy = malloc(cut + 1);
        memcpy(copy, b.ptr, cut);
        r = bytes_read(str_n(copy, cut));
        assert_false(column_get_texts(&r, out, n, &decoded));
        free(copy);
    }
    buf_done(&b);
    arena_done(&a);
    arena_done(&decoded);
}

static void texts_come_back(void **state)
{
    (void)state;
    random_state rnd;
    random_init(&rnd, 3);
    static const uint32_t sizes[] = { 1, 2, 7, 64, 500, 8192 };
    for (int kind = 0; kind < 4; kind++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
            texts_come_back_of(&rnd, kind, sizes[i]);
    }
}

static void random_bytes_are_refused_or_read_within_bounds(void **state)
{
    (void)state;
    static int64_t ints[300];
    static double doubles[300];
    static str texts[300];
    random_state rnd;
    random_init(&rnd, 4);
    uint32_t refused = 0;
    for (int round = 0; round < 20000; round++) {
        char bytes[64];
        size_t n = random_next(&rnd) % sizeof(bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)random_next(&rnd);
        if (n)
            bytes[0] = (char)(bytes[0] & 3);
        char *copy = malloc(n + 1);
        memcpy(copy, bytes, n);
        arena a;
        arena_init(&a, MiB(1));
        bytes_reader r = bytes_read(str_n(copy, n));
        refused += !column_get_ints(&r, ints, 300);
        r = bytes_read(str_n(copy, n));
        refused += !column_get_doubles(&r, doubles, 300);
        r = bytes_read(str_n(copy, n));
        refused += !column_get_texts(&r, texts, 300, &a);
        arena_done(&a);
        free(copy);
    }
    assert_true(refused > 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_come_back),
        cmocka_unit_test(doubles_come_back_bit_by_bit),
        cmocka_unit_test(texts_come_back),
        cmocka_unit_test(random_bytes_are_refused_or_read_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

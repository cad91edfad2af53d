// SPDX-License-Identifier: Apache-2.0
/* Content encodings: what is decoded, what is refused, and that the memory is accounted for. */
#include "net/encoding.h"

#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* window_bits as zlib's: 31 gzip, 15 zlib, -15 raw. Appends. */
static void deflate_to(buf *out, str in, int window_bits)
{
    z_stream z = { 0 };
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_true(buf_reserve(out, deflateBound(&z, in.len) + 64));
    z.next_in = (Bytef *)(uintptr_t)in.ptr;
    z.avail_in = (uInt)in.len;
    z.next_out = (Bytef *)out->ptr + out->len;
    z.avail_out = (uInt)(out->cap - out->len);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len += z.total_out;
    deflateEnd(&z);
}

static void zstd_to(buf *out, str in)
{
    assert_true(buf_reserve(out, ZSTD_compressBound(in.len)));
    size_t n = ZSTD_compress(out->ptr + out->len, out->cap - out->len, in.ptr, in.len, 3);
    assert_false(ZSTD_isError(n));
    out->len += n;
}

static void snappy_to(buf *out, str in)
{
    size_t n = snappy_max_compressed_length(in.len);
    assert_true(buf_reserve(out, n));
    assert_int_equal(snappy_compress(in.ptr, in.len, out->ptr + out->len, &n), SNAPPY_OK);
    out->len += n;
}

/* Decodes, and checks that exactly what was charged was taken from the budget. */
static status decode(const char *encoding, str in, size_t limit, size_t budget_limit, buf *out,
                     error *err)
{
    byte_budget budget = { .limit = budget_limit };
    size_t charged = 0;
    buf_init(out, 0);
    status st = encoding_decode(str_c(encoding), in, limit, &budget, &charged, out, err);
    assert_int_equal(atomic_load(&budget.used), charged);
    assert_true(charged <= budget_limit);
    return st;
}

static void expect_decoded(const char *encoding, const buf *packed, str expected)
{
    buf out;
    error err;
    assert_int_equal(decode(encoding, buf_view(packed), MiB(1), MiB(2), &out, &err), STATUS_OK);
    assert_true(str_eq(buf_view(&out), expected));
    buf_done(&out);
}

static void expect_status(const char *encoding, str packed, size_t limit, size_t budget,
                          status expected)
{
    buf out;
    error err;
    assert_int_equal(decode(encoding, packed, limit, budget, &out, &err), expected);
    assert_int_equal(err.code, expected);
    assert_true(strlen(err.message) > 10);
    buf_done(&out);
}

static void decodes_each_encoding(void **state)
{
    (void)state;
    str text = STR("hello hello hello hello");
    buf gzip, zlib, raw, zstd;
    buf_init(&gzip, 0);
    buf_init(&zlib, 0);
    buf_init(&raw, 0);
    buf_init(&zstd, 0);
    deflate_to(&gzip, text, 31);
    deflate_to(&zlib, text, 15);
    deflate_to(&raw, text, -15);
    zstd_to(&zstd, text);
    expect_decoded("gzip", &gzip, text);
    expect_decoded("X-GZIP", &gzip, text);
    expect_decoded("deflate", &zlib, text);
    expect_decoded("deflate", &raw, text);
    expect_decoded("zstd", &zstd, text);
    buf snappy;
    buf_init(&snappy, 0);
    snappy_to(&snappy, text);
    expect_decoded("snappy", &snappy, text);
    buf_done(&snappy);
    deflate_to(&gzip, text, 31); /* a second member */
    zstd_to(&zstd, text);        /* a second frame */
    expect_decoded("gzip", &gzip, STR("hello hello hello hellohello hello hello hello"));
    expect_decoded("zstd", &zstd, STR("hello hello hello hellohello hello hello hello"));
    buf_done(&gzip);
    buf_done(&zlib);
    buf_done(&raw);
    buf_done(&zstd);
}

static void refuses_damaged_input(void **state)
{
    (void)state;
    str text = STR("hello hello hello hello");
    static const char *const names[] = { "gzip", "zstd" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        buf packed;
        buf_init(&packed, 0);
        if (i == 0)
            deflate_to(&packed, text, 31);
        else
            zstd_to(&packed, text);
        for (size_t n = 0; n < packed.len; n++)
            expect_status(names[i], str_n(packed.ptr, n), MiB(1), MiB(2), STATUS_INVALID);
        buf_char(&packed, 'x');
        expect_status(names[i], buf_view(&packed), MiB(1), MiB(2), STATUS_INVALID);
        buf_done(&packed);
    }
    buf packed;
    buf_init(&packed, 0);
    snappy_to(&packed, text);
    for (size_t n = 0; n < packed.len; n++)
        expect_status("snappy", str_n(packed.ptr, n), MiB(1), MiB(2), STATUS_INVALID);
    buf_char(&packed, 'x');
    expect_status("snappy", buf_view(&packed), MiB(1), MiB(2), STATUS_INVALID);
    buf_done(&packed);
    /* A few bytes that promise a mebibyte, and four gibibytes. */
    expect_status("snappy", STR("\x80\x80\x40\x00\x41"), MiB(2), MiB(4), STATUS_INVALID);
    expect_status("snappy", STR("\xff\xff\xff\xff\x0f\x00\x41"), MiB(2), MiB(4), STATUS_LIMIT);
    expect_status("br", STR("x"), MiB(1), MiB(2), STATUS_UNSUPPORTED);
    expect_status("gzip, gzip", STR("x"), MiB(1), MiB(2), STATUS_UNSUPPORTED);
}

static void stops_at_the_limit_and_not_before(void **state)
{
    (void)state;
    static char zeros[300000];
    str text = str_n(zeros, sizeof(zeros));
    static const char *const names[] = { "gzip", "zstd", "snappy" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        buf packed, out;
        error err;
        buf_init(&packed, 0);
        if (i == 0)
            deflate_to(&packed, text, 31);
        else if (i == 1)
            zstd_to(&packed, text);
        else
            snappy_to(&packed, text);
        assert_int_equal(decode(names[i], buf_view(&packed), text.len, MiB(1), &out, &err),
                         STATUS_OK);
        assert_int_equal(out.len, text.len);
        buf_done(&out);
        expect_status(names[i], buf_view(&packed), text.len - 1, MiB(1), STATUS_LIMIT);
        expect_status(names[i], buf_view(&packed), text.len, 100000, STATUS_BUSY);
        buf_done(&packed);
    }
}

static void reads_accept_encoding(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool accepts;
    } cases[] = {
        { "", false },
        { "gzip", true },
        { "deflate, gzip;q=0.5", true },
        { "GZIP", true },
        { "gzip;q=0", false },
        { "gzip; q=0.0, *", false },
        { "br", false },
        { "*", true },
        { "*;q=0", false },
        { "identity", false },
        { "gzip;q=junk", false },
        { "gzipped", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (encoding_accepts_gzip(str_c(cases[i].header)) != cases[i].accepts)
            fail_msg("\"%s\"", cases[i].header);
}

/* A stream that is synchronized can be read up to there, and gathers what is small otherwise. */
static void a_gzip_stream_holds_what_went_in(void **state)
{
    (void)state;
    buf packed, text, out;
    error err;
    size_t synced = 0;
    gzip_stream *g = gzip_stream_new();
    assert_non_null(g);
    buf_init(&packed, 0);
    buf_init(&text, 0);
    for (unsigned i = 0; i < 300; i++) {
        size_t before = text.len;
        for (unsigned k = 0; k < 100; k++)
            buf_fmt(&text, "%u ", (i * 7919u + k * 104729u) * 2654435761u);
        str piece = str_slice(buf_view(&text), before, text.len);
        gzip_step step = i == 299 ? GZIP_END : i == 150 ? GZIP_SYNC : GZIP_GATHER;
        assert_int_equal(gzip_stream_add(g, piece, step, &packed, &err), STATUS_OK);
        if (i == 0)
            assert_true(packed.len < 64);
        if (i == 150) {
            synced = text.len;
            static char plain[1 << 20];
            z_stream z = { .next_in = (Bytef *)packed.ptr, .avail_in = (uInt)packed.len };
            assert_int_equal(inflateInit2(&z, 31), Z_OK);
            z.next_out = (Bytef *)plain;
            z.avail_out = sizeof(plain);
            assert_int_equal(inflate(&z, Z_SYNC_FLUSH), Z_OK);
            assert_true(str_eq(str_n(plain, sizeof(plain) - z.avail_out), buf_view(&text)));
            inflateEnd(&z);
        }
    }
    gzip_stream_free(g);
    assert_true(synced && synced < text.len && packed.len < text.len);
    assert_int_equal(decode("gzip", buf_view(&packed), MiB(2), MiB(4), &out, &err), STATUS_OK);
    assert_true(str_eq(buf_view(&out), buf_view(&text)));
    buf_done(&out);
    buf_done(&text);
    buf_done(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_each_encoding),
        cmocka_unit_test(refuses_damaged_input),
        cmocka_unit_test(stops_at_the_limit_and_not_before),
        cmocka_unit_test(reads_accept_encoding),
        cmocka_unit_test(a_gzip_stream_holds_what_went_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

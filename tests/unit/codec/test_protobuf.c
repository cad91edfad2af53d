// SPDX-License-Identifier: Apache-2.0
/* The protobuf wire format: values at their bounds, what is refused, and how lengths are patched.
 */
#include "codec/protobuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define BYTES(...) str_n((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void numbers_survive_writing_and_reading(void **state)
{
    (void)state;
    static const uint64_t numbers[] = { 0,     1,          127,       128,       16383,
                                        16384, UINT32_MAX, INT64_MAX, UINT64_MAX };
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        buf out;
        buf_init(&out, 0);
        pb_put_varint(&out, 1, numbers[i]);
        pb_put_fixed64(&out, 2000, numbers[i]);
        pb_put_fixed32(&out, 3, (uint32_t)numbers[i]);
        pb_put_sint(&out, 4, (int64_t)numbers[i]);
        pb_put_double(&out, 536870911, (double)numbers[i]);
        pb_reader r = pb_read(buf_view(&out));
        pb_field f;
        uint64_t u64;
        uint32_t u32;
        double f64;
        assert_true(pb_next(&r, &f) && f.number == 1 && f.wire == PB_VARINT);
        assert_true(pb_varint(&r, &u64) && u64 == numbers[i]);
        assert_true(pb_next(&r, &f) && f.number == 2000 && f.wire == PB_FIXED64);
        assert_true(pb_fixed64(&r, &u64) && u64 == numbers[i]);
        assert_true(pb_next(&r, &f) && f.number == 3 && f.wire == PB_FIXED32);
        assert_true(pb_fixed32(&r, &u32) && u32 == (uint32_t)numbers[i]);
        assert_true(pb_next(&r, &f) && pb_varint(&r, &u64));
        assert_int_equal(pb_zigzag(u64), (int64_t)numbers[i]);
        assert_true(pb_next(&r, &f) && f.number == 536870911 && pb_double(&r, &f64));
        assert_true(f64 == (double)numbers[i]);
        assert_false(pb_next(&r, &f));
        assert_null(r.problem);
        size_t size = 0;
        for (uint64_t v = numbers[i]; size == 0 || v; v >>= 7)
            size++;
        assert_int_equal(pb_varint_size(numbers[i]), size);
        buf_done(&out);
    }
}

static void small_negative_numbers_take_one_byte_as_sint(void **state)
{
    (void)state;
    buf out;
    buf_init(&out, 0);
    pb_put_sint(&out, 1, -1);
    assert_int_equal(out.len, 2);
    assert_int_equal(out.ptr[1], 1);
    buf_done(&out);
}

static void wrong_bytes_are_refused_where_they_are(void **state)
{
    (void)state;
    static const struct {
        str bytes;
        size_t at;
        const char *problem;
    } cases[] = {
        { STR_INIT("\x08"), 1, "a varint is cut short" },
        { STR_INIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), 1,
          "a varint is longer than 64 bits" },
        { STR_INIT("\x08\x01\x09\x01\x02"), 3, "a value is cut short" },
        { STR_INIT("\x0d\x01\x02\x03"), 1, "a value is cut short" },
        { STR_INIT("\x12\x05zzzz"), 1, "a length goes past the end of its message" },
        { STR_INIT("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01z"), 1,
          "a length goes past the end of its message" },
        { STR_INIT("\x08\x01\x02\x01"), 2,
          "a field tag has the number 0, is too large or has an unknown wire type" },
        { STR_INIT("\x0e"), 0,
          "a field tag has the number 0, is too large or has an unknown wire type" },
        { STR_INIT("\x88\x80\x80\x80\x10\x01"), 0,
          "a field tag has the number 0, is too large or has an unknown wire type" },
        { STR_INIT("\x0c"), 1, "a group ends that never began" },
        { STR_INIT("\x0b\x08\x01"), 3, "a group has no end" },
        { STR_INIT("\x0b\x14"), 2, "a group ends with another field's number" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        pb_reader r = pb_read(cases[i].bytes);
        pb_field f;
        while (pb_next(&r, &f))
            pb_skip(&r, f);
        assert_non_null(r.problem);
        assert_string_equal(r.problem, cases[i].problem);
        assert_int_equal(r.at - r.base, cases[i].at);
        assert_false(pb_next(&r, &f));
    }
}

static void groups_are_skipped_with_what_they_hold(void **state)
{
    (void)state;
    /* 1: group { 2: group { 1: 150 } 2: "hi" }, then 3: 7 */
    pb_reader r =
        pb_read(BYTES(0x0b, 0x13, 0x08, 0x96, 0x01, 0x14, 0x12, 0x02, 'h', 'i', 0x0c, 0x18, 0x07));
    pb_field f;
    uint64_t v;
    assert_true(pb_next(&r, &f) && f.wire == PB_GROUP);
    assert_true(pb_skip(&r, f));
    assert_true(pb_next(&r, &f) && f.number == 3);
    assert_true(pb_varint(&r, &v) && v == 7);
    assert_false(pb_next(&r, &f));
    assert_null(r.problem);
}

static void groups_nested_too_deep_are_refused(void **state)
{
    (void)state;
    char bytes[2 * (PB_GROUP_DEPTH + 1)];
    for (int deep = 0; deep < 2; deep++) {
        size_t n = (size_t)(PB_GROUP_DEPTH + deep);
        memset(bytes, 0x0b, n);
        memset(bytes + n, 0x0c, n);
        pb_reader r = pb_read(str_n(bytes, 2 * n));
        pb_field f;
        assert_true(pb_next(&r, &f));
        assert_int_equal(pb_skip(&r, f), deep == 0);
    }
}

static void a_length_is_the_shortest_whatever_was_expected(void **state)
{
    (void)state;
    static const size_t lengths[] = { 0, 1, 127, 128, 300, 16383, 16384, 70000 };
    static const size_t guesses[] = { 0, 100, 1000, 100000, SIZE_MAX };
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        for (size_t g = 0; g < ARRAY_LEN(guesses); g++) {
            buf out;
            pb_reader r, inner;
            pb_field f;
            buf_init(&out, 0);
            pb_mark outer = pb_begin(&out, 1, guesses[g]);
            pb_mark mark = pb_begin(&out, 2, guesses[g]);
            for (size_t n = 0; n < lengths[i]; n++)
                buf_char(&out, (char)n);
            pb_end(&out, mark);
            pb_end(&out, outer);
            size_t nested = 1 + pb_varint_size(lengths[i]) + lengths[i];
            assert_int_equal(out.len, 1 + pb_varint_size(nested) + nested);
            r = pb_read(buf_view(&out));
            str body;
            assert_true(pb_next(&r, &f) && pb_message(&r, &inner));
            assert_true(pb_next(&inner, &f) && f.number == 2 && pb_bytes(&inner, &body));
            assert_int_equal(body.len, lengths[i]);
            for (size_t n = 0; n < lengths[i]; n++)
                assert_int_equal(body.ptr[n], (char)n);
            buf_done(&out);
        }
    }
}

static void writing_past_the_limit_fails_and_stays_in_bounds(void **state)
{
    (void)state;
    buf out;
    buf_init(&out, 64);
    pb_mark mark = pb_begin(&out, 1, 0);
    for (int i = 0; i < 20; i++)
        pb_put_bytes(&out, 2, STR("12345678"));
    pb_end(&out, mark);
    assert_true(out.failed);
    assert_true(out.len <= 64);
    buf_done(&out);
}

static void a_run_counts_equal_tags_only(void **state)
{
    (void)state;
    pb_reader r =
        pb_read(BYTES(0x0a, 0x01, 'a', 0x0a, 0x00, 0x0a, 0x01, 'b', 0x12, 0x00, 0x0a, 0x00));
    pb_field f;
    assert_true(pb_next(&r, &f));
    assert_int_equal(pb_count_run(&r, 1), 3);
    pb_reader torn = pb_read(BYTES(0x0a, 0x01, 'a', 0x0a, 0x09));
    assert_true(pb_next(&torn, &f));
    assert_int_equal(pb_count_run(&torn, 1), 2);
    assert_null(torn.problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_survive_writing_and_reading),
        cmocka_unit_test(small_negative_numbers_take_one_byte_as_sint),
        cmocka_unit_test(wrong_bytes_are_refused_where_they_are),
        cmocka_unit_test(groups_are_skipped_with_what_they_hold),
        cmocka_unit_test(groups_nested_too_deep_are_refused),
        cmocka_unit_test(a_length_is_the_shortest_whatever_was_expected),
        cmocka_unit_test(writing_past_the_limit_fails_and_stays_in_bounds),
        cmocka_unit_test(a_run_counts_equal_tags_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* Text, numbers, UTF-8. */
#include "support.h"

#include <math.h>

static void finds_cuts_and_trims(void **state)
{
    (void)state;
    str rest;
    assert_str(str_cut(STR("a=b=c"), '=', &rest), STR("a"));
    assert_str(rest, STR("b=c"));
    assert_str(str_cut(STR("plain"), '=', &rest), STR("plain"));
    assert_int_equal(rest.len, 0);
    assert_str(str_trim(STR(" \t x y\r\n")), STR("x y"));
    assert_int_equal(str_find(STR("hello"), STR("lo")), 3);
    assert_true(str_find(STR("hello"), STR("world")) == SIZE_MAX);
    assert_int_equal(str_find(STR_EMPTY, STR_EMPTY), 0);
    assert_true(str_starts(STR("abc"), STR("ab")) && !str_starts(STR("a"), STR("ab")));
    assert_true(str_ends(STR("abc"), STR("bc")) && !str_ends(STR("c"), STR("bc")));
    assert_true(str_eq_nocase(STR("TraceParent"), STR("traceparent")));
    assert_true(str_cmp(STR("a"), STR("ab")) < 0 && str_cmp(STR("b"), STR("ab")) > 0);
}

static void reads_only_whole_numbers(void **state)
{
    (void)state;
    uint64_t u;
    int64_t i;
    double d;
    assert_true(str_to_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_false(str_to_u64(STR("18446744073709551616"), &u));
    assert_false(str_to_u64(STR(""), &u) || str_to_u64(STR("1 "), &u) || str_to_u64(STR("-1"), &u));
    assert_true(str_to_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_false(str_to_i64(STR("9223372036854775808"), &i));
    assert_true(str_to_f64(STR("1e3"), &d) && d == 1000);
    assert_true(str_to_f64(STR("NaN"), &d) && isnan(d));
    assert_false(str_to_f64(STR("1x"), &d) || str_to_f64(STR(" 1"), &d));
}

static void hex_goes_both_ways(void **state)
{
    (void)state;
    uint8_t bytes[4];
    char text[8];
    assert_true(str_from_hex(STR("00fFa51b"), bytes, 4));
    str_to_hex(bytes, 4, text);
    assert_str(str_n(text, 8), STR("00ffa51b"));
    assert_false(str_from_hex(STR("00ff"), bytes, 4) || str_from_hex(STR("00ffa51g"), bytes, 4));
}

static void utf8_prefix_ends_at_the_first_bad_byte(void **state)
{
    (void)state;
    assert_int_equal(utf8_valid_prefix(STR("plain ascii that is long")), 24);
    assert_int_equal(utf8_valid_prefix(STR("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80")), 9);
    assert_int_equal(utf8_valid_prefix(STR("ab\xC0\x80")), 2);       /* overlong */
    assert_int_equal(utf8_valid_prefix(STR("\xED\xA0\x80")), 0);     /* surrogate */
    assert_int_equal(utf8_valid_prefix(STR("\xF4\x90\x80\x80")), 0); /* above U+10FFFF */
    assert_int_equal(utf8_valid_prefix(STR("12345678\xE2\x82")), 8); /* cut */
}

static void hashes_differ_with_length_and_content(void **state)
{
    (void)state;
    assert_true(str_hash(STR("a")) != str_hash(STR("b")));
    assert_true(str_hash(STR("a")) != str_hash(STR("a\0")));
    assert_true(str_hash(STR("0123456789abcdef0")) != str_hash(STR("0123456789abcdef1")));
    assert_true(str_hash(STR("same text here")) == str_hash(STR("same text here")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_cuts_and_trims),
        cmocka_unit_test(reads_only_whole_numbers),
        cmocka_unit_test(hex_goes_both_ways),
        cmocka_unit_test(utf8_prefix_ends_at_the_first_bad_byte),
        cmocka_unit_test(hashes_differ_with_length_and_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
#include "base/number_text.h"

#include "base/buf.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void check_whole(uint64_t v)
{
    char expected[32], text[NUMBER_ROOM];
    snprintf(expected, sizeof(expected), "%" PRIu64, v);
    assert_true(str_is(str_n(text, u64_text(text, v)), expected));
}

static void whole_numbers_are_those_of_printf(void **state)
{
    uint64_t seed = 88172645463325252u, power = 1;
    (void)state;
    for (int digits = 0; digits < 20; digits++, power *= 10)
        for (int near = -2; near <= 2; near++)
            check_whole(power + (uint64_t)near);
    check_whole(UINT64_MAX);
    for (int i = 0; i < 100000; i++) {
        check_whole((uint64_t)i);
        check_whole(next(&seed) >> (i % 64));
    }
}

/* What printf and strtod make of the same task: the text that reads back, of 15 digits, of 16, of
 * the 16 above those that it rounds to, or of 17. */
static void expect(double v, char text[64])
{
    if (v == 1e15 || v == -1e15) { /* the last ones that are written as whole numbers */
        snprintf(text, 64, "%.0f", v);
        return;
    }
    for (int precision = fabs(v) < 2.2250738585072014e-308 ? 1 : 15; precision <= 16; precision++) {
        snprintf(text, 64, "%.*g", precision, v);
        if (strtod(text, NULL) == v)
            return;
    }
    snprintf(text, 64, "%.17g", v);
}

static void check(double v)
{
    char expected[64], text[NUMBER_ROOM];
    size_t n = f64_text(text, v);
    expect(v, expected);
    assert_true(n <= 25);
    if (str_is(str_n(text, n), expected))
        return;
    /* Below a power of two others than those of printf may read back. */
    text[n] = '\0';
    if (n > strlen(expected) || strtod(text, NULL) != v)
        fail_msg("%s: %s", expected, text);
}

static void doubles_are_the_shortest_that_read_back(void **state)
{
    uint64_t seed = 88172645463325252u;
    (void)state;
    for (int i = 0; i < 60000; i++) {
        double v;
        uint64_t bits = next(&seed);
        memcpy(&v, &bits, sizeof(v));
        if (i % 4 == 1)
            v = (double)(bits >> 11) / 9007199254740992.0 * 1000;
        else if (i % 4 == 2)
            v = (double)(bits % 100000000) / (double)(1 + (bits >> 40) % 1000);
        else if (i % 4 == 3)
            v = (double)(int64_t)(bits % 1000000) * pow(10, (double)((bits >> 32) % 60) - 30);
        if (isfinite(v)) {
            check(v);
            check(-v);
        }
    }
    for (int e = -1074; e < 1024; e++)
        check(ldexp(1, e));
    for (int e = -323; e < 309; e++) {
        char text[16];
        snprintf(text, sizeof(text), "1e%d", e);
        check(strtod(text, NULL));
        check(strtod(text, NULL) / -9);
    }
}

static void special_numbers_have_the_texts_of_prometheus(void **state)
{
    static const struct {
        double v;
        const char *text;
    } cases[] = { { NAN, "NaN" },
                  { INFINITY, "+Inf" },
                  { -INFINITY, "-Inf" },
                  { 0, "0" },
                  { -0.0, "-0" },
                  { 5e-324, "5e-324" },
                  { 1e15, "1000000000000000" },
                  { -1e15, "-1000000000000000" },
                  { 1e16, "1e+16" },
                  { 1e15 + 0.5, "1000000000000000.5" },
                  { 0.0001, "0.0001" },
                  { 0.00001, "1e-05" },
                  { 1.25e-7, "1.25e-07" },
                  { 1.7976931348623157e308, "1.7976931348623157e+308" },
                  { 12345678901234567890.0, "1.2345678901234567e+19" } };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[NUMBER_ROOM];
        str shown = str_n(text, f64_text(text, cases[i].v));
        if (!str_is(shown, cases[i].text))
            fail_msg("%s: %.*s", cases[i].text, STR_ARG(shown));
    }
}

static void a_buffer_with_less_room_takes_what_fits(void **state)
{
    buf out;
    (void)state;
    buf_init(&out, 5);
    buf_f64(&out, 0.125);
    assert_true(str_is(buf_view(&out), "0.125"));
    buf_f64(&out, 7);
    assert_true(out.failed);
    assert_true(str_is(buf_view(&out), "0.125"));
    buf_done(&out);
}

static void samples_have_an_exponent_only_far_from_one(void **state)
{
    static const struct {
        double v;
        const char *text;
    } of[] = {
        { 1e-6, "0.000001" },
        { -1.2345678901234567e-06, "-0.0000012345678901234567" },
        { 9.5e-7, "9.5e-07" },
        { 5e-5, "0.00005" },
        { 0.00012, "0.00012" },
        { 1e16, "10000000000000000" },
        { 123456789012345680.0, "123456789012345680" },
        { -999999999999999900000.0, "-999999999999999900000" },
        { 1e21, "1e+21" },
        { 1e300, "1e+300" },
        { 5e-324, "5e-324" },
        { -0.0, "-0" },
        { INFINITY, "+Inf" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
        char text[NUMBER_ROOM];
        assert_true(str_is(str_n(text, f64_sample_text(text, of[i].v)), of[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_those_of_printf),
        cmocka_unit_test(doubles_are_the_shortest_that_read_back),
        cmocka_unit_test(special_numbers_have_the_texts_of_prometheus),
        cmocka_unit_test(a_buffer_with_less_room_takes_what_fits),
        cmocka_unit_test(samples_have_an_exponent_only_far_from_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

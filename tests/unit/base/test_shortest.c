// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/random.h"
#include "base/shortest.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* The least precision of printf that reads back, which is the number of digits to be met. */
static int least_digits(double v, char text[64])
{
    int precision = 1;
    for (; precision <= 17; precision++) {
        snprintf(text, 64, "%.*e", precision - 1, v);
        if (strtod(text, NULL) == v)
            break;
    }
    return precision;
}

static void check(double v)
{
    uint64_t digits;
    int exponent;
    char text[64], own[64];
    if (!shortest_digits(v, &digits, &exponent))
        return;
    snprintf(own, sizeof(own), "%llue%d", (unsigned long long)digits, exponent);
    assert_true(strtod(own, NULL) == fabs(v));
    assert_true(digits < 100000000000000000u);
    while (digits % 10 == 0)
        digits /= 10;
    int count = snprintf(own, sizeof(own), "%llu", (unsigned long long)digits);
    /* Below a power of two there may be a shorter number than printf's. */
    assert_true(count <= least_digits(v, text));
}

static void digits_read_back_and_are_the_fewest(void **state)
{
    uint64_t seed = 88172645463325252u;
    (void)state;
    for (int i = 0; i < 30000; i++) {
        double v;
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        if (i % 3 == 0)
            memcpy(&v, &seed, sizeof(v));
        else if (i % 3 == 1)
            v = (double)(seed >> 11) / 9007199254740992.0 * 1000;
        else
            v = (double)(seed % 100000000) / (double)(1 + (seed >> 40) % 1000);
        if (isfinite(v))
            check(v);
    }
    for (int e = -170; e < 270; e++)
        check(ldexp(1, e));
}

static void far_and_special_numbers_are_left_to_others(void **state)
{
    uint64_t digits;
    int exponent;
    (void)state;
    const double none[] = { 0, -0.0, INFINITY, -INFINITY, NAN, 5e-324, 1e-300, 1e300 };
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_false(shortest_digits(none[i], &digits, &exponent));
}

static void texts_have_exponents_far_from_one(void **state)
{
    static const struct {
        double v;
        const char *text;
    } cases[] = { { 0.1, "0.1" },
                  { -1.5, "-1.5" },
                  { 0.0001, "0.0001" },
                  { 0.00001, "1e-05" },
                  { 123456.789, "123456.789" },
                  { 1e21, "1e+21" },
                  { 1.5e300, "1.5e+300" },
                  { 9007199254740993.0, "9007199254740992" },
                  { 0.30000000000000004, "0.30000000000000004" } };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf out;
        buf_init(&out, 100);
        buf_f64(&out, cases[i].v);
        assert_true(str_is(buf_view(&out), cases[i].text));
        buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_read_back_and_are_the_fewest),
        cmocka_unit_test(far_and_special_numbers_are_left_to_others),
        cmocka_unit_test(texts_have_exponents_far_from_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

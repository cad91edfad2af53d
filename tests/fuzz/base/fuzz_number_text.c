// SPDX-License-Identifier: Apache-2.0
/* Numbers as text: any double prints as something that reads back to the same bits, with no more
 * digits than trying one after another finds; any whole number as printf prints it. The first byte
 * says what the others are: bits, whole numbers, or few digits and a power of ten. */
#include "fuzz/fuzz.h"

#include "base/number_text.h"

#include <inttypes.h>
#include <math.h>

static unsigned digits_in(const char *text)
{
    unsigned n = 0, zeros = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text < '0' || *text > '9')
            continue;
        n += *text != '0' || n;
        zeros = *text == '0' ? zeros + 1 : 0;
    }
    return n > zeros ? n - zeros : 1;
}

static void check_text(char *text, size_t n, double v)
{
    char fewest[40];
    FUZZ_CHECK(n > 0 && n <= 25);
    text[n] = '\0';
    double back = strtod(text, NULL);
    if (isnan(v)) {
        FUZZ_CHECK(strcmp(text, "NaN") == 0);
        return;
    }
    FUZZ_CHECK(memcmp(&back, &v, sizeof(v)) == 0);
    if (isinf(v))
        return;
    f64_shortest(fewest, v, 1);
    FUZZ_CHECK(digits_in(text) <= digits_in(fewest));
    FUZZ_CHECK(strspn(text, "0123456789+-.e") == n && text[0] != '+' && text[n - 1] != '.');
}

static void check_double(double v)
{
    char text[NUMBER_ROOM], sample[NUMBER_ROOM], whole[NUMBER_ROOM];
    double size = fabs(v);
    check_text(text, f64_text(text, v), v);
    check_text(sample, f64_sample_text(sample, v), v);
    if (isfinite(v))
        FUZZ_CHECK(!strchr(sample, 'e') == (size == 0 || (size >= 1e-6 && size < 1e21)));
    if (!strchr(sample, 'e') && !strchr(text, 'e'))
        FUZZ_CHECK(strcmp(text, sample) == 0);
    if (size < 1e15 && v == trunc(v)) {
        snprintf(whole, sizeof(whole), "%.0f", v);
        FUZZ_CHECK(strcmp(text, whole) == 0);
    }
}

static void check_whole(uint64_t v)
{
    char text[NUMBER_ROOM], want[32];
    size_t n = u64_text(text, v);
    int length = snprintf(want, sizeof(want), "%" PRIu64, v);
    FUZZ_CHECK(n == (size_t)length && memcmp(text, want, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t at = 1; at + 8 <= size && at < 160; at += 8) {
        uint64_t bits;
        double v;
        memcpy(&bits, data + at, 8);
        check_whole(bits >> bits % 64);
        if (data[0] % 3 == 0)
            memcpy(&v, &bits, 8);
        else if (data[0] % 3 == 1)
            v = (double)(int64_t)bits / (double)(1 + bits % 4096);
        else
            v = (double)(int32_t)(bits >> 32) * pow(10, (double)(int)(bits % 640) - 330);
        check_double(v);
        check_double(nextafter(v, INFINITY));
        check_double(nextafter(v, -INFINITY));
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* Card numbers. Ids and times of 13 to 19 digits are everywhere in telemetry, and one in ten passes
 * Luhn by chance. So a number is a card's only if its first digits are those that a card network
 * gives out, for its length: none begins with 0, 1, 7, 8 or 9, which leaves out milliseconds to
 * nanoseconds since 1970 for as long as those begin with 1. It must stand alone: no letter, digit,
 * underscore or decimal point beside it. Separated digits must be grouped as cards are printed. */
#include "codec/redact_internal.h"

#define DIGITS_MIN 13u
#define DIGITS_MAX 19u

typedef struct {
    uint32_t low, high; /* of the first six digits */
    uint8_t least, most;
} network;

static const network networks[] = {
    { 222100, 272099, 16, 16 }, /* Mastercard */
    { 300000, 305999, 14, 19 }, /* Diners Club */
    { 340000, 349999, 15, 15 }, /* American Express */
    { 352800, 358999, 16, 19 }, /* JCB */
    { 360000, 369999, 14, 19 }, /* Diners Club */
    { 370000, 379999, 15, 15 }, /* American Express */
    { 380000, 399999, 16, 19 }, /* Diners Club */
    { 400000, 499999, 13, 13 }, /* Visa */
    { 400000, 499999, 16, 16 }, { 400000, 499999, 19, 19 },
    { 500000, 509999, 13, 19 }, /* Maestro */
    { 510000, 559999, 16, 16 }, /* Mastercard */
    { 560000, 589999, 13, 19 }, /* Maestro */
    { 601100, 601199, 16, 19 }, /* Discover */
    { 620000, 629999, 16, 19 }, /* UnionPay */
    { 630000, 639999, 13, 19 }, /* Maestro */
    { 644000, 659999, 16, 19 }, /* Discover */
    { 670000, 679999, 13, 19 }, /* Maestro */
};

static bool is_card(const char *digits, size_t n)
{
    uint32_t start = 0, sum = 0;
    for (size_t i = 0; i < 6; i++)
        start = start * 10 + (uint32_t)(digits[i] - '0');
    bool known = false;
    for (size_t i = 0; i < ARRAY_LEN(networks) && !known; i++)
        known = start >= networks[i].low && start <= networks[i].high && n >= networks[i].least &&
                n <= networks[i].most;
    for (size_t i = 0; known && i < n; i++) {
        uint32_t d = (uint32_t)(digits[n - 1 - i] - '0') << (i & 1);
        sum += d > 9 ? d - 9 : d;
    }
    return known && sum % 10 == 0;
}

static char at(str in, size_t i)
{
    return i < in.len ? in.ptr[i] : ' ';
}

/* `separator`: 0 for digits without one. */
static bool stands_alone(str in, size_t begin, size_t end, char separator)
{
    char before = begin ? in.ptr[begin - 1] : ' ', after = at(in, end);
    if (redact_is_alnum(before) || before == '_' || redact_is_alnum(after) || after == '_')
        return false;
    if ((before == '.' && begin > 1 && redact_is_digit(in.ptr[begin - 2])) ||
        (after == '.' && redact_is_digit(at(in, end + 1))))
        return false;
    if (before == '-' && begin > 1 &&
        (separator == '-' ? redact_is_alnum(in.ptr[begin - 2])
                          : redact_is_digit(in.ptr[begin - 2])))
        return false;
    return !(after == '-' && redact_is_alnum(at(in, end + 1)));
}

static size_t digits_from(str in, size_t i)
{
    size_t n = 0;
    while (n <= DIGITS_MAX && i + n < in.len && redact_is_digit(in.ptr[i + n]))
        n++;
    return n;
}

/* As cards are printed: 4-4-4-4, with up to 3 more, 4-6-5 and 4-6-4. */
static bool printed_card(str in, size_t begin, redact_range *ret)
{
    static const uint8_t shapes[][5] = { { 4, 4, 4, 4, 3 }, { 4, 4, 4, 4, 2 }, { 4, 4, 4, 4, 1 },
                                         { 4, 4, 4, 4, 0 }, { 4, 6, 5, 0, 0 }, { 4, 6, 4, 0, 0 } };
    char digits[DIGITS_MAX + 1], separator = at(in, begin + 4);
    for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
        size_t i = begin, n = 0;
        bool fits = true;
        for (size_t g = 0; g < 5 && shapes[s][g] && fits; g++) {
            if (g && at(in, i++) != separator)
                fits = false;
            fits = fits && digits_from(in, i) == shapes[s][g];
            if (!fits)
                break;
            memcpy(digits + n, in.ptr + i, shapes[s][g]);
            n += shapes[s][g];
            i += shapes[s][g];
        }
        if (fits && stands_alone(in, begin, i, separator) && is_card(digits, n)) {
            *ret = (redact_range){ begin, i };
            return true;
        }
    }
    return false;
}

/* In the run of digits, spaces and dashes that begins at *at_run; passes over it when there is
 * none. */
static bool card_in_run(str in, size_t *at_run, size_t to, redact_range *ret)
{
    size_t i = *at_run;
    while (i < to && redact_is(in.ptr[i], CLASS_CARD)) {
        size_t n = digits_from(in, i);
        if (n == 0) {
            i++;
            continue;
        }
        if (n >= DIGITS_MIN && n <= DIGITS_MAX && stands_alone(in, i, i + n, 0) &&
            is_card(in.ptr + i, n)) {
            *ret = (redact_range){ i, i + n };
            return true;
        }
        char next = at(in, i + n);
        if (n == 4 && (next == ' ' || next == '-') && printed_card(in, i, ret))
            return true;
        i += n;
        while (i < to && redact_is_digit(in.ptr[i]))
            i++;
    }
    *at_run = i;
    return false;
}

bool redact_find_card(str in, size_t from, size_t to, redact_range *ret)
{
    size_t i = from + DIGITS_MIN - 1;
    while (i < to) {
        if (LIKELY(!redact_is(in.ptr[i], CLASS_CARD))) {
            i += DIGITS_MIN;
            continue;
        }
        size_t begin = i, end = i + 1;
        while (begin > from && redact_is(in.ptr[begin - 1], CLASS_CARD))
            begin--;
        while (end < to && end - begin < DIGITS_MIN && redact_is(in.ptr[end], CLASS_CARD))
            end++;
        if (end - begin >= DIGITS_MIN) {
            end = begin;
            if (card_in_run(in, &end, to, ret))
                return true;
        }
        i = end + DIGITS_MIN;
    }
    return false;
}

// SPDX-License-Identifier: Apache-2.0
/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#include "examples/common/text.h"

#include <stddef.h>

/* What the first byte and the one behind it may be; all further ones are 0x80 to 0xBF. */
static const struct {
    unsigned char first, last, next_from, next_to, bytes;
} forms[] = {
    { 0x01, 0x7F, 0x00, 0xFF, 1 }, { 0xC2, 0xDF, 0x80, 0xBF, 2 }, { 0xE0, 0xE0, 0xA0, 0xBF, 3 },
    { 0xE1, 0xEC, 0x80, 0xBF, 3 }, { 0xED, 0xED, 0x80, 0x9F, 3 }, { 0xEE, 0xEF, 0x80, 0xBF, 3 },
    { 0xF0, 0xF0, 0x90, 0xBF, 4 }, { 0xF1, 0xF3, 0x80, 0xBF, 4 }, { 0xF4, 0xF4, 0x80, 0x8F, 4 },
};

/* Bytes of the character that `p` begins with; 0: none. */
static size_t character(const unsigned char *p)
{
    size_t i = 0, n = 2;
    while (i < sizeof(forms) / sizeof(forms[0]) && *p > forms[i].last)
        i++;
    if (i == sizeof(forms) / sizeof(forms[0]) || *p < forms[i].first)
        return 0;
    if (forms[i].bytes == 1)
        return 1;
    if (p[1] < forms[i].next_from || p[1] > forms[i].next_to)
        return 0;
    while (n < forms[i].bytes && (p[n] & 0xC0) == 0x80)
        n++;
    return n == forms[i].bytes ? n : 0;
}

bool text_is_utf8(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    for (size_t n = 1; *p && n; p += n)
        n = character(p);
    return !*p;
}

void text_make_utf8(char *text)
{
    for (char *p = text; *p;) {
        size_t n = character((unsigned char *)p);
        if (!n)
            *p = '?';
        p += n ? n : 1;
    }
}

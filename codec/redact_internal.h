// SPDX-License-Identifier: Apache-2.0
/* What the scanner (redact.c) and the rules themselves (redact_find.c, redact_card.c) share. */
#ifndef SONDE_CODEC_REDACT_INTERNAL_H
#define SONDE_CODEC_REDACT_INTERNAL_H

#include "codec/redact.h"

typedef struct {
    size_t begin, end;
} redact_range;

/* A literal by which a secret is told. The scanner looks at every second pair of bytes only, so
 * each literal names two pairs of its own, one for each alignment: the least frequent ones. */
typedef struct {
    redact_kind kind;
    str text;
    uint8_t even, odd; /* offsets in the text of pairs that the filter looks for */
    bool any_case;
    uint8_t least; /* KEY: as many characters follow at least */
} redact_trigger;

extern const redact_trigger redact_triggers[];
extern const size_t redact_trigger_count;

/* Which triggers a pair may belong to: a row of redact_rules.told. */
static inline unsigned redact_told_row(char first, char second)
{
    return (((unsigned)(unsigned char)first * 5u + (unsigned)(unsigned char)second) & 0x1fu) |
           ((unsigned)(unsigned char)first & 1u) << 5;
}

/* A secret that is told by the pair at `at`. Bytes before `from` are never part of it. */
bool redact_examine(const redact_rules *rules, str in, size_t from, size_t at, redact_range *ret);
/* A card number in [from, to); `to` is not looked beyond, but for what stands next to the number.
 */
bool redact_find_card(str in, size_t from, size_t to, redact_range *ret);

enum { CLASS_DIGIT = 1, CLASS_LETTER = 2, CLASS_KEY = 4, CLASS_TOKEN = 8, CLASS_CARD = 16 };
extern const uint8_t redact_class[256];

static inline bool redact_is(char c, unsigned classes)
{
    return redact_class[(unsigned char)c] & classes;
}
static inline bool redact_is_digit(char c)
{
    return redact_is(c, CLASS_DIGIT);
}
static inline bool redact_is_alnum(char c)
{
    return redact_is(c, CLASS_DIGIT | CLASS_LETTER);
}
/* What tokens are made of: base64 in both alphabets, and dots. */
static inline bool redact_is_token(char c)
{
    return redact_is(c, CLASS_TOKEN);
}

#endif

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

/* A secret that is told by the pair at `at`. Bytes before `from` are never part of it. */
bool redact_examine(const redact_rules *rules, str in, size_t from, size_t at, redact_range *ret);
/* A card number in [from, to); `to` is not looked beyond, but for what stands next to the number.
 */
bool redact_find_card(str in, size_t from, size_t to, redact_range *ret);

static inline bool redact_is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline bool redact_is_alnum(char c)
{
    return redact_is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}
/* What tokens are made of: base64 in both alphabets, and dots. */
static inline bool redact_is_token(char c)
{
    return redact_is_alnum(c) || (c && memchr("_-.~+/=", c, 7));
}

#endif

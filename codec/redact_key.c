// SPDX-License-Identifier: Apache-2.0
/* Which keys name secrets. Letters are compared without case and without separators, so that
 * "apiKey", "api-key" and "X_API_KEY" are one. Words that also count things ("tokens",
 * "token_count") are secrets only at the end of a key. Keys that are no literals come here with
 * each call, so it is one pass; a user's patterns cost only where there are any. */
#include "codec/redact.h"

typedef struct {
    str word;
    bool anywhere; /* else only at the end of the key */
} secret_word;

/* By their first letter. */
static const secret_word words[] = {
    { STR_INIT("accesskey"), true },     { STR_INIT("apikey"), true },
    { STR_INIT("authorization"), true }, { STR_INIT("bearer"), false },
    { STR_INIT("cardnumber"), true },    { STR_INIT("cookie"), true },
    { STR_INIT("credential"), true },    { STR_INIT("creditcard"), true },
    { STR_INIT("cvv"), false },          { STR_INIT("jwt"), false },
    { STR_INIT("passphrase"), true },    { STR_INIT("passwd"), true },
    { STR_INIT("password"), true },      { STR_INIT("privatekey"), true },
    { STR_INIT("pwd"), false },          { STR_INIT("secret"), true },
    { STR_INIT("ssn"), false },          { STR_INIT("token"), false },
};

/* Where the words of each letter begin. */
static const uint8_t first_word[27] = {
    ['a' - 'a'] = 0,  ['b' - 'a'] = 3,      ['c' - 'a'] = 4,  ['d' - 'a'] = 9,  ['e' - 'a'] = 9,
    ['f' - 'a'] = 9,  ['g' - 'a'] = 9,      ['h' - 'a'] = 9,  ['i' - 'a'] = 9,  ['j' - 'a'] = 9,
    ['k' - 'a'] = 10, ['l' - 'a'] = 10,     ['m' - 'a'] = 10, ['n' - 'a'] = 10, ['o' - 'a'] = 10,
    ['p' - 'a'] = 10, ['q' - 'a'] = 15,     ['r' - 'a'] = 15, ['s' - 'a'] = 15, ['t' - 'a'] = 17,
    ['u' - 'a'] = 18, ['v' - 'a'] = 18,     ['w' - 'a'] = 18, ['x' - 'a'] = 18, ['y' - 'a'] = 18,
    ['z' - 'a'] = 18, ['z' - 'a' + 1] = 18,
};

#define LONGEST 255

/* Letters in lower case, digits and '*'; 0 is left out. */
#define PAIR(upper, lower) [upper] = (lower), [lower] = (lower)
#define SAME(digit)        [digit] = (digit)
static const char kept[256] = {
    PAIR('A', 'a'), PAIR('B', 'b'), PAIR('C', 'c'), PAIR('D', 'd'), PAIR('E', 'e'), PAIR('F', 'f'),
    PAIR('G', 'g'), PAIR('H', 'h'), PAIR('I', 'i'), PAIR('J', 'j'), PAIR('K', 'k'), PAIR('L', 'l'),
    PAIR('M', 'm'), PAIR('N', 'n'), PAIR('O', 'o'), PAIR('P', 'p'), PAIR('Q', 'q'), PAIR('R', 'r'),
    PAIR('S', 's'), PAIR('T', 't'), PAIR('U', 'u'), PAIR('V', 'v'), PAIR('W', 'w'), PAIR('X', 'x'),
    PAIR('Y', 'y'), PAIR('Z', 'z'), SAME('0'),      SAME('1'),      SAME('2'),      SAME('3'),
    SAME('4'),      SAME('5'),      SAME('6'),      SAME('7'),      SAME('8'),      SAME('9'),
    SAME('*'),
};

/* What is compared of a key or a pattern. */
static size_t normalise(str key, char *ret, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < key.len && n < size; i++) {
        ret[n] = kept[(unsigned char)key.ptr[i]];
        n += ret[n] != 0;
    }
    return n;
}

static inline bool begins_secret(const char *p, size_t left)
{
    unsigned letter = (unsigned char)*p - (unsigned)'a';
    if (letter > 25)
        return false;
    for (unsigned i = first_word[letter]; i < first_word[letter + 1]; i++) {
        const secret_word *w = &words[i];
        bool fits = w->anywhere ? w->word.len <= left : w->word.len == left;
        if (fits && memcmp(p, w->word.ptr, w->word.len) == 0)
            return true;
    }
    return false;
}

/* '*' is any number of characters. Linear but for the last star's tries. */
static bool matches(str pattern, str text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            mark = t;
        } else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

bool redact_key(const redact_keys *more, str key)
{
    char text[LONGEST];
    size_t n = normalise(key, text, sizeof(text));
    for (size_t i = 0; i + 3 <= n; i++) {
        if (begins_secret(text + i, n - i))
            return true;
    }
    for (uint32_t i = 0; more && i < more->count; i++) {
        str pattern = str_n(more->text + more->pattern[i].at, more->pattern[i].len);
        if (matches(pattern, str_n(text, n)))
            return true;
    }
    return false;
}

static status add_pattern(redact_keys *keys, str item, error *err)
{
    size_t n = normalise(item, keys->text + keys->used, REDACT_TEXT_MAX - keys->used);
    bool letters = false;
    for (size_t i = 0; i < n; i++)
        letters = letters || keys->text[keys->used + i] != '*';
    if (!letters)
        return fail(err, STATUS_INVALID,
                    "the key pattern \"%.*s\" has no letter or digit: every key would match",
                    (int)MIN(item.len, (size_t)64), item.ptr);
    if (keys->count == REDACT_PATTERN_MAX || keys->used + n >= REDACT_TEXT_MAX)
        return fail(err, STATUS_LIMIT,
                    "the key pattern \"%.*s\" and those after it are too many: at most %u patterns "
                    "of %u characters together",
                    (int)MIN(item.len, (size_t)64), item.ptr, REDACT_PATTERN_MAX, REDACT_TEXT_MAX);
    keys->pattern[keys->count].at = keys->used;
    keys->pattern[keys->count].len = (uint16_t)n;
    keys->used = (uint16_t)(keys->used + n);
    keys->count++;
    return STATUS_OK;
}

status redact_keys_init(redact_keys *ret, str patterns, error *err)
{
    status st = STATUS_OK, first = STATUS_OK;
    ret->count = ret->used = 0;
    while (patterns.len && st != STATUS_LIMIT) {
        str item = str_trim(str_cut(patterns, ',', &patterns));
        st = item.len ? add_pattern(ret, item, first == STATUS_OK ? err : NULL) : STATUS_OK;
        first = first == STATUS_OK ? st : first;
    }
    return first;
}

// SPDX-License-Identifier: Apache-2.0
/* Which keys name secrets. Letters are compared without case and without separators, so that
 * "apiKey", "api-key" and "X_API_KEY" are one. Words that also count things ("tokens",
 * "token_count") are secrets only at the end of a key. Keys that are no literals come here with
 * each call, so it is one pass. */
#include "lib/site.h"

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
    { STR_INIT("sessionid"), false },    { STR_INIT("ssn"), false },
    { STR_INIT("token"), false },
};

/* Where the words of each letter begin. */
static const uint8_t first_word[27] = {
    ['a' - 'a'] = 0,  ['b' - 'a'] = 3,      ['c' - 'a'] = 4,  ['d' - 'a'] = 9,  ['e' - 'a'] = 9,
    ['f' - 'a'] = 9,  ['g' - 'a'] = 9,      ['h' - 'a'] = 9,  ['i' - 'a'] = 9,  ['j' - 'a'] = 9,
    ['k' - 'a'] = 10, ['l' - 'a'] = 10,     ['m' - 'a'] = 10, ['n' - 'a'] = 10, ['o' - 'a'] = 10,
    ['p' - 'a'] = 10, ['q' - 'a'] = 15,     ['r' - 'a'] = 15, ['s' - 'a'] = 15, ['t' - 'a'] = 18,
    ['u' - 'a'] = 19, ['v' - 'a'] = 19,     ['w' - 'a'] = 19, ['x' - 'a'] = 19, ['y' - 'a'] = 19,
    ['z' - 'a'] = 19, ['z' - 'a' + 1] = 19,
};

#define LONGEST 255

/* Lower-case letters and digits of the key. */
static size_t normalise(str key, char ret[LONGEST])
{
    size_t n = 0;
    for (size_t i = 0; i < key.len && n < LONGEST; i++) {
        unsigned char c = (unsigned char)key.ptr[i];
        if (c >= 'A' && c <= 'Z')
            c = (unsigned char)(c - 'A' + 'a');
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            ret[n++] = (char)c;
    }
    return n;
}

static bool begins_secret(const char *p, size_t left)
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

bool site_key_is_secret(str key)
{
    char text[LONGEST];
    size_t n = normalise(key, text);
    for (size_t i = 0; i + 3 <= n; i++) {
        if (begins_secret(text + i, n - i))
            return true;
    }
    return false;
}

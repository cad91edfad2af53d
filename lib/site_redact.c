// SPDX-License-Identifier: Apache-2.0
/* Which keys name secrets. Letters are compared without case and without separators, so that
 * "apiKey", "api-key" and "X_API_KEY" are one. Words that also count things ("tokens",
 * "token_count") are secrets only at the end of a key. */
#include "lib/site.h"

typedef struct {
    const char *word;
    bool anywhere; /* else only at the end of the key */
} secret_word;

static const secret_word words[] = {
    { "password", true },      { "passwd", true },     { "passphrase", true }, { "secret", true },
    { "authorization", true }, { "cookie", true },     { "credential", true }, { "apikey", true },
    { "privatekey", true },    { "accesskey", true },  { "token", false },     { "pwd", false },
    { "jwt", false },          { "bearer", false },    { "sessionid", false }, { "cvv", false },
    { "ssn", false },          { "creditcard", true }, { "cardnumber", true },
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

bool site_key_is_secret(str key)
{
    char text[LONGEST];
    str plain = str_n(text, normalise(key, text));
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        str word = str_c(words[i].word);
        if (words[i].anywhere ? str_contains(plain, word) : str_ends(plain, word))
            return true;
    }
    return false;
}

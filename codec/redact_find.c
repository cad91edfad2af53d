// SPDX-License-Identifier: Apache-2.0
/* The rules for values, but for card numbers: what stands at a place where the scanner's filter
 * stopped. Each looks back over at most a key's length, and forward as far as the secret goes, so
 * that a hostile text costs no more than its length times a constant. */
#include "codec/redact_internal.h"

static bool is_one_of(char c, str set)
{
    return str_find_char(set, c) != SIZE_MAX;
}

#define KEY_MAX       64u   /* the longest name of a parameter that is looked at */
#define AUTHORITY_MAX 2048u /* of a URL */

#define PREFIX(literal, even, odd, least) \
    { \
        REDACT_KEY, STR_INIT(literal), (even), (odd), false, (least) \
    }

const redact_trigger redact_triggers[] = {
    { REDACT_BEARER, STR_INIT("bearer"), 0, 1, true, 0 },
    { REDACT_BEARER, STR_INIT("basic"), 0, 3, true, 0 },
    { REDACT_JWT, STR_INIT("eyJ"), 0, 1, false, 0 },
    PREFIX("sk_live_", 0, 1, 8),
    PREFIX("sk_test_", 0, 1, 8),
    PREFIX("rk_live_", 0, 1, 8),
    PREFIX("rk_test_", 0, 1, 8),
    PREFIX("whsec_", 0, 1, 8),
    PREFIX("sk-", 0, 1, 20),
    PREFIX("ghp_", 0, 1, 16),
    PREFIX("gho_", 0, 1, 16),
    PREFIX("ghu_", 0, 1, 16),
    PREFIX("ghs_", 0, 1, 16),
    PREFIX("ghr_", 0, 1, 16),
    PREFIX("github_pat_", 0, 1, 16),
    PREFIX("glpat-", 0, 1, 12),
    PREFIX("xoxa-", 0, 1, 8),
    PREFIX("xoxb-", 0, 1, 8),
    PREFIX("xoxe-", 0, 1, 8),
    PREFIX("xoxp-", 0, 1, 8),
    PREFIX("xoxr-", 0, 1, 8),
    PREFIX("xoxs-", 0, 1, 8),
    PREFIX("AKIA", 0, 1, 12),
    PREFIX("ASIA", 0, 1, 12),
    PREFIX("AIza", 0, 1, 30),
    PREFIX("npm_", 0, 1, 30),
    PREFIX("pypi-", 0, 1, 30),
    PREFIX("SG.", 0, 1, 30),
    PREFIX("hf_", 0, 1, 30),
    PREFIX("ya29.", 0, 1, 20),
    PREFIX("-----BEGIN ", 0, 1, 0),
};
const size_t redact_trigger_count = ARRAY_LEN(redact_triggers);
_Static_assert(ARRAY_LEN(redact_triggers) <= 64, "a bit each");

#define LETTER (CLASS_LETTER | CLASS_KEY | CLASS_TOKEN)
#define DIGIT  (CLASS_DIGIT | CLASS_KEY | CLASS_TOKEN | CLASS_CARD)
const uint8_t redact_class[256] = {
    ['a' ... 'z'] = LETTER,
    ['A' ... 'Z'] = LETTER,
    ['0' ... '9'] = DIGIT,
    ['_'] = CLASS_KEY | CLASS_TOKEN,
    ['-'] = CLASS_KEY | CLASS_TOKEN | CLASS_CARD,
    ['.'] = CLASS_KEY | CLASS_TOKEN,
    ['~'] = CLASS_TOKEN,
    ['+'] = CLASS_TOKEN,
    ['/'] = CLASS_TOKEN,
    ['='] = CLASS_TOKEN,
    [' '] = CLASS_CARD,
};

static bool has(const redact_rules *rules, redact_kind kind)
{
    return rules->kinds >> kind & 1;
}

static char at(str in, size_t i)
{
    return i < in.len ? in.ptr[i] : 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static size_t skip_spaces(str in, size_t i)
{
    for (int n = 0; n < 4 && is_space(at(in, i)); n++)
        i++;
    return i;
}

static size_t token_end(str in, size_t i)
{
    while (i < in.len && redact_is_token(in.ptr[i]))
        i++;
    return i;
}

static bool range_is(redact_range *ret, size_t begin, size_t end)
{
    *ret = (redact_range){ begin, end };
    return end > begin;
}

static bool text_at(str in, size_t i, str text, bool any_case)
{
    if (i > in.len || text.len > in.len - i)
        return false;
    if (!any_case)
        return memcmp(in.ptr + i, text.ptr, text.len) == 0;
    return str_eq_nocase(str_slice(in, i, i + text.len), text);
}

/* ---- Bearer and Basic ---- */

/* Words that follow "bearer" and "basic" in sentences. */
static bool is_prose(str word)
{
    static const char *const words[] = {
        "and",    "auth",  "authentication", "authorization", "credentials", "error", "format",
        "header", "is",    "missing",        "not",           "of",          "or",    "realm",
        "scheme", "token", "tokens",         "was",
    };
    while (word.len && is_one_of(word.ptr[word.len - 1], STR(".:=,")))
        word.len--;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(word, str_c(words[i])))
            return true;
    return word.len < 4;
}

/* A word of letters in one case tells nothing; a digit, another sign or mixed case does. */
static bool looks_random(str word)
{
    for (size_t i = 1; i < word.len; i++) {
        char c = word.ptr[i];
        if (redact_is_digit(c) || (c >= 'A' && c <= 'Z') ||
            (!redact_is_alnum(c) && (i + 1 < word.len || c == '=')))
            return true;
    }
    return false;
}

/* "Bearer" is believed as HTTP writes it; in other cases, and "Basic", what follows must look like
 * a secret. */
static bool scheme_token(str in, size_t begin, const redact_trigger *t, redact_range *ret)
{
    size_t from = begin + t->text.len, start = skip_spaces(in, from);
    if ((begin && redact_is_alnum(in.ptr[begin - 1])) || start == from)
        return false;
    str word = str_slice(in, start, token_end(in, start));
    bool sure = t->text.len == 6 && in.ptr[begin] == 'B' && in.ptr[begin + 1] == 'e';
    if (is_prose(word) || (!sure && (word.len < 6 || !looks_random(word))))
        return false;
    return range_is(ret, start, start + word.len);
}

/* ---- tokens that are told by how they begin ---- */

/* Header, payload and signature; what was cut off at the end of the text counts too. */
static bool json_web_token(str in, size_t begin, redact_range *ret)
{
    size_t end = begin;
    if (begin && (redact_is_alnum(in.ptr[begin - 1]) || is_one_of(in.ptr[begin - 1], STR("_-"))))
        return false;
    while (end < in.len && (redact_is_alnum(in.ptr[end]) || is_one_of(in.ptr[end], STR("_-"))))
        end++;
    size_t first = end - begin;
    if (end == in.len)
        return first >= 12 && range_is(ret, begin, end);
    if (in.ptr[end] != '.' || first < 8)
        return false;
    size_t rest = token_end(in, end + 1);
    return (rest - end > 4 || rest == in.len) && range_is(ret, begin, rest);
}

static bool private_key(str in, size_t begin, redact_range *ret)
{
    str head = str_slice(in, begin, begin + 48);
    size_t name = str_find(head, STR("PRIVATE KEY-----"));
    if (name == SIZE_MAX)
        return false;
    size_t from = begin + name + 16;
    size_t end = str_find(str_slice(in, from, in.len), STR("-----END "));
    return !text_at(in, from, STR(REDACTED), false) &&
           range_is(ret, from, end == SIZE_MAX ? in.len : from + end);
}

static bool known_key(str in, size_t begin, const redact_trigger *t, redact_range *ret)
{
    if (t->least == 0)
        return private_key(in, begin, ret);
    if (begin && (redact_is_alnum(in.ptr[begin - 1]) || in.ptr[begin - 1] == '_'))
        return false;
    size_t from = begin + t->text.len, end = token_end(in, from);
    return end - from >= t->least && range_is(ret, from, end);
}

static bool users_prefix(const redact_rules *rules, str in, size_t begin, redact_range *ret)
{
    if (begin && redact_is_alnum(in.ptr[begin - 1]))
        return false;
    for (uint32_t i = 0; i < rules->prefix_count; i++) {
        str prefix = str_n(rules->prefix_text + rules->prefix[i].at, rules->prefix[i].len);
        size_t from = begin + prefix.len;
        if (text_at(in, begin, prefix, false) && range_is(ret, from, token_end(in, from)))
            return true;
    }
    return false;
}

/* ---- URLs ---- */

static bool ends_authority(char c)
{
    return (unsigned char)c <= ' ' || is_one_of(c, STR("/?#\"'<>`\\"));
}

/* From "user:pass" on, `end` being where the authority ends: whether what follows the colon is no
 * port. Then a password with a sign that should have been escaped stands there. */
static bool has_password(str in, size_t begin, size_t end)
{
    size_t colon = begin + str_find_char(str_slice(in, begin, end), ':');
    if (at(in, begin) == '[' || colon < begin || colon >= end)
        return false;
    for (size_t i = colon + 1; i < end; i++)
        if (!redact_is_digit(in.ptr[i]))
            return true;
    return false;
}

static bool url_user(str in, size_t slashes, redact_range *ret)
{
    size_t begin = slashes + 2, last = MIN(in.len, begin + AUTHORITY_MAX), end = begin;
    size_t sign = 0;
    if (slashes < 2 || !redact_is_alnum(in.ptr[slashes - 2]))
        return false;
    for (; end < last && !ends_authority(in.ptr[end]); end++)
        if (in.ptr[end] == '@')
            sign = end;
    if (sign) {
        bool secret = memchr(in.ptr + begin, ':', sign - begin) || sign - begin >= 20;
        return secret && range_is(ret, begin, sign);
    }
    if (!has_password(in, begin, end))
        return false;
    for (last = MIN(in.len, begin + 512); end < last; end++) {
        char c = in.ptr[end];
        if ((unsigned char)c <= ' ' || c == '"' || c == '\'')
            break;
        if (c == '@')
            sign = end;
    }
    /* Without '@' it was cut off inside the password, or is no URL. */
    return range_is(ret, begin, sign ? sign : end == in.len ? end : begin);
}

/* ---- parameters, members, headers ---- */

static str key_before(str in, size_t from, size_t end)
{
    size_t begin = end;
    while (begin > from && end - begin < KEY_MAX && redact_is(in.ptr[begin - 1], CLASS_KEY))
        begin--;
    return str_slice(in, begin, end);
}

/* Words that say whether there is a secret, and none. */
static bool is_harmless(str text)
{
    static const char *const words[] = { "true",    "false",   "null", "none",
                                         "present", "missing", "nil",  "undefined" };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(text, str_c(words[i])))
            return true;
    return false;
}

/* Asked before the value's end is looked for, which may be far away. */
static bool is_redacted(str in, size_t begin)
{
    return text_at(in, begin, STR(REDACTED), false);
}

/* Past what stands between quotes that look like `quote`: a backslash before both or before none.
 */
static size_t quoted_end(str in, size_t i, str quote)
{
    for (; i < in.len; i++) {
        if (text_at(in, i, quote, false))
            return i;
        if (in.ptr[i] == '\\' && quote.len == 1)
            i++;
    }
    return in.len;
}

static str quote_at(str in, size_t i)
{
    size_t n = at(in, i) == '\\' ? 1 : 0;
    char c = at(in, i + n);
    return c == '"' || c == '\'' ? str_slice(in, i, i + n + 1) : STR_EMPTY;
}

static bool quoted_value(str in, size_t i, str quote, redact_range *ret)
{
    if (is_redacted(in, i + quote.len))
        return false;
    size_t end = quoted_end(in, i + quote.len, quote);
    return !is_harmless(str_slice(in, i + quote.len, end)) && range_is(ret, i + quote.len, end);
}

static size_t plain_end(str in, size_t i, const char *stops)
{
    while (i < in.len && (unsigned char)in.ptr[i] > ' ' && !strchr(stops, in.ptr[i]) &&
           !(in.ptr[i] == '\\' && quote_at(in, i).len))
        i++;
    return i;
}

/* Up to a space or one of `stops`; "Bearer x" is one value. */
static bool plain_value(str in, size_t begin, const char *stops, redact_range *ret)
{
    if (is_redacted(in, begin))
        return false;
    size_t end = plain_end(in, begin, stops);
    str word = str_slice(in, begin, end);
    if (str_eq_nocase(word, STR("bearer")) || str_eq_nocase(word, STR("basic")))
        end = plain_end(in, skip_spaces(in, end), stops);
    return !is_harmless(word) && range_is(ret, begin, end);
}

/* key=value, as in query strings, connection strings and log lines. */
static bool parameter(const redact_rules *rules, str in, size_t from, size_t sign,
                      redact_range *ret)
{
    size_t end = sign, value = skip_spaces(in, sign + 1);
    while (end > from && sign - end < 2 && is_space(in.ptr[end - 1]))
        end--;
    if (at(in, value) == '=' || !redact_key(&rules->keys, key_before(in, from, end)))
        return false;
    str quote = quote_at(in, value);
    return quote.len ? quoted_value(in, value, quote, ret)
                     : plain_value(in, value, "&;\"'<>`", ret);
}

/* "key": value, in JSON, also JSON inside of JSON, and alike with single quotes. */
static bool member(const redact_rules *rules, str in, size_t from, size_t colon, redact_range *ret)
{
    size_t end = colon - 1, value = skip_spaces(in, colon + 1);
    if (end > from && in.ptr[end - 1] == '\\')
        end--;
    if (!redact_key(&rules->keys, key_before(in, from, end)))
        return false;
    str quote = quote_at(in, value);
    return quote.len ? quoted_value(in, value, quote, ret) : plain_value(in, value, ",}]{[", ret);
}

/* Header: value to the end of the line; else "password: value" where nothing follows it. */
static bool header(const redact_rules *rules, str in, size_t from, size_t colon, redact_range *ret)
{
    str key = key_before(in, from, colon);
    size_t begin = skip_spaces(in, colon + 1), end = begin;
    if (key.len < 3 || is_redacted(in, begin) || !redact_key(&rules->keys, key))
        return false;
    bool is_header = memchr(key.ptr, '-', key.len) || str_eq_nocase(key, STR("authorization")) ||
                     str_eq_nocase(key, STR("cookie"));
    if (is_header) {
        while (end < in.len && !is_one_of(in.ptr[end], STR("\r\n\"'")))
            end++;
        return !is_harmless(str_slice(in, begin, end)) && range_is(ret, begin, end);
    }
    str quote = quote_at(in, begin);
    if (quote.len)
        return quoted_value(in, begin, quote, ret);
    if (!plain_value(in, begin, ",;\"'<>`", ret) || ret->end - ret->begin < 4)
        return false;
    return ret->end == in.len || !is_space(in.ptr[ret->end]);
}

static bool at_colon(const redact_rules *rules, str in, size_t from, size_t colon,
                     redact_range *ret)
{
    char before = colon > from ? in.ptr[colon - 1] : 0, after = at(in, colon + 1);
    if (after == '/' && at(in, colon + 2) == '/')
        return has(rules, REDACT_URL) && url_user(in, colon + 1, ret);
    if (!has(rules, REDACT_PARAM) || !before || redact_is_digit(before))
        return false;
    if (before == '"' || before == '\'')
        return member(rules, in, from, colon, ret);
    return redact_is_alnum(before) && header(rules, in, from, colon, ret);
}

/* ---- where the filter stopped ---- */

static bool literal_at(const redact_rules *rules, str in, size_t from, size_t begin,
                       const redact_trigger *t, redact_range *ret)
{
    if (begin < from || !has(rules, t->kind) || !text_at(in, begin, t->text, t->any_case))
        return false;
    switch (t->kind) {
    case REDACT_BEARER:
        return scheme_token(in, begin, t, ret);
    case REDACT_JWT:
        return json_web_token(in, begin, ret);
    default:
        return known_key(in, begin, t, ret);
    }
}

static bool examine_byte(const redact_rules *rules, str in, size_t from, size_t i,
                         redact_range *ret)
{
    switch (in.ptr[i]) {
    case '=':
        return has(rules, REDACT_PARAM) && parameter(rules, in, from, i, ret);
    case ':':
        return at_colon(rules, in, from, i, ret);
    case 'J':
        return i >= from + 2 && literal_at(rules, in, from, i - 2, &redact_triggers[2], ret);
    default:
        return false;
    }
}

bool redact_examine(const redact_rules *rules, str in, size_t from, size_t i, redact_range *ret)
{
    uint64_t told = rules->told[redact_told_row(in.ptr[i], in.ptr[i + 1])];
    for (; told; told &= told - 1) {
        const redact_trigger *t = &redact_triggers[__builtin_ctzll(told)];
        if ((i >= t->even && literal_at(rules, in, from, i - t->even, t, ret)) ||
            (i >= t->odd && literal_at(rules, in, from, i - t->odd, t, ret)))
            return true;
    }
    if (has(rules, REDACT_PREFIX) &&
        (users_prefix(rules, in, i, ret) || (i > from && users_prefix(rules, in, i - 1, ret))))
        return true;
    return examine_byte(rules, in, from, i, ret) || examine_byte(rules, in, from, i + 1, ret);
}

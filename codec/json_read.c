// SPDX-License-Identifier: Apache-2.0
/* The JSON pull parser; see json.h. One pass: a state says what the grammar allows next, one bit
 * per level says whether it is an object. Strings are scanned eight bytes at a time and copied only
 * when they hold escapes. */
#include "codec/json.h"

#include <endian.h>
#include <math.h>

enum {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END, /* behind '[' */
    EXPECT_KEY,          /* behind ',' in an object */
    EXPECT_KEY_OR_END,   /* behind '{' */
    EXPECT_COMMA_OR_END  /* behind a value; at depth 0 only the end of the text */
};

void json_read(json_reader *r, str bytes, arena *memory, uint32_t depth_limit)
{
    if (!bytes.ptr)
        bytes = STR_EMPTY;
    *r = (json_reader){
        .at = bytes.ptr,
        .end = bytes.ptr + bytes.len,
        .start = bytes.ptr,
        .token = bytes.ptr,
        .memory = memory,
        .depth_limit = MIN(depth_limit ? depth_limit : JSON_DEPTH_DEFAULT, JSON_DEPTH_MAX),
        .expect = EXPECT_VALUE,
    };
}

/* ---- failures ---- */

static json_type stop(json_reader *r, status code, const char *at, const char *problem)
{
    if (!r->problem) {
        r->problem = problem;
        r->code = code;
        r->at = at;
    }
    return r->type = JSON_ERROR;
}

static json_type wrong(json_reader *r, const char *problem)
{
    return stop(r, STATUS_INVALID, r->at,
                r->at == r->end ? "the text ends in the middle of a value" : problem);
}

bool json_refuse(json_reader *r, const char *problem)
{
    stop(r, STATUS_INVALID, r->token, problem);
    return false;
}

void json_position(const json_reader *r, size_t *ret_line, size_t *ret_column)
{
    size_t line = 1;
    const char *line_start = r->start;
    for (const char *p = r->start; p < r->at; p++) {
        if (*p == '\n') {
            line++;
            line_start = p + 1;
        }
    }
    *ret_line = line;
    *ret_column = (size_t)(r->at - line_start) + 1;
}

status json_fail_status(const json_reader *r, error *err, const char *what)
{
    if (!r->problem)
        return STATUS_OK;
    size_t line, column;
    json_position(r, &line, &column);
    return fail(err, r->code, "%s: line %zu, column %zu: %s", what, line, column, r->problem);
}

/* ---- strings ---- */

/* Flags the bytes of a word that end the plain part of a string: quotes, backslashes, controls and
 * anything that is not ASCII. A flag may be wrong only behind the first right one. */
static inline uint64_t special_bytes(uint64_t w)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
    uint64_t found = (quote - ones) & ~quote;
    found |= (slash - ones) & ~slash;
    found |= (w - ones * 0x20) & ~w;
    return (found | w) & high;
}

static const char *skip_plain(const char *at, const char *end)
{
    while (end - at >= 8) {
        uint64_t w;
        memcpy(&w, at, 8);
        uint64_t found = special_bytes(le64toh(w));
        if (found)
            return at + (__builtin_ctzll(found) >> 3);
        at += 8;
    }
    while (at < end && *at != '"' && *at != '\\' && (uint8_t)*at >= 0x20 && (uint8_t)*at < 0x80)
        at++;
    return at;
}

static int hex4(const char *p)
{
    uint8_t two[2];
    return str_from_hex(str_n(p, 4), two, 2) ? two[0] << 8 | two[1] : -1;
}

/* The \uXXXX at *at (behind the 'u'), with its low half when it is a surrogate pair. The scan has
 * checked the digits. */
static uint32_t take_unicode(const char **at, const char *end)
{
    uint32_t c = (uint32_t)hex4(*at);
    *at += 4;
    if (c < 0xD800 || c > 0xDFFF)
        return c;
    if (c < 0xDC00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        uint32_t low = (uint32_t)hex4(*at + 2);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *at += 6;
            return 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return 0xFFFD;
}

/* A decoded text is never longer than its source. */
static bool unescape(json_reader *r, str raw)
{
    char *text = arena_alloc_aligned(r->memory, raw.len, 1);
    if (!text) {
        stop(r, r->memory->limit ? STATUS_LIMIT : STATUS_NO_MEMORY, r->token,
             "no memory is left for a string");
        return false;
    }
    char *to = text;
    const char *at = raw.ptr, *end = raw.ptr + raw.len;
    while (at < end) {
        const char *slash = memchr(at, '\\', (size_t)(end - at));
        size_t plain = (size_t)((slash ? slash : end) - at);
        memcpy(to, at, plain);
        to += plain;
        at += plain;
        if (!slash)
            break;
        char c = at[1];
        at += 2;
        if (c == 'u')
            to += utf8_put(to, take_unicode(&at, end));
        else
            *to++ = c == 'n'   ? '\n'
                    : c == 't' ? '\t'
                    : c == 'r' ? '\r'
                    : c == 'b' ? '\b'
                    : c == 'f' ? '\f'
                               : c;
    }
    r->text = str_n(text, (size_t)(to - text));
    return true;
}

/* Behind a backslash; moves `at` past the escape. */
static bool check_escape(json_reader *r)
{
    static const str escapes = STR_INIT("\"\\/bfnrtu");
    if (r->at == r->end || str_find_char(escapes, *r->at) == SIZE_MAX) {
        wrong(r, "an escape in a string must be one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
        return false;
    }
    if (*r->at++ != 'u')
        return true;
    if (r->end - r->at < 4 || hex4(r->at) < 0) {
        wrong(r, "\\u must be followed by four hexadecimal digits");
        return false;
    }
    r->at += 4;
    return true;
}

/* Behind the opening quote. Sets r->text and moves past the closing quote. */
static bool take_string(json_reader *r)
{
    const char *start = r->at;
    bool escaped = false, wide = false;
    for (;;) {
        r->at = skip_plain(r->at, r->end);
        if (r->at == r->end) {
            wrong(r, "");
            return false;
        }
        char c = *r->at;
        if (c == '"')
            break;
        if ((uint8_t)c < 0x20) {
            wrong(r, "control characters in strings must be escaped");
            return false;
        }
        r->at++;
        if (c == '\\') {
            escaped = true;
            if (!check_escape(r))
                return false;
        } else {
            wide = true;
        }
    }
    str raw = str_n(start, (size_t)(r->at - start));
    size_t valid = wide ? utf8_valid_prefix(raw) : raw.len;
    if (valid != raw.len) {
        r->at = start + valid;
        wrong(r, "text must be UTF-8");
        return false;
    }
    r->at++;
    r->text = raw;
    return !escaped || unescape(r, raw);
}

/* ---- numbers ---- */

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* The end of the number at `at`, or NULL when the grammar has none there. */
static const char *scan_number(const char *at, const char *end, bool *ret_integral)
{
    *ret_integral = true;
    if (at < end && *at == '-')
        at++;
    const char *digits = at;
    at = skip_digits(at, end);
    if (at == digits || (*digits == '0' && at - digits > 1))
        return NULL;
    if (at < end && *at == '.') {
        *ret_integral = false;
        const char *fraction = ++at;
        at = skip_digits(at, end);
        if (at == fraction)
            return NULL;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        *ret_integral = false;
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        const char *exponent = at;
        at = skip_digits(at, end);
        if (at == exponent)
            return NULL;
    }
    return at;
}

static json_type take_number(json_reader *r)
{
    const char *end = scan_number(r->at, r->end, &r->integral);
    if (!end)
        return wrong(r, "a number must be like -12, 0.5 or 1e-9");
    r->text = str_n(r->at, (size_t)(end - r->at));
    r->at = end;
    r->expect = EXPECT_COMMA_OR_END;
    return r->type = JSON_NUMBER;
}

/* Up to 19 characters below 2^53 with a small power of ten are exact in one operation
 * (Clinger 1990). */
static bool simple_f64(str s, double *ret)
{
    static const double powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    size_t i = s.len && s.ptr[0] == '-';
    bool negative = i > 0;
    uint64_t digits = 0;
    size_t fraction = 0;
    bool point = false;
    if (s.len > 19)
        return false;
    for (; i < s.len; i++) {
        if (s.ptr[i] == '.') {
            point = true;
            continue;
        }
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        digits = digits * 10 + (uint64_t)(s.ptr[i] - '0');
        fraction += point;
    }
    if (digits >> 53 || fraction >= ARRAY_LEN(powers))
        return false;
    double v = (double)digits / powers[fraction];
    *ret = negative ? -v : v;
    return true;
}

/* Whether the newest token is a number, in quotes or not. */
static bool numeric(const json_reader *r, bool *ret_integral)
{
    const char *end = r->text.ptr + r->text.len;
    if (r->type == JSON_NUMBER) {
        *ret_integral = r->integral;
        return true;
    }
    return r->type == JSON_STRING && scan_number(r->text.ptr, end, ret_integral) == end;
}

bool json_get_f64(const json_reader *r, double *ret)
{
    bool integral;
    double v;
    if (!numeric(r, &integral)) {
        if (r->type != JSON_STRING)
            return false;
        if (str_is(r->text, "NaN"))
            *ret = NAN;
        else if (str_is(r->text, "Infinity"))
            *ret = INFINITY;
        else if (str_is(r->text, "-Infinity"))
            *ret = -INFINITY;
        else
            return false;
        return true;
    }
    if (!simple_f64(r->text, &v) && (!str_to_f64(r->text, &v) || !isfinite(v)))
        return false;
    *ret = v;
    return true;
}

bool json_get_i64(const json_reader *r, int64_t *ret)
{
    bool integral;
    double v;
    if (!numeric(r, &integral))
        return false;
    if (integral)
        return str_to_i64(r->text, ret);
    if (!json_get_f64(r, &v) || v != trunc(v) || v < -0x1p63 || v >= 0x1p63)
        return false;
    *ret = (int64_t)v;
    return true;
}

bool json_get_u64(const json_reader *r, uint64_t *ret)
{
    bool integral;
    double v;
    if (!numeric(r, &integral))
        return false;
    if (integral && r->text.ptr[0] != '-')
        return str_to_u64(r->text, ret);
    if (!json_get_f64(r, &v) || v != trunc(v) || v < 0 || v >= 0x1p64)
        return false;
    *ret = (uint64_t)v;
    return true;
}

/* ---- the grammar ---- */

static bool in_object(const json_reader *r)
{
    uint32_t level = r->depth - 1;
    return r->is_object[level / 64] >> (level % 64) & 1;
}

static json_type open_level(json_reader *r, bool object)
{
    if (r->depth == r->depth_limit)
        return stop(r, STATUS_LIMIT, r->at, "objects and arrays are nested deeper than the limit");
    uint64_t bit = UINT64_C(1) << (r->depth % 64);
    uint64_t *word = &r->is_object[r->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    r->depth++;
    r->at++;
    r->expect = object ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
    return r->type = object ? JSON_OBJECT : JSON_ARRAY;
}

static json_type close_level(json_reader *r, bool object)
{
    r->depth--;
    r->at++;
    r->expect = EXPECT_COMMA_OR_END;
    return r->type = object ? JSON_OBJECT_END : JSON_ARRAY_END;
}

static json_type take_word(json_reader *r, str word, json_type type)
{
    if (!str_starts(str_n(r->at, (size_t)(r->end - r->at)), word))
        return stop(r, STATUS_INVALID, r->at,
                    "a value must be an object, array, string, number, true, "
                    "false or null");
    r->at += word.len;
    r->expect = EXPECT_COMMA_OR_END;
    return r->type = type;
}

static void skip_space(json_reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

static json_type take_value(json_reader *r)
{
    if (r->at == r->end)
        return wrong(r, "");
    switch (*r->at) {
    case '{':
        return open_level(r, true);
    case '[':
        return open_level(r, false);
    case '"':
        r->at++;
        if (!take_string(r))
            return JSON_ERROR;
        r->expect = EXPECT_COMMA_OR_END;
        return r->type = JSON_STRING;
    case 't':
        r->boolean = true;
        return take_word(r, STR("true"), JSON_BOOL);
    case 'f':
        r->boolean = false;
        return take_word(r, STR("false"), JSON_BOOL);
    case 'n':
        return take_word(r, STR("null"), JSON_NULL);
    case '-':
    case '0' ... '9':
        return take_number(r);
    default:
        return take_word(r, STR("null"), JSON_NULL); /* fails */
    }
}

static json_type take_key(json_reader *r)
{
    if (r->at == r->end || *r->at != '"')
        return wrong(r, "a member must begin with its name in quotes");
    r->at++;
    if (!take_string(r))
        return JSON_ERROR;
    skip_space(r);
    if (r->at == r->end || *r->at != ':')
        return wrong(r, "a member's name must be followed by ':'");
    r->at++;
    r->expect = EXPECT_VALUE;
    return r->type = JSON_KEY;
}

json_type json_next(json_reader *r)
{
    if (r->problem)
        return r->type = JSON_ERROR;
    skip_space(r);
    r->token = r->at;
    if (r->expect == EXPECT_VALUE)
        return take_value(r);
    if (r->expect == EXPECT_KEY)
        return take_key(r);
    if (r->depth == 0) {
        if (r->at != r->end)
            return wrong(r, "nothing may follow the value");
        return r->type = JSON_END;
    }
    bool object = in_object(r);
    if (r->at < r->end && *r->at == (object ? '}' : ']'))
        return close_level(r, object);
    if (r->expect == EXPECT_VALUE_OR_END)
        return take_value(r);
    if (r->expect == EXPECT_KEY_OR_END)
        return take_key(r);
    if (r->at == r->end || *r->at != ',')
        return wrong(r, object ? "expected ',' or '}'" : "expected ',' or ']'");
    r->at++;
    skip_space(r);
    r->token = r->at;
    return object ? take_key(r) : take_value(r);
}

bool json_next_key(json_reader *r, str *ret_key)
{
    if (json_next(r) != JSON_KEY)
        return false;
    *ret_key = r->text;
    return true;
}

bool json_next_item(json_reader *r)
{
    json_type type = json_next(r);
    return type != JSON_ARRAY_END && type != JSON_ERROR && type != JSON_END;
}

bool json_skip(json_reader *r)
{
    if (r->type != JSON_OBJECT && r->type != JSON_ARRAY)
        return r->type != JSON_ERROR;
    uint32_t outside = r->depth - 1;
    while (r->depth > outside)
        if (json_next(r) == JSON_ERROR)
            return false;
    return true;
}

bool json_skip_next(json_reader *r)
{
    json_next(r);
    return json_skip(r);
}

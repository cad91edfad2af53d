// SPDX-License-Identifier: Apache-2.0
/* Functions of templates on texts: case, regular expressions, addresses. Known in rules and in
 * notifications, but for those whose table says otherwise. */
#include "query/regex.h"
#include "rules/template_number.h"

#include <arpa/inet.h>

/* ---- case ---- */

/* Small letters of two bytes in UTF-8 and their capitals, of the alphabets that have pairs in
 * order; `step` 2: capital and small letter alternate. */
static const struct {
    uint32_t small_from, small_to;
    int32_t to_capital;
    uint32_t step;
} cases[] = {
    { 'a', 'z', -32, 1 },     { 0xE0, 0xF6, -32, 1 },   { 0xF8, 0xFE, -32, 1 },
    { 0x101, 0x137, -1, 2 },  { 0x13A, 0x148, -1, 2 },  { 0x14B, 0x177, -1, 2 },
    { 0x17A, 0x17E, -1, 2 },  { 0x3B1, 0x3C1, -32, 1 }, { 0x3C3, 0x3CB, -32, 1 },
    { 0x430, 0x44F, -32, 1 }, { 0x450, 0x45F, -80, 1 }, { 0x461, 0x481, -1, 2 },
    { 0x48B, 0x4BF, -1, 2 },  { 0x561, 0x586, -48, 1 },
};

static uint32_t change_case(uint32_t code, bool upper)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t small = upper ? code : (uint32_t)((int32_t)code - cases[i].to_capital);
        if (small >= cases[i].small_from && small <= cases[i].small_to &&
            (small - cases[i].small_from) % cases[i].step == 0)
            return upper ? (uint32_t)((int32_t)code + cases[i].to_capital) : small;
    }
    return code;
}

/* The code point at *at, which moves behind it; a wrong byte is U+FFFD. */
static uint32_t next_rune(str s, size_t *at)
{
    uint8_t c = (uint8_t)s.ptr[*at];
    size_t size = c < 0x80 ? 1 : c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    str one = str_slice(s, *at, *at + size);
    if (one.len < size || utf8_valid_prefix(one) < size) {
        (*at)++;
        return 0xFFFD;
    }
    uint32_t code = size == 1 ? c : c & (0xFFu >> (size + 1));
    for (size_t i = 1; i < size; i++)
        code = code << 6 | ((uint8_t)one.ptr[i] & 0x3Fu);
    *at += size;
    return code;
}

static void put_rune(buf *out, uint32_t code)
{
    char bytes[4];
    buf_add(out, bytes, utf8_put(bytes, code));
}

static status run_case(template_call *call, bool upper)
{
    buf b;
    template_buf(call, &b);
    str s = call->args[0].text;
    for (size_t i = 0; i < s.len;)
        put_rune(&b, change_case(next_rune(s, &i), upper));
    return template_return_buf(call, &b, NULL);
}

static status run_upper(template_call *call)
{
    return run_case(call, true);
}

static status run_lower(template_call *call)
{
    return run_case(call, false);
}

static bool is_word_rune(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (c >= 0xC0 && c != 0xD7 && c != 0xF7 && !(c >= 0x2000 && c <= 0x2BFF));
}

static bool is_cased(uint32_t c)
{
    return is_word_rune(c) && c != '_' && (c < '0' || c > '9');
}

/* A dot, colon or apostrophe between two letters is inside of a word. */
static bool joins(uint32_t c)
{
    return c == '.' || c == ':' || c == '\'' || c == 0x2019 || c == 0xB7;
}

/* Each word's first letter as a capital; the others stay, or become small. */
static void put_title(buf *out, str s, bool lower_rest)
{
    bool inside = false, done = false; /* a word; it has its capital */
    uint32_t before = ' ';
    for (size_t i = 0; i < s.len;) {
        uint32_t code = next_rune(s, &i);
        size_t after = i;
        uint32_t follows = i < s.len ? next_rune(s, &after) : ' ';
        bool word =
            is_word_rune(code) || (inside && joins(code) && is_cased(before) && is_cased(follows));
        done = done && inside && word;
        inside = word;
        before = code;
        if (!done && is_cased(code)) {
            put_rune(out, change_case(code, true));
            done = true;
        } else {
            put_rune(out, lower_rest ? change_case(code, false) : code);
        }
    }
}

static status run_title(template_call *call)
{
    buf b;
    template_buf(call, &b);
    put_title(&b, call->args[0].text, false);
    return template_return_buf(call, &b, NULL);
}

status template_run_title_lower(template_call *call)
{
    buf b;
    template_buf(call, &b);
    put_title(&b, call->args[0].text, true);
    return template_return_buf(call, &b, NULL);
}

/* ---- regular expressions ---- */

/* "." matches no newline, as in Go's expressions by default. */
static status compile(template_call *call, str pattern, regex **ret)
{
    str whole = arena_fmt(call->memory, "(?-s)%.*s", STR_ARG(pattern));
    if (!whole.ptr)
        return fail(call->err, STATUS_LIMIT, "no memory for a regular expression");
    return regex_compile(ret, whole, REGEX_SEARCH, call->memory, call->err);
}

static status run_match(template_call *call)
{
    regex *re = NULL;
    bool found = false;
    status st = compile(call, call->args[0].text, &re);
    if (st == STATUS_OK)
        st = regex_match(re, call->args[1].text, &found, call->err);
    *call->ret = template_bool(found);
    return st;
}

static size_t rune_end(str s, size_t at)
{
    do
        at++;
    while (at < s.len && ((uint8_t)s.ptr[at] & 0xC0) == 0x80);
    return at;
}

/* An empty match directly behind another one is none. */
static status replace_all(template_call *call, regex *re, str replacement, str text, buf *out)
{
    size_t at = 0, copied = 0;
    while (at <= text.len && !out->failed) {
        size_t start, end;
        status st = regex_find(re, text, at, &start, &end, call->err);
        if (st != STATUS_OK)
            return st;
        if (start == SIZE_MAX)
            break;
        if (start > copied)
            buf_str(out, str_slice(text, copied, start));
        if (end > copied || start == 0)
            regex_expand(re, text, replacement, out);
        copied = MAX(end, copied);
        size_t next = at < text.len ? rune_end(text, at) : at + 1;
        at = MAX(next, end);
    }
    buf_str(out, str_slice(text, copied, text.len));
    return STATUS_OK;
}

static status run_replace(template_call *call)
{
    regex *re = NULL;
    status st = compile(call, call->args[0].text, &re);
    if (st != STATUS_OK)
        return st;
    buf b;
    template_buf(call, &b);
    st = replace_all(call, re, call->args[1].text, call->args[2].text, &b);
    if (st == STATUS_OK)
        return template_return_buf(call, &b, NULL);
    buf_done(&b);
    return st;
}

static status run_safe_html(template_call *call)
{
    *call->ret = template_typed_text(call->args[0].text, &template_type_html);
    return STATUS_OK;
}

/* ---- addresses ---- */

/* "host:port" or "[host]:port"; false for anything else. */
static bool split_port(str s, str *ret_host, str *ret_port)
{
    size_t colon = SIZE_MAX;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == ':')
            colon = i;
    if (colon == SIZE_MAX)
        return false;
    str host = str_slice(s, 0, colon);
    if (host.len && host.ptr[0] == '[') {
        if (host.len < 2 || str_find_char(host, ']') != host.len - 1)
            return false;
        host = str_slice(host, 1, host.len - 1);
    } else if (str_find_char(host, ':') != SIZE_MAX) {
        return false;
    }
    str port = str_slice(s, colon + 1, s.len);
    if (str_find_char(host, '[') != SIZE_MAX || str_find_char(host, ']') != SIZE_MAX ||
        str_find_char(port, '[') != SIZE_MAX || str_find_char(port, ']') != SIZE_MAX)
        return false;
    *ret_host = host;
    *ret_port = port;
    return true;
}

static status run_strip_port(template_call *call)
{
    str host, port;
    str s = call->args[0].text;
    *call->ret = template_text(split_port(s, &host, &port) ? host : s);
    return STATUS_OK;
}

static bool is_address(str s)
{
    char text[64];
    uint8_t bytes[16];
    size_t zone = str_find_char(s, '%');
    bool v6 = str_find_char(s, ':') != SIZE_MAX;
    if (zone != SIZE_MAX && (!v6 || zone + 1 == s.len))
        return false;
    s = str_slice(s, 0, MIN(zone, s.len));
    if (s.len >= sizeof(text))
        return false;
    str_copy_c(text, sizeof(text), s);
    return inet_pton(v6 ? AF_INET6 : AF_INET, text, bytes) == 1;
}

static status run_strip_domain(template_call *call)
{
    str s = call->args[0].text, host = s, port = STR_EMPTY;
    if (!split_port(s, &host, &port))
        host = s;
    if (is_address(host)) {
        *call->ret = template_text(s);
        return STATUS_OK;
    }
    host = str_slice(host, 0, MIN(str_find_char(host, '.'), host.len));
    buf b;
    template_buf(call, &b);
    buf_str(&b, host);
    if (port.len) {
        buf_char(&b, ':');
        buf_str(&b, port);
    }
    return template_return_buf(call, &b, NULL);
}

static const template_function functions[] = {
    { "humanizeDuration", "a", template_run_humanize_duration, "humanizeDuration X",
      "Seconds as text: 1d 2h 3m 4s, 1.5s, 12ms." },
    { "match", "ss", run_match, "match REGEX TEXT",
      "Whether the regular expression matches anywhere in the text." },
    { "reReplaceAll", "sss", run_replace, "reReplaceAll REGEX REPLACEMENT TEXT",
      "The text with all matches replaced; $1 or ${name} is a group." },
    { "safeHtml", "s", run_safe_html, "safeHtml TEXT", "The text, not escaped in HTML." },
    { "toLower", "s", run_lower, "toLower TEXT", "The text in small letters." },
    { "toUpper", "s", run_upper, "toUpper TEXT", "The text in capitals." },
};

const template_function_table template_common_functions = {
    functions, ARRAY_LEN(functions), "Texts", "Known in rules and in notifications.", true, true
};

static const template_function rule_functions[] = {
    { "stripDomain", "s", run_strip_domain, "stripDomain HOST",
      "The host's first name; the port and addresses stay." },
    { "stripPort", "s", run_strip_port, "stripPort HOST", "HOST:PORT without the port." },
    { "title", "s", run_title, "title TEXT",
      "Each word's first letter as a capital; the others stay as they are." },
};

const template_function_table template_text_functions = {
    rule_functions, ARRAY_LEN(rule_functions), "Texts of rules", "", true, false
};

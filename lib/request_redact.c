// SPDX-License-Identifier: Apache-2.0
/* A scan, not a parse: it must work on what no parser takes. */
#include "lib/request_redact.h"

#include "lib/site.h"

/* ---- JSON ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The index after the string that starts with the quote at `at`, or the end. */
static size_t after_string(str s, size_t at)
{
    for (at++; at < s.len && s.ptr[at] != '"'; at++)
        if (s.ptr[at] == '\\')
            at++;
    return MIN(at + 1, s.len);
}

static size_t after_nested(str s, size_t at)
{
    size_t depth = 0;
    while (at < s.len) {
        char c = s.ptr[at];
        if (c == '"') {
            at = after_string(s, at);
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        at++;
        if (depth == 0)
            break;
    }
    return at;
}

static size_t after_value(str s, size_t at)
{
    if (at < s.len && s.ptr[at] == '"')
        return after_string(s, at);
    if (at < s.len && (s.ptr[at] == '{' || s.ptr[at] == '['))
        return after_nested(s, at);
    while (at < s.len && !is_space(s.ptr[at]) && s.ptr[at] != ',' && s.ptr[at] != '}' &&
           s.ptr[at] != ']')
        at++;
    return at;
}

static size_t after_spaces(str s, size_t at)
{
    while (at < s.len && is_space(s.ptr[at]))
        at++;
    return at;
}

/* A name with its \u escapes resolved as far as they are ASCII; what they hide is no other name. */
static str plain_name(str quoted, char *memory, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < quoted.len && n < size; i++) {
        uint8_t code[2];
        bool escaped = quoted.ptr[i] == '\\' && i + 5 < quoted.len && quoted.ptr[i + 1] == 'u' &&
                       str_from_hex(str_slice(quoted, i + 2, i + 6), code, 2) && code[0] == 0;
        memory[n++] = escaped ? (char)code[1] : quoted.ptr[i];
        i += escaped ? 5 : 0;
    }
    return str_n(memory, n);
}

void redact_json_text(buf *out, str s)
{
    char memory[256];
    size_t at = 0, copied = 0;
    while (at < s.len) {
        if (s.ptr[at] != '"') {
            at++;
            continue;
        }
        size_t end = after_string(s, at), colon = after_spaces(s, end);
        str name = str_slice(s, at + 1, end - 1);
        at = end;
        if (colon >= s.len || s.ptr[colon] != ':')
            continue;
        if (!site_key_is_secret(plain_name(name, memory, sizeof(memory))))
            continue;
        size_t value = after_spaces(s, colon + 1);
        buf_str(out, str_slice(s, copied, value));
        if (value < s.len)
            buf_lit(out, "\"" REDACTED_TEXT "\"");
        at = copied = after_value(s, value);
    }
    buf_str(out, str_slice(s, copied, s.len));
}

/* ---- forms and URLs ---- */

/* Signatures of presigned URLs, beside the words for all keys. */
static bool is_secret_field(str name)
{
    static const char *const words[] = {
        "sig", "signature", "x-amz-signature", "x-goog-signature", "code", "key", "auth", "sid"
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(name, str_c(words[i])))
            return true;
    return site_key_is_secret(name);
}

static str decoded_name(str name, char *memory, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < name.len && n < size; i++) {
        uint8_t byte;
        bool escaped = name.ptr[i] == '%' && str_from_hex(str_slice(name, i + 1, i + 3), &byte, 1);
        memory[n++] = escaped ? (char)byte : name.ptr[i];
        i += escaped ? 2 : 0;
    }
    return str_n(memory, n);
}

void redact_form_text(buf *out, str form)
{
    char memory[256];
    while (form.len) {
        size_t end = str_find_char(form, '&');
        str field = str_slice(form, 0, end);
        size_t equals = str_find_char(field, '=');
        str name = str_slice(field, 0, equals);
        if (equals != SIZE_MAX && is_secret_field(decoded_name(name, memory, sizeof(memory)))) {
            buf_str(out, name);
            buf_lit(out, "=" REDACTED_TEXT);
        } else {
            buf_str(out, field);
        }
        if (end == SIZE_MAX)
            break;
        buf_char(out, '&');
        form = str_slice(form, end + 1, form.len);
    }
}

void redact_url_text(buf *out, str url)
{
    size_t fragment = str_find_char(url, '#');
    url = str_slice(url, 0, fragment);
    size_t query = str_find_char(url, '?');
    str base = str_slice(url, 0, query);
    size_t scheme = str_find(base, STR("://"));
    size_t host = scheme == SIZE_MAX ? 0 : scheme + 3;
    str rest = str_slice(base, host, base.len);
    str authority = str_slice(rest, 0, str_find_char(rest, '/'));
    for (size_t at; (at = str_find_char(authority, '@')) != SIZE_MAX;) {
        rest = str_slice(rest, at + 1, rest.len);
        authority = str_slice(authority, at + 1, authority.len);
    }
    buf_str(out, str_slice(base, 0, host));
    buf_str(out, rest);
    if (query != SIZE_MAX) {
        buf_char(out, '?');
        redact_form_text(out, str_slice(url, query + 1, url.len));
    }
}

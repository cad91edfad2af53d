// SPDX-License-Identifier: Apache-2.0
/* PCRE2 without its JIT compiler, so that all of its memory comes from the query's arena and
 * nothing has to be freed when a query fails half way. Steps per match are limited. */
#include "query/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <ctype.h>

#define REGEX_MATCH_LIMIT   1000000u
#define REGEX_DEPTH_LIMIT   10000u
#define REGEX_PATTERN_LIMIT KiB(16)

struct regex {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
};

static void *regex_alloc(size_t size, void *user)
{
    return arena_alloc(user, size);
}

static void regex_dealloc(void *memory, void *user)
{
    (void)memory;
    (void)user;
}

static status regex_prepare(regex *re, pcre2_general_context *general)
{
    re->data = pcre2_match_data_create_from_pattern(re->code, general);
    re->context = pcre2_match_context_create(general);
    if (!re->data || !re->context)
        return STATUS_LIMIT;
    pcre2_set_match_limit(re->context, REGEX_MATCH_LIMIT);
    pcre2_set_depth_limit(re->context, REGEX_DEPTH_LIMIT);
    return STATUS_OK;
}

status regex_compile(regex **ret, str pattern, regex_mode mode, arena *a, error *err)
{
    if (pattern.len > REGEX_PATTERN_LIMIT)
        return fail(err, STATUS_INVALID, "regular expression of %zu bytes, the limit is %zu",
                    pattern.len, REGEX_PATTERN_LIMIT);
    regex *re = ARENA_NEW(a, regex);
    pcre2_general_context *general = pcre2_general_context_create(regex_alloc, regex_dealloc, a);
    pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
    if (!re || !context)
        return fail(err, STATUS_LIMIT, "no memory for a regular expression");
    uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY |
                       PCRE2_NEVER_BACKSLASH_C;
    if (mode == REGEX_WHOLE)
        options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    int code = 0;
    PCRE2_SIZE offset = 0;
    re->code =
        pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &code, &offset, context);
    if (!re->code && code == PCRE2_ERROR_HEAP_FAILED)
        return fail(err, STATUS_LIMIT, "no memory for a regular expression");
    if (!re->code) {
        PCRE2_UCHAR text[160];
        pcre2_get_error_message(code, text, sizeof(text));
        return fail(err, STATUS_INVALID, "error parsing regexp: %s at offset %zu: `%.*s`",
                    (char *)text, (size_t)offset, (int)MIN(pattern.len, 120), pattern.ptr);
    }
    if (regex_prepare(re, general) != STATUS_OK)
        return fail(err, STATUS_LIMIT, "no memory for a regular expression");
    *ret = re;
    return STATUS_OK;
}

status regex_find(regex *re, str subject, size_t from, size_t *ret_start, size_t *ret_end,
                  error *err)
{
    int count = pcre2_match(re->code, (PCRE2_SPTR)(subject.ptr ? subject.ptr : ""), subject.len,
                            from, 0, re->data, re->context);
    if (count < 0 && count != PCRE2_ERROR_NOMATCH)
        return fail(err, STATUS_LIMIT,
                    "a regular expression took more than %u steps on one text of %zu bytes",
                    REGEX_MATCH_LIMIT, subject.len);
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(re->data);
    *ret_start = count >= 0 ? at[0] : SIZE_MAX;
    *ret_end = count >= 0 ? MAX(at[0], at[1]) : SIZE_MAX;
    return STATUS_OK;
}

status regex_match(regex *re, str subject, bool *ret, error *err)
{
    size_t start, end;
    status st = regex_find(re, subject, 0, &start, &end, err);
    if (st == STATUS_OK)
        *ret = start != SIZE_MAX;
    return st;
}

static str regex_group(const regex *re, uint32_t number, str subject)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(re->data);
    if (number >= pcre2_get_ovector_count(re->data) || at[2 * number] == PCRE2_UNSET)
        return STR_EMPTY;
    return str_slice(subject, at[2 * number], at[2 * number + 1]);
}

static uint32_t regex_group_number(const regex *re, str name)
{
    uint64_t number = 0;
    if (str_to_u64(name, &number))
        return number > UINT16_MAX ? UINT32_MAX : (uint32_t)number;
    char terminated[64];
    if (name.len >= sizeof(terminated))
        return UINT32_MAX;
    str_copy_c(terminated, sizeof(terminated), name);
    int found = pcre2_substring_number_from_name(re->code, (PCRE2_SPTR)terminated);
    return found < 0 ? UINT32_MAX : (uint32_t)found;
}

/* The name after "$" at `at`; *ret_next is where the text goes on, 0 when this is no reference. */
static str regex_reference(str text, size_t at, size_t *ret_next)
{
    bool braced = at < text.len && text.ptr[at] == '{';
    size_t from = at + (braced ? 1 : 0), to = from;
    while (to < text.len && (isalnum((unsigned char)text.ptr[to]) || text.ptr[to] == '_'))
        to++;
    *ret_next = 0;
    if (to == from || (braced && (to >= text.len || text.ptr[to] != '}')))
        return STR_EMPTY;
    *ret_next = to + (braced ? 1 : 0);
    return str_slice(text, from, to);
}

void regex_expand(const regex *re, str subject, str replacement, buf *out)
{
    size_t i = 0;
    while (i < replacement.len) {
        char c = replacement.ptr[i];
        if (c != '$') {
            buf_char(out, c);
            i++;
        } else if (i + 1 < replacement.len && replacement.ptr[i + 1] == '$') {
            buf_char(out, '$');
            i += 2;
        } else {
            size_t next = 0;
            str name = regex_reference(replacement, i + 1, &next);
            if (next)
                buf_str(out, regex_group(re, regex_group_number(re, name), subject));
            else
                buf_char(out, '$');
            i = next ? next : i + 1;
        }
    }
}

bool regex_named_group(const regex *re, uint32_t index, str subject, str *ret_name, str *ret_value)
{
    uint32_t count = 0, entry_size = 0;
    PCRE2_SPTR table = NULL;
    pcre2_pattern_info(re->code, PCRE2_INFO_NAMECOUNT, &count);
    pcre2_pattern_info(re->code, PCRE2_INFO_NAMEENTRYSIZE, &entry_size);
    pcre2_pattern_info(re->code, PCRE2_INFO_NAMETABLE, &table);
    if (index >= count)
        return false;
    const uint8_t *entry = table + (size_t)index * entry_size;
    *ret_name = str_c((const char *)entry + 2);
    *ret_value = regex_group(re, (uint32_t)entry[0] << 8 | entry[1], subject);
    return true;
}

// SPDX-License-Identifier: Apache-2.0
/* Patterns on PCRE2; see pattern.h. The compiled code is read-only; the memory of a match is kept
 * in one slot per pattern: a thread takes it, others that come meanwhile make their own, and the
 * one that is put back last stays. */
#include "pipeline/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdatomic.h>
#include <stdlib.h>

#define PATTERN_STEPS   1000000u
#define PATTERN_DEPTH   10000u
#define PATTERN_HEAP_KB 16384u
#define PATTERN_BYTES   KiB(16)

enum { PATTERN_GROUPS = 64 };

struct pattern {
    pcre2_code *code;
    pcre2_match_context *context;
    _Atomic(pcre2_match_data *) spare;
};

static status prepare(pattern *p, error *err)
{
    p->context = pcre2_match_context_create(NULL);
    if (!p->context)
        return fail(err, STATUS_NO_MEMORY, "no memory for a regular expression");
    pcre2_set_match_limit(p->context, PATTERN_STEPS);
    pcre2_set_depth_limit(p->context, PATTERN_DEPTH);
    pcre2_set_heap_limit(p->context, PATTERN_HEAP_KB);
    pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without it, it is slower */
    uint32_t groups = pattern_groups(p, NULL);
    if (groups >= PATTERN_GROUPS)
        return fail(err, STATUS_INVALID, "a regular expression with %u groups, the limit is %d",
                    groups, PATTERN_GROUPS - 1);
    return STATUS_OK;
}

status pattern_new(pattern **ret, str text, bool whole, error *err)
{
    if (text.len > PATTERN_BYTES)
        return fail(err, STATUS_INVALID, "a regular expression of %zu bytes, the limit is %zu",
                    text.len, PATTERN_BYTES);
    pattern *p = calloc(1, sizeof(*p));
    if (!p)
        return fail(err, STATUS_NO_MEMORY, "no memory for a regular expression");
    uint32_t options =
        PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
    if (whole)
        options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    int code = 0;
    PCRE2_SIZE offset = 0;
    p->code = pcre2_compile((PCRE2_SPTR)(text.ptr ? text.ptr : ""), text.len, options, &code,
                            &offset, NULL);
    if (!p->code) {
        PCRE2_UCHAR reason[160];
        pcre2_get_error_message(code, reason, sizeof(reason));
        free(p);
        return fail(err, STATUS_INVALID, "regular expression \"%.*s\": %s at offset %zu",
                    (int)MIN(text.len, 120), text.ptr, (char *)reason, (size_t)offset);
    }
    if (prepare(p, err) != STATUS_OK) {
        pattern_free(p);
        return err ? err->code : STATUS_NO_MEMORY;
    }
    *ret = p;
    return STATUS_OK;
}

void pattern_free(pattern *p)
{
    if (!p)
        return;
    pcre2_match_data_free(atomic_load(&p->spare));
    pcre2_match_context_free(p->context);
    pcre2_code_free(p->code);
    free(p);
}

static pcre2_match_data *data_take(const pattern *p)
{
    pcre2_match_data *data = atomic_exchange(&((pattern *)p)->spare, NULL);
    return data ? data : pcre2_match_data_create_from_pattern(p->code, NULL);
}

static void data_put(const pattern *p, pcre2_match_data *data)
{
    pcre2_match_data_free(atomic_exchange(&((pattern *)p)->spare, data));
}

static pattern_result run(const pattern *p, pcre2_match_data *data, str subject, size_t from,
                          uint32_t options)
{
    PCRE2_SPTR text = (PCRE2_SPTR)(subject.ptr ? subject.ptr : "");
    int code = pcre2_match(p->code, text, subject.len, from, options, data, p->context);
    if (code == PCRE2_ERROR_JIT_STACKLIMIT)
        code =
            pcre2_match(p->code, text, subject.len, from, options | PCRE2_NO_JIT, data, p->context);
    if (code >= 0)
        return PATTERN_YES;
    return code == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_LIMIT;
}

pattern_result pattern_match(const pattern *p, str subject)
{
    pcre2_match_data *data = data_take(p);
    if (!data)
        return PATTERN_LIMIT;
    pattern_result result = run(p, data, subject, 0, 0);
    data_put(p, data);
    return result;
}

bool pattern_matches(const pattern *p, str subject)
{
    return pattern_match(p, subject) == PATTERN_YES;
}

static uint32_t info_u32(const pattern *p, uint32_t what)
{
    uint32_t n = 0;
    pcre2_pattern_info(p->code, what, &n);
    return n;
}

uint32_t pattern_groups(const pattern *p, uint32_t *ret_unnamed)
{
    uint32_t all = info_u32(p, PCRE2_INFO_CAPTURECOUNT), named = info_u32(p, PCRE2_INFO_NAMECOUNT);
    if (ret_unnamed)
        *ret_unnamed = all > named ? all - named : 0;
    return all;
}

str pattern_group_name(const pattern *p, uint32_t index, uint32_t *ret_number)
{
    uint32_t count = info_u32(p, PCRE2_INFO_NAMECOUNT);
    uint32_t size = info_u32(p, PCRE2_INFO_NAMEENTRYSIZE);
    PCRE2_SPTR table = NULL;
    pcre2_pattern_info(p->code, PCRE2_INFO_NAMETABLE, &table);
    *ret_number = 0;
    if (index >= count)
        return STR_EMPTY;
    const uint8_t *entry = table + (size_t)index * size;
    *ret_number = (uint32_t)entry[0] << 8 | entry[1];
    return str_c((const char *)entry + 2);
}

static void groups_of(pcre2_match_data *data, str subject, str *groups, uint32_t count)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
    uint32_t have = pcre2_get_ovector_count(data);
    for (uint32_t i = 0; i < count; i++) {
        groups[i] = (str){ NULL, 0 };
        if (i < have && at[2 * i] != PCRE2_UNSET && at[2 * i] <= at[2 * i + 1])
            groups[i] = str_slice(subject, at[2 * i], at[2 * i + 1]);
    }
}

pattern_result pattern_find(const pattern *p, str subject, size_t from, str *groups, uint32_t count)
{
    pcre2_match_data *data = data_take(p);
    if (!data)
        return PATTERN_LIMIT;
    pattern_result result = run(p, data, subject, from, 0);
    if (result == PATTERN_YES)
        groups_of(data, subject, groups, count);
    data_put(p, data);
    return result;
}

/* Bytes of the character at `at`, so that an empty match moves on by a whole one. */
static size_t step(str s, size_t at)
{
    size_t n = 1;
    while (at + n < s.len && ((unsigned char)s.ptr[at + n] & 0xC0) == 0x80)
        n++;
    return n;
}

/* One match's effect on the output; *at is where the search goes on. */
static void replace_one(const pattern *p, pcre2_match_data *data, str subject, size_t *at,
                        size_t *copied, pattern_replacement *with, void *user, buf *out)
{
    str groups[PATTERN_GROUPS];
    uint32_t count = MIN(pcre2_get_ovector_count(data), (uint32_t)PATTERN_GROUPS);
    const PCRE2_SIZE *v = pcre2_get_ovector_pointer(data);
    size_t from = v[0], to = MAX(v[1], v[0]);
    bool empty_behind_another = from == to && from == *copied && *copied > 0;
    if (!empty_behind_another) {
        groups_of(data, subject, groups, count);
        buf_str(out, str_slice(subject, *copied, from));
        with(user, p, groups, count, out);
        *copied = to;
    }
    *at = to;
    if (from == to)
        *at += to < subject.len ? step(subject, to) : 1;
}

pattern_result pattern_replace(const pattern *p, str subject, pattern_replacement *with, void *user,
                               buf *out)
{
    pcre2_match_data *data = data_take(p);
    if (!data)
        return PATTERN_LIMIT;
    size_t at = 0, copied = 0;
    pattern_result result = PATTERN_YES, all = PATTERN_NO;
    while (at <= subject.len && (result = run(p, data, subject, at, 0)) == PATTERN_YES) {
        all = PATTERN_YES;
        replace_one(p, data, subject, &at, &copied, with, user, out);
    }
    data_put(p, data);
    if (result == PATTERN_LIMIT)
        return PATTERN_LIMIT;
    buf_str(out, str_slice(subject, copied, subject.len));
    return all;
}

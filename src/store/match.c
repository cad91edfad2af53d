// SPDX-License-Identifier: Apache-2.0
/* Matchers; see match.h. Alternations of plain words and ".*", ".+" need no engine. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "store/match.h"

#include "base/clock.h"

#include <pcre2.h>
#include <stdlib.h>

enum {
    PATTERN_MAX = 64 << 10,       /* bytes of an expression */
    STEP_LIMIT = 2 * 1000 * 1000, /* PCRE2 match steps for one text */
    HEAP_LIMIT_KIB = 16 << 10,
    JIT_STACK_MAX = 1 << 20, /* address space; taken as it is needed */
    WORDS_MAX = 256,
};

struct pattern {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    bool any;      /* ".*" */
    bool nonempty; /* ".+" */
    str *words;    /* a plain word or an alternation of words, anchored */
    uint32_t word_count;
    char *copy;
};

/* Splits "a|b|c" without special characters into words; false when there are any. */
static bool split_words(pattern *p, str regex)
{
    uint32_t count = 1;
    for (size_t i = 0; i < regex.len; i++) {
        if (strchr(".*+?()[]{}^$\\", regex.ptr[i]) || regex.ptr[i] == 0)
            return false;
        count += regex.ptr[i] == '|';
    }
    if (count > WORDS_MAX)
        return false;
    p->copy = malloc(regex.len + 1);
    p->words = calloc(count, sizeof(str));
    if (!p->copy || !p->words)
        return false;
    memcpy(p->copy, regex.ptr, regex.len);
    str rest = str_n(p->copy, regex.len);
    for (uint32_t i = 0; i < count; i++)
        p->words[i] = str_cut(rest, '|', &rest);
    p->word_count = count;
    return true;
}

static status compile(pattern *p, str regex, bool whole, error *err)
{
    int code = 0;
    PCRE2_SIZE at = 0;
    uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY |
                       PCRE2_NEVER_BACKSLASH_C;
    if (whole)
        options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    p->code = pcre2_compile((PCRE2_SPTR)regex.ptr, regex.len, options, &code, &at, NULL);
    if (!p->code) {
        unsigned char why[160];
        pcre2_get_error_message(code, why, sizeof(why));
        return fail(err, STATUS_INVALID, "regular expression \"%.*s\": %s at position %zu",
                    (int)MIN(regex.len, (size_t)120), regex.ptr, (const char *)why, (size_t)at);
    }
    pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* slower without, never wrong */
    p->data = pcre2_match_data_create(1, NULL);
    p->context = pcre2_match_context_create(NULL);
    p->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK_MAX, NULL);
    if (!p->data || !p->context || !p->stack)
        return fail(err, STATUS_NO_MEMORY, "no memory for a regular expression");
    pcre2_set_match_limit(p->context, STEP_LIMIT);
    pcre2_set_heap_limit(p->context, HEAP_LIMIT_KIB);
    pcre2_jit_stack_assign(p->context, NULL, p->stack);
    return STATUS_OK;
}

status match_pattern_new(pattern **ret, str regex, bool whole, error *err)
{
    if (regex.len > PATTERN_MAX)
        return fail(err, STATUS_LIMIT, "a regular expression of %zu bytes; the limit is %d",
                    regex.len, PATTERN_MAX);
    pattern *p = calloc(1, sizeof(*p));
    if (!p)
        return fail(err, STATUS_NO_MEMORY, "no memory for a regular expression");
    status st = STATUS_OK;
    p->any = whole && str_is(regex, ".*");
    p->nonempty = whole && str_is(regex, ".+");
    if (!p->any && !p->nonempty && !(whole && split_words(p, regex)))
        st = compile(p, regex, whole, err);
    if (st != STATUS_OK) {
        match_pattern_free(p);
        return st;
    }
    *ret = p;
    return STATUS_OK;
}

void match_pattern_free(pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    pcre2_match_data_free(p->data);
    pcre2_match_context_free(p->context);
    pcre2_jit_stack_free(p->stack);
    free(p->words);
    free(p->copy);
    free(p);
}

int match_pattern_test(pattern *p, str subject)
{
    if (p->any)
        return 1;
    if (p->nonempty)
        return subject.len > 0;
    if (p->words) {
        for (uint32_t i = 0; i < p->word_count; i++) {
            if (str_eq(p->words[i], subject))
                return 1;
        }
        return 0;
    }
    int rc = pcre2_match(p->code, (PCRE2_SPTR)subject.ptr, subject.len, 0, 0, p->data, p->context);
    if (rc >= 0)
        return 1;
    return rc == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

static bool test(match_set *m, pattern *p, str value)
{
    int rc = match_pattern_test(p, value);
    if (rc < 0)
        m->trouble = STATUS_LIMIT;
    return rc > 0;
}

bool match_value(match_set *m, const match_item *item, str value)
{
    switch (item->op) {
    case MATCH_EQ:
        return str_eq(item->value, value);
    case MATCH_NE:
        return !str_eq(item->value, value);
    case MATCH_RE:
        return test(m, item->re, value);
    case MATCH_NRE:
        return !test(m, item->re, value);
    }
    return false;
}

bool match_lines(match_set *m, str line)
{
    for (uint32_t i = 0; i < m->line_count; i++) {
        const line_item *l = &m->lines[i];
        bool found = l->re ? test(m, l->re, line)
                           : l->text.len == 0 ||
                                 memmem(line.ptr, line.len, l->text.ptr, l->text.len) != NULL;
        if (found != (l->op == LINE_CONTAINS || l->op == LINE_MATCHES))
            return false;
    }
    return true;
}

status match_set_init(match_set *ret, const matcher *matchers, uint32_t count,
                      const line_filter *lines, uint32_t line_count, error *err)
{
    match_set m = { 0 };
    m.items = calloc(MAX(count, 1u), sizeof(match_item));
    m.lines = calloc(MAX(line_count, 1u), sizeof(line_item));
    status st =
        m.items && m.lines ? STATUS_OK : fail(err, STATUS_NO_MEMORY, "no memory for the matchers");
    for (uint32_t i = 0; st == STATUS_OK && i < count; i++) {
        match_item *it = &m.items[m.count++];
        *it = (match_item){ matchers[i].name, matchers[i].op, matchers[i].value, NULL, false };
        if (it->op == MATCH_RE || it->op == MATCH_NRE)
            st = match_pattern_new(&it->re, it->value, true, err);
        if (st == STATUS_OK)
            it->takes_empty = match_value(&m, it, STR_EMPTY);
    }
    for (uint32_t i = 0; st == STATUS_OK && i < line_count; i++) {
        line_item *it = &m.lines[m.line_count++];
        *it = (line_item){ lines[i].op, lines[i].text, NULL };
        if (it->op == LINE_MATCHES || it->op == LINE_NOT_MATCHES)
            st = match_pattern_new(&it->re, it->text, false, err);
    }
    if (st != STATUS_OK) {
        match_set_done(&m);
        return st;
    }
    *ret = m;
    return STATUS_OK;
}

void match_set_done(match_set *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        match_pattern_free(m->items[i].re);
    for (uint32_t i = 0; i < m->line_count; i++)
        match_pattern_free(m->lines[i].re);
    free(m->items);
    free(m->lines);
    *m = (match_set){ 0 };
}

status match_set_trouble(const match_set *m, error *err)
{
    if (m->trouble == STATUS_OK)
        return STATUS_OK;
    return fail(err, m->trouble,
                "a regular expression took more than %d steps on one text; make it simpler",
                STEP_LIMIT);
}

status control_check(const query_control *c, error *err)
{
    if (!c)
        return STATUS_OK;
    if (c->canceled && *c->canceled)
        return fail(err, STATUS_CANCELED, "the query was canceled");
    if (c->deadline_mono_ns && clock_mono_ns() > c->deadline_mono_ns)
        return fail(err, STATUS_CANCELED, "the query exceeded its time limit");
    return STATUS_OK;
}

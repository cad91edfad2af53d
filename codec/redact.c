// SPDX-License-Identifier: Apache-2.0
/* The scanner: a filter that passes over clean text quickly, and what is put in the place of what
 * the rules find. The filter looks up every second pair of bytes in a set of pairs that tell of
 * secrets, and for card numbers every thirteenth byte: 13 digits in a row cannot hide from it. */
#include "codec/redact_internal.h"

#include <pthread.h>

/* ---- rules ---- */

static void add_pair(redact_rules *rules, unsigned first, unsigned second)
{
    unsigned pair = (first & 0xff) | (second & 0xff) << 8;
    rules->pairs[pair >> 3] |= (uint8_t)(1u << (pair & 7));
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* `triggers`: the literal's bit; 0 for the user's prefixes, which are all tried. */
static void add_text_pair(redact_rules *rules, const char *p, bool any_case, uint64_t triggers)
{
    for (int i = 0; i < 4; i++) {
        char first = !any_case ? p[0] : i & 1 ? upper(p[0]) : p[0];
        char second = !any_case ? p[1] : i & 2 ? upper(p[1]) : p[1];
        add_pair(rules, (unsigned char)first, (unsigned char)second);
        rules->told[redact_told_row(first, second)] |= triggers;
    }
}

/* A byte that counts wherever it stands. */
static void add_byte(redact_rules *rules, char c)
{
    for (unsigned other = 0; other < 256; other++) {
        add_pair(rules, (unsigned char)c, other);
        add_pair(rules, other, (unsigned char)c);
    }
}

static bool has(const redact_rules *rules, redact_kind kind)
{
    return rules->kinds >> kind & 1;
}

static void build_filter(redact_rules *rules)
{
    memset(rules->pairs, 0, sizeof(rules->pairs));
    memset(rules->told, 0, sizeof(rules->told));
    for (size_t i = 0; i < redact_trigger_count; i++) {
        const redact_trigger *t = &redact_triggers[i];
        if (!has(rules, t->kind))
            continue;
        add_text_pair(rules, t->text.ptr + t->even, t->any_case, 1ull << i);
        add_text_pair(rules, t->text.ptr + t->odd, t->any_case, 1ull << i);
    }
    for (uint32_t i = 0; i < rules->prefix_count; i++) {
        const char *p = rules->prefix_text + rules->prefix[i].at;
        add_text_pair(rules, p, false, 0);
        add_text_pair(rules, p + 1, false, 0);
    }
    if (has(rules, REDACT_JWT))
        add_byte(rules, 'J');
    if (has(rules, REDACT_PARAM))
        add_byte(rules, '=');
    if (has(rules, REDACT_PARAM) || has(rules, REDACT_URL))
        add_byte(rules, ':');
}

#define ALL_KINDS ((1u << REDACT_PREFIX) - 1)

static status add_prefix(redact_rules *rules, str prefix, error *err)
{
    if (prefix.len < 3 || prefix.len > 64)
        return fail(err, STATUS_INVALID, "the prefix \"%.*s\" must have 3 to 64 bytes",
                    (int)MIN(prefix.len, (size_t)64), prefix.ptr);
    if (rules->prefix_count == REDACT_PREFIX_MAX)
        return fail(err, STATUS_LIMIT, "the prefix \"%.*s\" is one too many: at most %u",
                    STR_ARG(prefix), REDACT_PREFIX_MAX);
    memcpy(rules->prefix_text + rules->prefix_used, prefix.ptr, prefix.len);
    rules->prefix[rules->prefix_count].at = (uint16_t)rules->prefix_used;
    rules->prefix[rules->prefix_count].len = (uint16_t)prefix.len;
    rules->prefix_used += (uint32_t)prefix.len;
    rules->prefix_count++;
    rules->kinds |= 1u << REDACT_PREFIX;
    return STATUS_OK;
}

static status add_item(redact_rules *rules, str item, error *err)
{
    static const char *const names[] = {
#define X(kind, name, meaning) name,
        REDACT_KINDS(X)
#undef X
    };
    if (str_starts(item, STR("prefix:")))
        return add_prefix(rules, str_slice(item, 7, item.len), err);
    if (str_is(item, "all"))
        rules->kinds |= ALL_KINDS;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_is(item, names[i])) {
            rules->kinds |= 1u << i;
            return STATUS_OK;
        }
    }
    if (str_is(item, "all"))
        return STATUS_OK;
    return fail(err, STATUS_INVALID,
                "\"%.*s\" is no rule for values: all, none, or a list of bearer, jwt, card, url, "
                "param, key, prefix:TEXT",
                (int)MIN(item.len, (size_t)64), item.ptr);
}

status redact_rules_init(redact_rules *ret, str values, str keys, error *err)
{
    status first = STATUS_OK;
    bool none = str_is(str_trim(values), "none");
    ret->kinds = ret->prefix_count = ret->prefix_used = 0;
    while (values.len && !none) {
        str item = str_trim(str_cut(values, ',', &values));
        status st = item.len ? add_item(ret, item, first == STATUS_OK ? err : NULL) : STATUS_OK;
        first = first == STATUS_OK ? st : first;
    }
    /* A list that could not be understood must not turn rules off. */
    if (!none && (ret->kinds == 0 || first != STATUS_OK))
        ret->kinds |= ALL_KINDS;
    status st = redact_keys_init(&ret->keys, keys, first == STATUS_OK ? err : NULL);
    build_filter(ret);
    return first == STATUS_OK ? st : first;
}

static redact_rules all_rules;

static void fill_all(void)
{
    (void)!redact_rules_init(&all_rules, STR_EMPTY, STR_EMPTY, NULL);
}

const redact_rules *redact_rules_all(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_all);
    return &all_rules;
}

/* ---- finding ---- */

static inline bool pair_tells(const redact_rules *rules, const char *p)
{
    uint16_t pair;
    memcpy(&pair, p, sizeof(pair));
    return rules->pairs[pair >> 3] >> (pair & 7) & 1;
}

/* The first pair at or after `at` that tells of something; in.len when there is none. */
static size_t next_pair(const redact_rules *rules, str in, size_t at)
{
    for (; at + 8 <= in.len; at += 8) {
        const char *p = in.ptr + at;
        if (UNLIKELY(pair_tells(rules, p) | pair_tells(rules, p + 2) | pair_tells(rules, p + 4) |
                     pair_tells(rules, p + 6)))
            break;
    }
    for (; at + 2 <= in.len; at += 2) {
        if (pair_tells(rules, in.ptr + at))
            return at;
    }
    return in.len;
}

static bool find_told(const redact_rules *rules, str in, size_t from, redact_range *ret)
{
    for (size_t at = next_pair(rules, in, from); at < in.len; at = next_pair(rules, in, at + 2)) {
        if (redact_examine(rules, in, from, at, ret))
            return true;
    }
    return false;
}

/* Where a text was searched to, so that many cards before one other secret (or none) do not make
 * the whole rest be searched again for each. */
typedef struct {
    bool looked;
    redact_range told; /* begin is the text's length when there is none */
} search;

static bool find(const redact_rules *rules, str in, size_t from, search *s, redact_range *ret)
{
    redact_range card;
    if (!s->looked || (s->told.begin < from && s->told.begin < in.len)) {
        bool any = rules->kinds & ~(1u << REDACT_CARD) && find_told(rules, in, from, &s->told);
        s->told = any ? s->told : (redact_range){ in.len, in.len };
        s->looked = true;
    }
    if (has(rules, REDACT_CARD) && redact_find_card(in, from, s->told.begin, &card)) {
        *ret = card;
        return true;
    }
    *ret = s->told;
    return s->told.begin < in.len;
}

bool redact_find(const redact_rules *rules, str in, size_t from, size_t *ret_begin, size_t *ret_end)
{
    redact_range range;
    search s = { .looked = false };
    if (!rules->kinds || !find(rules, in, from, &s, &range))
        return false;
    *ret_begin = range.begin;
    *ret_end = range.end;
    return true;
}

/* ---- replacing ---- */

bool redact_text(const redact_rules *rules, arena *a, str in, str *ret)
{
    redact_range range = { 0, 0 };
    search s = { .looked = false };
    *ret = in;
    if (LIKELY(!rules->kinds || !find(rules, in, 0, &s, &range)))
        return false;
    size_t count = 0, n = 0;
    for (bool more = true; more; more = find(rules, in, range.end, &s, &range))
        count++;
    s.looked = false;
    char *to = arena_alloc_aligned(a, in.len + count * sizeof(REDACTED), 1);
    *ret = str_n(to, 0);
    if (!to)
        return true;
    range.end = 0;
    for (size_t done = 0; done < in.len; done = range.end) {
        if (!find(rules, in, done, &s, &range))
            range.begin = range.end = in.len;
        memcpy(to + n, in.ptr + done, range.begin - done);
        n += range.begin - done;
        if (range.end > range.begin) {
            memcpy(to + n, REDACTED, sizeof(REDACTED) - 1);
            n += sizeof(REDACTED) - 1;
        }
    }
    *ret = str_n(to, n);
    return true;
}

void redact_to_buf(const redact_rules *rules, str in, buf *out)
{
    redact_range range;
    search s = { .looked = false };
    size_t done = 0;
    while (rules->kinds && done < in.len && find(rules, in, done, &s, &range)) {
        buf_add(out, in.ptr + done, range.begin - done);
        buf_lit(out, REDACTED);
        done = range.end;
    }
    buf_str(out, str_slice(in, done, in.len));
}

// SPDX-License-Identifier: Apache-2.0
/* Rules on labels; see prometheus_relabel.h. What each action does is Prometheus's own; expressions
 * are anchored at both ends and "." takes a newline, too. */
#include "pipeline/receivers/prometheus_relabel.h"

#include "pipeline/pattern.h"

#include <ctype.h>
#include <locale.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <wctype.h>

enum { GROUPS_MAX = 64, FIRST_LABELS = 16 };

typedef struct {
    const relabel_settings *s;
    pattern *regex;
    bool plain; /* regex is "(.*)" */
} relabel_rule;

struct relabel_rules {
    uint32_t count;
    relabel_rule items[];
};

/* ---- sets ---- */

static prom_label *find(const label_set *s, str name)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (str_eq(s->items[i].name, name))
            return &s->items[i];
    return NULL;
}

str label_set_get(const label_set *s, str name)
{
    const prom_label *l = find(s, name);
    return l ? l->value : STR_EMPTY;
}

void label_set_remove(label_set *s, str name)
{
    prom_label *l = find(s, name);
    if (l)
        *l = s->items[--s->count];
}

void label_set_put(label_set *s, str name, str text)
{
    if (text.len == 0) {
        label_set_remove(s, name);
        return;
    }
    prom_label *l = find(s, name);
    if (l) {
        l->value = text;
        return;
    }
    if (s->count == s->capacity) {
        uint32_t wanted = s->capacity ? s->capacity * 2 : FIRST_LABELS;
        prom_label *more =
            arena_grow(s->arena, s->items, s->count * sizeof(*more), wanted * sizeof(*more));
        if (!more) {
            s->failed = true;
            return;
        }
        s->items = more;
        s->capacity = wanted;
    }
    s->items[s->count++] = (prom_label){ name, text };
}

static int by_name(const void *a, const void *b)
{
    const prom_label *x = a, *y = b;
    return str_cmp(x->name, y->name);
}

void label_set_sort(label_set *s)
{
    if (s->count > 1)
        qsort(s->items, s->count, sizeof(*s->items), by_name);
}

/* ---- compiling ---- */

enum {
    NEEDS_TARGET = 1,
    REGEX_ONLY = 2, /* no option but the expression means anything */
    USES_REGEX = 4,
    NEEDS_MODULUS = 8
};
static const uint8_t action_rules[] = {
    [RELABEL_REPLACE] = NEEDS_TARGET | USES_REGEX,
    [RELABEL_KEEP] = USES_REGEX,
    [RELABEL_DROP] = USES_REGEX,
    [RELABEL_KEEPEQUAL] = NEEDS_TARGET,
    [RELABEL_DROPEQUAL] = NEEDS_TARGET,
    [RELABEL_HASHMOD] = NEEDS_TARGET | NEEDS_MODULUS,
    [RELABEL_LABELMAP] = USES_REGEX,
    [RELABEL_LABELDROP] = USES_REGEX | REGEX_ONLY,
    [RELABEL_LABELKEEP] = USES_REGEX | REGEX_ONLY,
    [RELABEL_LOWERCASE] = NEEDS_TARGET,
    [RELABEL_UPPERCASE] = NEEDS_TARGET,
};

static status check_options(const relabel_settings *s, const char **ret_option, error *err)
{
    unsigned rules = action_rules[s->action];
    *ret_option = "target_label";
    if ((rules & NEEDS_TARGET) && s->target_label.len == 0)
        return fail(err, STATUS_INVALID, "this action needs target_label");
    *ret_option = "modulus";
    if ((rules & NEEDS_MODULUS) && s->modulus <= 0)
        return fail(err, STATUS_INVALID, "hashmod needs a modulus above 0");
    *ret_option = "action";
    if ((rules & REGEX_ONLY) && (s->source_labels.count || s->target_label.len || s->modulus ||
                                 !str_is(s->separator, ";") || !str_is(s->replacement, "$1")))
        return fail(err, STATUS_INVALID,
                    "labeldrop and labelkeep look at label names: they have "
                    "regex and no other option");
    return STATUS_OK;
}

static status compile(relabel_rule *r, const char **ret_option, error *err)
{
    status st = check_options(r->s, ret_option, err);
    if (st != STATUS_OK)
        return st;
    *ret_option = "regex";
    r->plain = str_is(r->s->regex, "(.*)");
    buf text;
    buf_init(&text, KiB(64));
    buf_fmt(&text, "(?s:%.*s)", STR_ARG(r->s->regex));
    st = buf_check(&text, err, "a regular expression");
    if (st == STATUS_OK)
        st = pattern_new(&r->regex, buf_view(&text), true, err);
    buf_done(&text);
    return st;
}

status relabel_rules_new(relabel_rules **ret, const section_list *rules, uint32_t *ret_wrong,
                         const char **ret_option, error *err)
{
    const relabel_settings *settings = rules->items;
    relabel_rules *r = calloc(1, sizeof(*r) + rules->count * sizeof(relabel_rule));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for relabel rules");
    for (uint32_t i = 0; i < rules->count; i++) {
        r->items[i].s = &settings[i];
        r->count++;
        status st = compile(&r->items[i], ret_option, err);
        if (st != STATUS_OK) {
            *ret_wrong = i;
            relabel_rules_free(r);
            return st;
        }
    }
    *ret = r;
    return STATUS_OK;
}

void relabel_rules_free(relabel_rules *r)
{
    for (uint32_t i = 0; r && i < r->count; i++)
        pattern_free(r->items[i].regex);
    free(r);
}

bool relabel_rules_empty(const relabel_rules *r)
{
    return !r || r->count == 0;
}

/* ---- what is written ---- */

/* Group of that number or name. */
static str group_of(const pattern *p, str name, const str *groups, uint32_t count)
{
    uint64_t number = 0;
    uint32_t found = 0;
    if (str_to_u64(name, &number))
        return number < count && groups[number].ptr ? groups[number] : STR_EMPTY;
    for (uint32_t i = 0;; i++) {
        str known = pattern_group_name(p, i, &found);
        if (known.len == 0)
            return STR_EMPTY;
        if (str_eq(known, name))
            return found < count && groups[found].ptr ? groups[found] : STR_EMPTY;
    }
}

/* The name behind a "$" at `at`; 0 in *ret_next: it is no reference. */
static str reference(str text, size_t at, size_t *ret_next)
{
    bool braced = at < text.len && text.ptr[at] == '{';
    size_t from = at + braced, to = from;
    while (to < text.len && (isalnum((unsigned char)text.ptr[to]) || text.ptr[to] == '_'))
        to++;
    bool good = to > from && (!braced || (to < text.len && text.ptr[to] == '}'));
    *ret_next = good ? to + braced : 0;
    return str_slice(text, from, to);
}

/* Go's Expand. */
static void expand(const pattern *p, str text, const str *groups, uint32_t count, buf *out)
{
    for (size_t i = 0; i < text.len;) {
        size_t next = 0;
        if (text.ptr[i] == '$' && i + 1 < text.len && text.ptr[i + 1] == '$') {
            next = i + 2;
            buf_char(out, '$');
        } else if (text.ptr[i] == '$') {
            str name = reference(text, i + 1, &next);
            if (next)
                buf_str(out, group_of(p, name, groups, count));
        }
        if (!next)
            buf_char(out, text.ptr[i]);
        i = next ? next : i + 1;
    }
}

static str kept(label_set *s, buf *text)
{
    str copy = text->failed ? (str){ NULL, 0 } : arena_str(s->arena, buf_view(text));
    s->failed |= !copy.ptr;
    buf_done(text);
    return copy.ptr ? copy : STR_EMPTY;
}

static str expanded(label_set *s, const relabel_rule *r, str text, const str *groups)
{
    if (!memchr(text.ptr, '$', text.len))
        return text;
    buf out;
    buf_init(&out, MiB(1));
    expand(r->regex, text, groups, GROUPS_MAX, &out);
    return kept(s, &out);
}

static void replace(const relabel_rule *r, label_set *s, str joined)
{
    str groups[GROUPS_MAX] = { { NULL, 0 } };
    if (r->plain && joined.len == 0 &&
        !memchr(r->s->target_label.ptr, '$', r->s->target_label.len) &&
        !(r->s->replacement.len && memchr(r->s->replacement.ptr, '$', r->s->replacement.len))) {
        label_set_put(s, r->s->target_label, r->s->replacement);
        return;
    }
    if (pattern_find(r->regex, joined, 0, groups, GROUPS_MAX) != PATTERN_YES)
        return;
    str target = expanded(s, r, r->s->target_label, groups);
    if (target.len == 0 || utf8_valid_prefix(target) != target.len)
        return;
    label_set_put(s, target,
                  r->s->replacement.len ? expanded(s, r, r->s->replacement, groups) : STR_EMPTY);
}

static void hash_modulus(const relabel_rule *r, label_set *s, str joined)
{
    uint8_t md5[EVP_MAX_MD_SIZE] = { 0 };
    uint64_t last = 0;
    (void)EVP_Digest(joined.ptr, joined.len, md5, NULL, EVP_md5(), NULL);
    for (int i = 8; i < 16; i++)
        last = last << 8 | md5[i];
    str text = arena_fmt(s->arena, "%llu", (unsigned long long)(last % (uint64_t)r->s->modulus));
    s->failed |= !text.ptr;
    if (text.ptr)
        label_set_put(s, r->s->target_label, text);
}

/* ---- letters ---- */

static locale_t unicode;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_locale(void)
{
    unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static size_t decode(str s, size_t at, uint32_t *ret)
{
    uint8_t first = (uint8_t)s.ptr[at];
    size_t n = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (n == 1 || at + n > s.len || utf8_valid_prefix(str_slice(s, at, at + n)) != n) {
        *ret = first;
        return 1;
    }
    *ret = first & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        *ret = *ret << 6 | ((uint8_t)s.ptr[at + i] & 0x3f);
    return n;
}

static void encode(buf *out, uint32_t c)
{
    int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t marks[] = { 0, 0xc0, 0xe0, 0xf0 };
    buf_char(out, (char)(marks[more] | c >> (6 * more)));
    while (more-- > 0)
        buf_char(out, (char)(0x80 | (c >> (6 * more) & 0x3f)));
}

static void change_case(const relabel_rule *r, label_set *s, str joined)
{
    bool lower = r->s->action == RELABEL_LOWERCASE;
    buf out;
    pthread_once(&once, open_locale);
    buf_init(&out, MiB(1));
    for (size_t i = 0, n; i < joined.len; i += n) {
        uint32_t c;
        n = decode(joined, i, &c);
        if (n == 1 && c >= 0x80) {
            buf_char(&out, joined.ptr[i]); /* not UTF-8 */
        } else if (c < 0x80 || !unicode) {
            buf_char(&out, (char)(lower ? tolower((int)c) : toupper((int)c)));
        } else {
            encode(&out, (uint32_t)(lower ? towlower_l((wint_t)c, unicode)
                                          : towupper_l((wint_t)c, unicode)));
        }
    }
    label_set_put(s, r->s->target_label, kept(s, &out));
}

/* ---- names ---- */

typedef struct {
    const relabel_rule *rule;
} map_use;

static void map_match(void *user, const pattern *p, const str *groups, uint32_t count, buf *out)
{
    const map_use *u = user;
    expand(p, u->rule->s->replacement, groups, count, out);
}

/* Labels that were there before the rule. */
static void map_names(const relabel_rule *r, label_set *s)
{
    uint32_t count = s->count;
    prom_label *before = arena_alloc(s->arena, (count + 1) * sizeof(*before));
    if (!before) {
        s->failed = true;
        return;
    }
    if (count)
        memcpy(before, s->items, count * sizeof(*before));
    for (uint32_t i = 0; i < count; i++) {
        buf out;
        map_use use = { r };
        buf_init(&out, MiB(1));
        if (pattern_replace(r->regex, before[i].name, map_match, &use, &out) != PATTERN_YES) {
            buf_done(&out);
            continue;
        }
        str name = kept(s, &out);
        if (name.len)
            label_set_put(s, name, before[i].value);
    }
}

static void keep_names(const relabel_rule *r, label_set *s)
{
    bool keep = r->s->action == RELABEL_LABELKEEP;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->count; i++)
        if (pattern_matches(r->regex, s->items[i].name) == keep)
            s->items[n++] = s->items[i];
    s->count = n;
}

/* ---- one rule ---- */

static str join(const relabel_rule *r, label_set *s)
{
    const text_list *from = &r->s->source_labels;
    if (from->count == 0)
        return STR_EMPTY;
    if (from->count == 1)
        return label_set_get(s, from->items[0]);
    buf out;
    buf_init(&out, MiB(4));
    for (uint32_t i = 0; i < from->count; i++) {
        if (i)
            buf_str(&out, r->s->separator);
        buf_str(&out, label_set_get(s, from->items[i]));
    }
    return kept(s, &out);
}

static bool apply(const relabel_rule *r, label_set *s)
{
    str joined = join(r, s);
    switch ((relabel_action)r->s->action) {
    case RELABEL_REPLACE:
        replace(r, s, joined);
        return true;
    case RELABEL_KEEP:
        return pattern_matches(r->regex, joined);
    case RELABEL_DROP:
        return !pattern_matches(r->regex, joined);
    case RELABEL_KEEPEQUAL:
        return str_eq(label_set_get(s, r->s->target_label), joined);
    case RELABEL_DROPEQUAL:
        return !str_eq(label_set_get(s, r->s->target_label), joined);
    case RELABEL_HASHMOD:
        hash_modulus(r, s, joined);
        return true;
    case RELABEL_LABELMAP:
        map_names(r, s);
        return true;
    case RELABEL_LABELDROP:
    case RELABEL_LABELKEEP:
        keep_names(r, s);
        return true;
    case RELABEL_LOWERCASE:
    case RELABEL_UPPERCASE:
        change_case(r, s, joined);
        return true;
    }
    return true;
}

bool relabel_apply(const relabel_rules *r, label_set *s)
{
    for (uint32_t i = 0; r && i < r->count; i++)
        if (!apply(&r->items[i], s))
            return false;
    return true;
}

// SPDX-License-Identifier: Apache-2.0
/* Rule files as YAML: reading what was written gives the same rules. Texts are plain where they may
 * be, blocks where they have lines, else in double quotes. */
#include "rules/file_internal.h"

#include <string.h>

bool rule_labels(arena *a, const rule_group_definition *g, const rule_definition *r, labels *ret)
{
    label *items = ARENA_ARRAY(a, label, (size_t)g->labels.count + r->labels.count + 1);
    uint32_t n = 0;
    if (!items)
        return false;
    /* Of equal names the last one stays: the rule's. */
    for (uint32_t i = 0; i < g->labels.count; i++)
        items[n++] = g->labels.items[i];
    for (uint32_t i = 0; i < r->labels.count; i++)
        items[n++] = r->labels.items[i];
    /* A rule's empty text takes a label away, in the result as well: it is kept. */
    for (uint32_t i = 1; i < n; i++) {
        label moving = items[i];
        uint32_t j = i;
        for (; j > 0 && str_cmp(items[j - 1].name, moving.name) > 0; j--)
            items[j] = items[j - 1];
        items[j] = moving;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (i + 1 == n || !str_eq(items[i].name, items[i + 1].name))
            items[kept++] = items[i];
    *ret = (labels){ items, kept };
    return true;
}

void rule_print_duration(buf *out, int64_t ms)
{
    static const struct {
        const char *name;
        int64_t ms;
        bool exact; /* years and weeks only where nothing is left over */
    } units[] = { { "y", 31536000000, true }, { "w", 604800000, true }, { "d", 86400000, false },
                  { "h", 3600000, false },    { "m", 60000, false },    { "s", 1000, false },
                  { "ms", 1, false } };
    if (ms == 0)
        buf_lit(out, "0s");
    for (size_t i = 0; i < ARRAY_LEN(units) && ms; i++) {
        int64_t n = ms / units[i].ms;
        if (n == 0 || (units[i].exact && ms % units[i].ms))
            continue;
        buf_i64(out, n);
        buf_str(out, str_c(units[i].name));
        ms -= n * units[i].ms;
    }
}

/* Letters, digits and what has no meaning in YAML; nothing that could be read as a number, a bool
 * or null. */
static bool is_plain(str s)
{
    static const char *const words[] = { "null", "true", "false", "yes", "no", "on",
                                         "off",  "y",    "n",     "nan", "inf" };
    bool letter = false;
    if (!s.len || s.len > 60)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        letter |= is_letter;
        if (!is_letter && (i == 0 || !strchr("0123456789.-/", c) || !c))
            return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(s, str_c(words[i])))
            return false;
    return letter;
}

static void put_quoted(buf *out, str s)
{
    buf_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            buf_fmt(out, "\\%c", c);
        else if (c == '\n')
            buf_lit(out, "\\n");
        else if (c == '\t')
            buf_lit(out, "\\t");
        else if (c < ' ' || c == 0x7f)
            buf_fmt(out, "\\x%02x", c);
        else
            buf_char(out, (char)c);
    }
    buf_char(out, '"');
}

/* Whether a literal block gives it back exactly. */
static bool is_block(str s)
{
    if (!s.len || str_find_char(s, '\n') == SIZE_MAX || s.ptr[0] == ' ' || s.ptr[0] == '\n')
        return false;
    if (s.len > 1 && s.ptr[s.len - 1] == '\n' && s.ptr[s.len - 2] == '\n')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c != '\n' && (c < ' ' || c >= 0x7f))
            return false;
    }
    return true;
}

static void put_text(buf *out, str s, unsigned indent)
{
    if (is_plain(s)) {
        buf_str(out, s);
    } else if (is_block(s)) {
        bool ends = s.ptr[s.len - 1] == '\n';
        buf_str(out, ends ? STR("|") : STR("|-"));
        str line, rest = ends ? str_slice(s, 0, s.len - 1) : s;
        bool more = true;
        while (more) {
            more = str_find_char(rest, '\n') != SIZE_MAX;
            line = str_cut(rest, '\n', &rest);
            buf_char(out, '\n');
            if (line.len)
                buf_fmt(out, "%*s%.*s", (int)indent, "", STR_ARG(line));
        }
    } else {
        put_quoted(out, s);
    }
}

static void put_field(buf *out, const char *lead, const char *name, str s, unsigned indent)
{
    buf_fmt(out, "%s%s: ", lead, name);
    put_text(out, s, indent);
    buf_char(out, '\n');
}

static void put_duration(buf *out, const char *lead, const char *name, int64_t ms)
{
    buf_fmt(out, "%s%s: ", lead, name);
    rule_print_duration(out, ms);
    buf_char(out, '\n');
}

static void put_labels(buf *out, const char *name, labels l, unsigned indent)
{
    if (!l.count)
        return;
    buf_fmt(out, "%*s%s:\n", (int)indent, "", name);
    for (uint32_t i = 0; i < l.count; i++) {
        buf_fmt(out, "%*s", (int)indent + 2, "");
        if (is_plain(l.items[i].name))
            buf_str(out, l.items[i].name);
        else
            put_quoted(out, l.items[i].name); /* a key is one line */
        buf_lit(out, ": ");
        put_text(out, l.items[i].value, indent + 4);
        buf_char(out, '\n');
    }
}

static void put_rule(buf *out, const rule_definition *d, const rule_group_definition *g,
                     bool canonical)
{
    arena a;
    buf text;
    const promql_node *node;
    str expr = d->expr;
    arena_init(&a, MiB(64));
    buf_init(&text, MiB(4));
    if (canonical && g->language == RULE_PROMQL &&
        promql_parse(&node, expr, UINT32_MAX, &a, NULL) == STATUS_OK) {
        promql_print(&text, node);
        expr = text.failed ? expr : buf_view(&text);
    }
    put_field(out, "      - ", d->alert.len ? "alert" : "record",
              d->alert.len ? d->alert : d->record, 10);
    put_field(out, "        ", "expr", expr, 10);
    if (d->for_ms)
        put_duration(out, "        ", "for", d->for_ms);
    if (d->keep_firing_for_ms)
        put_duration(out, "        ", "keep_firing_for", d->keep_firing_for_ms);
    put_labels(out, "labels", d->labels, 8);
    put_labels(out, "annotations", d->annotations, 8);
    buf_done(&text);
    arena_done(&a);
}

void rule_group_print(buf *out, const rule_group_definition *g, bool canonical)
{
    put_field(out, "  - ", "name", g->name, 6);
    if (g->language == RULE_LOGQL)
        buf_lit(out, "    type: logql\n");
    if (g->interval_ms)
        put_duration(out, "    ", "interval", g->interval_ms);
    if (g->has_query_offset)
        put_duration(out, "    ", "query_offset", g->query_offset_ms);
    if (g->limit)
        buf_fmt(out, "    limit: %lld\n", (long long)g->limit);
    put_labels(out, "labels", g->labels, 4);
    buf_str(out, g->rule_count ? STR("    rules:\n") : STR("    rules: []\n"));
    for (uint32_t i = 0; i < g->rule_count; i++)
        put_rule(out, &g->rules[i], g, canonical);
}

void rule_file_print(buf *out, const rule_file *f, bool canonical)
{
    buf_str(out, f->group_count ? STR("groups:\n") : STR("groups: []\n"));
    for (uint32_t i = 0; i < f->group_count; i++)
        rule_group_print(out, &f->groups[i], canonical);
}

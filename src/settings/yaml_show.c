// SPDX-License-Identifier: Apache-2.0
/* YAML from a tree, for people: block style, two columns a level, secrets covered by the caller. */
#include "codec/json.h"
#include "settings/yaml.h"

typedef struct {
    buf *out;
    const yaml_cover *cover;
    unsigned depth, state;
} shower;

static void write_node(shower s, const yaml_node *n);

static void indent(const shower *s)
{
    buf_fmt(s->out, "%*s", (int)(s->depth * 2), "");
}

static bool is_substituted(const shower *s, const yaml_node *n)
{
    return n->source.ptr && s->cover->as_written;
}

/* The node that is shown: of a text that was substituted by YAML, its tree. */
static const yaml_node *shown(const shower *s, const yaml_node *n)
{
    return n->tree && !is_substituted(s, n) ? n->tree : n;
}

/* Whether a plain scalar can stand as it is: what was put in place of ${…} need not be one. */
static bool is_plain(const shower *s, const yaml_node *n, str text)
{
    if (!n->plain || str_contains(text, STR(": ")) || str_contains(text, STR("\n")))
        return false;
    return !n->source.ptr || is_substituted(s, n) ||
           (!strchr("[]{},&*#?|-<>=!%@`'\" ", text.ptr[0]) && !str_contains(text, STR(" #")));
}

static void write_scalar(const shower *s, const yaml_node *n)
{
    str text = is_substituted(s, n) ? n->source : n->text;
    str instead = text.len ? s->cover->hidden(s->cover->user, s->state, n) : STR_EMPTY;
    if (n->plain && !text.len)
        buf_lit(s->out, "null");
    else if (instead.len)
        buf_str(s->out, instead);
    else if (is_plain(s, n, text))
        buf_str(s->out, text);
    else
        json_quote(s->out, text);
}

static bool is_short(const yaml_node *n)
{
    return n->kind == YAML_SCALAR || n->count == 0;
}

static void write_short(const shower *s, const yaml_node *n)
{
    if (n->kind == YAML_SCALAR)
        write_scalar(s, n);
    else
        buf_str(s->out, n->kind == YAML_SEQUENCE ? STR("[]") : STR("{}"));
    buf_char(s->out, '\n');
}

static void write_pairs(const shower *s, const yaml_node *n, bool first_in_line)
{
    for (uint32_t i = 0; i < n->count && !s->out->failed; i++) {
        const yaml_node *key = n->pairs[i].key, *value = shown(s, n->pairs[i].value);
        shower below = { s->out, s->cover, s->depth + 1,
                         s->cover->below(s->cover->user, s->state, key->text) };
        if (i || !first_in_line)
            indent(s);
        if (key->plain)
            buf_str(s->out, key->text);
        else
            json_quote(s->out, key->text);
        buf_str(s->out, is_short(value) ? STR(": ") : STR(":\n"));
        write_node(below, value);
    }
}

static void write_node(shower s, const yaml_node *n)
{
    if (is_short(n)) {
        write_short(&s, n);
        return;
    }
    if (n->kind == YAML_MAPPING) {
        write_pairs(&s, n, false);
        return;
    }
    for (uint32_t i = 0; i < n->count && !s.out->failed; i++) {
        const yaml_node *item = shown(&s, n->items[i]);
        shower below = s;
        below.depth++;
        indent(&s);
        buf_lit(s.out, "- ");
        if (item->kind == YAML_MAPPING && item->count) {
            write_pairs(&below, item, true);
        } else if (is_short(item)) {
            write_short(&below, item);
        } else {
            buf_char(s.out, '\n');
            write_node(below, item);
        }
    }
}

void yaml_show(buf *out, const yaml_node *root, const yaml_cover *cover)
{
    if (root)
        write_node((shower){ .out = out, .cover = cover }, root);
}

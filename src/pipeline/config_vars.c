// SPDX-License-Identifier: Apache-2.0
/* ${env:VAR}, ${env:VAR:-default}, ${VAR}, ${file:PATH}, $$ and the names that the caller gives, in
 * every scalar value (not in keys). What is put in is not looked at again, so that a secret with a
 * "$" in it stays as it is. A scalar that is nothing but one ${…} may become a list or a map. */
#include "base/file.h"
#include "pipeline/config_read.h"

#include <stdlib.h>

enum { NESTED_MAX = 8, SUBSTITUTIONS_MAX = 100000 };

typedef struct {
    config_reader *r;
    const yaml_node *at;
    uint32_t count; /* of what was put in, in the whole file */
    bool failed;    /* in this scalar; reported */
} expansion;

static void expand(expansion *x, str text, buf *out, unsigned depth);

static void wrong(expansion *x, const char *what, str part)
{
    /* Without the default, which may be a secret. */
    size_t dash = str_find(part, STR(":-")), end = MIN(MIN(part.len, dash), (size_t)80);
    if (!x->failed)
        config_error(x->r, x->at, "${%.*s%s}: %s", (int)end, part.ptr, end < part.len ? "…" : "",
                     what);
    x->failed = true;
}

/* ---- what stands between the braces ---- */

static bool is_variable_name(str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return s.len > 0;
}

static void put_variable(expansion *x, str expression, str whole, buf *out)
{
    char name[256];
    size_t dash = str_find(expression, STR(":-"));
    bool has_default = dash != SIZE_MAX;
    str text = has_default ? str_slice(expression, 0, dash) : expression;
    if (!is_variable_name(text) || text.len >= sizeof(name)) {
        wrong(x, "wants the name of a variable; write $${…} for the text itself", whole);
        return;
    }
    str_copy_c(name, sizeof(name), text);
    const char *set = getenv(name);
    if (set)
        buf_str(out, str_c(set));
    else if (has_default)
        buf_str(out, str_slice(expression, dash + 2, expression.len));
    else
        config_warning(x->r, x->at, "${%.*s}: the variable %s is not set; it counts as empty",
                       (int)MIN(whole.len, (size_t)80), whole.ptr, name);
}

static void put_file(expansion *x, str path_text, str whole, buf *out)
{
    char path[4096];
    error err;
    buf content;
    if (path_text.len == 0 || path_text.len >= sizeof(path)) {
        wrong(x, "wants the path of a file", whole);
        return;
    }
    str_copy_c(path, sizeof(path), path_text);
    buf_init(&content, CONFIG_VALUE_MAX);
    if (file_read(path, &content, &err) != STATUS_OK) {
        wrong(x, err.message, whole);
    } else {
        str text = buf_view(&content);
        while (text.len && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
            text.len--;
        if (utf8_valid_prefix(text) < text.len || str_find_char(text, '\0') != SIZE_MAX)
            wrong(x, "the file is no text in UTF-8", whole);
        else
            buf_str(out, text);
    }
    buf_done(&content);
}

static void put(expansion *x, str inner, str whole, buf *out)
{
    const pair_list *names = x->r->names;
    if (++x->count > SUBSTITUTIONS_MAX) {
        wrong(x, "more than 100,000 of these in one file", whole);
        return;
    }
    for (uint32_t i = 0; names && i < names->count; i++) {
        if (str_eq(names->items[i].name, inner)) {
            buf_str(out, names->items[i].value);
            return;
        }
    }
    size_t colon = str_find_char(inner, ':');
    bool has_scheme =
        colon != SIZE_MAX && !str_starts(str_slice(inner, colon, inner.len), STR(":-"));
    str rest = str_slice(inner, has_scheme ? colon + 1 : 0, inner.len);
    if (!has_scheme || str_is(str_slice(inner, 0, colon), "env"))
        put_variable(x, rest, whole, out);
    else if (str_is(str_slice(inner, 0, colon), "file"))
        put_file(x, rest, whole, out);
    else
        wrong(x, "values come from env: and file: only", whole);
}

/* Length of "${…}" at the beginning of s, braces inside of it counted; 0 when it does not end. */
static size_t expression_length(str s)
{
    unsigned open = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '$' && i + 1 < s.len && s.ptr[i + 1] == '{') {
            open++;
            i++;
        } else if (s.ptr[i] == '}' && --open == 0) {
            return i + 1;
        }
    }
    return 0;
}

static void expand_one(expansion *x, str whole, buf *out, unsigned depth)
{
    str inner = str_slice(whole, 2, whole.len - 1);
    if (depth == NESTED_MAX) {
        wrong(x, "nested too deeply", inner);
        return;
    }
    if (!str_contains(inner, STR("${"))) {
        put(x, inner, inner, out);
        return;
    }
    buf text;
    buf_init(&text, CONFIG_VALUE_MAX);
    expand(x, inner, &text, depth + 1);
    if (!x->failed)
        put(x, buf_view(&text), inner, out);
    buf_done(&text);
}

static void expand(expansion *x, str text, buf *out, unsigned depth)
{
    for (size_t i = 0; i < text.len && !x->failed;) {
        str rest = str_slice(text, i, text.len);
        size_t length = 1;
        if (str_starts(rest, STR("$$"))) {
            buf_char(out, '$');
            length = 2;
        } else if (str_starts(rest, STR("${")) && (length = expression_length(rest)) > 0) {
            expand_one(x, str_slice(rest, 0, length), out, depth);
        } else if (length == 0) {
            config_error(x->r, x->at,
                         "\"${\" without its closing brace; write $${ for the text itself");
            x->failed = true;
        } else {
            buf_char(out, rest.ptr[0]);
        }
        i += length;
    }
}

/* ---- scalars ---- */

static bool may_be_tree(str text)
{
    text = str_trim(text);
    return text.len && (strchr("[{", text.ptr[0]) || str_starts(text, STR("- ")) ||
                        str_contains(text, STR(": ")) || str_contains(text, STR(":\n")));
}

/* What the text is as YAML, if it is more than a scalar; all of it stands where the scalar does. */
static void add_tree(config_reader *r, yaml_node *n)
{
    yaml_document doc;
    yaml_error err;
    if (!may_be_tree(n->text) || yaml_parse(&r->c->arena, n->text, &doc, &err) != STATUS_OK ||
        !doc.root || doc.root->kind == YAML_SCALAR)
        return;
    for (uint32_t i = 0; i < doc.count; i++) {
        doc.nodes[i]->line = n->line;
        doc.nodes[i]->column = n->column;
        doc.nodes[i]->source = n->text.len ? n->source : STR_EMPTY;
    }
    n->tree = doc.root;
}

static void substitute(expansion *x, yaml_node *n)
{
    buf out;
    x->at = n;
    x->failed = false;
    buf_init(&out, CONFIG_VALUE_MAX);
    expand(x, n->text, &out, 0);
    str text = arena_str(&x->r->c->arena, buf_view(&out));
    if (!x->failed && (out.failed || !text.ptr))
        config_error(x->r, n, "the values put in here are too large");
    if (!x->failed && !out.failed && text.ptr) {
        bool is_whole = str_starts(n->text, STR("${")) && expression_length(n->text) == n->text.len;
        n->source = n->text;
        n->text = text;
        if (is_whole) {
            n->plain = true;
            add_tree(x->r, n);
        }
    }
    buf_done(&out);
}

static int compare_nodes(const void *a, const void *b)
{
    const yaml_node *x = *(yaml_node *const *)a, *y = *(yaml_node *const *)b;
    return x < y ? -1 : x > y;
}

void config_substitute(config_reader *r)
{
    expansion x = { .r = r };
    uint32_t count = r->doc.count, keys = 0, total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += r->doc.nodes[i]->kind == YAML_MAPPING ? r->doc.nodes[i]->count : 0;
    /* Keys stay as they are; an aliased scalar that is a key too also does. */
    yaml_node **key = ARENA_ARRAY(&r->c->arena, yaml_node *, MAX(total, 1u));
    if (!key) {
        config_error(r, NULL, "larger than the memory of a configuration");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        const yaml_node *n = r->doc.nodes[i];
        for (uint32_t j = 0; n->kind == YAML_MAPPING && j < n->count; j++)
            key[keys++] = n->pairs[j].key;
    }
    qsort(key, keys, sizeof(yaml_node *), compare_nodes);
    for (uint32_t i = 0; i < count; i++) {
        yaml_node *n = r->doc.nodes[i];
        if (n->kind == YAML_SCALAR && str_find_char(n->text, '$') != SIZE_MAX &&
            !bsearch(&n, key, keys, sizeof(yaml_node *), compare_nodes))
            substitute(&x, n);
    }
}

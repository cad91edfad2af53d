// SPDX-License-Identifier: Apache-2.0
/* Fields of filelog entries; see filelog_entry.h. */
#include "pipeline/receivers/filelog_entry.h"

#include "codec/batch_rows.h"

#include <ctype.h>

/* ---- parsing ---- */

static bool take_bracket(str *rest, str *ret)
{
    char quote = rest->len > 1 ? rest->ptr[1] : 0;
    if (quote != '"' && quote != '\'')
        return false;
    str inside = str_slice(*rest, 2, rest->len);
    size_t end = str_find_char(inside, quote);
    if (end == SIZE_MAX || end + 1 >= inside.len || inside.ptr[end + 1] != ']')
        return false;
    *ret = str_slice(inside, 0, end);
    *rest = str_slice(inside, end + 2, inside.len);
    return true;
}

static bool take_word(str *rest, str *ret)
{
    size_t n = 0;
    while (n < rest->len && rest->ptr[n] != '.' && rest->ptr[n] != '[')
        n++;
    *ret = str_slice(*rest, 0, n);
    *rest = str_slice(*rest, n, rest->len);
    return n > 0;
}

static field_root root_of(str word)
{
    static const struct {
        const char *name;
        field_root root;
    } roots[] = { { "body", FIELD_BODY },
                  { "$body", FIELD_BODY },
                  { "$", FIELD_BODY },
                  { "attributes", FIELD_ATTRIBUTES },
                  { "$attributes", FIELD_ATTRIBUTES },
                  { "resource", FIELD_RESOURCE },
                  { "$resource", FIELD_RESOURCE } };
    for (size_t i = 0; i < ARRAY_LEN(roots); i++)
        if (str_is(word, roots[i].name))
            return roots[i].root;
    return FIELD_NONE;
}

status filelog_field_parse(filelog_field *ret, str text, error *err)
{
    str rest = str_trim(text), word;
    *ret = (filelog_field){ 0 };
    if (!rest.len)
        return STATUS_OK;
    if (take_word(&rest, &word))
        ret->root = root_of(word);
    if (ret->root == FIELD_NONE)
        return fail(err, STATUS_INVALID,
                    "field \"%.*s\" must begin with body, attributes or resource", STR_ARG(text));
    while (rest.len) {
        if (ret->depth == FIELD_DEPTH)
            return fail(err, STATUS_INVALID, "field \"%.*s\" has more than %d parts", STR_ARG(text),
                        FIELD_DEPTH);
        bool bracket = rest.ptr[0] == '[';
        if (!bracket)
            rest = str_slice(rest, 1, rest.len); /* the dot */
        if (!(bracket ? take_bracket(&rest, &word) : take_word(&rest, &word)))
            return fail(err, STATUS_INVALID,
                        "field \"%.*s\" must look like attributes.name or attributes[\"a.b\"]",
                        STR_ARG(text));
        ret->keys[ret->depth++] = word;
    }
    return STATUS_OK;
}

/* ---- values ---- */

static attrs *root_list(filelog_entry *e, field_root root)
{
    return root == FIELD_RESOURCE ? &e->resource : &e->attributes;
}

bool filelog_get(const filelog_entry *e, const filelog_field *f, value *ret)
{
    uint32_t i = 0;
    const value *v = &e->body;
    if (f->root == FIELD_NONE)
        return false;
    if (f->root != FIELD_BODY) {
        const attrs *list = f->root == FIELD_RESOURCE ? &e->resource : &e->attributes;
        if (!f->depth) {
            *ret = (value){ .type = VALUE_MAP, .map = *list };
            return true;
        }
        v = attrs_get(list, f->keys[i++]);
    }
    for (; v && i < f->depth; i++)
        v = v->type == VALUE_MAP ? attrs_get(&v->map, f->keys[i]) : NULL;
    if (!v || v->type == VALUE_EMPTY)
        return false;
    *ret = *v;
    return true;
}

static bool set_in(arena *a, attrs *list, const filelog_field *f, uint32_t i, value v)
{
    if (i + 1 == f->depth)
        return attrs_set(a, list, f->keys[i], v);
    const value *have = attrs_get(list, f->keys[i]);
    attrs inner = have && have->type == VALUE_MAP ? have->map : (attrs){ 0 };
    return set_in(a, &inner, f, i + 1, v) &&
           attrs_set(a, list, f->keys[i], (value){ .type = VALUE_MAP, .map = inner });
}

/* Each member of v by itself. */
static bool merge(arena *a, attrs *list, const value *v)
{
    for (uint32_t i = 0; i < v->map.count; i++)
        if (!attrs_set(a, list, v->map.items[i].key, v->map.items[i].value))
            return false;
    return true;
}

bool filelog_set(filelog_entry *e, const filelog_field *f, value v)
{
    if (f->root == FIELD_BODY && !f->depth) {
        e->body = v;
        return true;
    }
    if (f->root == FIELD_BODY) {
        attrs map = e->body.type == VALUE_MAP ? e->body.map : (attrs){ 0 };
        if (!set_in(e->arena, &map, f, 0, v))
            return false;
        e->body = (value){ .type = VALUE_MAP, .map = map };
        return true;
    }
    attrs *list = root_list(e, f->root);
    if (f->depth)
        return set_in(e->arena, list, f, 0, v);
    return v.type != VALUE_MAP || merge(e->arena, list, &v);
}

static bool remove_in(arena *a, attrs *list, const filelog_field *f, uint32_t i)
{
    if (i + 1 == f->depth)
        return attrs_remove(a, list, f->keys[i]);
    const value *have = attrs_get(list, f->keys[i]);
    if (!have || have->type != VALUE_MAP)
        return true;
    attrs inner = have->map;
    return remove_in(a, &inner, f, i + 1) &&
           attrs_set(a, list, f->keys[i], (value){ .type = VALUE_MAP, .map = inner });
}

bool filelog_remove(filelog_entry *e, const filelog_field *f)
{
    if (f->root == FIELD_BODY && (!f->depth || e->body.type != VALUE_MAP)) {
        if (!f->depth)
            e->body = (value){ 0 };
        return true;
    }
    attrs *list = f->root == FIELD_BODY ? &e->body.map : root_list(e, f->root);
    if (f->depth)
        return remove_in(e->arena, list, f, 0);
    *list = (attrs){ 0 };
    return true;
}

// SPDX-License-Identifier: Apache-2.0
/* Label sets as sorted arrays: comparing, hashing, projecting, printing. */
#include "query/labels.h"

#include <ctype.h>
#include <stdlib.h>

str labels_get(labels l, str name)
{
    for (uint32_t i = 0; i < l.count; i++)
        if (str_eq(l.items[i].name, name))
            return l.items[i].value;
    return STR_EMPTY;
}

int labels_cmp(labels a, labels b)
{
    for (uint32_t i = 0; i < MIN(a.count, b.count); i++) {
        int order = str_cmp(a.items[i].name, b.items[i].name);
        if (!order)
            order = str_cmp(a.items[i].value, b.items[i].value);
        if (order)
            return order;
    }
    return a.count < b.count ? -1 : a.count > b.count;
}

bool labels_eq(labels a, labels b)
{
    if (a.count != b.count)
        return false;
    for (uint32_t i = 0; i < a.count; i++)
        if (!str_eq(a.items[i].name, b.items[i].name) ||
            !str_eq(a.items[i].value, b.items[i].value))
            return false;
    return true;
}

uint64_t labels_hash(labels l)
{
    uint64_t h = 0x9E3779B97F4A7C15u;
    for (uint32_t i = 0; i < l.count; i++) {
        h = hash_mix(h, str_hash(l.items[i].name));
        h = hash_mix(h, str_hash(l.items[i].value) + 1);
    }
    return h;
}

void labels_to_json(json_writer *w, labels l)
{
    json_begin_object(w);
    for (uint32_t i = 0; i < l.count; i++) {
        json_key(w, l.items[i].name);
        json_str(w, l.items[i].value);
    }
    json_end_object(w);
}

bool name_list_has(name_list names, str name)
{
    for (uint32_t i = 0; i < names.count; i++)
        if (str_eq(names.items[i], name))
            return true;
    return false;
}

static bool labels_project(arena *a, labels l, name_list names, bool keep, labels *ret)
{
    label *items = arena_calloc(a, MAX(l.count, 1), sizeof(label));
    if (!items)
        return false;
    uint32_t n = 0;
    for (uint32_t i = 0; i < l.count; i++)
        if (name_list_has(names, l.items[i].name) == keep)
            items[n++] = l.items[i];
    *ret = (labels){ items, n };
    return true;
}

bool labels_keep(arena *a, labels l, name_list names, labels *ret)
{
    return labels_project(a, l, names, true, ret);
}

bool labels_drop(arena *a, labels l, name_list names, labels *ret)
{
    return labels_project(a, l, names, false, ret);
}

bool label_is_metadata(str name)
{
    return str_eq(name, LABEL_NAME) || str_eq(name, STR("__type__")) ||
           str_eq(name, STR("__unit__"));
}

bool labels_drop_metric(arena *a, labels l, labels *ret)
{
    uint32_t dropped = 0, leading = 0;
    for (uint32_t i = 0; i < l.count; i++) {
        str name = l.items[i].name;
        if (name.len < 8 || name.ptr[0] != '_' || !label_is_metadata(name))
            continue;
        leading += dropped == i;
        dropped++;
    }
    if (leading == dropped) { /* no labels: their pointer may be NULL, to which nothing is added */
        *ret = leading ? (labels){ l.items + leading, l.count - leading } : l;
        return true;
    }
    label *items = arena_calloc(a, l.count, sizeof(label));
    if (!items)
        return false;
    uint32_t n = 0;
    for (uint32_t i = 0; i < l.count; i++)
        if (!label_is_metadata(l.items[i].name))
            items[n++] = l.items[i];
    *ret = (labels){ items, n };
    return true;
}

bool labels_set(arena *a, labels l, str name, str text, labels *ret)
{
    label *items = arena_calloc(a, (size_t)l.count + 1, sizeof(label));
    if (!items)
        return false;
    uint32_t n = 0;
    bool placed = text.len == 0;
    for (uint32_t i = 0; i < l.count; i++) {
        int order = str_cmp(l.items[i].name, name);
        if (order >= 0 && !placed) {
            items[n++] = (label){ name, text };
            placed = true;
        }
        if (order != 0)
            items[n++] = l.items[i];
    }
    if (!placed)
        items[n++] = (label){ name, text };
    *ret = (labels){ items, n };
    return true;
}

labels labels_sort(label *items, uint32_t count)
{
    /* Insertion sort: sets are small, nearly sorted, and it is stable. */
    for (uint32_t i = 1; i < count; i++) {
        label moving = items[i];
        uint32_t j = i;
        for (; j > 0 && str_cmp(items[j - 1].name, moving.name) > 0; j--)
            items[j] = items[j - 1];
        items[j] = moving;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool last_of_name = i + 1 == count || !str_eq(items[i].name, items[i + 1].name);
        if (last_of_name && items[i].value.len)
            items[n++] = items[i];
    }
    return (labels){ items, n };
}

void print_quoted(buf *out, str s)
{
    static const char escapes[] = "abtnvfr"; /* of 7 to 13 */
    size_t valid = utf8_valid_prefix(s);
    buf_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool broken = i == valid;
        if (broken)
            valid = i + 1 + utf8_valid_prefix(str_slice(s, i + 1, s.len));
        if (c == '"' || c == '\\') {
            buf_char(out, '\\');
            buf_char(out, (char)c);
        } else if (c >= 7 && c <= 13) {
            buf_char(out, '\\');
            buf_char(out, escapes[c - 7]);
        } else if (broken || c < 0x20 || c == 0x7f) {
            buf_fmt(out, "\\x%02x", c);
        } else {
            buf_char(out, (char)c);
        }
    }
    buf_char(out, '"');
}

static bool name_is_plain(str name, bool colon)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (!(isalpha(c) || c == '_' || (colon && c == ':') || (i > 0 && isdigit(c))))
            return false;
    }
    return name.len > 0;
}

void labels_print(buf *out, labels l)
{
    str metric = labels_get(l, LABEL_NAME);
    bool plain = metric.len && name_is_plain(metric, true);
    if (plain)
        buf_str(out, metric);
    bool open = false;
    if (metric.len && !plain) {
        buf_char(out, '{');
        print_quoted(out, metric);
        open = true;
    }
    for (uint32_t i = 0; i < l.count; i++) {
        if (str_eq(l.items[i].name, LABEL_NAME))
            continue;
        if (open)
            buf_lit(out, ", ");
        else
            buf_char(out, '{');
        open = true;
        if (name_is_plain(l.items[i].name, false))
            buf_str(out, l.items[i].name);
        else
            print_quoted(out, l.items[i].name);
        buf_char(out, '=');
        print_quoted(out, l.items[i].value);
    }
    if (open)
        buf_char(out, '}');
    else if (!metric.len)
        buf_lit(out, "{}");
}

void labels_print_all(buf *out, labels l)
{
    buf_char(out, '{');
    for (uint32_t i = 0; i < l.count; i++) {
        if (i > 0)
            buf_lit(out, ", ");
        if (name_is_plain(l.items[i].name, false))
            buf_str(out, l.items[i].name);
        else
            print_quoted(out, l.items[i].name);
        buf_char(out, '=');
        print_quoted(out, l.items[i].value);
    }
    buf_char(out, '}');
}

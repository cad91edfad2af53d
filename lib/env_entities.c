// SPDX-License-Identifier: Apache-2.0
/* OTEL_ENTITIES (OpenTelemetry, entities/entity-propagation.md): what a launcher knows of this
 * process, as a list of type{identity}[description]@schema;… The attributes become resource
 * attributes; OTLP's entity references are not sent. Bad entities cost a line each, good ones
 * count. */
#include "lib/env_internal.h"

enum { ENTITIES_MAX = 64 };

typedef struct {
    str type, identity, description;
} entity;

bool env_key_is_good(str key)
{
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i], lower = (char)(c | 0x20);
        bool letter = lower >= 'a' && lower <= 'z';
        bool other = (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        if (!letter && (i == 0 || !other))
            return false;
    }
    return key.len > 0;
}

/* The next key=value of a list; false at its end, and with *ret_bad set where it is wrong. */
static bool next_pair(settings *s, str *list, str *ret_key, str *ret_value, bool *ret_bad)
{
    if (list->len == 0)
        return false;
    str item = str_trim(str_cut(*list, ',', list));
    *ret_key = str_trim(str_cut(item, '=', ret_value));
    *ret_bad = !env_key_is_good(*ret_key) || str_find_char(item, '=') == SIZE_MAX ||
               !env_percent_decode(&s->arena, str_trim(*ret_value), ret_value);
    return !*ret_bad;
}

static bool list_is_good(settings *s, str list)
{
    bool bad = false;
    for (str key, text; next_pair(s, &list, &key, &text, &bad);)
        ;
    return !bad;
}

/* "…}" or "…]" at the start of *rest, which moves past it. */
static bool cut_block(str *rest, char end, str *ret)
{
    size_t at = str_find_char(*rest, end);
    if (at == SIZE_MAX)
        return false;
    *ret = str_trim(str_slice(*rest, 0, at));
    *rest = str_slice(*rest, at + 1, rest->len);
    return str_find_char(*ret, '{') == SIZE_MAX && str_find_char(*ret, '[') == SIZE_MAX;
}

static bool entity_parse(settings *s, str text, entity *ret)
{
    size_t brace = str_find_char(text, '{');
    *ret = (entity){ STR_EMPTY, STR_EMPTY, STR_EMPTY };
    if (brace == SIZE_MAX)
        return false;
    ret->type = str_slice(text, 0, brace);
    str rest = str_slice(text, brace + 1, text.len);
    if (!env_key_is_good(ret->type) || !cut_block(&rest, '}', &ret->identity))
        return false;
    if (rest.len && rest.ptr[0] == '[') {
        rest = str_slice(rest, 1, rest.len);
        if (!cut_block(&rest, ']', &ret->description))
            return false;
    }
    if (rest.len && rest.ptr[0] != '@')
        return false;
    if (rest.len && !str_contains(rest, STR("://")))
        lib_warn("OTEL_ENTITIES: the schema of %.*s is ignored: it must be a URL",
                 STR_ARG(ret->type));
    return ret->identity.len && list_is_good(s, ret->identity) && list_is_good(s, ret->description);
}

static bool find_value(settings *s, str list, str wanted, str *ret)
{
    bool bad;
    for (str key; next_pair(s, &list, &key, ret, &bad);)
        if (str_eq(key, wanted))
            return true;
    return false;
}

/* The same entity again, or one whose identity contradicts: the last one counts. */
static bool is_replaced_by(settings *s, const entity *old, const entity *new)
{
    bool bad, same = true;
    str list = old->identity;
    if (!str_eq(old->type, new->type))
        return false;
    for (str key, mine, other; next_pair(s, &list, &key, &mine, &bad);) {
        if (!find_value(s, new->identity, key, &other))
            same = false;
        else if (!str_eq(mine, other))
            return true;
    }
    return same;
}

static void put_list(settings *s, str list)
{
    bool bad;
    for (str key, text; next_pair(s, &list, &key, &text, &bad);)
        env_resource_put(s, key, text);
}

bool env_set_entities(settings *s, void *field UNUSED, str text)
{
    entity all[ENTITIES_MAX];
    size_t count = 0;
    while (text.len) {
        str one = str_trim(str_cut(text, ';', &text));
        if (one.len == 0)
            continue;
        if (count < ENTITIES_MAX && entity_parse(s, one, &all[count]))
            count++;
        else
            lib_warn("OTEL_ENTITIES: \"%.*s\" is ignored: it must be "
                     "type{key=value}[key=value]@schema, at most %d of them",
                     (int)MIN(one.len, 100), one.ptr, ENTITIES_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        bool replaced = false;
        for (size_t later = i + 1; later < count && !replaced; later++)
            replaced = is_replaced_by(s, &all[i], &all[later]);
        if (replaced) {
            lib_warn("OTEL_ENTITIES: \"%.*s\" occurs again; the last one counts",
                     STR_ARG(all[i].type));
            continue;
        }
        put_list(s, all[i].identity);
        put_list(s, all[i].description);
    }
    return true;
}

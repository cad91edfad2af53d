// SPDX-License-Identifier: Apache-2.0
/* Actions on attributes; see actions.h. What each does, needs and must not have is the Collector's.
 */
#include "pipeline/processors/actions.h"

#include "codec/batch_rows.h"
#include "pipeline/pattern.h"
#include "pipeline/processors/edit.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

enum { HASH_BYTES = 32, GROUPS = 64 };

typedef enum {
    ACTION_INSERT,
    ACTION_UPDATE,
    ACTION_UPSERT,
    ACTION_DELETE,
    ACTION_HASH,
    ACTION_EXTRACT,
    ACTION_CONVERT
} action_kind;

typedef enum { CONVERT_NONE, CONVERT_INT, CONVERT_DOUBLE, CONVERT_STRING, CONVERT_BOOL } conversion;

static const char *const kinds[] = { "insert", "update",  "upsert",  "delete",
                                     "hash",   "extract", "convert", NULL };
static const char *const conversions[] = { "", "int", "double", "string", "boolean", NULL };

#define AT(member) offsetof(action_settings, member)
static const option action_rows[] = {
    { .name = "key",
      .type = OPTION_TEXT,
      .offset = AT(key),
      .help = "the attribute; needed by all but delete and hash with a pattern" },
    { .name = "action",
      .type = OPTION_CHOICE,
      .offset = AT(action),
      .choices = kinds,
      .required = true,
      .help = "insert: only where it is absent; update: only where it is there; upsert: both; "
              "delete; hash: by its SHA-256; extract: pattern's named groups become attributes; "
              "convert: to converted_type" },
    { .name = "value",
      .type = OPTION_VALUE,
      .offset = AT(value),
      .help = "new value, for insert, update and upsert" },
    { .name = "from_attribute",
      .type = OPTION_TEXT,
      .offset = AT(from_attribute),
      .help = "attribute whose value is taken, instead of value; nothing happens without it" },
    { .name = "from_context",
      .type = OPTION_TEXT,
      .offset = AT(from_context),
      .help = "refused: what a sender's request carried beside its items is not kept" },
    { .name = "pattern",
      .type = OPTION_TEXT,
      .offset = AT(pattern),
      .help = "regular expression: of keys for delete and hash; of the value for extract" },
    { .name = "converted_type",
      .type = OPTION_CHOICE,
      .offset = AT(converted_type),
      .choices = conversions,
      .fallback = "",
      .help = "for convert; a value that cannot become it stays as it is" },
};
#undef AT
const option_table action_options = OPTION_TABLE(action_rows, action_settings);

typedef struct {
    const action_settings *s;
    pattern *pattern; /* NULL: none */
} action;

struct actions {
    action *items;
    uint32_t count;
};

/* ---- checks ---- */

static status check_source(const action_settings *s, const char **ret_member, error *err)
{
    bool has_value = s->value.type != VALUE_EMPTY, has_from = s->from_attribute.len > 0;
    const char *kind = kinds[s->action];
    *ret_member = "action";
    if (s->action <= ACTION_UPSERT) {
        if (has_value == has_from)
            return fail(err, STATUS_INVALID, "%s needs %s of value and from_attribute", kind,
                        has_value ? "only one" : "one");
        *ret_member = "pattern";
        return s->pattern.len ? fail(err, STATUS_INVALID, "%s has no use for a pattern", kind)
                              : STATUS_OK;
    }
    *ret_member = has_value ? "value" : "from_attribute";
    return has_value || has_from
               ? fail(err, STATUS_INVALID, "%s has no use for value or from_attribute", kind)
               : STATUS_OK;
}

static status check_extract(const action_settings *s, const pattern *p, error *err)
{
    uint32_t unnamed;
    if (s->action != ACTION_EXTRACT)
        return STATUS_OK;
    if (!p)
        return fail(err, STATUS_INVALID, "extract needs a pattern with named groups");
    if (!pattern_groups(p, &unnamed) || unnamed)
        return fail(err, STATUS_INVALID,
                    "each group of an extract pattern needs a name: (?P<name>…)%s",
                    unnamed ? "" : ", and there is none");
    return STATUS_OK;
}

/* *ret_member: the option that is at fault. */
static status compile(const action_settings *s, pattern **ret, const char **ret_member, error *err)
{
    *ret = NULL;
    bool by_key = s->action == ACTION_DELETE || s->action == ACTION_HASH;
    *ret_member = "from_context";
    if (s->from_context.len)
        return fail(err, STATUS_INVALID,
                    "from_context is not supported: what a sender's request carried beside its "
                    "items (headers, authentication) is not kept");
    *ret_member = "key";
    if (!s->key.len && !(by_key && s->pattern.len))
        return fail(err, STATUS_INVALID, "%s needs a key%s", kinds[s->action],
                    by_key ? " or a pattern" : "");
    status st = check_source(s, ret_member, err);
    if (st != STATUS_OK)
        return st;
    *ret_member = "converted_type";
    if ((s->action == ACTION_CONVERT) != (s->converted_type != CONVERT_NONE))
        return fail(err, STATUS_INVALID,
                    s->action == ACTION_CONVERT ? "convert needs converted_type"
                                                : "converted_type is for the action convert");
    *ret_member = "pattern";
    if (s->action == ACTION_CONVERT && s->pattern.len)
        return fail(err, STATUS_INVALID, "convert has no use for a pattern");
    if (s->pattern.len && (st = pattern_new(ret, s->pattern, false, err)) != STATUS_OK)
        return st;
    return check_extract(s, *ret, err);
}

status actions_check(const section_list *list, const char *name, char *where, size_t where_size,
                     error *err)
{
    const action_settings *items = list->items;
    snprintf(where, where_size, "%s", name);
    if (!list->count)
        return fail(err, STATUS_INVALID, "at least one action is needed");
    for (uint32_t i = 0; i < list->count; i++) {
        pattern *p;
        const char *member = "";
        status st = compile(&items[i], &p, &member, err);
        pattern_free(p);
        if (st != STATUS_OK) {
            snprintf(where, where_size, "%s[%u].%s", name, i, member);
            return st;
        }
    }
    return STATUS_OK;
}

status actions_new(actions **ret, const section_list *list, error *err)
{
    const action_settings *items = list->items;
    const char *member;
    actions *a = calloc(1, sizeof(*a));
    action *compiled = calloc(MAX(list->count, 1u), sizeof(*compiled));
    if (!a || !compiled) {
        free(a);
        free(compiled);
        return fail(err, STATUS_NO_MEMORY, "no memory for %u actions", list->count);
    }
    a->items = compiled;
    for (uint32_t i = 0; i < list->count; i++) {
        a->items[i].s = &items[i];
        status st = compile(&items[i], &a->items[i].pattern, &member, err);
        a->count++;
        if (st != STATUS_OK) {
            actions_free(a);
            return st;
        }
    }
    *ret = a;
    return STATUS_OK;
}

void actions_free(actions *a)
{
    if (!a)
        return;
    for (uint32_t i = 0; i < a->count; i++)
        pattern_free(a->items[i].pattern);
    free(a->items);
    free(a);
}

/* ---- doing ---- */

/* Integers and floats by their eight bytes (little endian), bools by one byte, as the Collector's;
 * what has no bytes becomes the empty text. */
static void hash_at(attr_edit *e, uint32_t i)
{
    const value *v = &e->list->items[i].value;
    uint8_t bytes[8], digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    str text = STR_EMPTY;
    if (v->type == VALUE_STR) {
        text = v->s;
    } else if (v->type == VALUE_BOOL) {
        bytes[0] = v->b ? 1 : 0;
        text = str_n(bytes, 1);
    } else if (v->type == VALUE_I64 || v->type == VALUE_F64) {
        uint64_t n;
        memcpy(&n, v->type == VALUE_I64 ? (const void *)&v->i64 : (const void *)&v->f64, sizeof(n));
        for (unsigned k = 0; k < sizeof(bytes); k++)
            bytes[k] = (uint8_t)(n >> (8 * k));
        text = str_n(bytes, sizeof(bytes));
    }
    if (text.len && !EVP_Digest(text.ptr, text.len, digest, &length, EVP_sha256(), NULL))
        length = 0;
    char *hex = arena_alloc(e->memory, 2 * HASH_BYTES);
    if (!hex) {
        e->failed = true;
        return;
    }
    str_to_hex(digest, MIN(length, (unsigned)HASH_BYTES), hex);
    attr_edit_put(e, i, VALUE_S(str_n(hex, 2 * MIN(length, (unsigned)HASH_BYTES))));
}

static void delete_or_hash(const action *a, attr_edit *e)
{
    for (uint32_t i = 0; i < e->list->count && !e->failed;) {
        str key = e->list->items[i].key;
        bool hit = (a->s->key.len && str_eq(key, a->s->key)) ||
                   (a->pattern && pattern_matches(a->pattern, key));
        if (hit && a->s->action == ACTION_DELETE) {
            attr_edit_remove(e, i);
            continue;
        }
        if (hit)
            hash_at(e, i);
        i++;
    }
}

static void put(const action *a, attr_edit *e)
{
    value v = a->s->value;
    if (a->s->from_attribute.len) {
        uint32_t from = attr_edit_find(e, a->s->from_attribute);
        if (from == e->list->count)
            return;
        v = e->list->items[from].value;
    }
    bool there = attr_edit_find(e, a->s->key) < e->list->count;
    if (a->s->action == ACTION_UPSERT || there == (a->s->action == ACTION_UPDATE))
        attr_edit_set(e, a->s->key, v);
}

static void extract(const action *a, attr_edit *e)
{
    str groups[GROUPS], name;
    uint32_t from = attr_edit_find(e, a->s->key), number;
    if (from == e->list->count || e->list->items[from].value.type != VALUE_STR)
        return;
    str text = e->list->items[from].value.s;
    if (pattern_find(a->pattern, text, 0, groups, GROUPS) != PATTERN_YES)
        return;
    for (uint32_t i = 0; (name = pattern_group_name(a->pattern, i, &number)).len; i++) {
        str own = arena_str(e->memory, name);
        if (!own.ptr)
            e->failed = true;
        else if (number < GROUPS)
            attr_edit_set(e, own, VALUE_S(groups[number].ptr ? groups[number] : STR_EMPTY));
    }
}

static bool text_as_bool(str s, bool *ret)
{
    static const char *const words[][6] = { { "0", "f", "F", "FALSE", "false", "False" },
                                            { "1", "t", "T", "TRUE", "true", "True" } };
    for (unsigned truth = 0; truth < 2; truth++)
        for (unsigned i = 0; i < 6; i++)
            if (str_is(s, words[truth][i])) {
                *ret = truth;
                return true;
            }
    return false;
}

/* False: it stays as it is. */
static bool converted(const value *v, conversion to, arena *memory, value *ret)
{
    int64_t i = 0;
    double d = 0;
    bool b = false, is_text = v->type == VALUE_STR;
    if (v->type == VALUE_BOOL)
        d = (double)(i = b = v->b);
    else if (v->type == VALUE_I64)
        d = (double)(i = v->i64), b = i != 0;
    else if (v->type == VALUE_F64)
        d = v->f64, i = d >= -0x1p63 && d < 0x1p63 ? (int64_t)d : 0, b = d != 0;
    else if (to == CONVERT_STRING)
        return (*ret = VALUE_S(value_text(memory, v))).s.ptr != NULL;
    else if (!is_text)
        return false;
    switch (to) {
    case CONVERT_INT:
        *ret = VALUE_I(i);
        return is_text ? str_to_i64(v->s, &ret->i64) : v->type != VALUE_F64 || isfinite(d);
    case CONVERT_DOUBLE:
        *ret = VALUE_D(d);
        return !is_text || str_to_f64(v->s, &ret->f64);
    case CONVERT_BOOL:
        *ret = VALUE_B(b);
        return !is_text || text_as_bool(v->s, &ret->b);
    default:
        *ret = VALUE_S(value_text(memory, v));
        return ret->s.ptr != NULL;
    }
}

static void convert(const action *a, attr_edit *e)
{
    value v;
    uint32_t at = attr_edit_find(e, a->s->key);
    if (at < e->list->count &&
        converted(&e->list->items[at].value, (conversion)a->s->converted_type, e->memory, &v))
        attr_edit_put(e, at, v);
}

bool actions_apply(const actions *a, arena *memory, attrs *list)
{
    static void (*const does[])(const action *, attr_edit *) = {
        [ACTION_INSERT] = put,          [ACTION_UPDATE] = put,
        [ACTION_UPSERT] = put,          [ACTION_DELETE] = delete_or_hash,
        [ACTION_HASH] = delete_or_hash, [ACTION_EXTRACT] = extract,
        [ACTION_CONVERT] = convert,
    };
    attr_edit e = attr_edit_of(memory, list);
    for (uint32_t i = 0; i < a->count && !e.failed; i++)
        does[a->items[i].s->action](&a->items[i], &e);
    return !e.failed;
}

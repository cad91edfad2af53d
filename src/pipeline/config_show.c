// SPDX-License-Identifier: Apache-2.0
/* The file as it may be shown: what was substituted stands as in the file, secrets are covered. A
 * secret is what a table of options calls one, every header, and what looks like one wherever it
 * stands: scrape configurations and unknown options have no table. */
#include "pipeline/config_read.h"

enum { SECRET = 1 };
enum { NAMES_MAX = 128, TABLES_DEEP = 12 };

typedef struct {
    const char *names[NAMES_MAX];
    unsigned count;
} secret_names;

static void gather(secret_names *s, const option_table *t, unsigned depth)
{
    for (size_t i = 0; t && depth < TABLES_DEEP && i < t->count; i++) {
        const option *row = &t->rows[i];
        bool known = str_is(str_c(row->name ? row->name : ""), "key"); /* told by its text */
        if (row->type != OPTION_SECRET)
            gather(s, row->table, depth + 1);
        for (unsigned k = 0; k < s->count && row->type == OPTION_SECRET; k++)
            known = known || strcmp(s->names[k], row->name) == 0;
        if (row->type == OPTION_SECRET && !known && s->count < NAMES_MAX)
            s->names[s->count++] = row->name;
    }
}

static bool has_part(str name, const char *part)
{
    for (size_t i = 0; i + strlen(part) <= name.len; i++)
        if (str_eq_nocase(str_slice(name, i, i + strlen(part)), str_c(part)))
            return true;
    return false;
}

static unsigned below(const void *user, unsigned state, str key)
{
    static const char *const parts[] = { "password", "passwd",     "secret",
                                         "token",    "credential", "api_key",
                                         "apikey",   "headers",    "authorization" };
    const secret_names *s = user;
    if (str_ends(key, STR("_file")) || str_ends(key, STR("_url")))
        return state;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (has_part(key, parts[i]))
            state |= SECRET;
    for (unsigned i = 0; i < s->count; i++)
        if (str_is(key, s->names[i]))
            state |= SECRET;
    return state;
}

/* A URL with a user, a private key. */
static bool looks_secret(str text)
{
    size_t at = str_find(text, STR("://"));
    if (str_contains(text, STR("PRIVATE KEY")))
        return true;
    for (size_t i = at + 3; at < text.len && i < text.len && !strchr("/?# ", text.ptr[i]); i++)
        if (text.ptr[i] == '@')
            return true;
    return false;
}

static str hidden(const void *user, unsigned state, const yaml_node *n)
{
    (void)user;
    return state & SECRET || looks_secret(n->text) || looks_secret(n->source) ? STR("<secret>")
                                                                              : STR_EMPTY;
}

void config_show(config_reader *r)
{
    size_t count;
    secret_names names = { 0 };
    const component_type *const *types = component_all(&count);
    for (size_t i = 0; i < count; i++)
        gather(&names, &types[i]->options, 0);
    yaml_cover cover = { below, hidden, &names, r->names == NULL };
    buf out;
    buf_init(&out, 2 * YAML_BYTES_MAX);
    yaml_show(&out, r->doc.root, &cover);
    r->c->shown = out.failed ? STR_EMPTY : arena_str(&r->c->arena, buf_view(&out));
    buf_done(&out);
}

// SPDX-License-Identifier: Apache-2.0
/* Filelog's entries as rows of a batch; entries of the same resource and scope share theirs. */
#include "pipeline/receivers/filelog.h"

#include "codec/json_value.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#define BATCH_MEMORY MiB(256)

bool filelog_entry_copy(arena *a, filelog_entry *dst, const filelog_entry *src)
{
    filelog_entry e = *src;
    e.arena = a;
    e.severity_text = arena_str(a, src->severity_text);
    e.scope_name = arena_str(a, src->scope_name);
    if (!e.severity_text.ptr || !e.scope_name.ptr || !value_copy(a, &e.body, &src->body) ||
        !attrs_copy(a, &e.attributes, &src->attributes) ||
        !attrs_copy(a, &e.resource, &src->resource))
        return false;
    *dst = e;
    return true;
}

/* ---- what every entry says about its file ---- */

static bool put(filelog_entry *e, uint32_t *capacity, const char *key, str text)
{
    text = arena_utf8(e->arena, text);
    if (!text.ptr)
        return false;
    text = arena_str(e->arena, text);
    return text.ptr && attrs_append(e->arena, &e->attributes, capacity, str_c(key), VALUE_S(text));
}

static str base_name(str path)
{
    for (size_t n = path.len; n; n--)
        if (path.ptr[n - 1] == '/')
            return str_slice(path, n, path.len);
    return path;
}

static bool put_resolved(const filelog_settings *s, const filelog_file *f, filelog_entry *e,
                         uint32_t *capacity)
{
    char *real = realpath(f->path, NULL);
    str path = real ? str_c(real) : str_c(f->path);
    bool fine = true;
    if (s->name_resolved)
        fine &= put(e, capacity, "log.file.name_resolved", base_name(path));
    if (s->path_resolved)
        fine &= put(e, capacity, "log.file.path_resolved", path);
    free(real);
    return fine;
}

static bool put_owner(const filelog_settings *s, const filelog_file *f, filelog_entry *e,
                      uint32_t *capacity)
{
    struct stat st;
    struct passwd user, *found_user = NULL;
    struct group group, *found_group = NULL;
    char memory[4096];
    bool fine = true;
    if (stat(f->path, &st) != 0)
        return true;
    if (s->owner_name && getpwuid_r(st.st_uid, &user, memory, sizeof(memory), &found_user) == 0 &&
        found_user)
        fine &= put(e, capacity, "log.file.owner.name", str_c(user.pw_name));
    if (s->owner_group &&
        getgrgid_r(st.st_gid, &group, memory, sizeof(memory), &found_group) == 0 && found_group)
        fine &= put(e, capacity, "log.file.owner.group.name", str_c(group.gr_name));
    return fine;
}

bool filelog_entry_describe(const filelog_settings *s, const filelog_file *f, filelog_entry *e)
{
    uint32_t capacity = 0;
    bool fine = true;
    for (uint32_t i = 0; i < s->attributes.count; i++)
        fine &= attrs_append(e->arena, &e->attributes, &capacity, s->attributes.items[i].name,
                             VALUE_S(s->attributes.items[i].value));
    if (s->file_name)
        fine &= put(e, &capacity, "log.file.name", base_name(str_c(f->path)));
    if (s->file_path)
        fine &= put(e, &capacity, "log.file.path", str_c(f->path));
    if (s->name_resolved || s->path_resolved)
        fine &= put_resolved(s, f, e, &capacity);
    if (s->owner_name || s->owner_group)
        fine &= put_owner(s, f, e, &capacity);
    if (s->record_number)
        fine &= attrs_append(e->arena, &e->attributes, &capacity, STR("log.file.record_number"),
                             VALUE_I((int64_t)f->records));
    if (s->record_offset)
        fine &= attrs_append(e->arena, &e->attributes, &capacity, STR("log.file.record_offset"),
                             VALUE_I((int64_t)e->start));
    capacity = 0;
    for (uint32_t i = 0; i < s->resource.count; i++)
        fine &= attrs_append(e->arena, &e->resource, &capacity, s->resource.items[i].name,
                             VALUE_S(s->resource.items[i].value));
    return fine;
}

/* ---- the batch ---- */

void filelog_batch_init(filelog_batch *b)
{
    *b = (filelog_batch){ 0 };
    batch_init(&b->rows, SIGNAL_LOGS, BATCH_MEMORY);
    map_init(&b->scopes);
    buf_init(&b->scratch, MiB(16));
}

void filelog_batch_done(filelog_batch *b)
{
    batch_done(&b->rows);
    map_done(&b->scopes);
    buf_done(&b->scratch);
}

void filelog_batch_clear(filelog_batch *b)
{
    batch_clear(&b->rows);
    map_clear(&b->scopes);
    b->bytes = 0;
}

static bool scope_of(filelog_batch *b, const filelog_entry *e, uint32_t *ret)
{
    batch *rows = &b->rows;
    buf_clear(&b->scratch);
    json_writer w = json_write(&b->scratch);
    attrs_to_json(&e->resource, &w);
    buf_str(&b->scratch, e->scope_name);
    const uint64_t *known = map_get(&b->scopes, buf_view(&b->scratch));
    if (known) {
        *ret = (uint32_t)*known;
        return true;
    }
    str key = arena_str(&rows->arena, buf_view(&b->scratch));
    uint32_t resource = batch_add_resource(rows);
    *ret = resource == BATCH_FULL ? BATCH_FULL : batch_add_scope(rows, resource);
    if (*ret == BATCH_FULL || !key.ptr || b->scratch.failed)
        return false;
    rows->resources[resource].attributes = e->resource;
    rows->scopes[*ret].name = e->scope_name;
    return map_put(&b->scopes, key, *ret, NULL) != NULL;
}

bool filelog_batch_add(filelog_batch *b, const filelog_entry *e)
{
    log_rows *l = &b->rows.logs;
    uint32_t scope;
    if (!scope_of(b, e, &scope))
        return false;
    uint32_t row = batch_add_log(&b->rows, scope);
    if (row == BATCH_FULL)
        return false;
    l->time_ns[row] = e->time_ns;
    l->observed_ns[row] = e->observed_ns;
    l->severity[row] = e->severity;
    l->severity_text[row] = e->severity_text;
    l->body[row] = e->body;
    l->attributes[row] = e->attributes;
    l->trace[row] = e->trace;
    l->span[row] = e->span;
    l->flags[row] = e->flags;
    b->bytes += e->end - e->start;
    return true;
}

// SPDX-License-Identifier: Apache-2.0
/* What version 1.0 of remote write says about metrics, and content types; see remote_write.h. */
#include "codec/remote_write_internal.h"

#include <pthread.h>
#include <stdlib.h>

enum { FAMILIES_MAX = 100000 };
static const size_t types_memory = MiB(32);

struct remote_write_types {
    pthread_mutex_t lock;
    map by_name; /* -> write_family */
    arena memory;
};

static const struct {
    const char *message; /* the content type's parameter */
    const char *type, *version;
} versions[] = {
    [REMOTE_WRITE_1] = { "prometheus.WriteRequest", "application/x-protobuf", "0.1.0" },
    [REMOTE_WRITE_2] = { "io.prometheus.write.v2.Request",
                         "application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0" },
};

bool remote_write_version_of(str content_type, remote_write_version *ret)
{
    str rest;
    str type = str_trim(str_cut(content_type, ';', &rest));
    if (!str_eq_nocase(type, STR("application/x-protobuf")))
        return false;
    *ret = REMOTE_WRITE_1;
    while (rest.len > 0) {
        str value;
        str name = str_trim(str_cut(str_cut(rest, ';', &rest), '=', &value));
        if (!str_eq_nocase(name, STR("proto")))
            continue;
        value = str_trim(value);
        if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
            value = str_slice(value, 1, value.len - 1);
        if (str_is(value, versions[REMOTE_WRITE_2].message))
            *ret = REMOTE_WRITE_2;
        else if (!str_is(value, versions[REMOTE_WRITE_1].message))
            return false;
    }
    return true;
}

const char *remote_write_content_type(remote_write_version v)
{
    return versions[v].type;
}

const char *remote_write_version_text(remote_write_version v)
{
    return versions[v].version;
}

/* ---- remembered types ---- */

status remote_write_types_new(remote_write_types **ret, error *err)
{
    remote_write_types *t = calloc(1, sizeof(*t));
    if (!t)
        return fail(err, STATUS_NO_MEMORY, "no memory for the metadata of remote write");
    pthread_mutex_init(&t->lock, NULL);
    map_init(&t->by_name);
    arena_init(&t->memory, types_memory);
    *ret = t;
    return STATUS_OK;
}

void remote_write_types_free(remote_write_types *t)
{
    if (!t)
        return;
    map_done(&t->by_name);
    arena_done(&t->memory);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* A family that is new, or of which something else is said than before. */
static void remember(remote_write_types *t, str name, const write_family *f)
{
    uint64_t *found = map_get(&t->by_name, name);
    write_family *known = found ? (write_family *)(uintptr_t)*found : NULL;
    if (known && known->type == f->type && str_eq(known->help, f->help) &&
        str_eq(known->unit, f->unit))
        return;
    if (!known && t->by_name.count >= FAMILIES_MAX)
        return;
    write_family *k = ARENA_NEW(&t->memory, write_family);
    str key = arena_str(&t->memory, name);
    if (!k || !key.ptr)
        return;
    *k = (write_family){ f->type, arena_str(&t->memory, f->help), arena_str(&t->memory, f->unit) };
    if (!k->help.ptr || !k->unit.ptr)
        return;
    uint64_t *at = map_put(&t->by_name, key, 0, NULL);
    if (at)
        *at = (uint64_t)(uintptr_t)k;
}

void write_types_put(remote_write_types *t, str name, const write_family *f)
{
    pthread_mutex_lock(&t->lock);
    remember(t, name, f);
    pthread_mutex_unlock(&t->lock);
}

bool write_types_get(remote_write_types *t, str name, arena *a, write_family *ret)
{
    pthread_mutex_lock(&t->lock);
    uint64_t *found = map_get(&t->by_name, name);
    if (found) {
        const write_family *f = (const write_family *)(uintptr_t)*found;
        *ret = (write_family){ f->type, arena_str(a, f->help), arena_str(a, f->unit) };
    }
    pthread_mutex_unlock(&t->lock);
    return found && ret->help.ptr && ret->unit.ptr;
}

/* Which families a series of that suffix may belong to, when there is none of its full name. */
static const struct {
    const char *suffix;
    unsigned types; /* bits by write_type */
} suffixes[] = {
    { "_bucket", 1u << WRITE_HISTOGRAM | 1u << WRITE_GAUGE_HISTOGRAM },
    { "_count", 1u << WRITE_HISTOGRAM | 1u << WRITE_SUMMARY },
    { "_sum", 1u << WRITE_HISTOGRAM | 1u << WRITE_SUMMARY },
    { "_gcount", 1u << WRITE_GAUGE_HISTOGRAM },
    { "_gsum", 1u << WRITE_GAUGE_HISTOGRAM },
    { "_total", 1u << WRITE_COUNTER },
    { "_created", 1u << WRITE_HISTOGRAM | 1u << WRITE_SUMMARY | 1u << WRITE_COUNTER },
    { "_info", 1u << WRITE_INFO },
};

bool write_types_of_series(remote_write_types *t, str name, arena *a, write_family *ret)
{
    if (write_types_get(t, name, a, ret))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        str suffix = str_c(suffixes[i].suffix);
        if (name.len > suffix.len && str_ends(name, suffix))
            return write_types_get(t, str_slice(name, 0, name.len - suffix.len), a, ret) &&
                   (suffixes[i].types >> ret->type & 1);
    }
    return false;
}

bool write_type_counts(write_type type, str name)
{
    if (type == WRITE_COUNTER)
        return !str_ends(name, STR("_created"));
    bool part = str_ends(name, STR("_count")) || str_ends(name, STR("_sum"));
    if (type == WRITE_HISTOGRAM)
        return part || str_ends(name, STR("_bucket"));
    return type == WRITE_SUMMARY && part;
}

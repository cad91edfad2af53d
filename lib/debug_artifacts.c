// SPDX-License-Identifier: Apache-2.0
/* Artifacts: the last things that the program made, with attributes to find them by. A ring of
 * pointers, oldest out; each entry is one allocation. */
#include "lib/debug_internal.h"

#include "base/clock.h"
#include "lib/site.h"
#include "sonde/context.h"

#include <stdio.h>
#include <stdlib.h>

enum { ARTIFACTS_MAX = 1024, ATTRIBUTES_MAX = 16, TEXT_MAX = 255, PATH_MAX_BYTES = 1023 };

/* Keys and values are terminated texts in `texts`, one after the other. */
typedef struct {
    int64_t time_ns;
    uint64_t bytes;
    uint32_t count;
    uint16_t kind, path; /* offsets, as all in here */
    struct {
        uint16_t key, text;
        bool number; /* the text is a JSON number, or true, false, null */
    } attribute[ATTRIBUTES_MAX];
    char texts[];
} artifact;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static artifact *ring[ARTIFACTS_MAX];
static uint64_t added; /* ever; the newest is at (added - 1) % ARTIFACTS_MAX */

void debug_artifacts_forked(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

/* ---- adding ---- */

/* What is put together before the entry's size is known. */
typedef struct {
    artifact head;
    size_t used;
    char texts[2 * (TEXT_MAX + 1) * ATTRIBUTES_MAX + TEXT_MAX + PATH_MAX_BYTES + 2];
} draft;

static uint16_t add_text(draft *d, str text, size_t most)
{
    size_t at = d->used;
    if (text.len > most)
        text.len = utf8_valid_prefix(str_slice(text, 0, most));
    str_copy_c(d->texts + at, sizeof(d->texts) - at, text);
    d->used += strlen(d->texts + at) + 1;
    return (uint16_t)at;
}

static str attribute_text(const sonde_attr *a, char *number, size_t size)
{
    int n = 0;
    switch (a->type) {
    case SONDE_TYPE_STR:
        return str_n(a->value.ptr, a->len);
    case SONDE_TYPE_BOOL:
        return a->value.u64 ? STR("true") : STR("false");
    case SONDE_TYPE_I64:
        n = snprintf(number, size, "%lld", (long long)a->value.i64);
        break;
    case SONDE_TYPE_U64:
        n = snprintf(number, size, "%llu", (unsigned long long)a->value.u64);
        break;
    case SONDE_TYPE_F64:
        n = snprintf(number, size, "%.17g", a->value.f64);
        break;
    default:
        return STR("null");
    }
    return str_n(number, (size_t)n);
}

static void add_attribute(draft *d, str key, str text, bool number)
{
    artifact *a = &d->head;
    for (uint32_t i = 0; i < a->count; i++)
        if (str_is(key, d->texts + a->attribute[i].key))
            return; /* what the call itself says comes first */
    if (a->count == ATTRIBUTES_MAX)
        return;
    if (site_key_is_secret(key)) {
        text = STR("[REDACTED]");
        number = false;
    }
    a->attribute[a->count].key = add_text(d, key, TEXT_MAX);
    a->attribute[a->count].text = add_text(d, text, TEXT_MAX);
    a->attribute[a->count++].number = number;
}

static void add_context(draft *d)
{
    static const char *const keys[] = { "request_id", "job_id", "session_id", "user_id",
                                        "team_id" };
    char id[33];
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        sonde_str text = sonde_context_get(keys[i]);
        if (text.len)
            add_attribute(d, str_c(keys[i]), str_n(text.ptr, text.len), false);
    }
    if (sonde_trace_id(id))
        add_attribute(d, STR("trace_id"), str_c(id), false);
}

void sonde_debug_artifact_add_(const char *kind, const char *path, uint64_t bytes,
                               const sonde_attr *attrs, size_t count)
{
    draft d = { .used = 0 };
    char number[40];
    d.head = (artifact){ .time_ns = clock_now_ns(), .bytes = bytes };
    d.head.kind = add_text(&d, str_c(kind), TEXT_MAX);
    d.head.path = add_text(&d, str_c(path), PATH_MAX_BYTES);
    for (size_t i = 0; i < count; i++)
        add_attribute(&d, str_n(attrs[i].key, attrs[i].key_len),
                      attribute_text(&attrs[i], number, sizeof(number)),
                      attrs[i].type != SONDE_TYPE_STR && attrs[i].type != SONDE_TYPE_BYTES);
    add_context(&d);
    artifact *a = malloc(sizeof(*a) + d.used);
    if (!a)
        return;
    *a = d.head;
    memcpy(a->texts, d.texts, d.used);
    pthread_mutex_lock(&lock);
    artifact *old = ring[added % ARTIFACTS_MAX];
    ring[added++ % ARTIFACTS_MAX] = a;
    pthread_mutex_unlock(&lock);
    free(old);
}

/* ---- the page ---- */

static bool has(const artifact *a, const char *key, const char *text)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (strcmp(a->texts + a->attribute[i].key, key) == 0)
            return strcmp(a->texts + a->attribute[i].text, text) == 0;
    if (strcmp(key, "kind") == 0)
        return strcmp(a->texts + a->kind, text) == 0;
    return strcmp(key, "path") == 0 && strcmp(a->texts + a->path, text) == 0;
}

static bool matches(const artifact *a, str query)
{
    char key[QUERY_TEXT_MAX], text[QUERY_TEXT_MAX];
    while (query_next(&query, key, text))
        if (!has(a, key, text))
            return false;
    return true;
}

static void put_artifact(json_writer *w, const artifact *a)
{
    json_begin_object(w);
    json_key(w, STR("time"));
    buf_char(w->out, '"');
    clock_format_rfc3339(w->out, a->time_ns, 3);
    buf_char(w->out, '"');
    w->comma = true;
    JSON_PUT(w, str, "kind", str_c(a->texts + a->kind));
    json_key(w, STR("path"));
    debug_json_text(w, str_c(a->texts + a->path));
    JSON_PUT(w, u64, "bytes", a->bytes);
    json_key(w, STR("attributes"));
    json_begin_object(w);
    for (uint32_t i = 0; i < a->count; i++) {
        json_key(w, str_c(a->texts + a->attribute[i].key));
        str text = str_c(a->texts + a->attribute[i].text);
        if (a->attribute[i].number)
            json_raw(w, text);
        else
            debug_json_text(w, text);
    }
    json_end_object(w);
    json_end_object(w);
}

int debug_artifacts_page(page *p)
{
    uint64_t found = 0;
    json_writer w = debug_begin_json(p);
    json_key(&w, STR("artifacts"));
    json_begin_array(&w);
    pthread_mutex_lock(&lock);
    uint64_t kept = MIN(added, (uint64_t)ARTIFACTS_MAX), ever = added;
    for (uint64_t i = ever - kept; i < ever; i++)
        if (matches(ring[i % ARTIFACTS_MAX], p->query)) {
            put_artifact(&w, ring[i % ARTIFACTS_MAX]);
            found++;
        }
    pthread_mutex_unlock(&lock);
    json_end_array(&w);
    JSON_PUT(&w, u64, "found", found);
    JSON_PUT(&w, u64, "kept", kept);
    JSON_PUT(&w, u64, "added", ever);
    return debug_end_json(p, &w);
}

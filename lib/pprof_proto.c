// SPDX-License-Identifier: Apache-2.0
/* pprof's profile.proto (github.com/google/pprof/blob/main/proto/profile.proto) and the text that
 * Go prints for debug=1. Names and mappings are written in, so that no reader needs the binary. */
#include "lib/pprof.h"

#include "base/map.h"
#include "codec/protobuf.h"
#include "lib/export_internal.h"

#include <dlfcn.h>
#include <stdlib.h>

#define PROFILE_BYTES_MAX MiB(64)

typedef struct {
    uint32_t depth;
    pid_t tid; /* 0: none */
    const uint64_t *frames;
    str label;
    int64_t values[PPROF_VALUES_MAX];
} pprof_sample;

struct pprof_profile {
    arena memory;
    pprof_type types[PPROF_VALUES_MAX];
    size_t type_count;
    pprof_sample *samples;
    size_t count, capacity;
    map by_stack;
};

pprof_profile *pprof_new(const pprof_type *types, size_t count)
{
    pprof_profile *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    arena_init(&p->memory, PROFILE_BYTES_MAX);
    map_init(&p->by_stack);
    p->type_count = MIN(count, (size_t)PPROF_VALUES_MAX);
    memcpy(p->types, types, p->type_count * sizeof(*types));
    return p;
}

void pprof_free(pprof_profile *p)
{
    if (!p)
        return;
    map_done(&p->by_stack);
    arena_done(&p->memory);
    free(p->samples);
    free(p);
}

static pprof_sample *new_sample(pprof_profile *p)
{
    if (p->count == p->capacity) {
        size_t capacity = p->capacity ? p->capacity * 2 : 256;
        pprof_sample *more = realloc(p->samples, capacity * sizeof(*more));
        if (!more)
            return NULL;
        p->samples = more;
        p->capacity = capacity;
    }
    p->samples[p->count] = (pprof_sample){ .depth = 0 };
    return &p->samples[p->count++];
}

bool pprof_add(pprof_profile *p, const uint64_t *frames, size_t depth, const char *label, pid_t tid,
               const int64_t *values)
{
    uint64_t words[PPROF_FRAMES_MAX + 1];
    bool is_new;
    depth = MIN(depth, (size_t)PPROF_FRAMES_MAX);
    words[0] = (uint64_t)tid;
    memcpy(words + 1, frames, depth * sizeof(*frames));
    str key = str_n(words, (depth + 1) * sizeof(*words));
    uint64_t *found = map_get(&p->by_stack, key);
    if (!found) {
        void *copy = arena_alloc_aligned(&p->memory, key.len, sizeof(uint64_t));
        if (copy)
            memcpy(copy, words, key.len);
        key.ptr = copy;
        found = key.ptr ? map_put(&p->by_stack, key, p->count, &is_new) : NULL;
        pprof_sample *s = found ? new_sample(p) : NULL;
        if (!s) {
            if (found)
                map_remove(&p->by_stack, key);
            return false;
        }
        s->depth = (uint32_t)depth;
        s->tid = tid;
        s->frames = (const uint64_t *)(const void *)key.ptr + 1;
        s->label = label && label[0] ? arena_str(&p->memory, str_c(label)) : STR_EMPTY;
    }
    for (size_t i = 0; i < p->type_count; i++)
        p->samples[*found].values[i] += values[i];
    return true;
}

/* ---- names ---- */

static str base_name(str path)
{
    for (size_t i = path.len; i-- > 0;)
        if (path.ptr[i] == '/')
            return str_slice(path, i + 1, path.len);
    return path;
}

/* What stands for a function without a name: its module. */
static str name_of(symbols *s, arena *memory, uintptr_t address)
{
    str name = symbols_name(s, address, NULL);
    if (name.len)
        return name;
    size_t m = symbols_mapping(s, address);
    str module = m == SIZE_MAX ? STR("unknown") : base_name(symbols_get_mapping(s, m)->path);
    return arena_fmt(memory, "[%.*s]", STR_ARG(module));
}

typedef char *demangle_fn(const char *mangled, char *buffer, size_t *length, int *ret_status);

void pprof_put_name(symbols *s, uintptr_t address, buf *out)
{
    arena memory;
    arena_init(&memory, KiB(16));
    str name = name_of(s, &memory, address);
    demangle_fn *demangle = NULL;
    if (str_starts(name, STR("_Z")))
        *(void **)&demangle = dlsym(RTLD_DEFAULT, "__cxa_demangle");
    int status = -1;
    char *plain = demangle ? demangle(name.ptr, NULL, NULL, &status) : NULL;
    buf_str(out, plain && status == 0 ? str_c(plain) : name);
    free(plain);
    arena_done(&memory);
}

/* ---- profile.proto ---- */

typedef struct {
    buf *out;
    symbols *symbols;
    arena memory;
    map strings, functions, locations;
    str *string_list;
    size_t string_count;
    bool failed;
} writer;

static uint64_t string_index(writer *w, str text)
{
    uint64_t *found = map_get(&w->strings, text);
    if (found)
        return *found;
    str *grown = realloc(w->string_list, (w->string_count + 1) * sizeof(*grown));
    if (!grown) {
        w->failed = true;
        return 0;
    }
    w->string_list = grown;
    w->string_list[w->string_count] = text;
    if (!map_put(&w->strings, text, w->string_count, NULL))
        w->failed = true;
    return w->string_count++;
}

static void put_type(writer *w, uint32_t field, pprof_type type)
{
    pb_mark mark = pb_begin(w->out, field, 8);
    pb_put_varint(w->out, 1, string_index(w, str_c(type.type)));
    pb_put_varint(w->out, 2, string_index(w, str_c(type.unit)));
    pb_end(w->out, mark);
}

static uint64_t function_id(writer *w, uint64_t address)
{
    str name = name_of(w->symbols, &w->memory, address);
    uint64_t *found = map_get(&w->functions, name);
    if (found)
        return *found;
    uint64_t id = w->functions.count + 1;
    if (!name.ptr || !map_put(&w->functions, name, id, NULL)) {
        w->failed = true;
        return 0;
    }
    uint64_t text = string_index(w, name);
    pb_mark mark = pb_begin(w->out, 5, 12);
    pb_put_varint(w->out, 1, id);
    pb_put_varint(w->out, 2, text);
    pb_put_varint(w->out, 3, text);
    pb_end(w->out, mark);
    return id;
}

static uint64_t location_id(writer *w, const uint64_t *address)
{
    str key = str_n(address, sizeof(*address));
    uint64_t *found = map_get(&w->locations, key);
    if (found)
        return *found;
    uint64_t id = w->locations.count + 1;
    if (!map_put(&w->locations, key, id, NULL)) {
        w->failed = true;
        return 0;
    }
    uint64_t function = function_id(w, *address);
    size_t mapping = symbols_mapping(w->symbols, *address);
    pb_mark mark = pb_begin(w->out, 4, 24);
    pb_put_varint(w->out, 1, id);
    if (mapping != SIZE_MAX)
        pb_put_varint(w->out, 2, mapping + 1);
    pb_put_varint(w->out, 3, *address);
    pb_mark line = pb_begin(w->out, 4, 4);
    pb_put_varint(w->out, 1, function);
    pb_end(w->out, line);
    pb_end(w->out, mark);
    return id;
}

static void put_label(writer *w, const char *key, str text, int64_t number)
{
    pb_mark mark = pb_begin(w->out, 3, 8);
    pb_put_varint(w->out, 1, string_index(w, str_c(key)));
    if (text.len)
        pb_put_varint(w->out, 2, string_index(w, text));
    else
        pb_put_varint(w->out, 3, (uint64_t)number);
    pb_end(w->out, mark);
}

/* Locations are top-level fields: written before the sample begins. */
static void put_sample(writer *w, const pprof_profile *p, const pprof_sample *s)
{
    uint64_t ids[PPROF_FRAMES_MAX];
    for (uint32_t i = 0; i < s->depth; i++)
        ids[i] = location_id(w, &s->frames[i]);
    pb_mark mark = pb_begin(w->out, 2, 64);
    for (uint32_t i = 0; i < s->depth; i++)
        pb_put_varint(w->out, 1, ids[i]);
    for (size_t i = 0; i < p->type_count; i++)
        pb_put_varint(w->out, 2, (uint64_t)s->values[i]);
    if (s->label.len)
        put_label(w, "thread", s->label, 0);
    if (s->tid)
        put_label(w, "tid", STR_EMPTY, s->tid);
    pb_end(w->out, mark);
}

static void put_mappings(writer *w)
{
    for (size_t i = 0; i < symbols_mapping_count(w->symbols); i++) {
        const symbol_mapping *m = symbols_get_mapping(w->symbols, i);
        pb_mark mark = pb_begin(w->out, 3, 40);
        pb_put_varint(w->out, 1, i + 1);
        pb_put_varint(w->out, 2, m->start);
        pb_put_varint(w->out, 3, m->end);
        pb_put_varint(w->out, 4, m->offset);
        pb_put_varint(w->out, 5, string_index(w, m->path));
        pb_put_varint(w->out, 6, string_index(w, str_c(m->build_id)));
        pb_put_varint(w->out, 7, 1); /* has_functions */
        pb_end(w->out, mark);
    }
}

static void put_profile(writer *w, const pprof_profile *p, const pprof_header *h)
{
    string_index(w, STR_EMPTY); /* number 0 is the empty text */
    for (size_t i = 0; i < p->type_count; i++)
        put_type(w, 1, p->types[i]);
    put_mappings(w);
    for (size_t i = 0; i < p->count; i++)
        put_sample(w, p, &p->samples[i]);
    pb_put_varint(w->out, 9, (uint64_t)h->time_ns);
    pb_put_varint(w->out, 10, (uint64_t)h->duration_ns);
    if (h->period_type.type)
        put_type(w, 11, h->period_type);
    pb_put_varint(w->out, 12, (uint64_t)h->period);
    if (h->comment)
        pb_put_varint(w->out, 13, string_index(w, str_c(h->comment)));
    if (h->default_type)
        pb_put_varint(w->out, 14, string_index(w, str_c(h->default_type)));
    for (size_t i = 0; i < w->string_count; i++)
        pb_put_bytes(w->out, 6, w->string_list[i]);
}

bool pprof_write(const pprof_profile *p, const pprof_header *header, symbols *s, buf *out)
{
    buf plain;
    buf_init(&plain, PROFILE_BYTES_MAX);
    writer w = { .out = &plain, .symbols = s };
    arena_init(&w.memory, PROFILE_BYTES_MAX);
    map_init(&w.strings);
    map_init(&w.functions);
    map_init(&w.locations);
    put_profile(&w, p, header);
    bool good = !w.failed && !plain.failed;
#if SONDE_EXPORT
    good = good && export_gzip(out, buf_view(&plain));
#else
    if (good)
        buf_str(out, buf_view(&plain));
#endif
    map_done(&w.strings);
    map_done(&w.functions);
    map_done(&w.locations);
    free(w.string_list);
    arena_done(&w.memory);
    buf_done(&plain);
    return good && !out->failed;
}

/* ---- text ---- */

static int most_first(const void *a, const void *b)
{
    const pprof_sample *x = *(pprof_sample *const *)a, *y = *(pprof_sample *const *)b;
    return (x->values[0] < y->values[0]) - (x->values[0] > y->values[0]);
}

static void put_text_sample(const pprof_profile *p, const pprof_sample *s, symbols *names, buf *out)
{
    for (size_t i = 0; i < p->type_count; i++)
        buf_fmt(out, "%s%lld", i ? " " : "", (long long)s->values[i]);
    buf_lit(out, " @");
    for (uint32_t i = 0; i < s->depth; i++)
        buf_fmt(out, " %#llx", (unsigned long long)s->frames[i]);
    if (s->label.len)
        buf_fmt(out, "\n# labels: {\"thread\":\"%.*s\", \"tid\":\"%d\"}", STR_ARG(s->label),
                (int)s->tid);
    for (uint32_t i = 0; i < s->depth; i++) {
        uintptr_t start = s->frames[i];
        symbols_name(names, s->frames[i], &start);
        buf_fmt(out, "\n#\t%#llx\t", (unsigned long long)s->frames[i]);
        pprof_put_name(names, s->frames[i], out);
        buf_fmt(out, "+%#llx", (unsigned long long)(s->frames[i] - start));
    }
    buf_lit(out, "\n\n");
}

void pprof_write_text(const pprof_profile *p, const char *title, symbols *s, buf *out)
{
    int64_t total = 0;
    const pprof_sample **order = malloc((p->count + 1) * sizeof(void *));
    if (!order) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < p->count; i++) {
        order[i] = &p->samples[i];
        total += p->samples[i].values[0];
    }
    qsort(order, p->count, sizeof(void *), most_first);
    buf_fmt(out, "%s profile: total %lld\n#", title, (long long)total);
    for (size_t i = 0; i < p->type_count; i++)
        buf_fmt(out, " %s/%s", p->types[i].type, p->types[i].unit);
    buf_lit(out, "\n\n");
    for (size_t i = 0; i < p->count; i++)
        put_text_sample(p, order[i], s, out);
    free(order);
}

// SPDX-License-Identifier: Apache-2.0
/* Batches to rows and back; see row.h. */
#include "store/row.h"

enum { CHUNK_ARENA_LIMIT = 1 << 30 };

/* All variable bytes of a chunk go into one buf first; texts hold offsets until it stands still. */
typedef struct {
    buf bytes;
    row_chunk *chunk;
} chunk_builder;

static str mark(buf *b, size_t from)
{
    return (str){ (const char *)(uintptr_t)from, b->len - from };
}

static str put_marked(buf *b, str s)
{
    size_t from = b->len;
    buf_str(b, s);
    return mark(b, from);
}

static void rebase(str *s, const char *base)
{
    s->ptr = s->len ? base + (uintptr_t)s->ptr : "";
}

static bool add_names(chunk_builder *cb, const batch *b)
{
    row_chunk *c = cb->chunk;
    str *resources = ARENA_ARRAY(&c->memory, str, b->resource_count);
    str *scopes = ARENA_ARRAY(&c->memory, str, b->scope_count);
    if ((b->resource_count && !resources) || (b->scope_count && !scopes))
        return false;
    for (uint32_t i = 0; i < b->resource_count; i++) {
        size_t from = cb->bytes.len;
        enc_resource(&cb->bytes, &b->resources[i]);
        resources[i] = mark(&cb->bytes, from);
    }
    for (uint32_t i = 0; i < b->scope_count; i++) {
        size_t from = cb->bytes.len;
        enc_scope(&cb->bytes, &b->scopes[i]);
        scopes[i] = mark(&cb->bytes, from);
    }
    c->names = (row_names){ resources, scopes, b->resource_count, b->scope_count };
    return true;
}

static void add_log(buf *bytes, row *r, const log_rows *l, uint32_t i, int64_t received_ns)
{
    r->time_ns = l->time_ns[i];
    r->extra_ns = l->observed_ns[i];
    if (r->time_ns == 0)
        r->time_ns = r->extra_ns ? r->extra_ns : received_ns;
    r->scope = l->scope[i];
    r->flags = l->flags[i];
    r->level = l->severity[i];
    r->trace = l->trace[i];
    r->span = l->span[i];
    size_t from = bytes->len;
    if (l->body[i].type != VALUE_EMPTY)
        enc_value(bytes, &l->body[i]);
    r->text[ROW_MAIN] = mark(bytes, from);
    from = bytes->len;
    if (l->attributes[i].count || l->attributes[i].dropped)
        enc_attrs(bytes, &l->attributes[i]);
    r->text[ROW_ATTRS] = mark(bytes, from);
    r->text[ROW_INFO] = put_marked(bytes, l->severity_text[i]);
    r->text[ROW_TAG] = put_marked(bytes, l->event_name[i]);
}

static void add_span(buf *bytes, row *r, const span_rows *s, uint32_t i)
{
    r->time_ns = s->start_ns[i];
    r->extra_ns = s->end_ns[i];
    r->scope = s->scope[i];
    r->flags = s->flags[i];
    r->level = s->kind[i];
    r->status = s->status[i];
    r->trace = s->trace[i];
    r->span = s->span[i];
    r->parent = s->parent[i];
    r->text[ROW_MAIN] = put_marked(bytes, s->name[i]);
    size_t from = bytes->len;
    if (s->attributes[i].count || s->attributes[i].dropped)
        enc_attrs(bytes, &s->attributes[i]);
    r->text[ROW_ATTRS] = mark(bytes, from);
    r->text[ROW_INFO] = put_marked(bytes, s->status_message[i]);
    r->text[ROW_TAG] = put_marked(bytes, s->trace_state[i]);
    from = bytes->len;
    enc_events(bytes, &s->events[i]);
    r->text[ROW_EVENTS] = mark(bytes, from);
    from = bytes->len;
    enc_links(bytes, &s->links[i]);
    r->text[ROW_LINKS] = mark(bytes, from);
}

static status finish_chunk(chunk_builder *cb, error *err)
{
    row_chunk *c = cb->chunk;
    char *base = arena_alloc(&c->memory, MAX(cb->bytes.len, (size_t)1));
    if (cb->bytes.failed || !base)
        return fail(err, STATUS_NO_MEMORY, "no memory for %u rows", c->count);
    if (cb->bytes.len)
        memcpy(base, cb->bytes.ptr, cb->bytes.len);
    for (uint32_t i = 0; i < c->names.resource_count; i++)
        rebase((str *)&c->names.resources[i], base);
    for (uint32_t i = 0; i < c->names.scope_count; i++)
        rebase((str *)&c->names.scopes[i], base);
    for (uint32_t i = 0; i < c->count; i++) {
        row *r = &c->rows[i];
        for (int t = 0; t < ROW_TEXTS; t++)
            rebase(&r->text[t], base);
        c->min_time_ns = MIN(c->min_time_ns, r->time_ns);
        c->max_time_ns = MAX(c->max_time_ns, r->time_ns);
    }
    return STATUS_OK;
}

static status build_rows(chunk_builder *cb, const batch *b, const uint8_t *skip,
                         int64_t received_ns, error *err)
{
    row_chunk *c = cb->chunk;
    uint32_t n = batch_row_count(b);
    c->rows = ARENA_ARRAY(&c->memory, row, n);
    if ((n && !c->rows) || !add_names(cb, b))
        return fail(err, STATUS_NO_MEMORY, "no memory for %u rows", n);
    for (uint32_t i = 0; i < n; i++) {
        if (skip && skip[i])
            continue;
        row *r = &c->rows[c->count++];
        if (b->signal == SIGNAL_LOGS)
            add_log(&cb->bytes, r, &b->logs, i, received_ns);
        else
            add_span(&cb->bytes, r, &b->spans, i);
        r->resource = b->scopes[r->scope].resource;
    }
    return finish_chunk(cb, err);
}

status row_chunk_build(row_chunk **ret, const batch *b, const uint8_t *skip, int64_t received_ns,
                       error *err)
{
    arena memory;
    arena_init(&memory, CHUNK_ARENA_LIMIT);
    row_chunk *c = ARENA_NEW(&memory, row_chunk);
    if (!c)
        return fail(err, STATUS_NO_MEMORY, "no memory for a batch of rows");
    c->memory = memory;
    c->min_time_ns = INT64_MAX;
    c->max_time_ns = INT64_MIN;
    chunk_builder cb = { .chunk = c };
    buf_init(&cb.bytes, CHUNK_ARENA_LIMIT);
    status st = build_rows(&cb, b, skip, received_ns, err);
    buf_done(&cb.bytes);
    c->bytes = c->memory.used;
    if (st != STATUS_OK) {
        row_chunk_free(c);
        return st;
    }
    *ret = c;
    return STATUS_OK;
}

void row_chunk_free(row_chunk *c)
{
    if (!c)
        return;
    arena memory = c->memory; /* the struct lives in it */
    arena_done(&memory);
}

bool row_record_id(const row *r, record_id *ret)
{
    enc_view v;
    bytes_reader it = enc_attrs_begin(r->text[ROW_ATTRS], NULL);
    str key;
    while (enc_attrs_next(&it, &key, &v)) {
        if (key.len != 15 || memcmp(key.ptr, "sonde.record.id", 15) != 0)
            continue;
        if (v.type != VALUE_STR)
            return false;
        size_t n = v.bytes.len;
        while (n && v.bytes.ptr[n - 1] != ':')
            n--;
        if (n < 2)
            return false;
        ret->ring = str_slice(v.bytes, 0, n - 1);
        return str_to_u64(str_slice(v.bytes, n, v.bytes.len), &ret->sequence);
    }
    return false;
}

/* ---- rows to a batch ---- */

void row_builder_init(row_builder *rb, batch *out)
{
    *rb = (row_builder){ .out = out };
    map_init(&rb->interned);
    buf_init(&rb->key, 0);
}

void row_builder_done(row_builder *rb)
{
    map_done(&rb->interned);
    buf_done(&rb->key);
}

void row_builder_clear(row_builder *rb)
{
    map_clear(&rb->interned);
    rb->last_resource = rb->last_scope = NULL;
}

static status too_much(error *err)
{
    return fail(err, STATUS_LIMIT, "the answer needs more memory than the query may use");
}

/* The key is a tag (all ones: a resource; else the resource that a scope belongs to) and the bytes.
 * *ret_copy lives in the batch's arena when the key is new, and .ptr is NULL else. */
static uint64_t *intern(row_builder *rb, uint32_t tag, str bytes, str *ret_copy)
{
    *ret_copy = (str){ 0 };
    buf_clear(&rb->key);
    put_u32(&rb->key, tag);
    buf_str(&rb->key, bytes);
    if (rb->key.failed)
        return NULL;
    uint64_t *slot = map_get(&rb->interned, buf_view(&rb->key));
    if (slot)
        return slot;
    str key = arena_str(&rb->out->arena, buf_view(&rb->key));
    if (!key.ptr)
        return NULL;
    *ret_copy = str_slice(key, 4, key.len);
    return map_put(&rb->interned, key, 0, NULL);
}

static status intern_scope(row_builder *rb, str resource, str scope, uint32_t *ret, error *err)
{
    batch *b = rb->out;
    str copy;
    uint64_t *slot = intern(rb, UINT32_MAX, resource, &copy);
    if (!slot)
        return too_much(err);
    if (copy.ptr) {
        uint32_t i = batch_add_resource(b);
        if (i == BATCH_FULL || !dec_resource(copy, &b->arena, &b->resources[i]))
            return too_much(err);
        *slot = i;
    }
    uint32_t res = (uint32_t)*slot;
    slot = intern(rb, res, scope, &copy);
    if (!slot)
        return too_much(err);
    if (copy.ptr) {
        uint32_t i = batch_add_scope(b, res);
        if (i == BATCH_FULL || !dec_scope(copy, &b->arena, &b->scopes[i]))
            return too_much(err);
        *slot = i;
    }
    *ret = (uint32_t)*slot;
    return STATUS_OK;
}

static bool fill_log(batch *b, uint32_t i, const row *r, const str *text)
{
    log_rows *l = &b->logs;
    l->time_ns[i] = r->time_ns;
    l->observed_ns[i] = r->extra_ns;
    l->flags[i] = r->flags;
    l->severity[i] = r->level;
    l->trace[i] = r->trace;
    l->span[i] = r->span;
    l->severity_text[i] = text[ROW_INFO];
    l->event_name[i] = text[ROW_TAG];
    return dec_value(text[ROW_MAIN], &b->arena, &l->body[i]) &&
           dec_attrs(text[ROW_ATTRS], &b->arena, &l->attributes[i]);
}

static bool fill_span(batch *b, uint32_t i, const row *r, const str *text)
{
    span_rows *s = &b->spans;
    s->start_ns[i] = r->time_ns;
    s->end_ns[i] = r->extra_ns;
    s->flags[i] = r->flags;
    s->kind[i] = r->level;
    s->status[i] = r->status;
    s->trace[i] = r->trace;
    s->span[i] = r->span;
    s->parent[i] = r->parent;
    s->name[i] = text[ROW_MAIN];
    s->status_message[i] = text[ROW_INFO];
    s->trace_state[i] = text[ROW_TAG];
    return dec_attrs(text[ROW_ATTRS], &b->arena, &s->attributes[i]) &&
           dec_events(text[ROW_EVENTS], &b->arena, &s->events[i]) &&
           dec_links(text[ROW_LINKS], &b->arena, &s->links[i]);
}

status row_builder_add(row_builder *rb, const row *r, const row_names *names, error *err)
{
    if (r->resource >= names->resource_count || r->scope >= names->scope_count)
        return fail(err, STATUS_CORRUPT, "a row names a scope that its part does not have");
    str resource = names->resources[r->resource], scope_bytes = names->scopes[r->scope];
    uint32_t scope = rb->last_index;
    if (rb->last_resource != resource.ptr || rb->last_scope != scope_bytes.ptr) {
        status st = intern_scope(rb, resource, scope_bytes, &scope, err);
        if (st != STATUS_OK)
            return st;
    }
    size_t total = 0;
    for (int t = 0; t < ROW_TEXTS; t++)
        total += r->text[t].len;
    batch *b = rb->out;
    char *copy = arena_alloc_aligned(&b->arena, MAX(total, (size_t)1), 1);
    uint32_t i =
        copy ? (b->signal == SIGNAL_LOGS ? batch_add_log(b, scope) : batch_add_span(b, scope))
             : BATCH_FULL;
    if (i == BATCH_FULL)
        return too_much(err);
    str text[ROW_TEXTS];
    for (int t = 0; t < ROW_TEXTS; t++) {
        text[t] = str_n(copy, r->text[t].len);
        if (text[t].len)
            memcpy(copy, r->text[t].ptr, text[t].len);
        copy += text[t].len;
    }
    if (!(b->signal == SIGNAL_LOGS ? fill_log(b, i, r, text) : fill_span(b, i, r, text)))
        return too_much(err);
    return STATUS_OK;
}

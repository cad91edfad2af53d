// SPDX-License-Identifier: Apache-2.0
/* Decisions that tail_sampling made: two lists, sampled and not, each from the one used longest ago
 * to the newest, and a map by trace id. */
#include "pipeline/processors/tail_sampling.h"

#include <stdlib.h>

/* What is still needed to know records that are read again may exceed the limits so many times. */
enum { STRETCH = 4, FORMAT = 1 };

typedef struct entry entry;
struct entry {
    trace_id id;
    bool sampled;
    uint64_t sequence;
    entry *older, *newer;
};

typedef struct {
    entry *oldest, *newest;
    uint64_t count, limit;
} entries;

struct tail_memory {
    map by_id;
    entries lists[2]; /* by `sampled` */
};

status tail_memory_new(tail_memory **ret, uint64_t sampled_limit, uint64_t dropped_limit,
                       error *err)
{
    tail_memory *m = calloc(1, sizeof(*m));
    if (!m)
        return fail(err, STATUS_NO_MEMORY, "no memory for decisions");
    map_init(&m->by_id);
    m->lists[true].limit = sampled_limit;
    m->lists[false].limit = dropped_limit;
    *ret = m;
    return STATUS_OK;
}

void tail_memory_free(tail_memory *m)
{
    if (!m)
        return;
    for (unsigned i = 0; i < 2; i++)
        for (entry *e = m->lists[i].oldest, *next; e; e = next) {
            next = e->newer;
            free(e);
        }
    map_done(&m->by_id);
    free(m);
}

static str key_of(const trace_id *id)
{
    return str_n(id->bytes, sizeof(id->bytes));
}

static void unlink_entry(entries *l, entry *e)
{
    *(e->older ? &e->older->newer : &l->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &l->newest) = e->older;
    e->older = e->newer = NULL;
    l->count--;
}

static void link_newest(entries *l, entry *e)
{
    e->older = l->newest;
    e->newer = NULL;
    *(l->newest ? &l->newest->newer : &l->oldest) = e;
    l->newest = e;
    l->count++;
}

static entry *find(const tail_memory *m, const trace_id *id)
{
    const uint64_t *at = map_get(&m->by_id, key_of(id));
    return at ? (entry *)(uintptr_t)*at : NULL;
}

bool tail_memory_find(tail_memory *m, const trace_id *id, bool *ret_sampled, uint64_t *ret_sequence)
{
    entry *e = find(m, id);
    if (!e)
        return false;
    *ret_sampled = e->sampled;
    *ret_sequence = e->sequence;
    unlink_entry(&m->lists[e->sampled], e);
    link_newest(&m->lists[e->sampled], e);
    return true;
}

static void forget_old(tail_memory *m, entries *l, uint64_t needed)
{
    while (l->count > l->limit) {
        entry *e = l->oldest;
        if (e->sequence >= needed && l->count <= STRETCH * l->limit)
            return;
        unlink_entry(l, e);
        map_remove(&m->by_id, key_of(&e->id));
        free(e);
    }
}

status tail_memory_put(tail_memory *m, const trace_id *id, bool sampled, uint64_t sequence,
                       uint64_t needed, error *err)
{
    entry *e = find(m, id);
    if (e) {
        e->sequence = MAX(e->sequence, sequence);
        return STATUS_OK;
    }
    e = calloc(1, sizeof(*e));
    if (e) {
        e->id = *id;
        e->sampled = sampled;
        e->sequence = sequence;
    }
    if (!e || !map_put(&m->by_id, key_of(&e->id), (uintptr_t)e, NULL)) {
        free(e);
        return fail(err, STATUS_NO_MEMORY, "no memory for a decision");
    }
    link_newest(&m->lists[sampled], e);
    forget_old(m, &m->lists[sampled], needed);
    return STATUS_OK;
}

/* ---- bytes ---- */

static void put_varint(buf *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_char(out, (char)(v | 0x80));
    buf_char(out, (char)v);
}

static bool get_varint(str *rest, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < rest->len && i < 10; i++) {
        uint8_t byte = (uint8_t)rest->ptr[i];
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *rest = str_slice(*rest, i + 1, rest->len);
            *ret = v;
            return true;
        }
    }
    return false;
}

void tail_memory_save(const tail_memory *m, buf *out)
{
    buf_char(out, FORMAT);
    for (unsigned i = 0; i < 2; i++) {
        put_varint(out, m->lists[i].count);
        for (const entry *e = m->lists[i].oldest; e; e = e->newer) {
            buf_add(out, e->id.bytes, sizeof(e->id.bytes));
            put_varint(out, e->sequence);
        }
    }
}

status tail_memory_load(tail_memory *m, str bytes, error *err)
{
    if (!bytes.len || bytes.ptr[0] != FORMAT)
        return fail(err, STATUS_UNSUPPORTED,
                    "decisions of tail_sampling in a format that this version does not know");
    str rest = str_slice(bytes, 1, bytes.len);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t count, sequence;
        bool ok = get_varint(&rest, &count);
        for (uint64_t k = 0; k < count && ok; k++) {
            trace_id id;
            ok = rest.len > sizeof(id.bytes);
            if (ok) {
                memcpy(id.bytes, rest.ptr, sizeof(id.bytes));
                rest = str_slice(rest, sizeof(id.bytes), rest.len);
                ok = get_varint(&rest, &sequence);
            }
            if (ok && tail_memory_put(m, &id, i, sequence, 0, err) != STATUS_OK)
                return STATUS_NO_MEMORY;
        }
        if (!ok)
            return fail(err, STATUS_CORRUPT, "the decisions of tail_sampling are damaged");
    }
    return STATUS_OK;
}

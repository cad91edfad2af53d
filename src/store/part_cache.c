// SPDX-License-Identifier: Apache-2.0
/* Parts kept open; see part_cache.h. An entry hangs on its part (part.opened, under the cache's
 * lock) and goes with it at the latest. */
#include "store/part_cache.h"

#include <stdlib.h>
#include <xxhash.h>

enum { PARTS_OPEN_MAX = 512 /* each has a file open */ };
#define ONE_PART_MAX GiB(1)

void part_cache_init(part_cache *c, size_t limit)
{
    *c = (part_cache){ .limit = limit };
    pthread_mutex_init(&c->lock, NULL);
}

void part_cache_done(part_cache *c)
{
    pthread_mutex_destroy(&c->lock);
}

static void close_entry(open_part *o)
{
    part_series_close(&o->series);
    arena_done(&o->memory);
    free(o);
}

/* ---- the list; the caller holds the lock ---- */

static void unlink_entry(part_cache *c, open_part *o)
{
    *(o->newer ? &o->newer->older : &c->newest) = o->older;
    *(o->older ? &o->older->newer : &c->oldest) = o->newer;
    o->older = o->newer = NULL;
    c->bytes -= o->bytes;
    c->count--;
    o->series.part->opened = NULL;
}

static void link_newest(part_cache *c, open_part *o)
{
    o->older = c->newest;
    o->newer = NULL;
    *(c->newest ? &c->newest->newer : &c->oldest) = o;
    c->newest = o;
    c->bytes += o->bytes;
    c->count++;
    o->series.part->opened = o;
}

/* Takes out what is above the limits; returned as a list by `older`, to be closed without the
 * lock. */
static open_part *take_surplus(part_cache *c)
{
    open_part *out = NULL;
    for (open_part *o = c->oldest, *next; o; o = next) {
        if (c->bytes <= c->limit && c->count <= PARTS_OPEN_MAX)
            break;
        next = o->newer;
        if (o->users)
            continue;
        unlink_entry(c, o);
        o->older = out;
        out = o;
    }
    return out;
}

static void close_list(open_part *o)
{
    while (o) {
        open_part *next = o->older;
        close_entry(o);
        o = next;
    }
}

void part_cache_forget(part *p)
{
    part_cache *c = p->open_in;
    pthread_mutex_lock(&c->lock);
    open_part *o = p->opened;
    if (o)
        unlink_entry(c, o);
    pthread_mutex_unlock(&c->lock);
    if (o)
        close_entry(o);
}

/* ---- opening ---- */

static status hash_series(open_part *o, error *err)
{
    const part_series *ps = &o->series;
    buf key;
    buf_init(&key, 0);
    o->place_count = 2;
    while (o->place_count < 2 * (uint64_t)ps->count)
        o->place_count *= 2;
    o->hashes = arena_calloc(&o->memory, MAX(ps->count, 1u), sizeof(uint64_t));
    o->places = arena_calloc(&o->memory, o->place_count, sizeof(uint32_t));
    bool ok = o->hashes && o->places;
    for (uint32_t i = 0; i < ps->count && ok; i++) {
        buf_clear(&key);
        part_series_key(ps, i, &key);
        ok = !key.failed;
        o->hashes[i] = XXH3_64bits(key.ptr, key.len);
        uint64_t at = o->hashes[i];
        while (o->places[at & (o->place_count - 1)])
            at++;
        o->places[at & (o->place_count - 1)] = i + 1;
    }
    buf_done(&key);
    return ok ? STATUS_OK : fail(err, STATUS_NO_MEMORY, "no memory to open a part");
}

static status open_entry(part_cache *c, part *p, open_part **ret, error *err)
{
    open_part *o = calloc(1, sizeof(*o));
    if (!o)
        return fail(err, STATUS_NO_MEMORY, "no memory to open a part");
    o->cache = c;
    o->users = 1;
    arena_init(&o->memory, ONE_PART_MAX);
    status st = part_series_open(&o->series, p, &o->memory, err);
    if (st == STATUS_OK && label_table_open(o->series.index, &o->memory, &o->table, err))
        st = part_damage(p, err, "the label index");
    if (st == STATUS_OK)
        st = hash_series(o, err);
    if (st != STATUS_OK) {
        close_entry(o);
        return st;
    }
    o->bytes = o->memory.used + sizeof(*o);
    *ret = o;
    return STATUS_OK;
}

bool part_cache_find(const open_part *o, str key, uint32_t *ret_series)
{
    uint64_t hash = XXH3_64bits(key.ptr, key.len);
    bool found = false;
    buf own;
    buf_init(&own, 0);
    for (uint64_t at = hash; !found; at++) {
        uint32_t place = o->places[at & (o->place_count - 1)];
        if (!place)
            break;
        if (o->hashes[place - 1] != hash)
            continue;
        buf_clear(&own);
        part_series_key(&o->series, place - 1, &own);
        found = !own.failed && str_eq(buf_view(&own), key);
        *ret_series = place - 1;
    }
    buf_done(&own);
    return found;
}

static open_part *take_known(part *p)
{
    open_part *o = p->opened;
    if (o)
        o->users++;
    return o;
}

status part_cache_take(part_cache *c, part *p, open_part **ret, error *err)
{
    pthread_mutex_lock(&c->lock);
    open_part *known = take_known(p), *fresh = NULL, *surplus = NULL;
    if (known) { /* the newest again */
        unlink_entry(c, known);
        link_newest(c, known);
    }
    pthread_mutex_unlock(&c->lock);
    if (!known) {
        status st = open_entry(c, p, &fresh, err);
        if (st != STATUS_OK)
            return st;
        pthread_mutex_lock(&c->lock);
        known = take_known(p); /* another thread may have been first */
        if (!known) {
            link_newest(c, fresh);
            p->open_in = c;
            known = fresh;
            fresh = NULL;
        }
        surplus = take_surplus(c);
        pthread_mutex_unlock(&c->lock);
    }
    if (fresh)
        close_entry(fresh);
    close_list(surplus);
    *ret = known;
    return STATUS_OK;
}

void part_cache_give(open_part *o)
{
    if (!o)
        return;
    part_cache *c = o->cache;
    pthread_mutex_lock(&c->lock);
    o->users--;
    open_part *surplus = take_surplus(c);
    pthread_mutex_unlock(&c->lock);
    close_list(surplus);
}

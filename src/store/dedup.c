// SPDX-License-Identifier: Apache-2.0
/* Record ids seen; see dedup.h. Most rings are one range that grows at its end. */
#include "store/dedup.h"

#include <stdlib.h>

void dedup_init(dedup *d)
{
    *d = (dedup){ 0 };
    map_init(&d->by_name);
}

static void free_ring(dedup_ring *r)
{
    free(r->name);
    free(r->ranges);
    free(r);
}

void dedup_done(dedup *d)
{
    for (map_slot *s = NULL; (s = map_next(&d->by_name, s));)
        free_ring((dedup_ring *)(uintptr_t)s->value);
    map_done(&d->by_name);
}

static void forget_oldest(dedup *d)
{
    dedup_ring *oldest = NULL;
    for (map_slot *s = NULL; (s = map_next(&d->by_name, s));) {
        dedup_ring *r = (dedup_ring *)(uintptr_t)s->value;
        if (!oldest || r->used < oldest->used)
            oldest = r;
    }
    if (oldest && map_remove(&d->by_name, str_n(oldest->name, oldest->name_len)))
        free_ring(oldest);
}

static dedup_ring *find_ring(dedup *d, str name)
{
    uint64_t *found = map_get(&d->by_name, name);
    dedup_ring *r = found ? (dedup_ring *)(uintptr_t)*found : NULL;
    if (!r) {
        if (d->by_name.count >= DEDUP_RINGS)
            forget_oldest(d);
        r = calloc(1, sizeof(*r));
        if (r)
            r->name = malloc(name.len + 1);
        if (!r || !r->name) {
            free(r);
            return NULL;
        }
        memcpy(r->name, name.ptr, name.len);
        r->name_len = name.len;
        if (!map_put(&d->by_name, str_n(r->name, r->name_len), (uint64_t)(uintptr_t)r, NULL)) {
            free_ring(r);
            return NULL;
        }
    }
    r->used = ++d->clock;
    return r;
}

static bool insert_range(dedup_ring *r, uint32_t at, uint64_t first, uint64_t last)
{
    if (r->count == DEDUP_RANGES) {
        if (at == 0)
            return true; /* older than all that is known: not kept */
        memmove(r->ranges, r->ranges + 1, (r->count - 1) * sizeof(dedup_range));
        r->count--;
        at--;
    }
    if (r->count == r->capacity) {
        uint32_t capacity = r->capacity ? r->capacity * 2 : 2;
        dedup_range *grown = realloc(r->ranges, capacity * sizeof(dedup_range));
        if (!grown)
            return false;
        r->ranges = grown;
        r->capacity = capacity;
    }
    memmove(r->ranges + at + 1, r->ranges + at, (r->count - at) * sizeof(dedup_range));
    r->ranges[at] = (dedup_range){ first, last };
    r->count++;
    return true;
}

bool dedup_seen(dedup *d, str ring, uint64_t sequence)
{
    dedup_ring *r = find_ring(d, ring);
    if (!r)
        return false;
    uint32_t lo = 0, hi = r->count; /* the first range that ends at or after sequence */
    if (hi && r->ranges[hi - 1].last < sequence)
        lo = hi;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (r->ranges[mid].last < sequence)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < r->count && r->ranges[lo].first <= sequence)
        return true;
    bool joins_left = lo > 0 && r->ranges[lo - 1].last + 1 == sequence;
    bool joins_right = lo < r->count && r->ranges[lo].first == sequence + 1;
    if (joins_left && joins_right) {
        r->ranges[lo - 1].last = r->ranges[lo].last;
        memmove(r->ranges + lo, r->ranges + lo + 1, (r->count - lo - 1) * sizeof(dedup_range));
        r->count--;
    } else if (joins_left) {
        r->ranges[lo - 1].last = sequence;
    } else if (joins_right) {
        r->ranges[lo].first = sequence;
    } else {
        insert_range(r, lo, sequence, sequence);
    }
    return false;
}

void dedup_save(const dedup *d, buf *out)
{
    put_varint(out, d->by_name.count);
    for (map_slot *s = NULL; (s = map_next(&d->by_name, s));) {
        const dedup_ring *r = (const dedup_ring *)(uintptr_t)s->value;
        put_text(out, str_n(r->name, r->name_len));
        put_varint(out, r->count);
        uint64_t end = 0;
        for (uint32_t i = 0; i < r->count; i++) {
            put_varint(out, r->ranges[i].first - end);
            put_varint(out, r->ranges[i].last - r->ranges[i].first);
            end = r->ranges[i].last;
        }
    }
}

bool dedup_load(dedup *d, str bytes)
{
    if (bytes.len == 0)
        return true; /* a new store */
    bytes_reader rd = bytes_read(bytes);
    uint32_t rings = get_count(&rd, DEDUP_RINGS);
    for (uint32_t i = 0; i < rings && !rd.failed; i++) {
        str name = get_text(&rd);
        uint32_t ranges = get_count(&rd, DEDUP_RANGES);
        if (rd.failed)
            return false;
        dedup_ring *r = find_ring(d, name);
        if (!r)
            return false;
        uint64_t end = 0;
        for (uint32_t k = 0; k < ranges; k++) {
            uint64_t first = end + get_varint(&rd), last = first + get_varint(&rd);
            if (rd.failed || !insert_range(r, r->count, first, last))
                return false;
            end = last;
        }
    }
    return !rd.failed;
}

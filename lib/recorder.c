// SPDX-License-Identifier: Apache-2.0
/* Opening and closing a recorder, and what its owner asks of it. */
#include "lib/recorder_internal.h"

#include "base/random.h"
#include "lib/tsc.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEFAULT_BYTES    MiB(16)
#define FULL_WAIT_MAX_MS 10000u

static size_t wanted_bytes(size_t bytes)
{
    size_t least = RECORDER_BLOCKS_MIN * RECORDER_BLOCK_BYTES;
    bytes = bytes ? bytes : DEFAULT_BYTES;
    bytes = MIN(MAX(bytes, least), (size_t)RECORDER_BLOCKS_MAX * RECORDER_BLOCK_BYTES);
    return bytes / RECORDER_BLOCK_BYTES * RECORDER_BLOCK_BYTES;
}

static void *map_private(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Where the table and the blocks are in `bytes` of mapping. */
static void set_geometry(recorder *r, char *base, size_t bytes)
{
    size_t count = bytes / RECORDER_BLOCK_BYTES;
    size_t table = (count * 8 + RECORDER_BLOCK_BYTES - 1) / RECORDER_BLOCK_BYTES;
    r->base = base;
    r->bytes = bytes;
    r->header = (recorder_header *)base;
    r->table = (_Atomic uint64_t *)(base + RECORDER_HEADER_BYTES);
    r->blocks = base + RECORDER_HEADER_BYTES + table * RECORDER_BLOCK_BYTES;
    r->block_count = (uint32_t)(count - 1 - table);
    r->limit = r->block_count;
}

/* The tables and the first blocks must have space, or the file is of no use. */
static bool reserve_first(recorder *r)
{
    static const uint32_t tries[] = { RECORDER_STEP_BLOCKS, 10, 7 };
    size_t start = (size_t)(r->blocks - r->base);
    for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
        uint32_t count = MIN(tries[i], r->block_count);
        if (recorder_file_reserve(r, 0, start + (size_t)count * RECORDER_BLOCK_BYTES)) {
            r->header->reserved = count;
            return true;
        }
    }
    return false;
}

static status open_file(recorder *r, const recorder_options *options, error *err)
{
    size_t bytes = wanted_bytes(options->bytes);
    status st = recorder_file_create(options, r->id, &bytes, r->path, &r->fd, err);
    if (st != STATUS_OK) {
        r->path[0] = 0;
        return st;
    }
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
    if (base == MAP_FAILED) {
        st = fail_errno(err, errno, "map %s", r->path);
    } else {
        set_geometry(r, base, bytes);
        if (reserve_first(r)) {
            recorder_note_room(r);
            return STATUS_OK;
        }
        munmap(base, bytes);
        st = fail(err, STATUS_FULL, "no space for %s: %zu KiB are needed", r->path,
                  (size_t)(r->blocks - r->base + 7 * RECORDER_BLOCK_BYTES) / 1024);
    }
    unlink(r->path);
    close(r->fd);
    r->fd = -1;
    r->path[0] = 0;
    return st;
}

static status open_memory(recorder *r, const recorder_options *options, error *err)
{
    size_t bytes = wanted_bytes(options->bytes);
    void *base = map_private(bytes);
    if (!base)
        return fail(err, STATUS_NO_MEMORY, "no memory for a recorder of %zu bytes", bytes);
    set_geometry(r, base, bytes);
    r->header->reserved = MIN(RECORDER_STEP_BLOCKS, r->block_count);
    return STATUS_OK;
}

status recorder_open(recorder **ret, const recorder_options *options, error *err)
{
    tsc_init();
    recorder *r = map_private(sizeof(*r));
    ring *rings = map_private(RECORDER_RINGS_MAX * sizeof(ring));
    if (!r || !rings) {
        if (r)
            munmap(r, sizeof(*r));
        return fail(err, STATUS_NO_MEMORY, "no memory for the recorder's rings");
    }
    r->rings = rings;
    r->fd = -1;
    r->full_wait_ms = MIN(options->full_wait_ms, FULL_WAIT_MAX_MS);
    random_seed(&r->id, sizeof(r->id));
    if (err)
        *err = (error){ .code = STATUS_OK };
    if (open_file(r, options, err) != STATUS_OK) {
        error memory_err;
        if (open_memory(r, options, &memory_err) != STATUS_OK) {
            if (err)
                *err = memory_err;
            munmap(rings, RECORDER_RINGS_MAX * sizeof(ring));
            munmap(r, sizeof(*r));
            return STATUS_NO_MEMORY;
        }
    }
    madvise(r->base, r->bytes, MADV_DONTFORK);
    recorder_header_fill(r, options);
    atomic_store_explicit(atomic_u64(&r->header->magic), RECORDER_MAGIC, memory_order_release);
    *ret = r;
    return STATUS_OK;
}

void recorder_close(recorder *r, bool remove)
{
    if (!r || atomic_exchange(&r->closed, true))
        return;
    atomic_store(atomic_u64(&r->header->ended), 1);
    if (remove && r->path[0])
        unlink(r->path);
    /* Threads that are inside a call write into this from now on, which nobody reads. Should it
     * fail, they write into the file, which does no harm either. */
    void *plain = mmap(r->base, r->bytes, PROT_READ | PROT_WRITE,
                       MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    (void)plain;
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

void recorder_abandon(recorder *r)
{
    atomic_store(&r->closed, true);
    /* The kernel left a hole there (MADV_DONTFORK). No later recorder may fill it: handles of the
     * parent's spans are told by their address. What the program put there first stays. */
    void *hole = mmap(r->base, r->bytes, PROT_NONE,
                      MAP_FIXED_NOREPLACE | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (hole != MAP_FAILED && hole != r->base)
        munmap(hole, r->bytes);
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

const char *recorder_path(const recorder *r)
{
    return r->path;
}

int recorder_fd(const recorder *r)
{
    return r->fd;
}

bool recorder_is_external(const recorder *r)
{
    return r->header->flags & RECORDER_EXTERNAL;
}

uint64_t recorder_id(const recorder *r)
{
    return r->id;
}

status recorder_open_reader(recorder *r, recorder_reader **ret,
                            const recorder_reader_options *options, error *err)
{
    return recorder_reader_open_own(ret, r->base, r->bytes, r->fd, options, err);
}

void recorder_count_drop(recorder *r, signal_kind signal, recorder_drop reason, uint64_t n)
{
    atomic_fetch_add_explicit(atomic_u64(&r->header->drops[signal][reason]), n,
                              memory_order_relaxed);
}

uint64_t recorder_count_written(const recorder *r, signal_kind signal)
{
    uint64_t sum = 0, count = atomic_load(atomic_u64(&r->header->ring_count));
    if (signal == SIGNAL_METRICS)
        return 0;
    for (uint64_t i = 0; i < MIN(count, (uint64_t)RECORDER_RINGS_MAX); i++)
        sum += atomic_load_explicit(&r->rings[i].written[signal == SIGNAL_TRACES],
                                    memory_order_relaxed);
    return sum;
}

uint64_t recorder_ticks(void)
{
    return tsc_now();
}

static bool read_by_all(const recorder *r, const ring *g)
{
    recorder_ring_row *rows = atomic_load(&r->ring_rows[g->id / RECORDER_RINGS_PER_BLOCK]);
    bool any = false;
    for (uint32_t s = 0; rows && s < RECORDER_SINKS; s++) {
        if (r->header->sinks[s][0] == 0)
            continue;
        uint64_t at = atomic_load(atomic_u64(&rows[g->id % RECORDER_RINGS_PER_BLOCK].cursor[s]));
        if (at < ring_sequence(g))
            return false;
        any = true;
    }
    return any;
}

void recorder_reclaim(recorder *r)
{
    uint64_t count = atomic_load(atomic_u64(&r->header->ring_count));
    for (uint64_t i = 0; i < count; i++) {
        ring *g = &r->rings[i];
        uint32_t free_ring = 0;
        if (atomic_load_explicit(&g->owned, memory_order_relaxed) ||
            !atomic_compare_exchange_strong(&g->owned, &free_ring, 1))
            continue;
        if (g->at && read_by_all(r, g)) {
            ring_note_written(r, g);
            recorder_unclaim(r, g->block, g->blocks);
            g->at = g->end = g->base = NULL;
        }
        ring_release(g);
    }
    /* What was read meanwhile is free, down to the lowest blocks. */
    atomic_store_explicit(&r->claim_next, 0, memory_order_relaxed);
}

// SPDX-License-Identifier: Apache-2.0
/* The pool of blocks: claiming runs by compare-and-swap, taking space from the file system in
 * steps, and the append-only metric area. No locks; safe in signal handlers. */
#include "lib/recorder_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static void say_reduced(recorder *r, uint32_t blocks)
{
    if (atomic_exchange(&r->said_full, true))
        return;
    char line[PATH_MAX + 160];
    int n = snprintf(line, sizeof(line),
                     "sonde: no room for all of the recorder %s: it is reduced to %u KiB, and what "
                     "does not fit is dropped and counted\n",
                     r->path, (unsigned)(blocks * (RECORDER_BLOCK_BYTES / 1024)));
    if (n > 0 && write(STDERR_FILENO, line, MIN((size_t)n, sizeof(line) - 1)) < 0)
        return; /* nobody to tell */
}

/* Other files may take or free space later; this only says at once what is known at once. */
void recorder_note_room(recorder *r)
{
    struct statvfs fs;
    uint64_t have = atomic_load(atomic_u64(&r->header->reserved));
    if (r->fd < 0 || fstatvfs(r->fd, &fs) != 0)
        return;
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize / RECORDER_BLOCK_BYTES;
    if (have + room < r->block_count)
        say_reduced(r, (uint32_t)(have + room));
}

/* Makes blocks up to `wanted` usable; false when that cannot be. Several threads may do it at once:
 * taking the same space twice does no harm. */
static bool grow(recorder *r, uint32_t wanted)
{
    uint32_t limit = atomic_load_explicit(&r->limit, memory_order_relaxed);
    if (wanted > limit)
        return false;
    _Atomic uint64_t *reserved = atomic_u64(&r->header->reserved);
    uint64_t have = atomic_load_explicit(reserved, memory_order_acquire);
    size_t start = (size_t)(r->blocks - r->base);
    uint32_t step = MIN(limit, MAX(wanted, (uint32_t)have + RECORDER_STEP_BLOCKS));
    size_t from = start + have * RECORDER_BLOCK_BYTES;
    if (!recorder_file_reserve(r, from, start + (size_t)step * RECORDER_BLOCK_BYTES)) {
        step = wanted;
        if (!recorder_file_reserve(r, from, start + (size_t)step * RECORDER_BLOCK_BYTES)) {
            have = atomic_load(reserved);
            atomic_store(&r->limit, (uint32_t)have);
            say_reduced(r, (uint32_t)have);
            return false;
        }
    }
    while (have < step && !atomic_compare_exchange_weak(reserved, &have, step))
        ;
    return true;
}

static bool claim_at(recorder *r, uint32_t block, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t word = atomic_load_explicit(&r->table[block + i], memory_order_relaxed);
        if (RECORDER_WORD_KIND(word) != RECORDER_FREE ||
            !atomic_compare_exchange_strong(&r->table[block + i], &word, RECORDER_CLAIMED)) {
            recorder_unclaim(r, block, i);
            return false;
        }
    }
    return true;
}

/* The table is looked through from the last claim on, from its start again and again: after
 * recorder_reclaim, every so many claims for a reader in another process, and before it grows. So
 * the lowest blocks serve soon after they were freed, and hundreds that are not cost one claim
 * in 16. */
enum { FROM_THE_START = 16 };

static uint32_t claim_from(recorder *r, uint32_t have)
{
    uint32_t claims = atomic_fetch_add_explicit(&r->claims, 1, memory_order_relaxed);
    uint32_t from = atomic_load_explicit(&r->claim_next, memory_order_relaxed);
    return claims % FROM_THE_START == 0 || from >= have ? 0 : from;
}

uint32_t recorder_claim(recorder *r, uint32_t count)
{
    for (uint32_t from = UINT32_MAX;;) {
        uint32_t have =
            (uint32_t)atomic_load_explicit(atomic_u64(&r->header->reserved), memory_order_acquire);
        uint32_t run = 0, tail = 0;
        from = from == UINT32_MAX ? claim_from(r, have) : 0;
        for (uint32_t i = from; i < have; i++) {
            uint64_t word = atomic_load_explicit(&r->table[i], memory_order_relaxed);
            run = RECORDER_WORD_KIND(word) == RECORDER_FREE ? run + 1 : 0;
            tail = run;
            if (run == count && claim_at(r, i + 1 - count, count)) {
                /* The reader frees by a plain write; what it wrote before is seen from here on. */
                atomic_thread_fence(memory_order_acquire);
                recorder_taken(r, i + 1 - count, count);
                atomic_store_explicit(&r->claim_next, i + 1, memory_order_relaxed);
                return i + 1 - count;
            }
            if (run == count)
                run = 0;
        }
        if (from)
            continue;
        if (atomic_load(&r->closed) || !grow(r, have + count - MIN(tail, count)))
            return UINT32_MAX;
    }
}

void recorder_publish(recorder *r, uint32_t block, uint32_t count, recorder_block_kind kind,
                      uint32_t ring_id, uint32_t index)
{
    for (uint32_t i = count; i-- > 1;)
        atomic_store_explicit(&r->table[block + i],
                              recorder_block_word(RECORDER_TAIL, 1, ring_id, index),
                              memory_order_release);
    atomic_store_explicit(&r->table[block], recorder_block_word(kind, count, ring_id, index),
                          memory_order_release);
}

void recorder_unclaim(recorder *r, uint32_t block, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        atomic_store_explicit(&r->table[block + i], 0, memory_order_release);
}

/* ---- the metric area ---- */

#define AREA_LEFT(word)   ((size_t)((word)&0xffffff))
#define AREA_OFFSET(word) ((word) >> 24)

/* A run for `bytes`, whose rest serves later calls. */
static void *area_new_run(recorder *r, size_t bytes, uint64_t *ret_offset)
{
    uint32_t count = (uint32_t)((bytes + RECORDER_BLOCK_BYTES - 1) / RECORDER_BLOCK_BYTES);
    uint32_t block = recorder_claim(r, count);
    if (block == UINT32_MAX)
        return NULL;
    char *run = recorder_block(r, block);
    size_t total = (size_t)count * RECORDER_BLOCK_BYTES;
    memset(run, 0, total);
    recorder_publish(r, block, count, RECORDER_METRICS, 0, atomic_fetch_add(&r->metric_count, 1));
    uint64_t at = (uint64_t)(run - r->base);
    uint64_t old = atomic_load(&r->area);
    uint64_t rest = (at + bytes) << 24 | (total - bytes);
    while (AREA_LEFT(rest) > AREA_LEFT(old) && !atomic_compare_exchange_weak(&r->area, &old, rest))
        ;
    *ret_offset = at;
    return run;
}

void *recorder_area_alloc(recorder *r, size_t bytes, uint64_t *ret_offset)
{
    if (bytes == 0 || bytes > MiB(1))
        return NULL;
    bytes = (bytes + 63) & ~(size_t)63;
    uint64_t old = atomic_load(&r->area);
    while (AREA_LEFT(old) >= bytes) {
        uint64_t rest = (AREA_OFFSET(old) + bytes) << 24 | (AREA_LEFT(old) - bytes);
        if (atomic_compare_exchange_weak(&r->area, &old, rest)) {
            *ret_offset = AREA_OFFSET(old);
            return r->base + AREA_OFFSET(old);
        }
    }
    return area_new_run(r, bytes, ret_offset);
}

_Atomic uint64_t *recorder_metric_root_ptr(recorder *r)
{
    return atomic_u64(&r->header->metric_root);
}

// SPDX-License-Identifier: Apache-2.0
/* Rings and their extents: acquire, release, extend. No locks; safe in signal handlers. */
#include "lib/ring.h"

#include "base/clock.h"
#include "lib/recorder_internal.h"
#include "lib/state_thread.h"
#include "lib/tsc.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A thread that fills an extent faster than this gets larger ones. */
#define BUSY_TICKS  20000000u
#define RETRY_TICKS 100000u

static recorder_ring_row *ring_row(recorder *r, uint32_t id)
{
    uint32_t index = id / RECORDER_RINGS_PER_BLOCK;
    recorder_ring_row *rows = atomic_load_explicit(&r->ring_rows[index], memory_order_acquire);
    if (!rows) {
        uint32_t block = recorder_claim(r, 1);
        if (block == UINT32_MAX)
            return NULL;
        recorder_ring_row *fresh = (recorder_ring_row *)recorder_block(r, block);
        memset(fresh, 0, RECORDER_BLOCK_BYTES);
        if (atomic_compare_exchange_strong(&r->ring_rows[index], &rows, fresh)) {
            recorder_publish(r, block, 1, RECORDER_RINGS, 0, index);
            rows = fresh;
        } else {
            recorder_unclaim(r, block, 1);
        }
    }
    return rows + id % RECORDER_RINGS_PER_BLOCK;
}

static void ring_adopt(recorder *r, ring *g)
{
    recorder_ring_row *row = ring_row(r, g->id);
    if (!row)
        return;
    row->tid = (int32_t)syscall(SYS_gettid);
    prctl(PR_GET_NAME, row->thread);
    atomic_store_explicit(atomic_u32(&row->state), 1, memory_order_release);
}

/* A reader that meets the row in the middle of this tells by the index. */
void ring_note_written(recorder *r, const ring *g)
{
    recorder_ring_row *row = ring_row(r, g->id);
    if (!row)
        return;
    atomic_store_explicit(atomic_u64(&row->counted_index), UINT64_MAX, memory_order_release);
    for (int i = 0; i < 2; i++)
        atomic_store_explicit(atomic_u64(&row->written[i]),
                              atomic_load_explicit(&g->written[i], memory_order_relaxed),
                              memory_order_release);
    atomic_store_explicit(atomic_u64(&row->counted_index), g->next_index, memory_order_release);
}

ring *ring_acquire(recorder *r)
{
    _Atomic uint64_t *count = atomic_u64(&r->header->ring_count);
    uint64_t n = atomic_load_explicit(count, memory_order_acquire);
    for (;;) {
        for (uint64_t i = 0; i < n; i++) {
            ring *g = &r->rings[i];
            uint32_t free_ring = 0;
            if (atomic_load_explicit(&g->owned, memory_order_relaxed) == 0 &&
                atomic_compare_exchange_strong(&g->owned, &free_ring, 1)) {
                ring_adopt(r, g);
                return g;
            }
        }
        if (n == RECORDER_RINGS_MAX || !ring_row(r, (uint32_t)n)) {
            return NULL;
        }
        uint32_t unowned = 0;
        ring *g = &r->rings[n];
        if (atomic_compare_exchange_strong(&g->owned, &unowned, 1)) {
            g->id = (uint32_t)n;
            ring_adopt(r, g);
            uint64_t seen = n;
            while (seen <= n && !atomic_compare_exchange_weak(count, &seen, n + 1))
                ;
            return g;
        }
        n = MAX(n + 1, atomic_load_explicit(count, memory_order_acquire));
    }
}

void ring_release(ring *g)
{
    atomic_store_explicit(&g->owned, 0, memory_order_release);
}

static uint32_t blocks_wanted(const ring *g, uint64_t now, size_t need)
{
    size_t bytes = need + sizeof(recorder_extent) + 16;
    uint32_t least = (uint32_t)((bytes + RECORDER_BLOCK_BYTES - 1) / RECORDER_BLOCK_BYTES);
    uint32_t wanted = g->at && now - g->taken_ticks < BUSY_TICKS ? 2 : 1;
    return MAX(least, wanted);
}

static __thread bool never_waits __attribute__((tls_model("initial-exec")));

void ring_never_wait(void)
{
    never_waits = true;
}

/* A signal handler that interrupted a writer has a borrowed ring. It must not wait: the thread
 * below it may be the drainer's, or hold what the drainer needs. */
static bool may_wait(const recorder *r, const ring *g)
{
    return r->full_wait_ms && !never_waits && g == thread_get()->ring;
}

/* Polls for room, 50 us at first and 2 ms at last apart. */
static uint32_t claim_waiting(recorder *r, uint32_t count)
{
    int saved = errno;
    uint32_t block = UINT32_MAX;
    int64_t pause_ns = 50 * NS_PER_US;
    int64_t end_ns = clock_mono_ns() + (int64_t)r->full_wait_ms * NS_PER_MS;
    while (block == UINT32_MAX && clock_mono_ns() < end_ns && !atomic_load(&r->closed)) {
        nanosleep(&(struct timespec){ .tv_nsec = pause_ns }, NULL);
        pause_ns = MIN(pause_ns * 2, 2 * NS_PER_MS);
        block = recorder_claim(r, count);
    }
    errno = saved;
    return block;
}

bool ring_extend(recorder *r, ring *g, size_t need)
{
    uint64_t now = tsc_now();
    bool waits = may_wait(r, g);
    if (!waits && g->retry_ticks && now - g->retry_ticks < RETRY_TICKS)
        return false;
    uint32_t count = blocks_wanted(g, now, need);
    uint32_t block = recorder_claim(r, count);
    if (block == UINT32_MAX && count > 1 && need + sizeof(recorder_extent) + 16 <= KiB(16))
        block = recorder_claim(r, count = 1);
    if (block == UINT32_MAX && waits) {
        block = claim_waiting(r, count);
        now = tsc_now();
    }
    if (block == UINT32_MAX) {
        g->retry_ticks = now | 1;
        return false;
    }
    g->retry_ticks = 0;
    char *base = recorder_block(r, block);
    size_t bytes = (size_t)count * RECORDER_BLOCK_BYTES;
    *(recorder_extent *)base = (recorder_extent){ .magic = RECORDER_EXTENT_MAGIC ^ r->id,
                                                  .ring = g->id,
                                                  .index = g->next_index,
                                                  .bytes = (uint32_t)bytes,
                                                  .taken_ticks = now };
    atomic_store_explicit(atomic_u64(base + sizeof(recorder_extent)), 0, memory_order_relaxed);
    recorder_publish(r, block, count, RECORDER_EXTENT, g->id, g->next_index);
    ring_note_written(r, g);
    if (g->at) {
        uint32_t check = recorder_check(g->id, g->index, (uint32_t)(g->at - g->base));
        atomic_store_explicit(atomic_u64(g->at), recorder_record_word(8, RECORDER_NEXT, check),
                              memory_order_release);
        recorder_left(r, g->block, g->blocks);
    }
    g->base = base;
    g->at = base + sizeof(recorder_extent);
    g->end = base + bytes - 8;
    g->index = g->next_index++;
    g->check_seed = recorder_check_seed(g->id, g->index);
    g->block = block;
    g->blocks = count;
    g->taken_ticks = now;
    return true;
}

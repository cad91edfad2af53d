// SPDX-License-Identifier: Apache-2.0
/* Free slots are bits of one word per block, taken and given back by compare-and-swap. */
#include "lib/span_slots.h"

#include "lib/recorder_internal.h"

#include <string.h>

_Static_assert(RECORDER_SLOTS_PER_BLOCK == 32, "one bit per slot of a block in 32 bits");

static uint32_t take_bits(_Atomic uint32_t *bits, uint32_t block, uint32_t *ret, uint32_t most)
{
    uint32_t old = atomic_load_explicit(bits, memory_order_relaxed), rest;
    uint32_t count;
    do {
        count = 0;
        for (rest = old; rest && count < most; rest &= rest - 1)
            ret[count++] = block * RECORDER_SLOTS_PER_BLOCK + (uint32_t)__builtin_ctz(rest);
    } while (old && !atomic_compare_exchange_weak_explicit(bits, &old, rest, memory_order_acquire,
                                                           memory_order_relaxed));
    return count;
}

/* Adds a block of slots after the last one. Several callers at once add one each: no caller can
 * wait for another, which it may have interrupted. A block that is not ready has no free slot yet.
 */
static bool add_block(recorder *r)
{
    uint32_t index = atomic_load(&r->live_count);
    uint32_t block = index < RECORDER_LIVE_BLOCKS_MAX ? recorder_claim(r, 1) : UINT32_MAX;
    if (block == UINT32_MAX)
        return false;
    char *slots = recorder_block(r, block), *none = NULL;
    memset(slots, 0, RECORDER_BLOCK_BYTES);
    while (!atomic_compare_exchange_strong(&r->live[index], &none, slots)) {
        none = NULL;
        if (++index == RECORDER_LIVE_BLOCKS_MAX) {
            recorder_unclaim(r, block, 1);
            return false;
        }
    }
    recorder_publish(r, block, 1, RECORDER_LIVE, 0, index);
    atomic_store(&r->live_free[index], UINT32_MAX);
    uint32_t count = atomic_load(&r->live_count);
    while (count <= index && !atomic_compare_exchange_weak(&r->live_count, &count, index + 1))
        ;
    return true;
}

/* Others may take what one adds; that many of them at once there are not. */
#define TRIES 64

uint32_t slots_take(recorder *r, uint32_t *ret, uint32_t most)
{
    for (int tries = 0; tries < TRIES; tries++) {
        uint32_t blocks = atomic_load_explicit(&r->live_count, memory_order_acquire);
        for (uint32_t b = 0; b < blocks; b++) {
            uint32_t n = take_bits(&r->live_free[b], b, ret, most);
            if (n)
                return n;
        }
        if (!add_block(r) && blocks == atomic_load(&r->live_count))
            return 0;
    }
    return 0;
}

void slots_give_back(recorder *r, const uint32_t *slots, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        atomic_fetch_or_explicit(&r->live_free[slots[i] / RECORDER_SLOTS_PER_BLOCK],
                                 1u << slots[i] % RECORDER_SLOTS_PER_BLOCK, memory_order_release);
}

char *slot_address(const recorder *r, uint32_t slot)
{
    return atomic_load_explicit(&r->live[slot / RECORDER_SLOTS_PER_BLOCK], memory_order_relaxed) +
           (size_t)(slot % RECORDER_SLOTS_PER_BLOCK) * RECORDER_SLOT_BYTES;
}

uint32_t slot_number(const recorder *r, const void *address)
{
    const char *p = address;
    if (p < r->blocks || p >= r->base + r->bytes)
        return SLOT_NONE;
    size_t block = (size_t)(p - r->blocks) / RECORDER_BLOCK_BYTES;
    size_t offset = (size_t)(p - r->blocks) % RECORDER_BLOCK_BYTES;
    uint64_t word = atomic_load_explicit(&r->table[block], memory_order_relaxed);
    if (RECORDER_WORD_KIND(word) != RECORDER_LIVE || offset % RECORDER_SLOT_BYTES ||
        RECORDER_WORD_INDEX(word) >= RECORDER_LIVE_BLOCKS_MAX)
        return SLOT_NONE;
    return RECORDER_WORD_INDEX(word) * RECORDER_SLOTS_PER_BLOCK +
           (uint32_t)(offset / RECORDER_SLOT_BYTES);
}

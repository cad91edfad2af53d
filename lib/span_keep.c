// SPDX-License-Identifier: Apache-2.0
/* Always-on-error: unsampled spans are recorded in the live table only. Those of one trace in this
 * process form a chain that begins at their local root, from their start on; what ends stays in its
 * slot. When the local root ends with an error the chain goes into the ring, else it is forgotten.
 * A reader of a dead process takes the chain of a local root that is open (recorder.md).
 *
 * The root's lock guards the chain; who holds it may take the lock of one member at a time. */
#include "lib/span_internal.h"
#include "lib/tsc.h"

static recorder_span *span_at(const writer *w, uint32_t number)
{
    return (recorder_span *)slot_address(w->recorder, number - 1);
}

/* At most a quarter of the recorder's blocks may be held by spans that perhaps nobody asks for. */
static bool count_up(recorder *r)
{
    uint32_t most =
        MIN(r->block_count / 4, RECORDER_LIVE_BLOCKS_MAX / 2) * RECORDER_SLOTS_PER_BLOCK;
    if (atomic_fetch_add_explicit(&r->tentative, 1, memory_order_relaxed) < most)
        return true;
    atomic_fetch_sub_explicit(&r->tentative, 1, memory_order_relaxed);
    recorder_count_drop(r, SIGNAL_TRACES, RECORDER_DROP_LIVE, 1);
    return false;
}

static void count_down(recorder *r)
{
    atomic_fetch_sub_explicit(&r->tentative, 1, memory_order_relaxed);
}

static bool is_root(const recorder_span *span, uint32_t number)
{
    return span->word == RECORDER_SLOT_TENTATIVE && span->end_ring == number;
}

/* Puts `span` behind its local root, unless that has ended. */
static bool join_chain(writer *w, recorder_span *span, uint32_t slot, uint32_t root_number)
{
    recorder_span *root = span_at(w, root_number);
    bool joined = false;
    if (!span_lock(w, root))
        return false;
    if (is_root(root, root_number) && memcmp(root->trace_id, span->trace_id, 16) == 0) {
        span->end_ring = root_number;
        span->chain = root->chain;
        atomic_store_explicit(atomic_u64(&span->word), RECORDER_SLOT_TENTATIVE,
                              memory_order_release);
        atomic_store_explicit(atomic_u32(&root->chain), slot + 1, memory_order_release);
        joined = true;
    }
    span_unlock(root);
    return joined;
}

bool span_keep_begin(writer *w, recorder_span *span, uint32_t slot, const recorder_span *parent)
{
    if (!count_up(w->recorder))
        return false;
    if (!parent) {
        span->end_ring = slot + 1;
        atomic_store_explicit(atomic_u64(&span->word), RECORDER_SLOT_TENTATIVE,
                              memory_order_release);
        return true;
    }
    uint32_t root = parent->end_ring, slots = w->recorder->live_count * RECORDER_SLOTS_PER_BLOCK;
    bool tentative = parent->word == RECORDER_SLOT_TENTATIVE || parent->word == RECORDER_SLOT_KEPT;
    if (tentative && root - 1 < slots && join_chain(w, span, slot, root))
        return true;
    count_down(w->recorder);
    return false;
}

static void record_kept(writer *w, recorder_span *span, uint64_t end_ticks)
{
    span->flags |= RECORDER_FLAG_SAMPLED;
    span_record(w, span, end_ticks);
}

/* What becomes of a member when its local root has ended. Open ones decide for themselves later. */
static void settle(writer *w, recorder_span *span, uint32_t slot, bool failed)
{
    if (!span_lock(w, span))
        return;
    bool ended = span->word == RECORDER_SLOT_KEPT;
    if (ended && failed)
        record_kept(w, span, span->end_ticks);
    if (!ended) {
        span->end_ring = span->chain = 0;
        span->flags |= failed ? RECORDER_FLAG_SAMPLED : 0;
        atomic_store_explicit(atomic_u64(&span->word),
                              failed ? RECORDER_SLOT_LIVE : RECORDER_SLOT_UNSAMPLED,
                              memory_order_release);
    } else {
        atomic_store_explicit(atomic_u64(&span->word), RECORDER_SLOT_FREE, memory_order_release);
        if (span->next)
            span_stream_free(w, span);
    }
    span_unlock(span);
    if (ended)
        span_slot_free(w, slot);
    count_down(w->recorder);
}

static void settle_chain(writer *w, uint32_t number, bool failed)
{
    for (uint32_t left = RECORDER_LIVE_BLOCKS_MAX * RECORDER_SLOTS_PER_BLOCK; number && left;
         left--) {
        recorder_span *span = span_at(w, number);
        uint32_t slot = number - 1;
        number = span->chain;
        settle(w, span, slot, failed);
    }
}

bool span_keep_end(writer *w, recorder_span *span, uint32_t slot)
{
    uint64_t end_ticks = tsc_now();
    if (!is_root(span, slot + 1)) {
        span->end_ticks = end_ticks;
        atomic_store_explicit(atomic_u64(&span->word), RECORDER_SLOT_KEPT, memory_order_release);
        return false;
    }
    uint32_t chain = span->chain;
    bool failed = span->status == SPAN_STATUS_ERROR;
    if (failed) {
        settle_chain(w, chain, true);
        record_kept(w, span, end_ticks);
    } else {
        /* First, so that a reader of a process that dies here does not take the root for open. */
        atomic_store_explicit(atomic_u64(&span->word), RECORDER_SLOT_FREE, memory_order_release);
        settle_chain(w, chain, false);
    }
    count_down(w->recorder);
    return true;
}

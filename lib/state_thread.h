// SPDX-License-Identifier: Apache-2.0
/* What each thread has of its own, and how a call gets to write: thread_enter … thread_leave.
 *
 * `busy` is set between them. A signal handler that finds it set has interrupted a writer of its
 * own thread; it borrows a ring for its record and leaves the thread's things alone. A long jump
 * out of such a handler leaves busy set: the thread then borrows for ever, which is slower and
 * still right. */
#ifndef SONDE_LIB_STATE_THREAD_H
#define SONDE_LIB_STATE_THREAD_H

#include "base/random.h"
#include "lib/ring.h"
#include "lib/state.h"
#include "sonde/context.h"

#define THREAD_SLOTS 16u

typedef struct {
    uint32_t generation; /* UINT32_MAX: none yet */
    uint32_t busy;
    uint32_t fork_id; /* the context below belongs to this process */
    uint32_t slot_count;
    ring *ring;
    recorder *recorder;
    sonde_current_ current;
    random_state random;          /* of trace ids; seeded when the thread attaches */
    uint64_t span_ids;            /* likewise: random_split gives the next one */
    uint32_t slots[THREAD_SLOTS]; /* free live slots kept at hand */
} thread_self;

/* Initial exec: no call, no allocation, hence safe in signal handlers. 250 bytes. */
extern __thread thread_self thread_local_self __attribute__((tls_model("initial-exec")));

/* Wiped by the kernel in the child of a fork. */
typedef struct {
    uint32_t generation; /* 0: not started, or forked */
} state_page;
extern state_page *state_shared_page;
extern uint32_t state_fork_id;

/* What a call writes with. */
typedef struct {
    thread_self *thread;
    ring *ring;
    recorder *recorder;
    uint32_t generation;
    bool nested; /* the ring is borrowed; the thread's slots and random state are in use */
} writer;

bool thread_enter_slow(writer *w, signal_kind signal);
void thread_leave_nested(writer *w);
/* Forgets the parent's context in the child of a fork. */
void thread_sync_slow(thread_self *t);

#define COMPILER_BARRIER() __asm__ volatile("" ::: "memory")

static inline thread_self *thread_get(void)
{
    return &thread_local_self;
}

/* False when the call is dropped; it has been counted then. */
static inline bool thread_enter(writer *w, signal_kind signal)
{
    thread_self *t = thread_get();
    if (UNLIKELY(t->generation != state_shared_page->generation || t->busy))
        return thread_enter_slow(w, signal);
    t->busy = 1;
    COMPILER_BARRIER();
    *w = (writer){ t, t->ring, t->recorder, t->generation, false };
    return true;
}

static inline void thread_leave(writer *w)
{
    COMPILER_BARRIER();
    if (UNLIKELY(w->nested))
        thread_leave_nested(w);
    else
        w->thread->busy = 0;
}

/* Before a context is read or changed. */
static inline thread_self *thread_context(void)
{
    thread_self *t = thread_get();
    if (UNLIKELY(t->fork_id != state_fork_id || state_shared_page->generation == 0))
        thread_sync_slow(t);
    return t;
}

#endif

// SPDX-License-Identifier: Apache-2.0
/* The slow way in: a thread's first call in a generation, the first call after a fork, and calls in
 * a signal handler that interrupted another. */
#include "lib/state_thread.h"

#include "lib/recorder_internal.h"
#include "lib/span_slots.h"
#include "lib/state_internal.h"

#include <pthread.h>

__thread thread_self thread_local_self __attribute__((tls_model("initial-exec"))) = {
    .generation = UINT32_MAX,
};

static pthread_key_t exit_key;
static bool has_exit_key;

/* The thread ends: its ring and slots go to others. Destructors of the program that log after this
 * attach it anew, and this runs again. */
static void thread_exit(void *thread)
{
    thread_self *t = thread;
    t->busy = 1;
    COMPILER_BARRIER();
    if (t->generation == state_generation() && t->ring) {
        slots_give_back(t->recorder, t->slots, t->slot_count);
        ring_release(t->ring);
    }
    t->ring = NULL;
    t->slot_count = 0;
    t->generation = UINT32_MAX;
    COMPILER_BARRIER();
    t->busy = 0;
}

void state_register_thread_exit(void)
{
    has_exit_key = pthread_key_create(&exit_key, thread_exit) == 0;
}

static bool detect_fork(void)
{
    return state_generation() == 0 && atomic_load(&state_one.generation) != 0;
}

void thread_sync_slow(thread_self *t)
{
    if (detect_fork() && !t->busy) {
        t->busy = 1;
        COMPILER_BARRIER();
        if (t->fork_id == state_fork_id)
            __atomic_fetch_add(&state_fork_id, 1, __ATOMIC_RELAXED); /* a raw clone */
        state_after_fork();
        COMPILER_BARRIER();
        t->busy = 0;
    }
    if (t->fork_id != state_fork_id) {
        t->fork_id = state_fork_id;
        t->current = (sonde_current_){ 0 };
    }
}

/* busy is set. */
static bool attach(thread_self *t, recorder *r, uint32_t generation)
{
    uint64_t seed;
    t->ring = NULL;
    t->slot_count = 0;
    ring *g = ring_acquire(r);
    if (!g)
        return false;
    random_seed(&seed, sizeof(seed));
    random_init(&t->random, seed);
    random_seed(&t->span_ids, sizeof(t->span_ids));
    t->ring = g;
    t->recorder = r;
    t->generation = generation;
    if (has_exit_key)
        pthread_setspecific(exit_key, t);
    return true;
}

static bool enter_nested(writer *w, signal_kind signal)
{
    uint32_t generation = state_generation();
    recorder *r = atomic_load(&state_one.recorder);
    if (generation == 0 || !r) {
        state_count_early(signal);
        return false;
    }
    ring *g = ring_acquire(r);
    if (!g) {
        recorder_count_drop(r, signal, RECORDER_DROP_RINGS, 1);
        return false;
    }
    *w = (writer){ thread_get(), g, r, generation, true };
    return true;
}

bool thread_enter_slow(writer *w, signal_kind signal)
{
    thread_self *t = thread_get();
    if (t->busy)
        return enter_nested(w, signal);
    thread_context();
    uint32_t generation = state_generation();
    recorder *r = atomic_load(&state_one.recorder);
    if (generation == 0 || !r) {
        if (sonde_gate_.level != GATE_OFF)
            state_count_early(signal);
        return false;
    }
    t->busy = 1;
    COMPILER_BARRIER();
    if (t->generation != generation && !attach(t, r, generation)) {
        recorder_count_drop(r, signal, RECORDER_DROP_RINGS, 1);
        COMPILER_BARRIER();
        t->busy = 0;
        return false;
    }
    *w = (writer){ t, t->ring, t->recorder, generation, false };
    return true;
}

void thread_leave_nested(writer *w)
{
    ring_release(w->ring);
}

// SPDX-License-Identifier: Apache-2.0
/* Ids for callers outside of the span code. A thread that has not written yet, or a handler that
 * interrupted one that is writing, asks the kernel. */
#include "lib/ids.h"

#include "lib/context.h"
#include "lib/state_thread.h"

static void ids_random(uint8_t *ret, size_t n)
{
    do {
        random_seed(ret, n);
    } while (n == 8 && memcmp(ret, (uint8_t[8]){ 0 }, 8) == 0);
}

void ids_trace(uint8_t ret[16])
{
    thread_self *t = thread_get();
    if (t->busy || t->generation == UINT32_MAX || t->generation != state_generation()) {
        ids_random(ret, 16);
        return;
    }
    uint64_t id[2];
    t->busy = 1;
    COMPILER_BARRIER();
    ids_next_trace(&t->random, id);
    COMPILER_BARRIER();
    t->busy = 0;
    memcpy(ret, id, sizeof(id));
}

void ids_span(uint8_t ret[8])
{
    thread_self *t = thread_get();
    if (t->busy || t->generation == UINT32_MAX || t->generation != state_generation()) {
        ids_random(ret, 8);
        return;
    }
    t->busy = 1;
    COMPILER_BARRIER();
    uint64_t id = ids_next_span(&t->span_ids);
    COMPILER_BARRIER();
    t->busy = 0;
    memcpy(ret, &id, sizeof(id));
}

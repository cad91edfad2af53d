// SPDX-License-Identifier: Apache-2.0
/* What libsonde_heap.so gives to libsonde, found by name with dlsym: whoever loads the one needs
 * not link the other. */
#ifndef SONDE_LIB_HEAP_H
#define SONDE_LIB_HEAP_H

#include <stddef.h>
#include <stdint.h>

/* One stack that allocated, as sampled: neither scaled nor complete. */
typedef struct {
    const uint64_t *frames; /* innermost first */
    uint32_t depth;
    uint64_t alloc_count, alloc_bytes; /* since the start */
    uint64_t live_count, live_bytes;   /* not freed yet */
} sonde_heap_stack;

typedef struct {
    uint64_t period_bytes; /* mean distance between samples */
    uint64_t lost;         /* samples that had no room */
} sonde_heap_state;

/* Calls `visit` for each stack; what it does may allocate. Version 1 of this interface. */
#define SONDE_HEAP_READ "sonde_heap_read_1"
typedef void sonde_heap_visit(void *user, const sonde_heap_stack *stack);
typedef void sonde_heap_read_fn(sonde_heap_visit *visit, void *user, sonde_heap_state *ret);

#endif

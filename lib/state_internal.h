// SPDX-License-Identifier: Apache-2.0
/* The library's one instance, as lib/state*.c see it. */
#ifndef SONDE_LIB_STATE_INTERNAL_H
#define SONDE_LIB_STATE_INTERNAL_H

#include "lib/state_thread.h"

#define STATE_HOOKS_MAX     8u
#define STATE_OPTIONS_BYTES KiB(16)

typedef struct {
    _Atomic(recorder *) recorder;
    _Atomic uint32_t generation; /* of `recorder`; survives a fork, unlike the page's */
    uint32_t last_generation;
    _Atomic uint32_t lock; /* spun on; reset in the child of a fork */
    state_sampler sampler;
    sonde_level level;
    _Atomic(state_hook *) hooks[STATE_HOOKS_MAX];
    _Atomic uint64_t early[SIGNAL_COUNT];
    recorder_options options; /* its texts are in option_bytes */
    arena option_arena;
} state_instance;

extern state_instance state_one;

void state_lock(void);
void state_unlock(void);
/* In the child of a fork: takes a recorder of its own; returns it, or NULL when there is none. */
recorder *state_after_fork(void);
void state_register_thread_exit(void);

#endif

// SPDX-License-Identifier: Apache-2.0
/* The one hidden instance of the library: the current recorder and what hot paths ask.
 *
 * A generation is one recorder's time: state_enable begins one, state_disable ends it, and in the
 * child of a fork the first call begins another. Threads compare their own generation with
 * state_generation(), which reads a page that the kernel wipes on fork, so that a child made by raw
 * clone is noticed too. */
#ifndef SONDE_LIB_STATE_H
#define SONDE_LIB_STATE_H

#include "lib/recorder.h"
#include "sonde/log.h"

#include <stdatomic.h>

#define GATE_OFF         254 /* sonde_gate_.level: started, but switched off */
#define GATE_NOT_STARTED 255

typedef enum { STATE_STARTED, STATE_FORKED } state_event;
/* Called when a new recorder is current: on the starting thread, or on the child's thread that made
 * the first call after a fork (with signals as they are: keep it short; threads may be created). */
typedef void state_hook(recorder *r, state_event event);

/* Which roots are sampled. A trace is kept when the last 7 bytes of its id, as a big-endian number,
 * are at least `reject_below`: 0 keeps all, 1 << 56 none. */
typedef struct {
    uint64_t reject_below;
    bool parent_based; /* a span with a parent does what the parent does */
    bool on_error;     /* unsampled spans are kept until their local root ends, for when it fails */
    uint64_t interval_ns; /* between two roots that are sampled, on average; 0: no limit */
    uint64_t burst_ns;    /* so much of it may be saved up */
} state_sampler;

#define STATE_REJECT_ALL (1ull << 56)

/* Makes `r` current and opens the gate at `level`. `options` are copied (their texts too, at most
 * 16 KiB): the child of a fork makes its recorder from them. */
MUST_USE status state_enable(recorder *r, const recorder_options *options, sonde_level level,
                             state_sampler sampler, error *err);
/* Closes the gate: calls are dropped and counted from now on. Returns the recorder, which the
 * caller closes when it is drained; NULL when there was none. */
recorder *state_disable(void);
/* The gate of a program that was told to be off (OTEL_SDK_DISABLED): nothing counts. */
void state_off(void);

/* NULL when not started. In the child of a fork this makes the child's recorder first. */
recorder *state_recorder(void);
/* 0 when not started, and in a child of fork before its first call. One load. */
uint32_t state_generation(void);
/* At most 8 hooks; false when there are more. Never removed. */
bool state_add_hook(state_hook *hook);
/* Calls dropped because the library was not started (each signal). */
uint64_t state_early_drops(signal_kind signal);
void state_count_early(signal_kind signal);
state_sampler state_get_sampler(void);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Inputs made of seeds by chance: the seeds' bytes flipped, cut out, repeated, mixed with each
 * other's, their numbers replaced by those at which programs break. For builds without a fuzzer.
 * The same seeds and the same state of `random` give the same inputs. */
#ifndef SONDE_TESTS_FUZZ_MUTATE_H
#define SONDE_TESTS_FUZZ_MUTATE_H

#include "base/random.h"
#include "base/str.h"

typedef struct {
    const str *seeds;
    size_t count; /* at least one */
    random_state random;
} mutator;

/* Writes one input of at most `max` bytes; returns its length. */
size_t mutate(mutator *m, uint8_t *ret, size_t max);

#endif

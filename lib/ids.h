// SPDX-License-Identifier: Apache-2.0
/* Trace and span ids from the thread's random state. */
#ifndef SONDE_LIB_IDS_H
#define SONDE_LIB_IDS_H

#include "base/random.h"

#include <string.h>

static inline void ids_fill_trace(random_state *random, uint8_t ret[16])
{
    uint64_t half[2];
    do {
        half[0] = random_next(random);
        half[1] = random_next(random);
    } while (UNLIKELY(half[0] == 0 || half[1] == 0));
    memcpy(ret, half, 16);
}

static inline void ids_fill_span(random_state *random, uint8_t ret[8])
{
    uint64_t id;
    do {
        id = random_next(random);
    } while (UNLIKELY(id == 0));
    memcpy(ret, &id, 8);
}

#endif

// SPDX-License-Identifier: Apache-2.0
/* The parts of the running library, for those who describe it. */
#ifndef SONDE_LIB_START_H
#define SONDE_LIB_START_H

#include "sonde/start.h"

#include "lib/drain.h"

typedef enum { LIB_OFF, LIB_DISABLED, LIB_RUNNING, LIB_BUSY } lib_state;

typedef struct {
    const settings *settings; /* NULL unless LIB_DISABLED or LIB_RUNNING */
    drainer *drainer;         /* NULL: somebody else drains, or it could not be started */
    recorder *recorder;
    bool elsewhere; /* a server drains */
} lib_parts;

/* Keeps the parts from going away until lib_release, which is due after LIB_DISABLED and
 * LIB_RUNNING only. LIB_BUSY: the library is starting, stopping or flushing, for more than a
 * quarter of a second. Any thread. */
lib_state lib_hold(lib_parts *ret);
void lib_release(void);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Changing one attribute list several times: it is copied at the first change only, with room for
 * more, because lists of a batch may be shared. On the caller's stack; no cleanup. */
#ifndef SONDE_PIPELINE_PROCESSORS_EDIT_H
#define SONDE_PIPELINE_PROCESSORS_EDIT_H

#include "codec/batch.h"

typedef struct {
    arena *memory;
    attrs *list;       /* that of the row, replaced at the first change */
    uint32_t capacity; /* 0: still shared */
    bool failed;       /* no memory: later calls do nothing */
} attr_edit;

static inline attr_edit attr_edit_of(arena *memory, attrs *list)
{
    return (attr_edit){ .memory = memory, .list = list };
}

/* The list may be written to, with room for one more; false when there is no memory. */
bool attr_edit_own(attr_edit *e);
/* Index of a key, or the list's count. */
uint32_t attr_edit_find(const attr_edit *e, str key);
void attr_edit_set(attr_edit *e, str key, value v); /* adds, or replaces */
void attr_edit_put(attr_edit *e, uint32_t index, value v);
void attr_edit_remove(attr_edit *e, uint32_t index); /* keeps the order */

#endif

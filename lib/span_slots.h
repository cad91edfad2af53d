// SPDX-License-Identifier: Apache-2.0
/* Slots of the live-span table. A slot is owned by whoever took it until it is given back; a
 * thread keeps some at hand. No locks; safe in signal handlers. */
#ifndef SONDE_LIB_SPAN_SLOTS_H
#define SONDE_LIB_SPAN_SLOTS_H

#include "lib/recorder.h"

#define SLOT_NONE UINT32_MAX

/* Takes up to `most` free slots; how many. */
uint32_t slots_take(recorder *r, uint32_t *ret, uint32_t most);
void slots_give_back(recorder *r, const uint32_t *slots, uint32_t count);
char *slot_address(const recorder *r, uint32_t slot);
/* The slot's number, or SLOT_NONE for what is no slot of this recorder. */
uint32_t slot_number(const recorder *r, const void *address);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Samples of one series being put in order: rising times, and of equal times the one that was added
 * last. */
#ifndef SONDE_STORE_SAMPLES_H
#define SONDE_STORE_SAMPLES_H

#include "store/series.h"

typedef struct {
    sample *items;
    size_t count, capacity;
    arena memory; /* of histograms that settling changed; until it settles again */
} sample_list;

MUST_USE status sample_list_add(sample_list *l, sample s, error *err);
/* Histograms that follow another sample than when they came are not known any more to be without a
 * restart. */
MUST_USE status sample_list_settle(sample_list *l, error *err);
void sample_list_done(sample_list *l);

#endif

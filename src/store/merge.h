// SPDX-License-Identifier: Apache-2.0
/* Merging parts of one signal and day into one; memory is bounded by one block (rows) or one series
 * (metrics) of each input and their directories. */
#ifndef SONDE_STORE_MERGE_H
#define SONDE_STORE_MERGE_H

#include "store/part_rows.h"
#include "store/part_series.h"
#include "store/store_internal.h"

#define MERGE_MEMORY GiB(1) /* of the directories of all inputs */

/* inputs: oldest first. */
MUST_USE status merge_rows(store *s, part *const *inputs, uint32_t count, part **ret, error *err);
MUST_USE status merge_series(store *s, part *const *inputs, uint32_t count, part **ret, error *err);

part_identity merged_identity(store *s, part *const *inputs, uint32_t count);
/* STATUS_CANCELED once the store closes. */
MUST_USE status merge_continues(store *s, error *err);

#endif

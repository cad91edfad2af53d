// SPDX-License-Identifier: Apache-2.0
/* Moving rows between batches without copying what they say: columns are copied, texts, attribute
 * lists, events and buckets are shared. What is shared must outlive both, and is read-only. */
#ifndef SONDE_CODEC_BATCH_ROWS_H
#define SONDE_CODEC_BATCH_ROWS_H

#include "codec/batch.h"

/* Appends all of `from` (tables and rows, of the same signal) to `to`. False at to's limit; `to`
 * then holds a part. */
MUST_USE bool batch_append_view(batch *to, const batch *from);
/* Appends the rows of `from` for which skip[row] is 0. */
MUST_USE bool batch_append_rows(batch *to, const batch *from, const uint8_t *skip);
/* Takes the rows for which skip[row] is not 0 out of b, in place; how many went. Resources, scopes
 * and metrics stay, also those without rows. */
uint32_t batch_remove_rows(batch *b, const uint8_t *skip);

/* Takes all rows from that one on out of b; as batch_remove_rows. */
void batch_truncate(batch *b, uint32_t rows);

/* The scope and resource of a row. */
const batch_scope *batch_row_scope(const batch *b, uint32_t row);
batch_resource *batch_row_resource(const batch *b, uint32_t row);
/* The row's attribute list, whatever the signal. */
attrs *batch_row_attributes(const batch *b, uint32_t row);

/* Lists that may be shared are replaced: these copy the list (not the texts) into `a` first, and
 * change the copy. False at the arena's limit. */
MUST_USE bool attrs_set(arena *a, attrs *list, str key, value v); /* adds, or replaces */
MUST_USE bool attrs_remove(arena *a, attrs *list, str key);       /* nothing when absent */
MUST_USE bool attrs_keep(arena *a, attrs *list, bool (*keep)(void *user, const attr *), void *user);

/* A value as text, as the Collector's AsString: numbers and booleans as written, arrays and maps as
 * JSON; views into the value where possible. .ptr NULL: no memory. */
str value_text(arena *a, const value *v);

#endif

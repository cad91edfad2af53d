// SPDX-License-Identifier: Apache-2.0
/* Encodings of columns: integers, doubles, texts; layout in docs/format/part.md, "Columns".
 * Encoders append to a buf (check it once); decoders are bounded and give false on wrong bytes. */
#ifndef SONDE_STORE_COLUMN_H
#define SONDE_STORE_COLUMN_H

#include "base/arena.h"
#include "store/bytes.h"

void column_put_ints(buf *out, const int64_t *v, uint32_t n);
MUST_USE bool column_get_ints(bytes_reader *r, int64_t *ret, uint32_t n);

void column_put_doubles(buf *out, const double *v, uint32_t n);
MUST_USE bool column_get_doubles(bytes_reader *r, double *ret, uint32_t n);

/* scratch: an arena for the encoder's own tables. */
void column_put_texts(buf *out, const str *v, uint32_t n, arena *scratch);
/* The texts live in `a` or are views into the column. */
MUST_USE bool column_get_texts(bytes_reader *r, str *ret, uint32_t n, arena *a);

/* zstd level 1 where it makes bytes smaller. */
void column_put_frame(buf *out, str bytes);
MUST_USE bool column_get_frame(bytes_reader *r, uint64_t max, arena *a, str *ret);

#endif

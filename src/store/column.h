// SPDX-License-Identifier: Apache-2.0
/* Encodings of columns: integers, doubles, texts; layout in docs/format/part.md, "Columns".
 * Encoders append to a buf (check it once); decoders are bounded and give false on wrong bytes. */
#ifndef SONDE_STORE_COLUMN_H
#define SONDE_STORE_COLUMN_H

#include "base/arena.h"
#include "store/bytes.h"

void column_put_ints(buf *out, const int64_t *v, uint32_t n);
/* The same for columns of which parts are read: a group needs nothing before it. */
void column_put_ints_in_groups(buf *out, const int64_t *v, uint32_t n);
MUST_USE bool column_get_ints(bytes_reader *r, int64_t *ret, uint32_t n);

/* A column of integers whose groups were walked and not unpacked. */
typedef struct {
    uint8_t encoding;
    bool linear; /* number i is first + i * step */
    uint32_t count;
    int64_t first, step;
    const char *groups, *behind; /* the packed numbers */
    const char *end;             /* of what may be read */
} int_column;
/* r then stands behind the column. */
MUST_USE bool column_open_ints(bytes_reader *r, uint32_t n, int_column *ret);
/* Numbers from … to - 1. */
void column_ints_part(const int_column *c, uint32_t from, uint32_t to, int64_t *ret);

void column_put_doubles(buf *out, const double *v, uint32_t n);
MUST_USE bool column_get_doubles(bytes_reader *r, double *ret, uint32_t n);
/* Numbers from … to - 1 of n. */
MUST_USE bool column_get_doubles_part(bytes_reader *r, double *ret, uint32_t n, uint32_t from,
                                      uint32_t to);

/* scratch: an arena for the encoder's own tables. */
void column_put_texts(buf *out, const str *v, uint32_t n, arena *scratch);
/* The texts live in `a` or are views into the column. */
MUST_USE bool column_get_texts(bytes_reader *r, str *ret, uint32_t n, arena *a);

/* zstd level 1 where it makes bytes smaller. */
void column_put_frame(buf *out, str bytes);
MUST_USE bool column_get_frame(bytes_reader *r, uint64_t max, arena *a, str *ret);

#endif

// SPDX-License-Identifier: Apache-2.0
/* The label index of a part: label -> sorted values -> bitmap of streams or series (layout:
 * docs/format/part.md). Built in memory while a part is written, read as a checked section. */
#ifndef SONDE_STORE_LABEL_INDEX_H
#define SONDE_STORE_LABEL_INDEX_H

#include "base/map.h"
#include "store/bytes.h"
#include "store/match.h"

#include <roaring/roaring.h>

typedef struct label_index label_index;
/* NULL without memory. Names and values are kept as views: they must outlive the index. */
label_index *label_index_new(void);
void label_index_free(label_index *x);
bool label_index_add(label_index *x, str name, str value, uint32_t member);
/* False without memory. */
bool label_index_write(label_index *x, buf *out);

/* A section whose labels and values were looked over; views into it. Any thread. */
typedef struct {
    str value, members; /* a bitmap */
} indexed_value;
typedef struct {
    str name;
    const indexed_value *values; /* sorted */
    uint32_t count;
} indexed_name;
typedef struct {
    const indexed_name *names; /* sorted */
    uint32_t count;
} label_table;
/* In `a`. STATUS_CORRUPT when the section is wrong. */
MUST_USE status label_table_open(str section, arena *a, label_table *ret, error *err);
/* Members that satisfy one matcher, out of 0 … total - 1; NULL when a bitmap is wrong or memory is
 * short. */
roaring_bitmap_t *label_table_match(const label_table *t, match_set *set, const match_item *m,
                                    uint32_t total);

/* The same of a section that is looked at once. `exact`: labels of series, not OTLP keys where '_'
 * also finds '.'. */
roaring_bitmap_t *label_index_match(str section, match_set *set, const match_item *m,
                                    uint32_t total);

/* Calls back with every value of a label that has a member in `among` (NULL: all). */
typedef bool label_index_visitor(void *user, str text);
bool label_index_values(str section, str name, const roaring_bitmap_t *among,
                        label_index_visitor *visit, void *user);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Label sets: immutable, sorted by name, no empty values, no name twice. What is built lives in the
 * arena given; NULL-safe failures are told by `false` (no memory). Used by PromQL and LogQL. */
#ifndef SONDE_QUERY_LABELS_H
#define SONDE_QUERY_LABELS_H

#include "base/arena.h"
#include "base/buf.h"
#include "codec/json.h"
#include "store/store.h"

typedef struct {
    const label *items;
    uint32_t count;
} labels;

#define LABEL_NAME STR("__name__")

/* Empty when absent. */
str labels_get(labels l, str name);
int labels_cmp(labels a, labels b);
bool labels_eq(labels a, labels b);
uint64_t labels_hash(labels l);
/* As an object of names and values. */
void labels_to_json(json_writer *w, labels l);

typedef struct {
    const str *items;
    uint32_t count;
} name_list;

bool name_list_has(name_list names, str name);

/* Only the named labels, or all but the named ones. */
MUST_USE bool labels_keep(arena *a, labels l, name_list names, labels *ret);
MUST_USE bool labels_drop(arena *a, labels l, name_list names, labels *ret);
/* What says what a metric is, not which of its series this is: "__name__", "__type__", "__unit__".
 */
bool label_is_metadata(str name);
/* Without those three; shares memory with l where it can. */
MUST_USE bool labels_drop_metric(arena *a, labels l, labels *ret);
/* With one label set; an empty value removes it. Texts are not copied. */
MUST_USE bool labels_set(arena *a, labels l, str name, str text, labels *ret);
/* Sorts and removes empty values in place; of equal names the last one given stays. */
labels labels_sort(label *items, uint32_t count);

/* {a="b", c="d"} with the metric name in front; {} when empty. */
void labels_print(buf *out, labels l);
/* All of them in braces, the name too: {__name__="up", job="a"}. */
void labels_print_all(buf *out, labels l);
/* A double-quoted text with Go's escapes. */
void print_quoted(buf *out, str s);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Matchers as Alertmanager writes them: name="value", name!="value", name=~"regex", name!~"regex";
 * in braces or not, several by commas, values and names with quotes or without. Regular expressions
 * match the whole value. A list and its expressions live in the arena given; one thread at a time.
 */
#ifndef SONDE_RULES_NOTIFY_MATCHER_H
#define SONDE_RULES_NOTIFY_MATCHER_H

#include "query/labels.h"
#include "query/regex.h"

enum { NOTIFY_MATCHERS_MAX = 64 }; /* of one list */

typedef struct {
    str name;
    match_op op;
    str value;
    regex *re; /* of the two operators that want one */
} notify_matcher;

typedef struct {
    notify_matcher *items;
    uint32_t count;
} notify_matchers;

/* Appends one to the list; texts are copied. */
MUST_USE status notify_matchers_add(arena *a, notify_matchers *list, str name, match_op op,
                                    str value, error *err);
/* Appends all of the text. */
MUST_USE status notify_matchers_parse(arena *a, str text, notify_matchers *list, error *err);
/* By name, operator and value, so that equal lists print equally. */
void notify_matchers_sort(notify_matchers *list);
/* {a="b",c=~"d"} */
void notify_matchers_print(buf *out, const notify_matchers *list);

/* A match that takes too many steps is none. */
bool notify_matcher_takes(const notify_matcher *m, str value);
bool notify_matchers_take(const notify_matchers *list, labels l);
bool notify_matchers_equal(const notify_matchers *a, const notify_matchers *b);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Regular expressions of the query languages, on PCRE2 with RE2's habits: "." matches a newline,
 * "$" only the very end. A compiled expression lives in an arena and is freed with it.
 * One thread at a time. */
#ifndef SONDE_QUERY_REGEX_H
#define SONDE_QUERY_REGEX_H

#include "base/arena.h"
#include "base/buf.h"

typedef struct regex regex;

typedef enum { REGEX_SEARCH, REGEX_WHOLE } regex_mode; /* anywhere, or anchored at both ends */

/* STATUS_INVALID with the reason and the byte offset in the pattern; STATUS_LIMIT when the arena is
 * full. */
MUST_USE status regex_compile(regex **ret, str pattern, regex_mode mode, arena *a, error *err);

/* STATUS_LIMIT when the match took too many steps. */
MUST_USE status regex_match(regex *re, str subject, bool *ret, error *err);

/* The first match at or after byte `from`, which sees what stands before it: *ret_start is SIZE_MAX
 * when there is none. */
MUST_USE status regex_find(regex *re, str subject, size_t from, size_t *ret_start, size_t *ret_end,
                           error *err);

/* After a successful match: appends `replacement` with $1, ${1}, $name, ${name} and $$ expanded as
 * Go's regexp does; unknown groups are empty. */
void regex_expand(const regex *re, str subject, str replacement, buf *out);

/* Named groups of the pattern, in no order; `index` from 0. False when there are no more.
 * After a successful match *ret_value is what the group matched (empty when it did not take part).
 */
bool regex_named_group(const regex *re, uint32_t index, str subject, str *ret_name, str *ret_value);

#endif

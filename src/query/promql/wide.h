// SPDX-License-Identifier: Apache-2.0
/* Two doubles at once, for loops that the compiler does not see through: those with comparisons.
 * Each operation is the one on single numbers, so that results are the same to the last bit. */
#ifndef SONDE_QUERY_PROMQL_WIDE_H
#define SONDE_QUERY_PROMQL_WIDE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { WIDE = 2 };

typedef double wide __attribute__((vector_size(16)));
typedef int64_t wide_mask __attribute__((vector_size(16))); /* all bits or none */

static inline wide wide_load(const double *p)
{
    wide w;
    memcpy(&w, p, sizeof(w));
    return w;
}

static inline void wide_store(double *p, wide w)
{
    memcpy(p, &w, sizeof(w));
}

static inline bool wide_any(wide_mask m)
{
    return (m[0] | m[1]) != 0;
}

/* yes where the mask is set, else no. */
static inline wide wide_choose(wide_mask m, wide yes, wide no)
{
    return (wide)((m & (wide_mask)yes) | (~m & (wide_mask)no));
}

static inline wide_mask wide_is_infinite(wide w)
{
    return (w == __builtin_inf()) | (w == -__builtin_inf());
}

static inline bool wide_any_nan(const double *v, uint32_t n)
{
    wide_mask nan = { 0 };
    uint32_t i = 0;
    for (; i + WIDE <= n; i += WIDE) {
        wide w = wide_load(v + i);
        nan |= ~(w <= __builtin_inf());
    }
    return wide_any(nan) || (i < n && isnan(v[i]));
}

#endif

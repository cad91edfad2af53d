// SPDX-License-Identifier: Apache-2.0
/* Numbers as decimal text, written to memory that the caller has: for those that print millions.
 * Pure functions; thread-safe. */
#ifndef SONDE_BASE_NUMBER_TEXT_H
#define SONDE_BASE_NUMBER_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* So many bytes must be at `to`. The text has fewer (at most 25); behind it anything may be
 * written, no zero in particular. */
enum { NUMBER_ROOM = 48 };

/* They return the text's length. */
size_t u64_text(char *to, uint64_t v);
/* The shortest text that reads back as the same double, as buf_f64 describes it. */
size_t f64_text(char *to, double v);
/* The same, but without an exponent from 1e-6 to below 1e21, as Prometheus answers samples. */
size_t f64_sample_text(char *to, double v);

/* The fewest digits that read back as v, a finite number, as printf's %e writes them; with at least
 * `digits` (1 to 17) of them. */
void f64_shortest(char text[40], double v, int digits);

#endif

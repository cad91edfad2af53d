// SPDX-License-Identifier: Apache-2.0
/* Doubles as the shortest decimal number. Pure function; thread-safe. */
#ifndef SONDE_BASE_SHORTEST_H
#define SONDE_BASE_SHORTEST_H

#include <stdbool.h>
#include <stdint.h>

/* |v| is *ret_digits, below 10^17, times 10 to the power of *ret_exponent. Without the zeros that
 * they may end in, the digits are the fewest that read back as v; of several such numbers the one
 * nearest to v. False for zero, infinities, NaN, subnormals and numbers beyond about 1e-53 and
 * 1e85: whoever calls has another way for those. */
bool shortest_digits(double v, uint64_t *ret_digits, int *ret_exponent);

#endif

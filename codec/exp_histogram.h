// SPDX-License-Identifier: Apache-2.0
/* Exponential histograms as OpenTelemetry has them: at scale s, bucket i counts values above
 * 2^(i / 2^s) and up to 2^((i + 1) / 2^s). A scale lower by one joins each two neighbours, so that
 * indexes are halved, rounding down. Pure functions; thread-safe. */
#ifndef SONDE_CODEC_EXP_HISTOGRAM_H
#define SONDE_CODEC_EXP_HISTOGRAM_H

#include "codec/batch.h"

#define EXP_SCALE_MAX 20
#define EXP_SCALE_MIN (-10)
#define EXP_SIZE_MAX  320u /* buckets of one sign */
#define EXP_SIZE_MIN  2u

/* At scale 8, by which all lower ones are computed: see exp_table.c. */
extern const uint64_t exp_ends[257];
extern const uint16_t exp_first[512];

/* How far above scale 8's bucket a mantissa is: for scales 9 to 20. */
int32_t exp_index_fine(int32_t exponent, uint64_t mantissa, int scale);

/* The bucket of a finite v above 0; what is smaller than the least normal number counts as that. */
static inline int32_t exp_index(double v, int scale)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    int32_t exponent = (int32_t)(bits >> 52 & 0x7ff) - 1023;
    uint64_t mantissa = bits & ((UINT64_C(1) << 52) - 1);
    if (UNLIKELY(exponent < -1022)) {
        exponent = -1022;
        mantissa = 0;
    }
    if (UNLIKELY(scale > 8))
        return exp_index_fine(exponent, mantissa, scale);
    int32_t ended = exp_first[mantissa >> 43];
    ended += exp_ends[ended] < mantissa;
    return (exponent * 256 + ended - 1) >> (8 - scale);
}

/* The buckets of one sign while they are put together. */
typedef struct {
    int scale;
    int32_t start;  /* index of counts[0] */
    uint32_t count; /* 0: nothing was counted; `scale` is then that of the first to come */
    uint64_t counts[EXP_SIZE_MAX];
} exp_sum;

/* Adds buckets start, start + 1, … to the sum; its scale falls until they fit into `size`. */
void exp_sum_add(exp_sum *to, uint32_t size, int scale, int32_t start, const uint64_t *counts,
                 uint32_t count);
/* Joins neighbours until the scale is `scale`, if it is higher. */
void exp_sum_downscale(exp_sum *s, int scale);
/* Copies into a point's buckets, without empty ones at either end. False without memory. */
MUST_USE bool exp_sum_copy(const exp_sum *s, arena *a, exp_buckets *ret);
/* A point's buckets at a scale that is not higher than the point's. False when they are more than
 * EXP_SIZE_MAX. */
MUST_USE bool exp_sum_of(exp_sum *ret, const exp_buckets *buckets, int scale, int wanted);

#endif

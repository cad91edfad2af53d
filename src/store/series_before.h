// SPDX-License-Identifier: Apache-2.0
/* The last value of a series in sealed parts, for those who add to it. One caller at a time. */
#ifndef SONDE_STORE_SERIES_BEFORE_H
#define SONDE_STORE_SERIES_BEFORE_H

#include "store/store_internal.h"

typedef struct series_before {
    store *s;
    int64_t from_ms;
    snapshot parts;   /* newest first */
    open_part **open; /* of each of them; NULL until it was looked into */
    bool *looked;     /* into each of them */
} series_before;

/* For points from `oldest_ms` on: the samples of the day before that count. Leaves s->metrics_lock
 * locked when it succeeds: parts and the table's keys then have, together, all samples. */
MUST_USE status series_before_take(store *s, int64_t oldest_ms, series_before *ret, error *err);
/* After the lock was given up. */
void series_before_give(series_before *b);

/* Stale markers are passed over. monotone: of the samples of the last minutes the one that is
 * farthest from zero (of histograms: that counts most), which is the one that was added last, also
 * where points came out of order. A histogram is in `a`. False: there is none. */
bool series_before_last(series_before *b, str key, bool monotone, arena *a, sample *ret);

#endif

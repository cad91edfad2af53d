// SPDX-License-Identifier: Apache-2.0
/* A set of 64-bit hashes: 8 bytes each and the free places. Open addressing on the hash's own bits;
 * nothing is removed. One thread at a time. */
#ifndef SONDE_BASE_HASH_SET_H
#define SONDE_BASE_HASH_SET_H

#include "base/base.h"

typedef struct hash_set {
    uint64_t *slots; /* 0: free */
    size_t count, capacity;
} hash_set;

void hash_set_done(hash_set *s);  /* a zeroed one is empty */
void hash_set_clear(hash_set *s); /* memory kept */
bool hash_set_has(const hash_set *s, uint64_t hash);
/* False without memory; *ret_new (may be NULL) tells whether it was not there. */
MUST_USE bool hash_set_add(hash_set *s, uint64_t hash, bool *ret_new);

#endif

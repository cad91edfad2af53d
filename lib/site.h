// SPDX-License-Identifier: Apache-2.0
/* Call sites: static data of the program that a recorder knows by number. */
#ifndef SONDE_LIB_SITE_H
#define SONDE_LIB_SITE_H

#include "base/str.h"
#include "lib/recorder.h"
#include "sonde/log.h"

/* Copies a site into the recorder's table, with the keys of this call. Returns its number, or 0
 * when there is no room or another thread is just doing it: then the record carries the name
 * itself. */
uint32_t site_register(recorder *r, uint32_t generation, sonde_site *site, const sonde_attr *kvs,
                       size_t count);

/* The site's number in this generation's recorder. */
static inline uint32_t site_number(recorder *r, uint32_t generation, sonde_site *site,
                                   const sonde_attr *kvs, size_t count)
{
    uint64_t slot = __atomic_load_n(&site->slot, __ATOMIC_ACQUIRE);
    if (LIKELY((uint32_t)(slot >> 32) == generation && (uint32_t)slot != UINT32_MAX))
        return (uint32_t)slot;
    return site_register(r, generation, site, kvs, count);
}

/* Whether a key names a secret. Pure. */
bool site_key_is_secret(str key);

#endif

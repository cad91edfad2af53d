// SPDX-License-Identifier: Apache-2.0
/* The hashes by which the Collector's samplers choose, so that several collectors agree. Pure. */
#ifndef SONDE_PIPELINE_PROCESSORS_SAMPLER_HASH_H
#define SONDE_PIPELINE_PROCESSORS_SAMPLER_HASH_H

#include "base/str.h"

/* FNV-1a of 32 bits over the seed (little endian) and the bytes. */
static inline uint32_t sampler_fnv32(str bytes, uint32_t seed)
{
    uint32_t hash = UINT32_C(2166136261);
    for (unsigned i = 0; i < 4; i++)
        hash = (hash ^ (seed >> (8 * i) & 0xff)) * UINT32_C(16777619);
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (uint8_t)bytes.ptr[i]) * UINT32_C(16777619);
    return hash;
}

/* FNV-1a of 64 bits over a salt and the bytes (tail_sampling's policy probabilistic). */
static inline uint64_t sampler_fnv64(str salt, str bytes)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < salt.len; i++)
        hash = (hash ^ (uint8_t)salt.ptr[i]) * UINT64_C(1099511628211);
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (uint8_t)bytes.ptr[i]) * UINT64_C(1099511628211);
    return hash;
}

/* 56 bits whose upper 14 are the complement of the hash's lower 14: "hash < rate" there is
 * "threshold <= randomness" here. The other 42 bits are filled from what is left of the hash. */
static inline uint64_t sampler_hash(str bytes, uint32_t seed)
{
    uint32_t hash = sampler_fnv32(bytes, seed);
    uint64_t bucket = hash & 0x3fff, rest = hash >> 18;
    return (0x3fff - bucket) << 42 | (rest ^ rest << 10) << 14 | bucket;
}

/* The threshold for a percentage in steps of 1/16384, 2^56 (none) below the first. The product is
 * of single precision and cut, as it always was. */
static inline uint64_t sampler_hash_threshold(double percent)
{
    float scaled = (float)percent * (float)(0x4000 / 100.0);
    uint64_t rate = (uint64_t)scaled;
    return (UINT64_C(0x4000) - MIN(rate, UINT64_C(0x4000))) << 42;
}

#endif

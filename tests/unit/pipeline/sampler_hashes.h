// SPDX-License-Identifier: Apache-2.0
/* Trace id, seed, and what Go's hash/fnv gives: New32a over the seed (little endian) and the id. */
#ifndef SONDE_TESTS_SAMPLER_HASHES_H
#define SONDE_TESTS_SAMPLER_HASHES_H

#include <stdint.h>

static const struct {
    const char *id;
    uint32_t seed, hash;
} sampler_hashes[] = {
    { "00000000000000000000000000000000", 0u, 0xb9fee455u },
    { "4bf5122f344554c53bde2ebb8cd2b7e3", 22u, 0xa85d3bc6u },
    { "dbc1b4c900ffe48d575b5da5c6380401", 4294967295u, 0x5879e631u },
    { "084fed08b978af4d7d196a7446a86b58", 0u, 0xba30ddc5u },
    { "e52d9c508c502347344d8c07ad91cbd6", 22u, 0x3d90b102u },
    { "e77b9a9ae9e30b0dbdb6f510a264ef9d", 4294967295u, 0x8d144f67u },
    { "67586e98fad27da0b9968bc039a1ef34", 0u, 0x2046854cu },
    { "ca358758f6d27e6cf45272937977a748", 22u, 0x66943c7du },
    { "beead77994cf573341ec17b58bbf7eb3", 4294967295u, 0xdf32a426u },
    { "2b4c342f5433ebe591a1da77e013d1b7", 0u, 0xc44f167au },
    { "01ba4719c80b6fe911b091a7c05124b6", 22u, 0x24c9c8b5u },
    { "e7cf46a078fed4fafd0b5e3aff144802", 4294967295u, 0x87e1ec6cu },
};

#endif

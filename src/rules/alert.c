// SPDX-License-Identifier: Apache-2.0
/* What is computed of an alert wherever it goes. */
#include "rules/alert.h"

#define FNV_START UINT64_C(14695981039346656037)
#define FNV_PRIME UINT64_C(1099511628211)

static uint64_t add_text(uint64_t hash, str s)
{
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (uint8_t)s.ptr[i]) * FNV_PRIME;
    return (hash ^ 0xff) * FNV_PRIME;
}

uint64_t alert_fingerprint(const label *labels, uint32_t count)
{
    uint64_t hash = FNV_START;
    for (uint32_t i = 0; i < count; i++)
        hash = add_text(add_text(hash, labels[i].name), labels[i].value);
    return hash;
}

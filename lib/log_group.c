// SPDX-License-Identifier: Apache-2.0
/* Attributes that hold attributes: tag, key, u16 count, then the attributes, all with keys. */
#include "lib/log_attr.h"

#define DEPTH_MAX 4u

static size_t bound_at(const sonde_attr *a, uint32_t longest, unsigned depth)
{
    size_t sum = 12u + a->key_len;
    if (a->type != SONDE_TYPE_GROUP)
        return sum + MIN(a->len, longest);
    const sonde_attr *inner = a->value.ptr;
    for (uint32_t i = 0; longest >= ATTR_GROUPS_FROM && depth < DEPTH_MAX && i < a->len; i++)
        sum += bound_at(&inner[i], longest, depth + 1);
    return sum;
}

size_t attr_group_bound(const sonde_attr *a, uint32_t longest)
{
    return bound_at(a, longest, 0);
}

static char *encode_at(char *p, const sonde_attr *a, uint32_t longest, unsigned depth)
{
    const sonde_attr *inner = a->value.ptr;
    bool fits = longest >= ATTR_GROUPS_FROM && depth < DEPTH_MAX && a->len <= UINT16_MAX;
    uint16_t count = fits ? (uint16_t)a->len : 0;
    memcpy(p, &count, 2);
    p += 2;
    for (uint16_t i = 0; i < count; i++) {
        const sonde_attr *one = &inner[i];
        bool secret = site_key_is_secret(str_n(one->key, one->key_len));
        if (one->type != SONDE_TYPE_GROUP || secret) {
            p = attr_encode(p, one, true, secret, longest);
            continue;
        }
        *p++ = (char)(RECORDER_TAG_GROUP | RECORDER_TAG_KEY);
        *p++ = (char)one->key_len;
        memcpy(p, one->key, one->key_len);
        p = encode_at(p + one->key_len, one, longest, depth + 1);
    }
    return p;
}

char *attr_group_encode(char *p, const sonde_attr *a, uint32_t longest)
{
    return encode_at(p, a, longest, 0);
}

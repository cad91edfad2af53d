// SPDX-License-Identifier: Apache-2.0
/* Attributes into bytes, for logs, span streams and contexts. The caller made room for
 * attr_bound(). */
#ifndef SONDE_LIB_LOG_ATTR_H
#define SONDE_LIB_LOG_ATTR_H

#include "codec/recorder_format.h"
#include "lib/site.h"
#include "sonde/log.h"

#include <string.h>

#define ATTR_VALUE_MAX 65000u
/* Where texts are cut to less than this, groups are left empty. */
#define ATTR_GROUPS_FROM 16u

/* A group's bound and its bytes after tag and key (log_group.c). */
size_t attr_group_bound(const sonde_attr *a, uint32_t longest);
char *attr_group_encode(char *p, const sonde_attr *a, uint32_t longest);

/* No attribute takes more. */
static inline size_t attr_bound(const sonde_attr *a)
{
    if (UNLIKELY(a->type == SONDE_TYPE_GROUP))
        return attr_group_bound(a, ATTR_VALUE_MAX);
    return 12u + a->key_len + a->len;
}

static inline size_t attrs_bound(const sonde_attr *kvs, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += attr_bound(&kvs[i]);
    return sum;
}

/* The start of a UTF-8 character at or before n. */
static inline uint32_t attr_cut_at(const char *text, uint32_t n)
{
    uint32_t at = n;
    while (at > 0 && n - at < 4 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return n - at < 4 ? at : n;
}

/* Tag and value; the key, if any, follows the tag. Texts longer than `longest` are cut. */
static inline char *attr_encode(char *p, const sonde_attr *a, bool with_key, bool redacted,
                                uint32_t longest)
{
    char *tag = p++;
    uint8_t t = redacted ? RECORDER_TAG_REDACTED : a->type;
    if (with_key) {
        *p++ = (char)a->key_len;
        memcpy(p, a->key, a->key_len);
        p += a->key_len;
    }
    if (UNLIKELY(redacted)) {
        *tag = (char)(t | (with_key ? RECORDER_TAG_KEY : 0));
        return p;
    }
    switch (t) {
    case SONDE_TYPE_I64:
    case SONDE_TYPE_U64:
    case SONDE_TYPE_F64:
        memcpy(p, &a->value, 8);
        p += 8;
        break;
    case SONDE_TYPE_STR:
    case SONDE_TYPE_BYTES: {
        uint32_t n = a->len;
        if (UNLIKELY(n > longest)) {
            n = t == SONDE_TYPE_STR ? attr_cut_at(a->value.ptr, longest) : longest;
            t |= RECORDER_TAG_CUT;
        }
        memcpy(p, &(uint16_t){ (uint16_t)n }, 2);
        if (LIKELY(n)) /* else the pointer may be NULL */
            memcpy(p + 2, a->value.ptr, n);
        p += 2 + n;
        break;
    }
    case SONDE_TYPE_GROUP:
        p = attr_group_encode(p, a, longest);
        break;
    case SONDE_TYPE_BOOL:
        t = a->value.u64 ? RECORDER_TAG_TRUE : RECORDER_TAG_FALSE;
        break;
    default:
        t = RECORDER_TAG_NULL;
        break;
    }
    *tag = (char)(t | (with_key ? RECORDER_TAG_KEY : 0));
    return p;
}

/* In sonde_attr.literal, for keys of the library's own: known to name no secret. */
#define ATTR_PLAIN_KEY 2u

static inline bool attr_is_secret(const sonde_attr *a)
{
    return a->literal != ATTR_PLAIN_KEY && site_key_is_secret(str_n(a->key, a->key_len));
}

/* A key that the site knows costs nothing; others are written and looked at for secrets. */
static inline char *attr_encode_at(char *p, const sonde_site *site, size_t i, const sonde_attr *a,
                                   uint32_t longest)
{
    if (LIKELY(i < site->key_count && a->literal && site->keys[i] == a->key))
        return attr_encode(p, a, false, site->redacted >> i & 1, longest);
    return attr_encode(p, a, true, attr_is_secret(a), longest);
}

static inline char *attr_encode_keyed(char *p, const sonde_attr *a, uint32_t longest)
{
    return attr_encode(p, a, true, attr_is_secret(a), longest);
}

#endif

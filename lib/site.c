// SPDX-License-Identifier: Apache-2.0
/* The site table: rows appended to blocks without locks; safe in signal handlers. */
#include "lib/site.h"

#include "lib/recorder_internal.h"

#define NAME_MAX_BYTES 256u
#define FILE_MAX_BYTES 256u
#define BUSY           UINT32_MAX

/* Room for `bytes` in the table; the row's number, or 0. */
static uint32_t row_alloc(recorder *r, uint32_t bytes, char **ret)
{
    uint64_t end = atomic_load(&r->site_end);
    for (;;) {
        uint32_t index = (uint32_t)(end >> 32), used = (uint32_t)end;
        char *block = index < RECORDER_SITE_BLOCKS_MAX ? atomic_load(&r->sites[index]) : NULL;
        if (block && used + bytes <= RECORDER_BLOCK_BYTES) {
            if (!atomic_compare_exchange_weak(&r->site_end, &end, end + bytes))
                continue;
            *ret = block + used;
            return RECORDER_SITE(index, used);
        }
        uint32_t next = used ? index + 1 : index;
        uint32_t fresh = next < RECORDER_SITE_BLOCKS_MAX ? recorder_claim(r, 1) : UINT32_MAX;
        if (fresh == UINT32_MAX)
            return 0;
        char *expected = NULL, *base = recorder_block(r, fresh);
        memset(base, 0, RECORDER_BLOCK_BYTES);
        if (!atomic_compare_exchange_strong(&r->sites[next], &expected, base)) {
            recorder_unclaim(r, fresh, 1); /* somebody else added it */
        } else {
            recorder_publish(r, fresh, 1, RECORDER_SITES, 0, next);
        }
        atomic_compare_exchange_strong(&r->site_end, &end, (uint64_t)next << 32 | 8);
        end = atomic_load(&r->site_end);
    }
}

static char *put(char *p, str s)
{
    memcpy(p, s.ptr, s.len);
    return p + s.len;
}

static uint32_t write_row(recorder *r, const sonde_site *site)
{
    str name = str_slice(str_c(site->name), 0, NAME_MAX_BYTES);
    str file = str_slice(str_c(site->file), 0, FILE_MAX_BYTES);
    str function = str_slice(str_c(site->function), 0, FILE_MAX_BYTES);
    size_t bytes = sizeof(recorder_site_row) + name.len + file.len + function.len;
    for (size_t i = 0; i < site->key_count; i++)
        bytes += 1 + MIN(strlen(site->keys[i]), (size_t)255);
    str logger = str_slice(str_c(site->logger), 0, 255);
    bytes += 1 + logger.len;
    bytes = (bytes + 7) & ~(size_t)7;
    char *at;
    uint32_t number = row_alloc(r, (uint32_t)bytes, &at);
    if (!number)
        return 0;
    recorder_site_row *row = (recorder_site_row *)at;
    row->level = site->level;
    row->key_count = site->key_count;
    row->name_bytes = (uint16_t)name.len;
    row->line = site->line;
    row->file_bytes = (uint16_t)file.len;
    row->function_bytes = (uint16_t)function.len;
    char *p = put(put(put(at + sizeof(*row), name), file), function);
    for (size_t i = 0; i < site->key_count; i++) {
        str key = str_slice(str_c(site->keys[i]), 0, 255);
        *p++ = (char)key.len;
        p = put(p, key);
    }
    *p++ = (char)logger.len;
    put(p, logger);
    atomic_store_explicit(atomic_u32(&row->word), (uint32_t)bytes, memory_order_release);
    return number;
}

/* Keys up to the first one that is no literal: the n-th key of a record is the site's n-th. */
static void take_keys(sonde_site *site, const sonde_attr *kvs, size_t count)
{
    site->key_count = 0;
    site->redacted = 0;
    for (size_t i = 0; i < count && i < SONDE_SITE_KEYS && kvs[i].literal; i++) {
        site->keys[i] = kvs[i].key;
        if (site_key_is_secret(str_n(kvs[i].key, kvs[i].key_len)))
            site->redacted |= (uint16_t)(1u << i);
        site->key_count++;
    }
}

/* The program may have been started anew with other patterns. */
static void look_again(sonde_site *site)
{
    uint16_t redacted = 0;
    for (size_t i = 0; i < site->key_count; i++)
        redacted |= (uint16_t)(site_key_is_secret(str_c(site->keys[i])) ? 1u << i : 0);
    if (redacted != site->redacted)
        __atomic_store_n(&site->redacted, redacted, __ATOMIC_RELAXED);
}

uint32_t site_register(recorder *r, uint32_t generation, sonde_site *site, const sonde_attr *kvs,
                       size_t count)
{
    uint64_t mine = (uint64_t)generation << 32;
    uint64_t old = __atomic_load_n(&site->slot, __ATOMIC_ACQUIRE);
    if (old >> 32 == generation)
        return (uint32_t)old == BUSY ? 0 : (uint32_t)old;
    if (!__atomic_compare_exchange_n(&site->slot, &old, mine | BUSY, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return 0;
    /* The keys of an earlier generation stay: a call of that time may be reading them. */
    if (old == 0)
        take_keys(site, kvs, count);
    else
        look_again(site);
    uint32_t number = write_row(r, site);
    __atomic_store_n(&site->slot, mine | number, __ATOMIC_RELEASE);
    return number;
}

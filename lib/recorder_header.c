// SPDX-License-Identifier: Apache-2.0
/* Filling a new recorder's header: who the process is, its resource, and the clock's first and
 * later calibrations. */
#include "lib/recorder_internal.h"

#include "base/clock.h"
#include "codec/recorder_proc.h"
#include "codec/redact.h"
#include "lib/site.h"
#include "lib/tsc.h"

#include <stdio.h>
#include <unistd.h>

/* The encoded size, or 0 for what a resource cannot hold. */
static size_t encode_value(uint8_t *p, size_t room, const value *v)
{
    size_t n = v->type == VALUE_STR || v->type == VALUE_BYTES ? 2 + v->s.len : 8;
    if (room < n || n > UINT16_MAX)
        return 0;
    switch (v->type) {
    case VALUE_STR:
    case VALUE_BYTES:
        memcpy(p, &(uint16_t){ (uint16_t)v->s.len }, 2);
        memcpy(p + 2, v->s.ptr, v->s.len);
        return n;
    case VALUE_I64:
    case VALUE_F64:
        memcpy(p, &v->i64, 8);
        return n;
    default:
        return 0;
    }
}

static uint8_t value_tag(const value *v)
{
    switch (v->type) {
    case VALUE_STR:
        return RECORDER_TAG_STR;
    case VALUE_BYTES:
        return RECORDER_TAG_BYTES;
    case VALUE_BOOL:
        return v->b ? RECORDER_TAG_TRUE : RECORDER_TAG_FALSE;
    case VALUE_I64:
        return RECORDER_TAG_I64;
    case VALUE_F64:
        return RECORDER_TAG_F64;
    default:
        return RECORDER_TAG_NULL;
    }
}

static void add_resource(recorder_header *h, str key, const value *v)
{
    uint8_t *p = h->resource + h->resource_bytes, *end = h->resource + RECORDER_RESOURCE_MAX;
    if (key.len == 0 || key.len > 255 || (size_t)(end - p) < 2 + key.len)
        return;
    p[0] = value_tag(v) | RECORDER_TAG_KEY;
    p[1] = (uint8_t)key.len;
    memcpy(p + 2, key.ptr, key.len);
    size_t n = encode_value(p + 2 + key.len, (size_t)(end - p) - 2 - key.len, v);
    if (n == 0 && v->type != VALUE_BOOL)
        return;
    h->resource_bytes += (uint32_t)(2 + key.len + n);
    h->resource_count++;
}

/* A version 4 UUID from the recorder's id: one instance of the service, one recorder. */
static void add_instance_id(recorder_header *h)
{
    uint64_t low = hash_mix(h->id, 0x736f6e6465u);
    char uuid[40];
    int n = snprintf(uuid, sizeof(uuid), "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(h->id >> 32),
                     (unsigned)(h->id >> 16 & 0xffff), (unsigned)(h->id & 0xfff),
                     (unsigned)(0x8000 | (low >> 48 & 0x3fff)),
                     (unsigned long long)(low & 0xffffffffffffull));
    value v = VALUE_S(str_n(uuid, (size_t)n));
    add_resource(h, STR("service.instance.id"), &v);
}

/* What does not fit is left out, and then readers apply all rules. */
static void fill_redact(recorder_header *h, const recorder_options *options)
{
    str values = options->redact_values, keys = options->redact_keys;
    if (values.len > RECORDER_REDACT_MAX || keys.len > RECORDER_REDACT_MAX - values.len)
        return;
    memcpy(h->redact, values.ptr ? values.ptr : "", values.len);
    memcpy(h->redact + values.len, keys.ptr ? keys.ptr : "", keys.len);
    h->redact_values_bytes = (uint16_t)values.len;
    h->redact_keys_bytes = (uint16_t)keys.len;
    h->redact_check = recorder_redact_check((uint32_t)values.len, (uint32_t)keys.len);
}

static void fill_resource(recorder_header *h, const recorder_options *options)
{
    bool has_instance = false;
    for (size_t i = 0; i < options->resource_count; i++) {
        const attr *a = &options->resource[i];
        has_instance |= str_is(a->key, "service.instance.id");
        if (site_key_is_secret(a->key)) {
            add_resource(h, a->key, &VALUE_S(STR(REDACTED)));
            continue;
        }
        if (!str_is(a->key, "process.pid"))
            add_resource(h, a->key, &a->value);
    }
    value pid = VALUE_I(h->pid);
    add_resource(h, STR("process.pid"), &pid);
    if (!has_instance)
        add_instance_id(h);
}

/* Ticks and wall time of one moment: the tightest of some tries. */
static void read_clocks(uint64_t *ret_ticks, int64_t *ret_real_ns, int64_t *ret_mono_ns)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 5; i++) {
        uint64_t before = tsc_now();
        int64_t real_ns = clock_now_ns(), mono_ns = clock_mono_ns();
        uint64_t after = tsc_now();
        if (after - before < best) {
            best = after - before;
            *ret_ticks = before + (after - before) / 2;
            *ret_real_ns = real_ns;
            *ret_mono_ns = mono_ns;
        }
    }
}

static uint64_t tick_length(uint64_t ticks, int64_t ns)
{
    return (uint64_t)(((unsigned __int128)(uint64_t)ns << 32) / ticks);
}

static void put_row(recorder *r, uint64_t ticks, int64_t real_ns, uint64_t mult)
{
    uint64_t n = r->header->clock_count;
    recorder_clock_row *row = &r->header->clock[n % RECORDER_CLOCK_ROWS];
    atomic_store_explicit(atomic_u64(&row->sequence), 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(atomic_u64(&row->ticks), ticks, memory_order_relaxed);
    atomic_store_explicit(atomic_u64(&row->real_ns), (uint64_t)real_ns, memory_order_relaxed);
    atomic_store_explicit(atomic_u64(&row->mult), mult, memory_order_relaxed);
    atomic_store_explicit(atomic_u64(&row->sequence), n + 1, memory_order_release);
    atomic_store_explicit(atomic_u64(&r->header->clock_count), n + 1, memory_order_release);
}

/* The rate is measured from the first row on, over a time that grows: 200 us at the start. */
void recorder_clock_add(recorder *r)
{
    uint64_t ticks;
    int64_t real_ns, mono_ns;
    if (!tsc_usable) {
        put_row(r, 0, 0, 1ull << 32);
        return;
    }
    read_clocks(&ticks, &real_ns, &mono_ns);
    if (r->calibrated_ticks == 0) {
        r->calibrated_ticks = ticks;
        r->calibrated_mono_ns = mono_ns;
        while (clock_mono_ns() - mono_ns < 200 * NS_PER_US)
            ;
        read_clocks(&ticks, &real_ns, &mono_ns);
    }
    if (ticks <= r->calibrated_ticks || mono_ns <= r->calibrated_mono_ns)
        return;
    put_row(r, ticks, real_ns,
            tick_length(ticks - r->calibrated_ticks, mono_ns - r->calibrated_mono_ns));
}

/* Rows at 10, 20, 40, … ms after the first, then every 10 s. */
void recorder_recalibrate(recorder *r)
{
    uint64_t now = tsc_now();
    atomic_store_explicit(atomic_u64(&r->header->heartbeat), now, memory_order_relaxed);
    if (!tsc_usable)
        return;
    uint64_t n = r->header->clock_count;
    const recorder_clock_row *last = &r->header->clock[(n - 1) % RECORDER_CLOCK_ROWS];
    uint64_t age_ns = (uint64_t)((unsigned __int128)(now - last->ticks) * last->mult >> 32);
    uint64_t due_ns = (uint64_t)(10 * NS_PER_MS) << MIN(n - 1, 10);
    if (age_ns >= MIN(due_ns, (uint64_t)(10 * NS_PER_S)))
        recorder_clock_add(r);
}

void recorder_header_fill(recorder *r, const recorder_options *options)
{
    recorder_header *h = r->header;
    h->version = RECORDER_VERSION;
    h->header_bytes = RECORDER_HEADER_BYTES;
    h->block_bytes = RECORDER_BLOCK_BYTES;
    h->block_count = r->block_count;
    h->table_offset = RECORDER_HEADER_BYTES;
    h->blocks_offset = (uint64_t)(r->blocks - r->base);
    h->id = r->id;
    recorder_boot_id(h->boot_id);
    h->pid = (int32_t)getpid();
    h->pid_start = recorder_proc_start(h->pid);
    h->pid_namespace = recorder_pid_namespace();
    h->start_ns = clock_now_ns();
    recorder_clock_add(r);
    h->heartbeat = tsc_now();
    fill_resource(h, options);
    fill_redact(h, options);
    if (options->external && r->fd >= 0)
        h->flags |= RECORDER_EXTERNAL;
}

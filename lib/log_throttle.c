// SPDX-License-Identifier: Apache-2.0
/* Sites that log less than they are called. The state of a site lies in a table here, so that what
 * it left out can be told at the stop, also when its plugin was unloaded; when the table is full
 * the site keeps it itself. No locks; safe in signal handlers.
 *
 * The rate limit is the generic cell rate algorithm: `due_ns` is the time up to which calls are
 * paid for; it may be ahead of now by one second, or by one interval where that is longer. */
#include "lib/log.h"

#include "lib/state_thread.h"
#include "lib/tsc.h"

#define SITES_MAX 256u

enum { HOW_EVERY = 1, HOW_LIMITED = 2, HOW_SAMPLED = 3 };

typedef struct {
    _Atomic uint64_t calls;
    _Atomic uint64_t due_ns;
    _Atomic uint64_t suppressed; /* since the last record that got through */
} throttle_state;

_Static_assert(sizeof(throttle_state) == sizeof(((sonde_throttle *)0)->own), "it fits");

typedef struct {
    throttle_state state;
    _Atomic uint32_t ready;
    uint8_t level;
    char event[64], logger[64];
} throttle_row;

static throttle_row rows[SITES_MAX];
static _Atomic uint32_t row_count;

static throttle_state *state_new(sonde_throttle *t, const sonde_site *site)
{
    void *none = NULL, *mine = t->own;
    uint32_t n = atomic_load_explicit(&row_count, memory_order_relaxed);
    while (n < SITES_MAX && !atomic_compare_exchange_weak(&row_count, &n, n + 1))
        ;
    throttle_row *row = n < SITES_MAX ? &rows[n] : NULL;
    if (row) {
        row->level = site->level;
        str_copy_c(row->event, sizeof(row->event), str_c(site->name));
        str_copy_c(row->logger, sizeof(row->logger), str_c(site->logger));
        atomic_store_explicit(&row->ready, 1, memory_order_release);
        mine = &row->state;
    }
    /* Another thread may have been first: its row is used, ours stays without a count. */
    if (!__atomic_compare_exchange_n(&t->state, &none, mine, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE))
        return none;
    return mine;
}

static bool within_rate(throttle_state *s, double per_second)
{
    struct timespec t;
    if (!(per_second > 0))
        return false;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
    double every = (double)NS_PER_S / per_second;
    uint64_t interval = every < 1e18 ? (uint64_t)every : (uint64_t)1e18;
    uint64_t ahead = MAX((uint64_t)NS_PER_S, interval);
    uint64_t due = atomic_load_explicit(&s->due_ns, memory_order_relaxed), next;
    do {
        next = MAX(due, now) + interval;
        if (next > now + ahead)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&s->due_ns, &due, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/* The calls' number, scrambled, is as good as a random one here and needs no generator. */
static bool by_chance(throttle_state *s, double ratio)
{
    uint64_t n = atomic_fetch_add_explicit(&s->calls, 1, memory_order_relaxed);
    uint64_t h = hash_mix(n ^ tsc_now(), 0x9e3779b97f4a7c15ull ^ (uintptr_t)s);
    return (double)(h >> 11) * 0x1p-53 < ratio;
}

static bool passes(throttle_state *s, int how, double amount)
{
    switch (how) {
    case HOW_EVERY: {
        uint64_t n = amount >= 1 && amount < 1e18 ? (uint64_t)amount : 1;
        return atomic_fetch_add_explicit(&s->calls, 1, memory_order_relaxed) % n == 0;
    }
    case HOW_LIMITED:
        return within_rate(s, amount);
    default:
        return by_chance(s, amount);
    }
}

bool sonde_throttle_pass_(sonde_throttle *t, const sonde_site *site, int how, double amount)
{
    throttle_state *s = __atomic_load_n(&t->state, __ATOMIC_ACQUIRE);
    if (UNLIKELY(!s))
        s = state_new(t, site);
    if (passes(s, how, amount))
        return true;
    atomic_fetch_add_explicit(&s->suppressed, 1, memory_order_relaxed);
    recorder *r = state_recorder();
    if (r)
        recorder_count_drop(r, SIGNAL_LOGS, RECORDER_DROP_SUPPRESSED, 1);
    return false;
}

uint64_t log_throttle_take(sonde_throttle *t)
{
    throttle_state *s = __atomic_load_n(&t->state, __ATOMIC_ACQUIRE);
    if (!s || atomic_load_explicit(&s->suppressed, memory_order_relaxed) == 0)
        return 0;
    return atomic_exchange_explicit(&s->suppressed, 0, memory_order_relaxed);
}

void log_flush_suppressed(void)
{
    uint32_t count = MIN(atomic_load(&row_count), SITES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        throttle_row *row = &rows[i];
        if (!atomic_load_explicit(&row->ready, memory_order_acquire))
            continue;
        uint64_t n = atomic_exchange_explicit(&row->state.suppressed, 0, memory_order_relaxed);
        sonde_attr said[] = { sonde_kv_str("event", row->event), sonde_kv_u64("suppressed", n) };
        if (n)
            sonde_log_as((sonde_str){ row->logger, strlen(row->logger) }, (sonde_level)row->level,
                         (sonde_str){ "sonde.suppressed", 16 }, said, ARRAY_LEN(said));
    }
}

/* The parent says what it left out before the fork. */
void log_throttles_forked(void)
{
    uint32_t count = MIN(atomic_load(&row_count), SITES_MAX);
    for (uint32_t i = 0; i < count; i++)
        atomic_store_explicit(&rows[i].state.suppressed, 0, memory_order_relaxed);
}

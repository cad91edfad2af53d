// SPDX-License-Identifier: Apache-2.0
/* Shards are lent to threads: twelve to one thread at a time, four to all the others. A shard's
 * cells keep their values when it goes from a thread that ended to a new one, and the order of the
 * two is that of `taken`. */
#include "lib/metric_shard.h"

#include "lib/metric.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

_Thread_local uint32_t metric_thread_shard;

static const volatile uint32_t never_forked = UINT32_MAX;
const volatile uint32_t *metric_mark = &never_forked;

static uint32_t *mark_page;
static _Atomic uint32_t taken;   /* bit n: shard n + 1 belongs to a thread */
static _Atomic uint32_t sharers; /* threads that got a shared one */
static pthread_key_t at_exit;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static bool has_key;

static uint32_t shared_shard(void)
{
    uint32_t n = atomic_fetch_add_explicit(&sharers, 1, memory_order_relaxed);
    return METRIC_OWNED_SHARDS + 1 + n % (METRIC_SHARDS - METRIC_OWNED_SHARDS);
}

static void give_back(void *shard)
{
    uint32_t bit = 1u << ((uintptr_t)shard - 1);
    /* What the thread still does (other destructors) goes to a shared one. */
    metric_thread_shard = shared_shard();
    atomic_fetch_and_explicit(&taken, ~bit, memory_order_release);
}

static void make_key(void)
{
    has_key = pthread_key_create(&at_exit, give_back) == 0;
}

void metric_shard_take(void)
{
    if (metric_thread_shard != 0)
        return;
    pthread_once(&key_once, make_key);
    uint32_t all = (1u << METRIC_OWNED_SHARDS) - 1;
    uint32_t old = atomic_load_explicit(&taken, memory_order_relaxed);
    while (has_key && (old & all) != all) {
        uint32_t bit = (uint32_t)__builtin_ctz(~old);
        if (!atomic_compare_exchange_weak_explicit(&taken, &old, old | 1u << bit,
                                                   memory_order_acquire, memory_order_relaxed))
            continue;
        if (pthread_setspecific(at_exit, (void *)(uintptr_t)(bit + 1)) == 0) {
            metric_thread_shard = bit + 1;
            return;
        }
        atomic_fetch_and_explicit(&taken, ~(1u << bit), memory_order_release);
        break;
    }
    metric_thread_shard = shared_shard();
}

static void mark_child(void)
{
    if (mark_page)
        *mark_page = 0;
}

void metric_mark_init(void)
{
    if (mark_page)
        return;
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return;
    mark_page = page;
    *mark_page = UINT32_MAX;
    (void)madvise(page, bytes, MADV_WIPEONFORK);
    /* For kernels before 4.14, which cannot wipe. */
    (void)pthread_atfork(NULL, NULL, mark_child);
    metric_mark = mark_page;
}

bool metric_shard_forked(void)
{
    if (*metric_mark != 0)
        return false;
    uint32_t own = metric_thread_shard;
    bool is_owner = own >= 1 && own <= METRIC_OWNED_SHARDS;
    atomic_store(&taken, is_owner ? 1u << (own - 1) : 0);
    *mark_page = UINT32_MAX;
    return true;
}

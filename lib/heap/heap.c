// SPDX-License-Identifier: Apache-2.0
/* libsonde_heap.so: samples allocations for /debug/pprof/heap. Preloaded, or linked before libc, it
 * stands in front of malloc and its kin and passes every call on. About every 512 KiB of allocated
 * bytes (by an exponential distribution, so that no pattern of the program escapes) one
 * allocation's stack is noted, and freed ones are taken off again. All tables are static and
 * bounded; what has no room is counted. A call that is not sampled costs a subtraction, a free one
 * lookup of a byte. */
#include "lib/heap/heap.h"
#include "lib/pprof.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

enum {
    PERIOD_DEFAULT = 512 << 10,
    STACKS_MAX = 16384, /* a power of two */
    FRAMES_MAX = 1 << 20,
    BUCKETS = 4096, /* of live samples */
    BUCKET_SLOTS = 16,
    FRAMES_OF_ONE = 64
};

/* ---- the allocator behind ---- */

static struct {
    void *(*malloc)(size_t);
    void (*free)(void *);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*memalign)(size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
} next;

/* dlsym may allocate before it has told where to: that memory is never given back. */
static _Alignas(16) char early[32 << 10];
static _Atomic size_t early_used;
static _Atomic int ready; /* 0 no, 1 being prepared, 2 yes */

static void *early_alloc(size_t size)
{
    size_t need = (size + 31) & ~(size_t)15; /* 16 bytes before it hold the size */
    size_t at = atomic_fetch_add(&early_used, need);
    if (size > sizeof(early) || at + need > sizeof(early))
        return NULL;
    memcpy(early + at, &size, sizeof(size));
    return early + at + 16;
}

static bool is_early(const void *p)
{
    return (const char *)p >= early && (const char *)p < early + sizeof(early);
}

static uint64_t period = PERIOD_DEFAULT;

static void prepare(void)
{
    int expected = 0;
    if (!atomic_compare_exchange_strong(&ready, &expected, 1))
        return;
    *(void **)&next.free = dlsym(RTLD_NEXT, "free");
    *(void **)&next.calloc = dlsym(RTLD_NEXT, "calloc");
    *(void **)&next.realloc = dlsym(RTLD_NEXT, "realloc");
    *(void **)&next.aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
    *(void **)&next.memalign = dlsym(RTLD_NEXT, "memalign");
    *(void **)&next.posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
    *(void **)&next.malloc = dlsym(RTLD_NEXT, "malloc");
    const char *wanted = getenv("SONDE_HEAP_SAMPLE_BYTES");
    if (wanted && strtoull(wanted, NULL, 10))
        period = strtoull(wanted, NULL, 10);
    atomic_store(&ready, 2);
}

static bool is_ready(void)
{
    if (LIKELY(atomic_load_explicit(&ready, memory_order_acquire) == 2))
        return true;
    prepare();
    return ready == 2;
}

/* ---- stacks ---- */

typedef struct {
    uint64_t hash;
    uint32_t depth, at; /* in `frames` */
    _Atomic uint64_t alloc_count, alloc_bytes, live_count, live_bytes;
} stack_row;

static stack_row stacks[STACKS_MAX];
static uint32_t by_hash[2 * STACKS_MAX]; /* number + 1 */
static uint64_t frames[FRAMES_MAX];
static _Atomic uint32_t stack_count;
static uint32_t frames_used;
static _Atomic bool stacks_locked;
static _Atomic uint64_t lost;

static void stacks_lock(void)
{
    while (atomic_exchange_explicit(&stacks_locked, true, memory_order_acquire))
        sched_yield();
}

static void stacks_unlock(void)
{
    atomic_store_explicit(&stacks_locked, false, memory_order_release);
}

static bool same_stack(const stack_row *s, uint64_t hash, const uint64_t *f, uint32_t depth)
{
    return s->hash == hash && s->depth == depth &&
           memcmp(&frames[s->at], f, depth * sizeof(*f)) == 0;
}

/* Under the lock. NULL: no room. */
static stack_row *find_stack(const uint64_t *f, uint32_t depth)
{
    uint64_t hash = 1469598103934665603ull;
    for (uint32_t i = 0; i < depth; i++)
        hash = (hash ^ f[i]) * 1099511628211ull;
    hash ^= hash >> 29;
    uint32_t count = stack_count, mask = 2 * STACKS_MAX - 1, slot = (uint32_t)hash & mask;
    for (; by_hash[slot]; slot = (slot + 1) & mask)
        if (same_stack(&stacks[by_hash[slot] - 1], hash, f, depth))
            return &stacks[by_hash[slot] - 1];
    if (count == STACKS_MAX || depth > FRAMES_MAX - frames_used)
        return NULL;
    stack_row *s = &stacks[count];
    s->hash = hash;
    s->depth = depth;
    s->at = frames_used;
    memcpy(&frames[frames_used], f, depth * sizeof(*f));
    frames_used += depth;
    by_hash[slot] = count + 1;
    atomic_store_explicit(&stack_count, count + 1, memory_order_release);
    return s;
}

/* ---- sampled allocations that live ---- */

typedef struct {
    stack_row *stack;
    size_t size;
} live_sample;

static _Atomic uintptr_t live_address[BUCKETS][BUCKET_SLOTS]; /* 1: being filled */
static live_sample live_data[BUCKETS][BUCKET_SLOTS];
static _Atomic uint8_t live_in_bucket[BUCKETS];

static uint32_t bucket_of(const void *p)
{
    return (uint32_t)(((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15ull >> 52);
}

static void live_add(const void *p, live_sample sample)
{
    uint32_t b = bucket_of(p);
    for (int i = 0; i < BUCKET_SLOTS; i++) {
        uintptr_t empty = 0;
        if (live_address[b][i] || !atomic_compare_exchange_strong(&live_address[b][i], &empty, 1))
            continue;
        live_data[b][i] = sample;
        live_in_bucket[b]++;
        sample.stack->live_count++;
        sample.stack->live_bytes += sample.size;
        atomic_store_explicit(&live_address[b][i], (uintptr_t)p, memory_order_release);
        return;
    }
    lost++;
}

/* Takes a pointer that is about to be freed off; what it was, stack NULL: not sampled. */
static live_sample live_take(const void *p)
{
    uint32_t b = bucket_of(p);
    if (LIKELY(atomic_load_explicit(&live_in_bucket[b], memory_order_relaxed) == 0))
        return (live_sample){ NULL, 0 };
    for (int i = 0; i < BUCKET_SLOTS; i++) {
        if (atomic_load_explicit(&live_address[b][i], memory_order_acquire) != (uintptr_t)p)
            continue;
        live_sample was = live_data[b][i];
        was.stack->live_count--;
        was.stack->live_bytes -= was.size;
        live_in_bucket[b]--;
        atomic_store_explicit(&live_address[b][i], 0, memory_order_release);
        return was;
    }
    return (live_sample){ NULL, 0 };
}

/* ---- taking samples ---- */

static _Thread_local int64_t bytes_left; /* until the next sample */
static _Thread_local uint64_t random_bits;
static _Thread_local bool inside;
static _Thread_local uintptr_t stack_low, stack_end;

static uint64_t next_random(void)
{
    random_bits ^= random_bits << 13;
    random_bits ^= random_bits >> 7;
    random_bits ^= random_bits << 17;
    return random_bits;
}

static int64_t next_distance(void)
{
    double u = ((double)(next_random() >> 11) + 1) / 9007199254740993.0;
    double distance = period > 1 ? -log(u) * (double)period : 0;
    return distance < 1 ? 1 : (int64_t)distance;
}

static void know_thread(void)
{
    pthread_attr_t attributes;
    void *low;
    size_t size;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    random_bits = ((uint64_t)now.tv_nsec << 32 ^ (uintptr_t)&bytes_left) | 1;
    for (int i = 0; i < 4; i++)
        next_random();
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return;
    if (pthread_attr_getstack(&attributes, &low, &size) == 0) {
        stack_low = (uintptr_t)low;
        stack_end = stack_low + size;
    }
    pthread_attr_destroy(&attributes);
}

/* Where this library's code lies: its frames are left out. */
static bool is_own(uint64_t address)
{
    static _Atomic uintptr_t start, end;
    if (!end) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
        struct dl_find_object found;
        if (_dl_find_object((void *)(uintptr_t)is_own, &found) == 0) {
            start = (uintptr_t)found.dlfo_map_start;
            end = (uintptr_t)found.dlfo_map_end;
        }
#endif
        if (!end)
            end = 1;
    }
    return address >= start && address < end;
}

static __attribute__((noinline)) uint32_t take_stack(uint64_t *ret)
{
    uint64_t all[FRAMES_OF_ONE + 8];
    ucontext_t context;
    unwind_state s;
    if (getcontext(&context) != 0)
        return 0;
    unwind_from_context(&s, &context);
    bool known = s.sp >= stack_low && s.sp < stack_end;
    uint32_t depth = unwind_stack(&s, known ? stack_end : 0, all, FRAMES_OF_ONE + 8), skip = 0;
    while (skip < depth && is_own(all[skip]))
        skip++;
    depth = MIN(depth - skip, (uint32_t)FRAMES_OF_ONE);
    memcpy(ret, all + skip, depth * sizeof(*ret));
    return depth;
}

static void sample(const void *p, size_t size)
{
    uint64_t f[FRAMES_OF_ONE];
    int saved = errno;
    inside = true;
    bool is_new = random_bits == 0;
    if (is_new)
        know_thread();
    bytes_left = next_distance();
    if (is_new && period > 1) {
        inside = false;
        errno = saved;
        return;
    }
    uint32_t depth = take_stack(f);
    stacks_lock();
    stack_row *s = find_stack(f, depth);
    stacks_unlock();
    if (s) {
        s->alloc_count++;
        s->alloc_bytes += size;
        live_add(p, (live_sample){ s, size });
    } else {
        lost++;
    }
    inside = false;
    errno = saved;
}

static inline void *noted(void *p, size_t size)
{
    if (UNLIKELY((bytes_left -= (int64_t)size) <= 0) && p && !inside)
        sample(p, size);
    return p;
}

/* ---- what stands in front ---- */

PUBLIC void *malloc(size_t size)
{
    return is_ready() ? noted(next.malloc(size), size) : early_alloc(size);
}

PUBLIC void free(void *p)
{
    if (!p || is_early(p) || !is_ready())
        return;
    live_take(p);
    next.free(p);
}

PUBLIC void *calloc(size_t count, size_t size)
{
    return is_ready() ? noted(next.calloc(count, size), count * size)
                      : early_alloc(count * size); /* static memory is zero */
}

static void *move_early(const void *p, size_t size)
{
    size_t old;
    memcpy(&old, (const char *)p - 16, sizeof(old));
    void *q = malloc(size);
    if (q)
        memcpy(q, p, MIN(old, size));
    return q;
}

PUBLIC void *realloc(void *p, size_t size)
{
    if (!p)
        return malloc(size);
    if (is_early(p))
        return move_early(p, size);
    live_sample was = live_take(p);
    void *q = next.realloc(p, size);
    if (!q && size && was.stack)
        live_add(p, was); /* it failed: the old one lives on */
    return noted(q, size);
}

PUBLIC void *reallocarray(void *p, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(p, bytes);
}

PUBLIC void *aligned_alloc(size_t align, size_t size)
{
    return is_ready() ? noted(next.aligned_alloc(align, size), size) : NULL;
}

PUBLIC void *memalign(size_t align, size_t size)
{
    return is_ready() ? noted(next.memalign(align, size), size) : NULL;
}

PUBLIC int posix_memalign(void **ret, size_t align, size_t size)
{
    int failed = is_ready() ? next.posix_memalign(ret, align, size) : ENOMEM;
    if (!failed)
        noted(*ret, size);
    return failed;
}

PUBLIC void *valloc(size_t size)
{
    return memalign((size_t)sysconf(_SC_PAGESIZE), size);
}

/* ---- for libsonde ---- */

PUBLIC void sonde_heap_read_1(sonde_heap_visit *visit, void *user, sonde_heap_state *ret);

void sonde_heap_read_1(sonde_heap_visit *visit, void *user, sonde_heap_state *ret)
{
    uint32_t count = atomic_load_explicit(&stack_count, memory_order_acquire);
    *ret = (sonde_heap_state){ period, lost };
    for (uint32_t i = 0; i < count; i++) {
        const stack_row *s = &stacks[i];
        sonde_heap_stack view = { &frames[s->at], s->depth,      s->alloc_count,
                                  s->alloc_bytes, s->live_count, s->live_bytes };
        visit(user, &view);
    }
}

/* A child of fork must not find the lock taken. */
__attribute__((constructor)) static void register_fork(void)
{
    is_ready();
    pthread_atfork(stacks_lock, stacks_unlock, stacks_unlock);
}

// SPDX-License-Identifier: Apache-2.0
/* The few macros that all of sonde uses. Stands on the C library only. */
#ifndef SONDE_BASE_BASE_H
#define SONDE_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE          __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define AUTO(cleanup_fn)  __attribute__((cleanup(cleanup_fn)))
#define UNUSED            __attribute__((unused))
/* In a loop that waits for another thread. */
#if defined(__x86_64__) || defined(__i386__)
#define CPU_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define CPU_PAUSE() __asm__ volatile("yield")
#else
#define CPU_PAUSE() __asm__ volatile("" ::: "memory")
#endif
/* A function that copies what other threads may be changing, by a protocol that tells the reader.
 */
#ifdef __SANITIZE_THREAD__
#define TSAN_BLIND __attribute__((noinline, no_sanitize("thread")))
#else
#define TSAN_BLIND
#endif
#define NOINLINE    __attribute__((noinline))
#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define KiB(n)       ((size_t)(n) << 10)
#define MiB(n)       ((size_t)(n) << 20)
#define GiB(n)       ((size_t)(n) << 30)

#define NS_PER_US 1000LL
#define NS_PER_MS 1000000LL
#define NS_PER_S  1000000000LL

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* True, and *ret unwritten, when a * b does not fit. */
static inline bool mul_overflows(size_t *ret, size_t a, size_t b)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return true;
    *ret = product;
    return false;
}

#endif

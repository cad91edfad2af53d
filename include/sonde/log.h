/* SPDX-License-Identifier: Apache-2.0 */
/* Structured logs.
 *
 *     sonde_info("order_placed", sonde_kv("order_id", 42), sonde_kv("total", 99.5));
 *
 * The first argument names the event and is a string literal; what varies goes into attributes.
 * Each call site registers itself at its first call. A record carries the trace, span and context
 * (context.h) it was made in. What returned is in the recorder and survives the process.
 *
 * One record has at most 64 KiB: longer values are cut and marked by an attribute sonde.cut. When
 * the recorder is full the record is dropped and counted; a call never waits, allocates or locks,
 * and makes system calls only when a thread takes a new block.
 *
 * All of it is thread-safe, works after fork (the child gets a recorder of its own) and in signal
 * handlers. Arguments of a disabled level are not evaluated. */
#ifndef SONDE_LOG_H
#define SONDE_LOG_H

#include <sonde/kv.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* OpenTelemetry severity numbers. */
typedef enum {
    SONDE_DEBUG = 5,
    SONDE_INFO = 9,
    SONDE_WARN = 13,
    SONDE_ERROR = 17,
    SONDE_FATAL = 21
} sonde_level;

/* sonde_debug(event, kv…) and so on. sonde_fatal records; it does not end the program. */
#define sonde_debug(...) SONDE_LOG_(SONDE_DEBUG, __VA_ARGS__)
#define sonde_info(...)  SONDE_LOG_(SONDE_INFO, __VA_ARGS__)
#define sonde_warn(...)  SONDE_LOG_(SONDE_WARN, __VA_ARGS__)
#define sonde_error(...) SONDE_LOG_(SONDE_ERROR, __VA_ARGS__)
#define sonde_fatal(...) SONDE_LOG_(SONDE_FATAL, __VA_ARGS__)

/* For wrappers and other languages: level and event are known only at run time. Slower. */
void sonde_log(sonde_level level, sonde_str event, const sonde_attr *attrs, size_t count);

/* The lowest level that is kept, at once and for all threads. */
void sonde_log_level_set(sonde_level level);
sonde_level sonde_log_level(void);
/* For arguments that are dear to compute. */
#define sonde_log_enabled(at) ((unsigned)(at) >= sonde_gate_.level)

/* ---- what the macros use ---- */

#define SONDE_SITE_KEYS 12

/* A static call site. The library fills `slot` and `keys` at the first call. */
typedef struct {
    const char *name;
    const char *file;
    const char *function;
    uint32_t line;
    uint8_t level; /* 0: a span */
    uint8_t key_count;
    uint16_t redacted; /* bit per key */
    uint64_t slot;     /* recorder generation << 32 | number in its site table */
    const char *keys[SONDE_SITE_KEYS];
} sonde_site;

/* level: lowest level that is kept; 254: the library is off; 255: not started. */
typedef struct {
    unsigned char level;
} sonde_gate;
extern sonde_gate sonde_gate_;

void sonde_log_(sonde_site *site, const sonde_attr *attrs, size_t count);
void sonde_early_(int signal); /* counts a call made while the library was not started */

#define SONDE_SITE_INIT_(level_, name_) \
    { \
        "" name_, __FILE__, __func__, __LINE__, (level_), 0, 0, 0, \
        { \
            0 \
        } \
    }
#define SONDE_LOG_(level_, event, ...) \
    do { \
        if (__builtin_expect((level_) >= sonde_gate_.level, 1)) { \
            static sonde_site sonde_site_ = SONDE_SITE_INIT_(level_, event); \
            sonde_log_(&sonde_site_, SONDE_ATTRS_(__VA_ARGS__)); \
        } else if (__builtin_expect(sonde_gate_.level == 255, 0)) { \
            sonde_early_(0); \
        } \
    } while (0)

#pragma GCC visibility pop
#ifdef __cplusplus
} /* extern "C" */

SONDE_INLINE void sonde_log_(sonde_site *site, sonde_attrs_ attrs)
{
    sonde_log_(site, attrs.begin(), attrs.size());
}
#endif
#endif

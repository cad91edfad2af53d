/* SPDX-License-Identifier: Apache-2.0 */
/* Structured logs.
 *
 *     #define SONDE_LOGGER "app.db"   // optional, before the include: this file's logger
 *     #include <sonde/sonde.h>
 *
 *     sonde_info("order_placed", sonde_kv("order_id", 42), sonde_kv("total", 99.5));
 *
 * The first argument names the event and is a string literal; what varies goes into attributes.
 * Each call site registers itself at its first call. A record carries the trace, span and context
 * (context.h) it was made in. What returned is in the recorder and survives the process.
 *
 * One record has at most 64 KiB: longer values are cut and marked by an attribute sonde.cut. When
 * the recorder is full the record is dropped and counted; a call never waits (but see
 * sonde_options.full_wait_ms), allocates or locks, and makes system calls only when a thread takes
 * a new block.
 *
 * Unless said otherwise, everything here is thread-safe, works after fork (the child gets a
 * recorder of its own) and in signal handlers, and owns nothing that it is given. Arguments of a
 * disabled level are not evaluated. */
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

/* The logger of a file's records: a string literal, "" for none. Define it before the first include
 * of a sonde header, or #undef and define it later: it counts where a log macro is used. The name
 * is the instrumentation scope of OpenTelemetry and "logger" in JSON. Dots make families: a level
 * for "app" holds for "app.db" too. 512 loggers of at most 63 bytes are told apart; what is beyond
 * has the level of the program. */
#ifndef SONDE_LOGGER
#define SONDE_LOGGER ""
#endif

/* sonde_debug(event, kv…) and so on. sonde_fatal records; it does not end the program. */
#define sonde_debug(...) SONDE_LOG_(SONDE_DEBUG, __VA_ARGS__)
#define sonde_info(...)  SONDE_LOG_(SONDE_INFO, __VA_ARGS__)
#define sonde_warn(...)  SONDE_LOG_(SONDE_WARN, __VA_ARGS__)
#define sonde_error(...) SONDE_LOG_(SONDE_ERROR, __VA_ARGS__)
#define sonde_fatal(...) SONDE_LOG_(SONDE_FATAL, __VA_ARGS__)

/* sonde_log_to(logger, level, event, kv…): by another logger than the file's. `logger` is a string
 * literal, `level` a constant. */
#define sonde_log_to(logger, level, ...) SONDE_LOG_AS_(logger, level, __VA_ARGS__)

/* ---- less of it ----
 *
 * What a site leaves out is counted: the next record of it that gets through has an attribute
 * "suppressed" with the number since the last one, what is still pending at sonde_stop is written
 * as an event "sonde.suppressed" {event, suppressed}, and the metric sonde_suppressed_total counts
 * all of them. Arguments of a record that is left out are not evaluated. 256 sites are written out
 * at the stop; those beyond are still limited and counted. */

/* sonde_info_every(n, event, kv…): the first call of the site and every n-th one after it, over all
 * threads. n < 1 is 1. */
#define sonde_debug_every(n, ...) SONDE_LOG_SOME_(1, n, SONDE_DEBUG, __VA_ARGS__)
#define sonde_info_every(n, ...)  SONDE_LOG_SOME_(1, n, SONDE_INFO, __VA_ARGS__)
#define sonde_warn_every(n, ...)  SONDE_LOG_SOME_(1, n, SONDE_WARN, __VA_ARGS__)
#define sonde_error_every(n, ...) SONDE_LOG_SOME_(1, n, SONDE_ERROR, __VA_ARGS__)

/* sonde_info_limited(per_second, event, kv…): at most so many a second from this site, after quiet
 * times up to one second's worth at once. Fractions are fine: 0.1 is one in ten seconds. What is
 * not above 0 lets nothing through. */
#define sonde_debug_limited(per_second, ...) \
    SONDE_LOG_SOME_(2, per_second, SONDE_DEBUG, __VA_ARGS__)
#define sonde_info_limited(per_second, ...) SONDE_LOG_SOME_(2, per_second, SONDE_INFO, __VA_ARGS__)
#define sonde_warn_limited(per_second, ...) SONDE_LOG_SOME_(2, per_second, SONDE_WARN, __VA_ARGS__)
#define sonde_error_limited(per_second, ...) \
    SONDE_LOG_SOME_(2, per_second, SONDE_ERROR, __VA_ARGS__)

/* sonde_info_sampled(ratio, event, kv…): each call with this probability, from 0 to 1. */
#define sonde_debug_sampled(ratio, ...) SONDE_LOG_SOME_(3, ratio, SONDE_DEBUG, __VA_ARGS__)
#define sonde_info_sampled(ratio, ...)  SONDE_LOG_SOME_(3, ratio, SONDE_INFO, __VA_ARGS__)
#define sonde_warn_sampled(ratio, ...)  SONDE_LOG_SOME_(3, ratio, SONDE_WARN, __VA_ARGS__)
#define sonde_error_sampled(ratio, ...) SONDE_LOG_SOME_(3, ratio, SONDE_ERROR, __VA_ARGS__)

/* ---- for wrappers and other languages: what is known only at run time. Slower. ---- */

void sonde_log(sonde_level level, sonde_str event, const sonde_attr *attrs, size_t count);
/* The same by a logger; {0}: none. */
void sonde_log_as(sonde_str logger, sonde_level level, sonde_str event, const sonde_attr *attrs,
                  size_t count);

/* ---- levels, changed at run time ---- */

/* The lowest level that is kept, at once and for all threads, by loggers that have no level of
 * their own. Not for signal handlers. */
void sonde_log_level_set(sonde_level level);
sonde_level sonde_log_level(void);

/* The lowest level that is kept by the logger `name` and those below it ("db" holds for "db.pool",
 * the longer name wins), also by loggers that come later; 0 takes the level away again. `name` NULL
 * or "": as sonde_log_level_set. It is copied. 0, or -1 when the name has more than 63 bytes, the
 * level is none of the above, or 64 names have levels. Not for signal handlers. */
int sonde_logger_level_set(const char *name, sonde_level level);
/* The level that holds for a name, known or not. */
sonde_level sonde_logger_level(const char *name);
/* Calls `visit` for the program's level (name ""), then for every name that was given a level, then
 * for the other loggers seen so far. `own`: it was given the level itself. The name is valid during
 * the call; visit may change levels. Not for signal handlers. */
typedef void sonde_logger_visit(void *user, const char *name, sonde_level level, bool own);
void sonde_logger_each(sonde_logger_visit *visit, void *user);

/* sonde_log_enabled(level): for arguments that are dear to compute, whether this file's logger
 * keeps the level. As cheap as a log call of a disabled level; safe in signal handlers. */
#define sonde_log_enabled(at) SONDE_LOG_ENABLED_(SONDE_LOGGER, at)

/* ---- what the macros use ---- */

#define SONDE_SITE_KEYS 12

/* level: lowest level that is kept; 254: the library is off; 255: not started, or a logger that the
 * library has not seen. */
typedef struct {
    unsigned char level;
} sonde_gate;
extern sonde_gate sonde_gate_;         /* of the program */
extern sonde_gate sonde_gate_unknown_; /* always 255 */

/* A static call site. The library fills `slot` and `keys` at the first call. */
typedef struct {
    uint64_t slot;          /* recorder generation << 32 | number in its site table */
    const sonde_gate *gate; /* of its logger, where it has one; atomic */
    uint8_t level;          /* 0: a span */
    uint8_t key_count;
    uint16_t redacted; /* bit per key */
    uint32_t line;
    const char *keys[SONDE_SITE_KEYS];
    const char *name;
    const char *file;
    const char *function;
    const char *logger; /* "": none */
} sonde_site;

/* What a site with a limit keeps; all zero at first. */
typedef struct {
    void *state; /* the library's, or `own` when there are too many */
    uint64_t own[3];
} sonde_throttle;

void sonde_log_(sonde_site *site, const sonde_attr *attrs, size_t count);
void sonde_log_after_(sonde_throttle *throttle, sonde_site *site, const sonde_attr *attrs,
                      size_t count);
bool sonde_throttle_pass_(sonde_throttle *throttle, const sonde_site *site, int how, double amount);
void sonde_early_(int signal); /* counts a call made while the library was not started */
/* The gate is at 255: finds the logger's, or counts a call that came too early. True: go on. */
bool sonde_gate_slow_(sonde_site *site);

#define SONDE_SITE_AS_(logger_, level_, name_) \
    { \
        0, &sonde_gate_unknown_, (level_), 0, 0, __LINE__, { 0 }, "" name_, __FILE__, __func__, \
            "" logger_ \
    }
#define SONDE_SITE_INIT_(level_, name_) SONDE_SITE_AS_(SONDE_LOGGER, level_, name_)
/* Without a logger it is one load from a fixed address. */
#define SONDE_GATE_LEVEL_(logger_, site) \
    (sizeof("" logger_) == 1 ? sonde_gate_.level \
                             : __atomic_load_n(&(site).gate, __ATOMIC_RELAXED)->level)
#define SONDE_GATE_OPEN_(logger_, level_, site) \
    (__builtin_expect((level_) >= SONDE_GATE_LEVEL_(logger_, site), 1) || \
     (__builtin_expect(SONDE_GATE_LEVEL_(logger_, site) == 255, 0) && sonde_gate_slow_(&(site))))

#define SONDE_LOG_ENABLED_(logger_, at) \
    __extension__({ \
        static sonde_site sonde_site_ = SONDE_SITE_AS_(logger_, SONDE_FATAL, ""); \
        if (SONDE_GATE_LEVEL_(logger_, sonde_site_) == 255 && sonde_gate_.level < 254) \
            (void)sonde_gate_slow_(&sonde_site_); \
        unsigned char sonde_level_ = SONDE_GATE_LEVEL_(logger_, sonde_site_); \
        (unsigned)(at) >= (sonde_level_ == 255 ? sonde_gate_.level : sonde_level_); \
    })

#define SONDE_LOG_(level_, ...) SONDE_LOG_AS_(SONDE_LOGGER, level_, __VA_ARGS__)
#define SONDE_LOG_AS_(logger_, level_, event, ...) \
    do { \
        static sonde_site sonde_site_ = SONDE_SITE_AS_(logger_, level_, event); \
        if (SONDE_GATE_OPEN_(logger_, level_, sonde_site_)) \
            sonde_log_(&sonde_site_, SONDE_ATTRS_(__VA_ARGS__)); \
    } while (0)
#define SONDE_LOG_SOME_(how, amount, level_, ...) \
    SONDE_LOG_SOME_AS_(how, amount, SONDE_LOGGER, level_, __VA_ARGS__)
#define SONDE_LOG_SOME_AS_(how, amount, logger_, level_, event, ...) \
    do { \
        static sonde_site sonde_site_ = SONDE_SITE_AS_(logger_, level_, event); \
        static sonde_throttle sonde_throttle_; \
        if (SONDE_GATE_OPEN_(logger_, level_, sonde_site_) && \
            sonde_throttle_pass_(&sonde_throttle_, &sonde_site_, how, (double)(amount))) \
            sonde_log_after_(&sonde_throttle_, &sonde_site_, SONDE_ATTRS_(__VA_ARGS__)); \
    } while (0)

#pragma GCC visibility pop
#ifdef __cplusplus
} /* extern "C" */

SONDE_INLINE void sonde_log_(sonde_site *site, sonde_attrs_ attrs)
{
    sonde_log_(site, attrs.begin(), attrs.size());
}
SONDE_INLINE void sonde_log_after_(sonde_throttle *throttle, sonde_site *site, sonde_attrs_ attrs)
{
    sonde_log_after_(throttle, site, attrs.begin(), attrs.size());
}
#endif
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes: a key and a typed value, made in place at a call.
 *
 *     sonde_info("order_placed", sonde_kv("order_id", 42), sonde_kv("total", 99.5));
 *     sonde_error("db_failed", sonde_kv_errno(errno), sonde_kv_fmt("detail", "row %d", i));
 *
 * sonde_kv(key, value) takes bool, all integers, floating point, const char * (NULL is recorded as
 * null) and sonde_str; any other type does not compile. In C11 `true` is an int: the literals true
 * and false are recognised, a comparison such as `a == b` is recorded as 0 or 1.
 *
 * Nothing is copied or owned: key and value must live until the call that takes the attribute
 * returns. Keys have at most 255 bytes. Keys whose name says that the value is a secret (password,
 * token, authorization, cookie, secret, api_key, …, in any case) are recorded as "[REDACTED]"; the
 * value is not written anywhere. Everything here is safe in signal handlers but sonde_kv_fmt and
 * sonde_kv_backtrace. */
#ifndef SONDE_KV_H
#define SONDE_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* Text by pointer and length: need not be terminated, is not owned. */
typedef struct {
    const char *ptr;
    size_t len;
} sonde_str;

/* The numbers are those of the recorder file. */
typedef enum {
    SONDE_TYPE_NULL = 1,
    SONDE_TYPE_BOOL = 2,
    SONDE_TYPE_I64 = 4,
    SONDE_TYPE_U64 = 5,
    SONDE_TYPE_F64 = 6,
    SONDE_TYPE_STR = 7,
    SONDE_TYPE_BYTES = 8,
    SONDE_TYPE_GROUP = 10
} sonde_type;

/* Made by the functions below; the members are not for programs. */
typedef struct {
    const char *key;
    union {
        int64_t i64;
        uint64_t u64;
        double f64;
        const void *ptr;
    } value;
    uint32_t len; /* bytes of a text, attributes of a group, else 0 */
    uint16_t key_len;
    uint8_t type;
    uint8_t literal; /* 1: the key is a string literal, the call site may remember its address */
} sonde_attr;

#define SONDE_INLINE static inline __attribute__((always_inline, unused))

SONDE_INLINE sonde_attr sonde_attr_(const char *key, sonde_type type, size_t len)
{
    sonde_attr a;
    size_t key_len = key ? strlen(key) : 0;
    a.key = key;
    a.value.u64 = 0;
    a.len = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
    a.key_len = (uint16_t)(key_len > 255 ? 255 : key_len);
    a.type = (uint8_t)type;
    a.literal = 0;
    return a;
}

/* Begins the array of a call, which may be empty. Skipped, hence not filled: an element of zeros
 * would have the compiler clear the whole array at each call. */
SONDE_INLINE sonde_attr sonde_attr_none_(void)
{
    sonde_attr a;
    __asm__("" : "=m"(a));
    return a;
}

SONDE_INLINE sonde_attr sonde_kv_i64(const char *key, int64_t v)
{
    sonde_attr a = sonde_attr_(key, SONDE_TYPE_I64, 0);
    a.value.i64 = v;
    return a;
}

SONDE_INLINE sonde_attr sonde_kv_u64(const char *key, uint64_t v)
{
    sonde_attr a = sonde_attr_(key, SONDE_TYPE_U64, 0);
    a.value.u64 = v;
    return a;
}

SONDE_INLINE sonde_attr sonde_kv_f64(const char *key, double v)
{
    sonde_attr a = sonde_attr_(key, SONDE_TYPE_F64, 0);
    a.value.f64 = v;
    return a;
}

SONDE_INLINE sonde_attr sonde_kv_bool(const char *key, bool v)
{
    sonde_attr a = sonde_attr_(key, SONDE_TYPE_BOOL, 0);
    a.value.u64 = v;
    return a;
}

/* Terminated text; NULL is recorded as null. */
SONDE_INLINE sonde_attr sonde_kv_str(const char *key, const char *v)
{
    sonde_attr a = sonde_attr_(key, v ? SONDE_TYPE_STR : SONDE_TYPE_NULL, v ? strlen(v) : 0);
    a.value.ptr = v;
    return a;
}

SONDE_INLINE sonde_attr sonde_kv_text(const char *key, sonde_str v)
{
    sonde_attr a = sonde_attr_(key, SONDE_TYPE_STR, v.len);
    a.value.ptr = v.ptr;
    return a;
}

SONDE_INLINE sonde_attr sonde_kv_bytes(const char *key, const void *bytes, size_t n)
{
    sonde_attr a = sonde_attr_(key, SONDE_TYPE_BYTES, n);
    a.value.ptr = bytes;
    return a;
}

/* Formats into `buffer`, cut to its size; sonde_kv_fmt brings a buffer along. Not for signal
 * handlers. */
sonde_attr sonde_kv_fmt_(const char *key, char *buffer, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Key "error", value "ENOENT: No such file or directory". Safe in signal handlers. */
sonde_attr sonde_kv_errno_(char *buffer, size_t size, int errnum);

/* Key "exception.stacktrace": the calls that led here, one line each, "#0 file(function+0x12)";
 * cut to the buffer. Some microseconds; not for signal handlers. */
sonde_attr sonde_kv_backtrace_(char *buffer, size_t size);

/* A group of attributes under one key: an object in JSON, a key-value list in OTLP. Groups may hold
 * groups, up to 4 levels; what is deeper is left out. `attrs` must live as long as the group. Logs
 * and spans take groups, contexts do not (they leave one out and count it). */
SONDE_INLINE sonde_attr sonde_kv_group_(const char *key, const sonde_attr *attrs, size_t count)
{
    sonde_attr a = sonde_attr_(key, SONDE_TYPE_GROUP, count);
    a.value.ptr = attrs;
    return a;
}

#define SONDE_FMT_BYTES       512
#define SONDE_ERRNO_BYTES     96
#define SONDE_BACKTRACE_BYTES 4096

/* Whether the argument was spelled `true` or `false`. */
#define SONDE_SPELLED_BOOL_(text) \
    (__builtin_strcmp(text, "true") == 0 || __builtin_strcmp(text, "false") == 0)

/* `how`: bit 0, the value was spelled true or false; bit 1, the key is a literal. */
SONDE_INLINE sonde_attr sonde_kv_how_(sonde_attr a, int how)
{
    a.literal = (uint8_t)(how >> 1);
    return a;
}

#ifndef __cplusplus

SONDE_INLINE sonde_attr sonde_kv_int_(const char *key, int v, int how)
{
    return sonde_kv_how_(how & 1 ? sonde_kv_bool(key, v != 0) : sonde_kv_i64(key, v), how);
}
SONDE_INLINE sonde_attr sonde_kv_i64_(const char *key, int64_t v, int how)
{
    return sonde_kv_how_(sonde_kv_i64(key, v), how);
}
SONDE_INLINE sonde_attr sonde_kv_u64_(const char *key, uint64_t v, int how)
{
    return sonde_kv_how_(sonde_kv_u64(key, v), how);
}
SONDE_INLINE sonde_attr sonde_kv_f64_(const char *key, double v, int how)
{
    return sonde_kv_how_(sonde_kv_f64(key, v), how);
}
SONDE_INLINE sonde_attr sonde_kv_bool_(const char *key, bool v, int how)
{
    return sonde_kv_how_(sonde_kv_bool(key, v), how);
}
SONDE_INLINE sonde_attr sonde_kv_str_(const char *key, const char *v, int how)
{
    return sonde_kv_how_(sonde_kv_str(key, v), how);
}
SONDE_INLINE sonde_attr sonde_kv_text_(const char *key, sonde_str v, int how)
{
    return sonde_kv_how_(sonde_kv_text(key, v), how);
}

/* sonde_kv(key, value): see the head of this file. */
#define sonde_kv(key, value) \
    _Generic((value), \
        _Bool: sonde_kv_bool_, \
        char: sonde_kv_i64_, \
        signed char: sonde_kv_i64_, \
        unsigned char: sonde_kv_i64_, \
        short: sonde_kv_i64_, \
        unsigned short: sonde_kv_i64_, \
        int: sonde_kv_int_, \
        unsigned: sonde_kv_i64_, \
        long: sonde_kv_i64_, \
        unsigned long: sonde_kv_u64_, \
        long long: sonde_kv_i64_, \
        unsigned long long: sonde_kv_u64_, \
        float: sonde_kv_f64_, \
        double: sonde_kv_f64_, \
        long double: sonde_kv_f64_, \
        char *: sonde_kv_str_, \
        const char *: sonde_kv_str_, \
        sonde_str: sonde_kv_text_)((key), (value), \
                                   SONDE_SPELLED_BOOL_(#value) | __builtin_constant_p(key) << 1)

/* sonde_kv_fmt(key, format, …): printf-like text, checked by the compiler, cut to 511 bytes. */
#define sonde_kv_fmt(key, ...) \
    sonde_kv_fmt_((key), (char[SONDE_FMT_BYTES]){ 0 }, SONDE_FMT_BYTES, __VA_ARGS__)
/* sonde_kv_errno(errno) */
#define sonde_kv_errno(errnum) \
    sonde_kv_errno_((char[SONDE_ERRNO_BYTES]){ 0 }, SONDE_ERRNO_BYTES, (errnum))
/* sonde_kv_backtrace(): where the program is; see sonde_kv_backtrace_. */
#define sonde_kv_backtrace() \
    sonde_kv_backtrace_((char[SONDE_BACKTRACE_BYTES]){ 0 }, SONDE_BACKTRACE_BYTES)
/* sonde_kv_group("data", sonde_kv("old", 1), sonde_kv("new", 2)) */
#define sonde_kv_group(key, ...) sonde_kv_group_((key), SONDE_GROUP_(__VA_ARGS__))
#define SONDE_GROUP_(...) \
    ((const sonde_attr[]){ sonde_attr_none_(), ##__VA_ARGS__ } + 1), \
        (sizeof((const sonde_attr[]){ { 0 }, ##__VA_ARGS__ }) / sizeof(sonde_attr) - 1)

#endif /* !__cplusplus */

/* sonde_kv_exception(type, message): an error with its place, by OpenTelemetry's names:
 * exception.type, exception.message and exception.stacktrace. Three attributes of a call:
 *
 *     sonde_error("operation_failed", sonde_kv_exception("db_error", sqlite3_errmsg(db))); */
#define sonde_kv_exception(type, message) \
    sonde_kv("exception.type", type), sonde_kv("exception.message", message), sonde_kv_backtrace()

#pragma GCC visibility pop
#ifdef __cplusplus
} /* extern "C" */

#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

template <typename T>
SONDE_INLINE auto sonde_kv_cxx_(const char *key, T value)
    -> std::enable_if_t<std::is_arithmetic_v<T> || std::is_enum_v<T>, sonde_attr>
{
    if constexpr (std::is_same_v<T, bool>)
        return sonde_kv_bool(key, value);
    else if constexpr (std::is_floating_point_v<T>)
        return sonde_kv_f64(key, (double)value);
    else if constexpr (std::is_unsigned_v<T>)
        return sonde_kv_u64(key, (uint64_t)value);
    else
        return sonde_kv_i64(key, (int64_t)value);
}
SONDE_INLINE sonde_attr sonde_kv_cxx_(const char *key, const char *value)
{
    return sonde_kv_str(key, value);
}
SONDE_INLINE sonde_attr sonde_kv_cxx_(const char *key, sonde_str value)
{
    return sonde_kv_text(key, value);
}
SONDE_INLINE sonde_attr sonde_kv_cxx_(const char *key, std::string_view value)
{
    return sonde_kv_text(key, sonde_str{ value.data(), value.size() });
}
SONDE_INLINE sonde_attr sonde_kv_cxx_(const char *key, const std::string &value)
{
    return sonde_kv_text(key, sonde_str{ value.data(), value.size() });
}

#define sonde_kv(key, ...) \
    sonde_kv_how_(sonde_kv_cxx_((key), __VA_ARGS__), __builtin_constant_p(key) << 1)

/* Lives until the end of the full expression, thus until the call has taken the attribute. */
struct sonde_buffer_ {
    char bytes[SONDE_FMT_BYTES];
};
struct sonde_large_buffer_ {
    char bytes[SONDE_BACKTRACE_BYTES];
};
#define sonde_kv_fmt(key, ...) \
    sonde_kv_fmt_((key), sonde_buffer_{}.bytes, SONDE_FMT_BYTES, __VA_ARGS__)
#define sonde_kv_errno(errnum) sonde_kv_errno_(sonde_buffer_{}.bytes, SONDE_FMT_BYTES, (errnum))

#define sonde_kv_backtrace() sonde_kv_backtrace_(sonde_large_buffer_{}.bytes, SONDE_BACKTRACE_BYTES)
SONDE_INLINE sonde_attr sonde_kv_group_(const char *key, std::initializer_list<sonde_attr> attrs)
{
    return sonde_kv_group_(key, attrs.begin(), attrs.size());
}
#define sonde_kv_group(key, ...) \
    sonde_kv_group_((key), std::initializer_list<sonde_attr>{ __VA_ARGS__ })
#endif

/* The attributes of a call, each evaluated once. In C two arguments, const sonde_attr * and size_t,
 * of an array that lives as long as the call; its first element stands for an empty list and is
 * skipped. In C++ one argument, for which the functions have overloads. */
#ifdef __cplusplus
typedef std::initializer_list<sonde_attr> sonde_attrs_;
#define SONDE_ATTRS_(...) \
    sonde_attrs_ \
    { \
        __VA_ARGS__ \
    }
#else
#define SONDE_ATTRS_(...) \
    ((const sonde_attr[]){ sonde_attr_none_(), ##__VA_ARGS__ } + 1), \
        (sizeof((const sonde_attr[]){ { 0 }, ##__VA_ARGS__ }) / sizeof(sonde_attr) - 1)
#endif

#endif

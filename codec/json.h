// SPDX-License-Identifier: Apache-2.0
/* JSON (RFC 8259): a strict pull parser over bytes and a writer onto a buf.
 * The parser accepts exactly the grammar, checks UTF-8, and refuses nesting beyond a limit; strings
 * without escapes are views into the input, others are decoded into the reader's arena.
 * One thread per reader and per writer. */
#ifndef SONDE_CODEC_JSON_H
#define SONDE_CODEC_JSON_H

#include "base/arena.h"
#include "base/buf.h"

/* ---- reader ---- */

typedef enum {
    JSON_ERROR, /* see json_fail_status; every further call returns it again */
    JSON_END,   /* the one top-level value is complete and only white space followed it */
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_KEY,
    JSON_OBJECT,     /* '{' */
    JSON_OBJECT_END, /* '}' */
    JSON_ARRAY,      /* '[' */
    JSON_ARRAY_END   /* ']' */
} json_type;

#define JSON_DEPTH_DEFAULT 128
#define JSON_DEPTH_MAX     512

typedef struct {
    const char *at;
    const char *end;
    const char *start;
    const char *token; /* where the newest token starts */
    arena *memory;     /* decoded strings */
    json_type type;    /* of the newest token */
    str text;          /* of a string or key: decoded; of a number: as it stands */
    bool boolean;      /* of a JSON_BOOL */
    bool integral;     /* of a number: neither fraction nor exponent */
    uint32_t depth;    /* open objects and arrays */
    uint32_t depth_limit;
    uint8_t expect;                          /* what the grammar allows next */
    uint64_t is_object[JSON_DEPTH_MAX / 64]; /* bit per level: object, else array */
    const char *problem;                     /* static text, NULL while all is well */
    status code;                             /* INVALID, LIMIT or NO_MEMORY when there is one */
} json_reader;

/* depth_limit 0 means JSON_DEPTH_DEFAULT; at most JSON_DEPTH_MAX. `memory` must live as long as the
 * texts that are kept from it. A byte order mark is refused. Lone surrogate escapes become U+FFFD.
 */
void json_read(json_reader *r, str bytes, arena *memory, uint32_t depth_limit);

/* The next token. Texts stay valid as long as input and arena do. */
json_type json_next(json_reader *r);

/* In an object (its JSON_OBJECT or a whole member was read last): true with the next member's key;
 * false at the object's end, which is then consumed, or on an error. The caller then reads or skips
 * the value. */
bool json_next_key(json_reader *r, str *ret_key);
/* In an array: true when another element began (its first token is r->type), false at the array's
 * end, which is then consumed, or on an error. */
bool json_next_item(json_reader *r);
/* After the first token of a value was read: passes over the rest of that value. False on an error.
 */
bool json_skip(json_reader *r);
/* Reads the next value whole and forgets it. */
bool json_skip_next(json_reader *r);

/* The newest token as a number: a JSON_NUMBER, or a JSON_STRING with one (as protobuf's JSON has
 * 64-bit integers). False, and *ret unwritten, when it is none or does not fit; 1.0 and 1e3 are
 * integers. json_get_f64 also takes "NaN", "Infinity" and "-Infinity" from strings; what is too
 * large for a double, or longer than 127 bytes and not simple, is refused. */
MUST_USE bool json_get_i64(const json_reader *r, int64_t *ret);
MUST_USE bool json_get_u64(const json_reader *r, uint64_t *ret);
MUST_USE bool json_get_f64(const json_reader *r, double *ret);

/* Lets the reader fail at the newest token with a reason of the caller's (static text). Always
 * false. */
bool json_refuse(json_reader *r, const char *problem);
/* "WHAT: line 3, column 17: PROBLEM" into err; STATUS_OK when there is no problem. */
status json_fail_status(const json_reader *r, error *err, const char *what);
/* Where the reader stands; both count from 1, columns in bytes. */
void json_position(const json_reader *r, size_t *ret_line, size_t *ret_column);

/* ---- writer ---- */

typedef enum {
    JSON_NONFINITE_STRINGS, /* "NaN", "Infinity", "-Infinity", as protobuf's JSON has them */
    JSON_NONFINITE_NULL
} json_nonfinite;

/* Puts the commas; the caller balances begin and end, and gives a key before each member's value.
 * Failure is the buf's. */
typedef struct {
    buf *out;
    bool comma; /* a value stands before the next one */
    json_nonfinite nonfinite;
} json_writer;

static inline json_writer json_write(buf *out)
{
    return (json_writer){ .out = out };
}

void json_begin_object(json_writer *w);
void json_end_object(json_writer *w);
void json_begin_array(json_writer *w);
void json_end_array(json_writer *w);
void json_key(json_writer *w, str key);
void json_str(json_writer *w, str s);
void json_i64(json_writer *w, int64_t v);
void json_u64(json_writer *w, uint64_t v);
void json_f64(json_writer *w, double v);
void json_bool(json_writer *w, bool v);
void json_null(json_writer *w);
/* A value that is JSON already. */
void json_raw(json_writer *w, str json);
/* A 64-bit integer in quotes, as protobuf's JSON has it. */
void json_i64_quoted(json_writer *w, int64_t v);
void json_u64_quoted(json_writer *w, uint64_t v);
/* Bytes as base64 (RFC 4648, padded) or lower-case hexadecimal, in quotes. */
void json_base64(json_writer *w, str bytes);
void json_hex(json_writer *w, const uint8_t *bytes, size_t n);

/* key and value in one call, for literal keys: JSON_PUT(&w, str, "name", name). */
#define JSON_PUT(w, kind, name, value) (json_key((w), STR(name)), json_##kind((w), (value)))

/* s in quotes: '"', '\' and control characters escaped, each byte that is not valid UTF-8 replaced
 * by U+FFFD, anything else as it is. */
void json_quote(buf *out, str s);

/* Standard or URL-safe alphabet, padding optional; false when it is neither or the arena is full.
 */
MUST_USE bool base64_decode(arena *memory, str text, str *ret);

#endif

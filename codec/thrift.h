// SPDX-License-Identifier: Apache-2.0
/* Apache Thrift's binary and compact protocols: a reader over bytes that knows no schema
 * (thrift's doc/specs). Copies nothing: a str that it returns points into the input. One thread per
 * reader. */
#ifndef SONDE_CODEC_THRIFT_H
#define SONDE_CODEC_THRIFT_H

#include "base/str.h"

typedef enum { THRIFT_BINARY, THRIFT_COMPACT } thrift_protocol;

/* As the binary protocol numbers them. */
typedef enum {
    THRIFT_STOP = 0,
    THRIFT_BOOL = 2,
    THRIFT_BYTE = 3,
    THRIFT_DOUBLE = 4,
    THRIFT_I16 = 6,
    THRIFT_I32 = 8,
    THRIFT_I64 = 10,
    THRIFT_STRING = 11, /* and bytes */
    THRIFT_STRUCT = 12,
    THRIFT_MAP = 13,
    THRIFT_SET = 14,
    THRIFT_LIST = 15
} thrift_type;

/* Structures, lists and maps within one another that thrift_skip follows. */
#define THRIFT_DEPTH 32

/* After a failure `problem` is set and every further call fails. */
typedef struct {
    const uint8_t *at, *end, *base;
    const char *problem; /* static text; NULL while all is well */
    thrift_protocol protocol;
} thrift_reader;

typedef struct {
    int16_t id;
    thrift_type type;
    bool truth; /* of a compact THRIFT_BOOL, which has no bytes of its own */
} thrift_field;

static inline thrift_reader thrift_read(str bytes, thrift_protocol protocol)
{
    const uint8_t *at = (const uint8_t *)(bytes.ptr ? bytes.ptr : "");
    return (thrift_reader){ at, at + bytes.len, at, NULL, protocol };
}

/* Sets the problem unless there is one already; always false. */
bool thrift_fail(thrift_reader *r, const char *problem);

/* The head of a structure's next field; *last is 0 before the first. False at the structure's end,
 * which is then consumed, and on a problem. */
bool thrift_next(thrift_reader *r, int16_t *last, thrift_field *ret);
/* Values of a field; each fails, with *ret unwritten, when the field has another type. Any integer
 * type will do for an integer. */
bool thrift_bool(thrift_reader *r, thrift_field field, bool *ret);
bool thrift_integer(thrift_reader *r, thrift_field field, int64_t *ret);
bool thrift_double(thrift_reader *r, thrift_field field, double *ret);
bool thrift_bytes(thrift_reader *r, thrift_field field, str *ret);
/* The head of a list or set of structures. Never more than the bytes that are left. */
bool thrift_structs(thrift_reader *r, thrift_field field, uint32_t *ret_count);
bool thrift_skip(thrift_reader *r, thrift_field field);
/* The head of a call: its name; what follows is the structure of its arguments. */
bool thrift_message(thrift_reader *r, str *ret_name);

#endif

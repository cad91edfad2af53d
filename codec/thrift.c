// SPDX-License-Identifier: Apache-2.0
/* Thrift's two protocols, read; see thrift.h. */
#include "codec/thrift.h"

#include <endian.h>

static const char cut_short[] = "a value goes past the end";

bool thrift_fail(thrift_reader *r, const char *problem)
{
    if (!r->problem)
        r->problem = problem;
    return false;
}

static bool take(thrift_reader *r, size_t n, const uint8_t **ret)
{
    if (r->problem || n > (size_t)(r->end - r->at))
        return thrift_fail(r, cut_short);
    *ret = r->at;
    r->at += n;
    return true;
}

static bool take_byte(thrift_reader *r, uint8_t *ret)
{
    const uint8_t *p;
    if (!take(r, 1, &p))
        return false;
    *ret = *p;
    return true;
}

/* ---- integers ---- */

static bool take_varint(thrift_reader *r, uint64_t *ret)
{
    uint64_t v = 0;
    uint8_t byte;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (!take_byte(r, &byte))
            return false;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = v;
            return true;
        }
    }
    return thrift_fail(r, "a number is longer than 10 bytes");
}

/* Big-endian, of `size` bytes. */
static bool take_big_endian(thrift_reader *r, size_t size, int64_t *ret)
{
    const uint8_t *p;
    uint64_t v = 0;
    if (!take(r, size, &p))
        return false;
    for (size_t i = 0; i < size; i++)
        v = v << 8 | p[i];
    unsigned unused = (unsigned)(64 - 8 * size);
    *ret = (int64_t)(v << unused) >> unused;
    return true;
}

static size_t integer_size(thrift_type type)
{
    switch (type) {
    case THRIFT_BYTE:
        return 1;
    case THRIFT_I16:
        return 2;
    case THRIFT_I32:
        return 4;
    case THRIFT_I64:
        return 8;
    default:
        return 0;
    }
}

bool thrift_integer(thrift_reader *r, thrift_field field, int64_t *ret)
{
    size_t size = integer_size(field.type);
    uint64_t v;
    if (!size)
        return thrift_fail(r, "a field that must be an integer is none");
    if (r->protocol == THRIFT_BINARY || size == 1)
        return take_big_endian(r, size, ret);
    if (!take_varint(r, &v))
        return false;
    *ret = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
    return true;
}

/* A length or count: never more than what is left. */
static bool take_size(thrift_reader *r, uint32_t *ret)
{
    uint64_t v;
    int64_t i64;
    if (r->protocol == THRIFT_COMPACT) {
        if (!take_varint(r, &v))
            return false;
    } else {
        if (!take_big_endian(r, 4, &i64))
            return false;
        v = (uint64_t)i64;
    }
    if (v > (uint64_t)(r->end - r->at) || v > UINT32_MAX)
        return thrift_fail(r, "a length goes past the end");
    *ret = (uint32_t)v;
    return true;
}

/* ---- other values ---- */

bool thrift_bool(thrift_reader *r, thrift_field field, bool *ret)
{
    uint8_t byte;
    if (field.type != THRIFT_BOOL)
        return thrift_fail(r, "a field that must be a bool is none");
    if (r->protocol == THRIFT_COMPACT) {
        *ret = field.truth;
        return true;
    }
    if (!take_byte(r, &byte))
        return false;
    *ret = byte != 0;
    return true;
}

bool thrift_double(thrift_reader *r, thrift_field field, double *ret)
{
    const uint8_t *p;
    uint64_t bits;
    if (field.type != THRIFT_DOUBLE)
        return thrift_fail(r, "a field that must be a double is none");
    if (!take(r, 8, &p))
        return false;
    memcpy(&bits, p, 8);
    bits = r->protocol == THRIFT_COMPACT ? le64toh(bits) : be64toh(bits);
    memcpy(ret, &bits, 8);
    return true;
}

bool thrift_bytes(thrift_reader *r, thrift_field field, str *ret)
{
    uint32_t length;
    const uint8_t *p;
    if (field.type != THRIFT_STRING)
        return thrift_fail(r, "a field that must be text or bytes is none");
    if (!take_size(r, &length) || !take(r, length, &p))
        return false;
    *ret = str_n(p, length);
    return true;
}

/* ---- structures and lists ---- */

/* THRIFT_STOP: the number means nothing. */
static thrift_type type_of(thrift_protocol protocol, uint8_t number)
{
    static const uint8_t compact[] = {
        0,          THRIFT_BOOL, THRIFT_BOOL,   THRIFT_BYTE,   THRIFT_I16,
        THRIFT_I32, THRIFT_I64,  THRIFT_DOUBLE, THRIFT_STRING, THRIFT_LIST,
        THRIFT_SET, THRIFT_MAP,  THRIFT_STRUCT
    };
    const unsigned known = 1u << THRIFT_BOOL | 1u << THRIFT_BYTE | 1u << THRIFT_DOUBLE |
                           1u << THRIFT_I16 | 1u << THRIFT_I32 | 1u << THRIFT_I64 |
                           1u << THRIFT_STRING | 1u << THRIFT_STRUCT | 1u << THRIFT_MAP |
                           1u << THRIFT_SET | 1u << THRIFT_LIST;
    if (protocol == THRIFT_COMPACT)
        return number < ARRAY_LEN(compact) ? compact[number] : THRIFT_STOP;
    return number < 16 && (known >> number & 1) ? number : THRIFT_STOP;
}

static bool next_compact(thrift_reader *r, uint8_t head, int16_t *last, thrift_field *ret)
{
    thrift_field wide = { .type = THRIFT_I16 };
    int64_t id = *last + (head >> 4);
    if (head >> 4 == 0 && !thrift_integer(r, wide, &id))
        return false;
    if (id < INT16_MIN || id > INT16_MAX)
        return thrift_fail(r, "a field number is out of range");
    ret->type = type_of(THRIFT_COMPACT, head & 15);
    ret->truth = (head & 15) == 1;
    ret->id = *last = (int16_t)id;
    return ret->type != THRIFT_STOP || thrift_fail(r, "a field has an unknown type");
}

bool thrift_next(thrift_reader *r, int16_t *last, thrift_field *ret)
{
    uint8_t head;
    int64_t id;
    if (!take_byte(r, &head) || head == 0)
        return false;
    if (r->protocol == THRIFT_COMPACT)
        return next_compact(r, head, last, ret);
    if (!take_big_endian(r, 2, &id))
        return false;
    *ret = (thrift_field){ (int16_t)id, type_of(THRIFT_BINARY, head), false };
    return ret->type != THRIFT_STOP || thrift_fail(r, "a field has an unknown type");
}

static bool list_head(thrift_reader *r, thrift_type *ret_type, uint32_t *ret_count)
{
    uint8_t head;
    if (!take_byte(r, &head))
        return false;
    *ret_type = type_of(r->protocol, r->protocol == THRIFT_COMPACT ? head & 15 : head);
    if (r->protocol == THRIFT_BINARY || head >> 4 == 15) {
        if (!take_size(r, ret_count))
            return false;
    } else {
        *ret_count = head >> 4;
    }
    /* Each element has at least a byte. */
    if (*ret_count > (size_t)(r->end - r->at))
        return thrift_fail(r, "a list goes past the end");
    return *ret_count == 0 || *ret_type != THRIFT_STOP ||
           thrift_fail(r, "a list has elements of an unknown type");
}

bool thrift_structs(thrift_reader *r, thrift_field field, uint32_t *ret_count)
{
    thrift_type type;
    if (field.type != THRIFT_LIST && field.type != THRIFT_SET)
        return thrift_fail(r, "a field that must be a list is none");
    if (!list_head(r, &type, ret_count))
        return false;
    return *ret_count == 0 || type == THRIFT_STRUCT ||
           thrift_fail(r, "a list that must have structures has other elements");
}

static bool skip(thrift_reader *r, thrift_field field, uint32_t depth);

/* In lists and maps a bool has a byte in both protocols. */
static bool skip_elements(thrift_reader *r, thrift_type type, uint32_t depth)
{
    uint8_t byte;
    if (type == THRIFT_BOOL)
        return take_byte(r, &byte);
    return skip(r, (thrift_field){ .type = type }, depth);
}

static bool skip_map(thrift_reader *r, uint32_t depth)
{
    uint32_t count = 0;
    uint8_t types[2] = { 0, 0 };
    thrift_type key, value;
    if (r->protocol == THRIFT_COMPACT) {
        if (!take_size(r, &count) || (count && !take_byte(r, &types[0])))
            return false;
        types[1] = types[0] & 15;
        types[0] >>= 4;
    } else if (!take_byte(r, &types[0]) || !take_byte(r, &types[1]) || !take_size(r, &count)) {
        return false;
    }
    key = type_of(r->protocol, types[0]);
    value = type_of(r->protocol, types[1]);
    for (uint32_t i = 0; i < count; i++)
        if (key == THRIFT_STOP || value == THRIFT_STOP || !skip_elements(r, key, depth) ||
            !skip_elements(r, value, depth))
            return thrift_fail(r, "a map has elements of an unknown type");
    return true;
}

static bool skip_list(thrift_reader *r, uint32_t depth)
{
    thrift_type type;
    uint32_t count;
    if (!list_head(r, &type, &count))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!skip_elements(r, type, depth))
            return false;
    return true;
}

static bool skip_struct(thrift_reader *r, uint32_t depth)
{
    thrift_field inner;
    int16_t last = 0;
    while (thrift_next(r, &last, &inner))
        if (!skip(r, inner, depth))
            return false;
    return !r->problem;
}

static bool skip(thrift_reader *r, thrift_field field, uint32_t depth)
{
    int64_t i64;
    double f64;
    bool truth;
    str bytes;
    if (depth == THRIFT_DEPTH)
        return thrift_fail(r, "structures are nested too deeply");
    switch (field.type) {
    case THRIFT_BOOL:
        return thrift_bool(r, field, &truth);
    case THRIFT_DOUBLE:
        return thrift_double(r, field, &f64);
    case THRIFT_STRING:
        return thrift_bytes(r, field, &bytes);
    case THRIFT_STRUCT:
        return skip_struct(r, depth + 1);
    case THRIFT_MAP:
        return skip_map(r, depth + 1);
    case THRIFT_SET:
    case THRIFT_LIST:
        return skip_list(r, depth + 1);
    default:
        return thrift_integer(r, field, &i64);
    }
}

bool thrift_skip(thrift_reader *r, thrift_field field)
{
    return skip(r, field, 0);
}

/* ---- calls ---- */

/* The strict form has a version, and the old one begins with the name's length. */
static bool binary_message(thrift_reader *r, str *ret_name)
{
    const thrift_field text = { .type = THRIFT_STRING };
    uint8_t type;
    int64_t number;
    bool strict = r->at < r->end && *r->at >= 0x80;
    if (strict && !take_big_endian(r, 4, &number))
        return false;
    if (strict && (number & 0xffff0000) != 0x80010000)
        return thrift_fail(r, "not a message of the binary protocol, version 1");
    return thrift_bytes(r, text, ret_name) && (strict || take_byte(r, &type)) &&
           take_big_endian(r, 4, &number);
}

bool thrift_message(thrift_reader *r, str *ret_name)
{
    uint8_t id, version;
    uint64_t sequence;
    if (r->protocol == THRIFT_BINARY)
        return binary_message(r, ret_name);
    if (!take_byte(r, &id) || !take_byte(r, &version) || !take_varint(r, &sequence))
        return false;
    if (id != 0x82 || (version & 31) != 1)
        return thrift_fail(r, "not a message of the compact protocol, version 1");
    return thrift_bytes(r, (thrift_field){ .type = THRIFT_STRING }, ret_name);
}

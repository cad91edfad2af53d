// SPDX-License-Identifier: Apache-2.0
/* Heads and chunked bodies, strictly; see http1_framing.h. Bytes come in pieces of any size. */
#include "net/http1_framing.h"

#include <string.h>

enum { MAX_DIGITS = 15 }; /* of a chunk's size: no overflow in 64 bits */

void framing_begin(http1_framing *f)
{
    *f = (http1_framing){ 0 };
}

/* Reads lines up to an empty one, and sets *ended there. */
static status read_lines(http1_framing *f, const char *bytes, size_t n, size_t *ret, bool *ended,
                         error *err)
{
    size_t at = 0;
    while (at < n && !*ended) {
        const char *feed = memchr(bytes + at, '\n', n - at);
        size_t line = feed ? (size_t)(feed - bytes) - at : n - at;
        if (f->line_len == 0 && f->begun && (bytes[at] == ' ' || bytes[at] == '\t'))
            return fail(err, STATUS_INVALID,
                        "a header is continued on a line of its own: write it on one line");
        const char *cr = line ? memchr(bytes + at, '\r', line) : NULL;
        bool stray = (f->last == '\r' && line) || (cr && cr + 1 < bytes + at + line);
        f->last = line ? bytes[at + line - 1] : f->last;
        f->line_len += line;
        at += line;
        if (stray || (feed && f->last != '\r'))
            return fail(err, STATUS_INVALID, "a line of the head does not end with CR LF");
        if (!feed)
            break;
        *ended = f->line_len == 1 && f->begun;
        f->begun |= f->line_len > 1;
        f->line_len = 0;
        f->last = 0;
        at++;
    }
    *ret = at;
    return STATUS_OK;
}

status framing_head(http1_framing *f, const char *bytes, size_t n, size_t *ret, error *err)
{
    status st = read_lines(f, bytes, n, ret, &f->head_done, err);
    if (f->head_done) {
        f->line_len = 0;
        f->part = CHUNK_SIZE;
    }
    return st;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of the line that says a chunk's size. */
static status size_byte(http1_framing *f, char c, error *err)
{
    int digit = digit_of(c);
    if (f->last == '\r' && c == '\n' && f->digits) {
        f->part = f->left ? CHUNK_DATA : CHUNK_TRAILER;
        f->left = f->left ? f->left + 2 : 0;
        f->begun = true; /* an empty line ends the trailers, also where there are none */
        f->last = 0;
        f->digits = 0;
        return STATUS_OK;
    }
    if (f->last == '\r' || c == '\n')
        return fail(err, STATUS_INVALID, "a chunk's size does not end with CR LF");
    if (f->part == CHUNK_SIZE && digit >= 0) {
        f->left = f->left * 16 + (uint64_t)digit;
        if (++f->digits > MAX_DIGITS)
            return fail(err, STATUS_LIMIT, "a chunk's size has more than %d digits", MAX_DIGITS);
    } else if (f->part == CHUNK_SIZE && f->digits && strchr("; \t", c) && c) {
        f->part = CHUNK_EXTENSION;
    } else if (c != '\r' && f->part == CHUNK_SIZE) {
        return fail(err, STATUS_INVALID, "a chunk's size must be hexadecimal digits");
    }
    f->last = c;
    return STATUS_OK;
}

/* Of the chunk's data, and of the CR LF behind it. */
static status data_bytes(http1_framing *f, const char *bytes, size_t n, size_t *used, error *err)
{
    size_t part = f->left - 2 < n ? (size_t)(f->left - 2) : n;
    if (f->left > 2) {
        f->left -= part;
        *used = part;
        return STATUS_OK;
    }
    *used = 1;
    if (bytes[0] != (f->left == 2 ? '\r' : '\n'))
        return fail(err, STATUS_INVALID, "a chunk is longer than its size says");
    if (--f->left == 0)
        f->part = CHUNK_SIZE;
    return STATUS_OK;
}

status framing_chunks(http1_framing *f, const char *bytes, size_t n, size_t *ret, error *err)
{
    size_t at = 0;
    status st = STATUS_OK;
    while (at < n && f->part != CHUNK_END && st == STATUS_OK) {
        size_t used = 1;
        bool ended = false;
        if (f->part == CHUNK_DATA)
            st = data_bytes(f, bytes + at, n - at, &used, err);
        else if (f->part == CHUNK_TRAILER)
            st = read_lines(f, bytes + at, n - at, &used, &ended, err);
        else
            st = size_byte(f, bytes[at], err);
        if (ended)
            f->part = CHUNK_END;
        at += used;
    }
    *ret = at;
    return st;
}

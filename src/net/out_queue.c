// SPDX-License-Identifier: Apache-2.0
/* Bytes on their way out, as a list of buffers; see exchange.h. Small texts share a piece, a
 * handler's body is moved without a copy. */
#include "net/exchange.h"

#include <stdlib.h>

enum { SMALL_PIECE = 4096 };

static void piece_free(out_piece *p)
{
    buf_done(&p->bytes);
    free(p);
}

void out_queue_push(out_queue *q, out_piece *piece)
{
    piece->next = NULL;
    if (q->tail)
        q->tail->next = piece;
    else
        q->head = piece;
    q->tail = piece;
    q->bytes += piece->bytes.len - piece->sent;
}

out_piece *out_queue_pop(out_queue *q)
{
    out_piece *p = q->head;
    if (!p)
        return NULL;
    q->head = p->next;
    if (!q->head)
        q->tail = NULL;
    q->bytes -= p->bytes.len - p->sent;
    p->next = NULL;
    return p;
}

void out_queue_done(out_queue *q)
{
    out_piece *p;
    while ((p = out_queue_pop(q)))
        piece_free(p);
}

bool out_queue_add(out_queue *q, const void *bytes, size_t n)
{
    out_piece *p = q->tail;
    if (n == 0)
        return true;
    if (!p || p->moved || p->bytes.len + n > SMALL_PIECE) {
        p = calloc(1, sizeof(*p));
        if (!p)
            return false;
        buf_add(&p->bytes, bytes, n);
        if (p->bytes.failed) {
            piece_free(p);
            return false;
        }
        out_queue_push(q, p);
        return true;
    }
    buf_add(&p->bytes, bytes, n);
    if (p->bytes.failed)
        return false;
    q->bytes += n;
    return true;
}

bool out_queue_move(out_queue *q, buf *b)
{
    if (b->len == 0)
        return true;
    out_piece *p = calloc(1, sizeof(*p));
    if (!p)
        return false;
    size_t limit = b->limit;
    p->bytes = *b;
    p->moved = true;
    buf_init(b, limit);
    out_queue_push(q, p);
    return true;
}

void out_queue_sent(out_queue *q, size_t n)
{
    while (n && q->head) {
        out_piece *p = q->head;
        size_t left = p->bytes.len - p->sent;
        size_t part = MIN(n, left);
        p->sent += part;
        q->bytes -= part;
        n -= part;
        if (part == left)
            piece_free(out_queue_pop(q));
    }
}

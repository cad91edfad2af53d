// SPDX-License-Identifier: Apache-2.0
/* Restarts of counters, found where samples of one series follow each other: a count fell or a
 * bucket went. What was found stays with the sample as its hint, so that readers need not look
 * again. */
#include "codec/histogram.h"

#include <string.h>

/* The next bucket; false at the end. */
typedef struct {
    const histogram_side *side;
    uint32_t at, span, in_span;
    int64_t next, index;
} place;

static bool next_bucket(place *p)
{
    const histogram_side *s = p->side;
    if (p->at == s->count)
        return false;
    if (p->at++ == 0)
        p->next = s->spans[0].offset;
    while (p->in_span == s->spans[p->span].length) {
        p->in_span = 0;
        p->next += s->spans[++p->span].offset;
    }
    p->in_span++;
    p->index = p->next++;
    return true;
}

/* Whether a bucket of `before` holds more than now, or something and is there no more. */
static bool side_fell(const histogram_side *before, const histogram_side *now)
{
    place b = { .side = before }, n = { .side = now };
    bool more = next_bucket(&n);
    while (next_bucket(&b)) {
        double count = before->counts[b.at - 1];
        while (more && n.index < b.index)
            more = next_bucket(&n);
        bool there = more && n.index == b.index;
        if (there ? now->counts[n.at - 1] < count : count != 0)
            return true;
    }
    return false;
}

static bool same_bounds(const histogram *x, const histogram *y)
{
    if (x->custom_count != y->custom_count)
        return false;
    for (uint32_t i = 0; i < x->custom_count; i++)
        if (x->custom[i] != y->custom[i])
            return false;
    return true;
}

histogram_hint histogram_hint_after(const histogram *before, const histogram *h)
{
    if (h->hint == HISTOGRAM_GAUGE)
        return HISTOGRAM_GAUGE;
    if (!before || before->hint == HISTOGRAM_GAUGE || h->hint == HISTOGRAM_RESET)
        return HISTOGRAM_RESET_UNKNOWN;
    if (h->count < before->count || h->zero_count < before->zero_count ||
        h->schema != before->schema || h->zero_threshold != before->zero_threshold ||
        !same_bounds(h, before) || side_fell(&before->positive, &h->positive) ||
        side_fell(&before->negative, &h->negative))
        return HISTOGRAM_RESET_UNKNOWN;
    return HISTOGRAM_NO_RESET;
}

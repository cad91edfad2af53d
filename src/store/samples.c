// SPDX-License-Identifier: Apache-2.0
/* See samples.h. Nearly always the samples are in order already, which costs one pass. */
#include "store/samples.h"

#include <stdlib.h>

status sample_list_add(sample_list *l, sample s, error *err)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 256;
        sample *grown = realloc(l->items, capacity * sizeof(sample));
        if (!grown)
            return fail(err, STATUS_NO_MEMORY, "no memory for %zu samples", capacity);
        l->items = grown;
        l->capacity = capacity;
    }
    l->items[l->count++] = s;
    return STATUS_OK;
}

/* A stable merge sort: equal times stay in the order of arrival. */
static void merge_sort(sample *v, sample *scratch, size_t n)
{
    if (n < 2)
        return;
    size_t half = n / 2, a = 0, b = half, out = 0;
    merge_sort(v, scratch, half);
    merge_sort(v + half, scratch, n - half);
    memcpy(scratch, v, half * sizeof(sample));
    while (a < half && b < n) {
        if (scratch[a].time_ms <= v[b].time_ms)
            v[out++] = scratch[a++];
        else
            v[out++] = v[b++];
    }
    while (a < half)
        v[out++] = scratch[a++];
}

/* The hints are of the order of arrival. */
static bool forget_hints(sample_list *l)
{
    arena_clear(&l->memory);
    for (size_t i = 0; i < l->count; i++) {
        sample *s = &l->items[i];
        if (!value_is_histogram(s->value) || value_histogram(s->value)->hint != HISTOGRAM_NO_RESET)
            continue;
        histogram *copy = arena_alloc_aligned(&l->memory, sizeof(histogram), 8);
        if (!copy)
            return false;
        *copy = *value_histogram(s->value);
        copy->hint = HISTOGRAM_RESET_UNKNOWN;
        s->value = histogram_boxed(copy);
    }
    return true;
}

status sample_list_settle(sample_list *l, error *err)
{
    bool sorted = true, doubled = false;
    for (size_t i = 1; i < l->count; i++) {
        sorted &= l->items[i].time_ms >= l->items[i - 1].time_ms;
        doubled |= l->items[i].time_ms == l->items[i - 1].time_ms;
    }
    if (sorted && !doubled)
        return STATUS_OK;
    if (!sorted) {
        sample *scratch = malloc(l->count * sizeof(sample));
        if (!scratch)
            return fail(err, STATUS_NO_MEMORY, "no memory to sort %zu samples", l->count);
        merge_sort(l->items, scratch, l->count);
        free(scratch);
        if (!forget_hints(l))
            return fail(err, STATUS_NO_MEMORY, "no memory to sort %zu samples", l->count);
    }
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (kept && l->items[kept - 1].time_ms == l->items[i].time_ms)
            kept--;
        l->items[kept++] = l->items[i];
    }
    l->count = kept;
    return STATUS_OK;
}

void sample_list_done(sample_list *l)
{
    free(l->items);
    arena_done(&l->memory);
    *l = (sample_list){ 0 };
}

// SPDX-License-Identifier: Apache-2.0
/* Warnings and infos of an answer. Each is said once, with the place in the query that raised it
 * last. The first texts are kept; of those behind them only hashes are, so that the number that
 * users are told is right and memory stays small. In the order of their texts at the end: which
 * thread met what first is not to be seen. */
#include "query/promql/eval.h"

#include "base/hash_set.h"
#include "query/promql/lex.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NOTES_COUNTED 1000000u     /* whose texts are not kept; more are not counted */
#define WARNING_BIT   (1ull << 63) /* of a hash: it is a warning's */

/* Without the place at the end, "(1:5)". */
static str note_body(str text)
{
    size_t n = text.len;
    while (n > 0 && text.ptr[n - 1] != '(')
        n--;
    return str_slice(text, 0, n);
}

static uint64_t note_hash(str text, bool warning)
{
    return (str_hash(note_body(text)) & ~WARNING_BIT) | (warning ? WARNING_BIT : 0);
}

bool promql_same_note(str a, str b)
{
    return str_eq(note_body(a), note_body(b));
}

static uint32_t note_place(const promql_notes *notes, str text)
{
    uint32_t i = 0;
    while (i < notes->count && !promql_same_note(notes->items[i], text))
        i++;
    return i;
}

static void forget(void *user)
{
    hash_set_done(user);
}

/* Counts one whose text is not kept. */
static void note_omitted(promql_engine *e, uint64_t hash)
{
    promql_notes *notes = e->notes;
    bool is_new;
    if (!notes->omitted) {
        notes->omitted = ARENA_NEW(e->arena, hash_set);
        if (!notes->omitted || !arena_at_end(e->arena, forget, notes->omitted)) {
            notes->omitted = NULL;
            return;
        }
    }
    if (notes->omitted->count < NOTES_COUNTED && hash_set_add(notes->omitted, hash, &is_new))
        notes->omitted_count[(hash & WARNING_BIT) != 0] += is_new;
}

void promql_note_text(promql_engine *e, bool warning, str text)
{
    promql_notes *notes = e->notes;
    uint32_t at = note_place(notes, text);
    notes->noted++;
    if (at == PROMQL_NOTES_KEPT) {
        note_omitted(e, note_hash(text, warning));
        return;
    }
    if (!notes->items) {
        notes->items = ARENA_ARRAY(e->arena, str, PROMQL_NOTES_KEPT);
        notes->warning = ARENA_ARRAY(e->arena, bool, PROMQL_NOTES_KEPT);
    }
    if (!notes->items || !notes->warning)
        return;
    if (at == notes->count || !str_eq(notes->items[at], text)) {
        str copy = arena_str(e->arena, text);
        if (!copy.ptr)
            return;
        notes->items[at] = copy;
        notes->warning[at] = warning;
        notes->count += at == notes->count;
    }
    notes->last = at;
}

void promql_note(promql_engine *e, bool warning, const promql_node *at, const char *format, ...)
{
    char body[512], text[600];
    uint32_t line, column;
    va_list args;
    va_start(args, format);
    vsnprintf(body, sizeof(body), format, args);
    va_end(args);
    at = promql_bare(at);
    /* Functions of a subquery get its samples, of which Prometheus knows no place. */
    promql_position(e->query, at->kind == NODE_SUBQUERY ? 0 : at->start, &line, &column);
    int n = snprintf(text, sizeof(text), "PromQL %s: %s (%u:%u)", warning ? "warning" : "info",
                     body, line, column);
    promql_note_text(e, warning, str_n(text, (size_t)MIN(n, (int)sizeof(text) - 1)));
}

/* Counts what the other engine omitted and this one has not kept: up to NOTES_COUNTED hashes, so
 * that those of the kept texts are made once. */
static void take_omitted(promql_engine *e, const hash_set *omitted)
{
    const promql_notes *notes = e->notes;
    uint64_t kept[PROMQL_NOTES_KEPT];
    for (uint32_t k = 0; k < notes->count; k++)
        kept[k] = note_hash(notes->items[k], notes->warning[k]);
    for (size_t i = 0; i < omitted->capacity; i++) {
        uint64_t hash = omitted->slots[i];
        uint32_t k = 0;
        while (k < notes->count && kept[k] != hash)
            k++;
        if (hash && k == notes->count)
            note_omitted(e, hash);
    }
}

void promql_take_notes(promql_engine *e, const promql_notes *from)
{
    for (uint32_t i = 0; i < from->count; i++)
        promql_note_text(e, from->warning[i], from->items[i]);
    if (from->omitted)
        take_omitted(e, from->omitted);
    e->notes->of_all_steps |= from->of_all_steps;
}

typedef struct {
    str text;
    bool warning;
} one_note;

static int by_text(const void *a, const void *b)
{
    return str_cmp(((const one_note *)a)->text, ((const one_note *)b)->text);
}

void promql_sort_notes(promql_notes *notes)
{
    one_note all[PROMQL_NOTES_KEPT];
    for (uint32_t i = 0; i < notes->count; i++)
        all[i] = (one_note){ notes->items[i], notes->warning[i] };
    qsort(all, notes->count, sizeof(*all), by_text);
    for (uint32_t i = 0; i < notes->count; i++) {
        notes->items[i] = all[i].text;
        notes->warning[i] = all[i].warning;
    }
}

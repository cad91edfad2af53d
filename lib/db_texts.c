// SPDX-License-Identifier: Apache-2.0
/* SQL texts that come again, read once. A program has few of them: the table takes TEXTS_MAX and
 * never gives one back. A text is taken when it comes for the second time in a row to its place, so
 * that texts that are put together anew each time leave room; and never one with quoted literals or
 * comments, which may hold secrets. Readers take no lock. */
#include "lib/db.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { TEXTS_MAX = 256, TEXT_MOST = 2048 };

static struct {
    _Atomic(sql_text *) text;
    _Atomic uint64_t last; /* hash of the last one that was not found here */
} table[TEXTS_MAX];

const sql_text *sql_text_find(str text, bool quotes_are_text)
{
    uint64_t hash = text.len <= TEXT_MOST ? str_hash(text) : 0;
    const sql_text *t = atomic_load_explicit(&table[hash % TEXTS_MAX].text, memory_order_acquire);
    bool same = t && t->quotes_are_text == quotes_are_text && str_eq(t->text, text);
    return same ? t : NULL;
}

void sql_text_keep(str text, bool quotes_are_text, str clean, const sql_summary *found)
{
    sql_text *none = NULL;
    if (text.len > TEXT_MOST || clean.len > TEXT_MOST || found->has_texts)
        return;
    uint64_t hash = str_hash(text);
    size_t at = hash % TEXTS_MAX;
    if (atomic_load_explicit(&table[at].text, memory_order_relaxed) ||
        atomic_exchange_explicit(&table[at].last, hash, memory_order_relaxed) != hash)
        return;
    sql_text *t = malloc(sizeof(*t) + text.len + clean.len + 1);
    if (!t)
        return;
    char *copy = (char *)(t + 1);
    memcpy(copy, clean.ptr, clean.len);
    copy[clean.len] = '\0';
    memcpy(copy + clean.len + 1, text.ptr, text.len);
    *t = (sql_text){ .text = str_n(copy + clean.len + 1, text.len),
                     .clean = copy,
                     .found = *found,
                     .quotes_are_text = quotes_are_text };
    if (!atomic_compare_exchange_strong(&table[at].text, &none, t))
        free(t);
}

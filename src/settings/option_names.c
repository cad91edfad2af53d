// SPDX-License-Identifier: Apache-2.0
/* Names that are wrong, and the known ones that are near; tables as lists. See option_read.h. */
#include "settings/option_read.h"

enum { NAME_MAX_LEN = 63 };

/* Edits (insert, delete, replace, swap of neighbours) that make a to b; long names are far away. */
static unsigned distance(str a, str b)
{
    unsigned rows[3][NAME_MAX_LEN + 2];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    if (a.len > NAME_MAX_LEN || b.len > NAME_MAX_LEN)
        return UINT32_MAX;
    for (size_t j = 0; j <= b.len; j++)
        last[j] = (unsigned)j;
    memset(before, 0, sizeof(rows[0]));
    for (size_t i = 1; i <= a.len; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            unsigned change = a.ptr[i - 1] != b.ptr[j - 1];
            now[j] = MIN(MIN(last[j] + 1, now[j - 1] + 1), last[j - 1] + change);
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
                now[j] = MIN(now[j], before[j - 2] + 1);
        }
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b.len];
}

const char *option_nearest(str wrong, const char *const *names, size_t count)
{
    const char *best = NULL;
    unsigned best_distance = (unsigned)MAX(wrong.len / 3, (size_t)1) + 1;
    for (size_t i = 0; i < count; i++) {
        unsigned d = distance(wrong, str_c(names[i]));
        if (d < best_distance) {
            best = names[i];
            best_distance = d;
        }
    }
    /* A part of a long name, or a name with something added: "max_size" for "send_max_size". */
    for (size_t i = 0; !best && i < count; i++)
        if (wrong.len >= 4 && strlen(names[i]) >= 4 &&
            (str_contains(str_c(names[i]), wrong) || str_contains(wrong, str_c(names[i]))))
            best = names[i];
    return best;
}

void option_suggest(buf *out, str wrong, const char *const *names, size_t count)
{
    const char *near = option_nearest(wrong, names, count);
    if (near) {
        buf_fmt(out, "; did you mean \"%s\"?", near);
        return;
    }
    buf_str(out, count ? STR("; known are: ") : STR("; there are none"));
    for (size_t i = 0; i < count; i++)
        buf_fmt(out, "%s%s", i ? ", " : "", names[i]);
}

static bool is_listed(const option_at *list, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (str_is(str_c(list[i].row->name), name))
            return true;
    return false;
}

static unsigned add_rows(const option_table *t, char *base, option_at *list, unsigned count)
{
    for (size_t i = 0; i < t->count; i++) {
        const option *row = &t->rows[i];
        if (row->type == OPTION_INLINE || count == OPTION_ROWS_MAX ||
            is_listed(list, count, row->name))
            continue;
        list[count++] = (option_at){ row, t, base };
    }
    for (size_t i = 0; i < t->count; i++) {
        const option *row = &t->rows[i];
        if (row->type == OPTION_INLINE)
            count = add_rows(row->table, base ? base + row->offset : NULL, list, count);
    }
    return count;
}

unsigned option_list(const option_table *t, void *settings, option_at *ret)
{
    return add_rows(t, settings, ret, 0);
}

// SPDX-License-Identifier: Apache-2.0
/* Aligned tables and CSV. */
#include "cmd/table.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

void table_init(table *t, arena *a, const table_column *columns, uint32_t count)
{
    *t = (table){ .arena = a, .columns = columns, .column_count = MIN(count, TABLE_COLUMNS) };
}

void table_row(table *t, const str *cells)
{
    uint32_t n = t->column_count;
    if (t->failed)
        return;
    if (t->rows == t->capacity) {
        uint32_t bigger = MAX(64, t->capacity * 2);
        str *grown = arena_grow(t->arena, t->cells, (size_t)t->capacity * n * sizeof(str),
                                (size_t)bigger * n * sizeof(str));
        t->failed = !grown;
        if (t->failed)
            return;
        t->cells = grown;
        t->capacity = bigger;
    }
    str *row = &t->cells[(size_t)t->rows * n];
    for (uint32_t i = 0; i < n; i++) {
        row[i] = cells[i].len ? arena_str(t->arena, cells[i]) : STR_EMPTY;
        t->failed = t->failed || !row[i].ptr;
    }
    t->rows += !t->failed;
}

size_t text_width(str s)
{
    size_t width = 0;
    for (size_t i = 0; i < s.len; i++)
        width += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return width;
}

/* Control characters would move the cursor: they become spaces. */
static void put_cell(buf *out, str cell, size_t width, bool right, bool last)
{
    size_t own = text_width(cell), pad = width > own ? width - own : 0;
    for (size_t i = 0; right && i < pad; i++)
        buf_char(out, ' ');
    for (size_t i = 0; i < cell.len; i++)
        buf_char(out, (unsigned char)cell.ptr[i] < 0x20 || cell.ptr[i] == 0x7f ? ' ' : cell.ptr[i]);
    for (size_t i = 0; !right && !last && i < pad; i++)
        buf_char(out, ' ');
    buf_str(out, last ? STR("\n") : STR("  "));
}

void table_print(const table *t, bool color, buf *out)
{
    size_t width[TABLE_COLUMNS];
    uint32_t n = t->column_count;
    for (uint32_t c = 0; c < n; c++) {
        width[c] = text_width(str_c(t->columns[c].title));
        for (uint32_t r = 0; r < t->rows; r++)
            width[c] = MAX(width[c], text_width(t->cells[(size_t)r * n + c]));
    }
    if (color)
        buf_lit(out, "\033[2m");
    for (uint32_t c = 0; c < n; c++)
        put_cell(out, str_c(t->columns[c].title), width[c], t->columns[c].right, c + 1 == n);
    if (color)
        buf_lit(out, "\033[0m");
    for (uint32_t r = 0; r < t->rows; r++)
        for (uint32_t c = 0; c < n; c++)
            put_cell(out, t->cells[(size_t)r * n + c], width[c], t->columns[c].right, c + 1 == n);
}

static void put_csv(buf *out, str cell)
{
    bool quote = false;
    for (size_t i = 0; i < cell.len; i++)
        quote = quote || strchr(",\"\r\n", cell.ptr[i]);
    if (!quote) {
        buf_str(out, cell);
        return;
    }
    buf_char(out, '"');
    for (size_t i = 0; i < cell.len; i++) {
        if (cell.ptr[i] == '"')
            buf_char(out, '"');
        buf_char(out, cell.ptr[i]);
    }
    buf_char(out, '"');
}

void table_csv(const table *t, buf *out)
{
    for (uint32_t r = 0; r <= t->rows; r++) {
        for (uint32_t c = 0; c < t->column_count; c++) {
            if (c)
                buf_char(out, ',');
            put_csv(out, r ? t->cells[(size_t)(r - 1) * t->column_count + c]
                           : str_c(t->columns[c].title));
        }
        buf_char(out, '\n');
    }
}

bool terminal_color(void)
{
    const char *no_color = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && !(no_color && *no_color);
}

unsigned terminal_width(void)
{
    struct winsize size;
    uint64_t columns;
    const char *environment = getenv("COLUMNS");
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
        return size.ws_col;
    if (environment && str_to_u64(str_c(environment), &columns) && columns >= 40 && columns < 1000)
        return (unsigned)columns;
    return 100;
}

// SPDX-License-Identifier: Apache-2.0
/* Tables for people: columns as wide as their widest cell, numbers to the right. Also as CSV. */
#ifndef SONDE_CMD_TABLE_H
#define SONDE_CMD_TABLE_H

#include "base/arena.h"
#include "base/buf.h"

#define TABLE_COLUMNS 12

typedef struct {
    const char *title;
    bool right;
} table_column;

typedef struct {
    arena *arena;
    const table_column *columns;
    uint32_t column_count;
    str *cells; /* row after row */
    uint32_t rows, capacity;
    bool failed; /* no memory */
} table;

void table_init(table *t, arena *a, const table_column *columns, uint32_t count);
/* Copies the cells of one row: `column_count` of them. */
void table_row(table *t, const str *cells);
/* Rows one below the other; colour: titles are dimmed. */
void table_print(const table *t, bool color, buf *out);
/* RFC 4180, with a header line. */
void table_csv(const table *t, buf *out);

/* Columns that a text takes on a terminal, by code points. */
size_t text_width(str s);
/* Whether standard output is a terminal that wants colour (NO_COLOR is respected). */
bool terminal_color(void);
/* Columns of the terminal; 100 when there is none. */
unsigned terminal_width(void);

#endif

// SPDX-License-Identifier: Apache-2.0
/* `--plot`: each series as a curve of Braille dots, two across and four down in a character. */
#include "cmd/query.h"

#include <math.h>

enum { PLOT_ROWS = 8, PLOT_SERIES = 20, PLOT_COLUMNS_MOST = 200 };

typedef struct {
    uint8_t dots[PLOT_ROWS][PLOT_COLUMNS_MOST];
    unsigned columns;
    double low, high;
    int64_t from_ms, to_ms;
} canvas;

/* Unicode's numbering of the dots of a cell, [row][column]. */
static const uint8_t dot_bits[4][2] = {
    { 0x01, 0x08 }, { 0x02, 0x10 }, { 0x04, 0x20 }, { 0x40, 0x80 }
};

static void put_dot(canvas *c, unsigned x, unsigned y)
{
    if (x < c->columns * 2 && y < PLOT_ROWS * 4)
        c->dots[y / 4][x / 2] |= dot_bits[y % 4][x % 2];
}

static unsigned row_of(const canvas *c, double v)
{
    double share = c->high > c->low ? (v - c->low) / (c->high - c->low) : 0.5;
    return (unsigned)((1 - share) * (PLOT_ROWS * 4 - 1) + 0.5);
}

static unsigned column_of(const canvas *c, int64_t time_ms)
{
    double share = (double)(time_ms - c->from_ms) / (double)MAX(c->to_ms - c->from_ms, 1);
    return (unsigned)(share * (c->columns * 2 - 1) + 0.5);
}

static bool point_of(const value *point, int64_t *ret_ms, double *ret)
{
    values pair = json_items(point);
    if (pair.count != 2 || !str_to_f64(json_text(&pair.items[1]), ret) || !isfinite(*ret))
        return false;
    *ret_ms = (int64_t)(json_number(&pair.items[0]) * 1000 + 0.5);
    return true;
}

static void draw(canvas *c, values points)
{
    unsigned last_x = 0, last_y = 0;
    bool drawn = false;
    for (uint32_t i = 0; i < points.count; i++) {
        int64_t at;
        double v;
        if (!point_of(&points.items[i], &at, &v))
            continue;
        unsigned x = column_of(c, at), y = row_of(c, v);
        put_dot(c, x, y);
        /* A line to the point before, so that curves are whole where points are far apart. */
        for (unsigned k = last_x + 1; drawn && k < x; k++) {
            double share = (double)(k - last_x) / (double)(x - last_x);
            put_dot(c, k, (unsigned)(last_y + share * ((double)y - last_y) + 0.5));
        }
        last_x = x;
        last_y = y;
        drawn = true;
    }
}

static void put_canvas(const canvas *c, buf *out)
{
    for (unsigned row = 0; row < PLOT_ROWS; row++) {
        if (row == 0 || row == PLOT_ROWS - 1)
            buf_fmt(out, "%12.6g ", row ? c->low : c->high);
        else
            buf_fmt(out, "%13s", "");
        for (unsigned x = 0; x < c->columns; x++) {
            unsigned code = 0x2800u + c->dots[row][x];
            buf_char(out, (char)(0xE0 | code >> 12));
            buf_char(out, (char)(0x80 | (code >> 6 & 0x3F)));
            buf_char(out, (char)(0x80 | (code & 0x3F)));
        }
        buf_char(out, '\n');
    }
}

void query_plot(const query_options *o, values series, arena *a, buf *out)
{
    for (uint32_t i = 0; i < MIN(series.count, PLOT_SERIES); i++) {
        canvas c = { .columns = MIN(terminal_width() - 15, PLOT_COLUMNS_MOST),
                     .low = INFINITY,
                     .high = -INFINITY,
                     .from_ms = o->from_ns / NS_PER_MS,
                     .to_ms = o->to_ns / NS_PER_MS };
        values points = json_items(json_member(&series.items[i], "values"));
        for (uint32_t k = 0; k < points.count; k++) {
            int64_t at;
            double v;
            if (!point_of(&points.items[k], &at, &v))
                continue;
            c.low = fmin(c.low, v);
            c.high = fmax(c.high, v);
        }
        buf_str(out, query_labels_text(a, json_member(&series.items[i], "metric")));
        buf_char(out, '\n');
        if (c.low > c.high)
            continue;
        draw(&c, points);
        put_canvas(&c, out);
    }
    str from = query_time_text(a, o->from_ns), to = query_time_text(a, o->to_ns);
    buf_fmt(out, "%13s%.*s to %.*s\n", "", STR_ARG(from), STR_ARG(to));
    if (series.count > PLOT_SERIES)
        buf_fmt(out, "%u more series are not shown\n", series.count - PLOT_SERIES);
}

// SPDX-License-Identifier: Apache-2.0
/* `--plot`: all series as curves in one chart with axes and a legend. Curves are Braille dots, two
 * across and four down in a character, told apart by colour; without colour each curve of several
 * is drawn with a character of its own. A histogram counts as its mean. */
#include "cmd/query.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    PLOT_ROWS = 16,
    PLOT_COLUMNS_MOST = 240,
    PLOT_COLUMNS_LEAST = 20,
    PLOT_SERIES = 20,
    PLOT_TICKS = 5,
    LABEL_COLUMNS = 12, /* between the starts of two times, at least */
    LABEL_BYTES = 40
};

static const char marks[PLOT_SERIES + 1] = "*+ox#@%&=~ABCDEFGHIJ";
/* Of the 256 colours of terminals: neighbours in the list differ clearly, none is dark. */
static const uint8_t colors[PLOT_SERIES] = { 39, 208, 41, 197, 141, 220, 51,  205, 118, 167,
                                             75, 180, 35, 213, 247, 190, 110, 202, 85,  99 };

/* Unicode's numbering of the dots of a cell, [row][column]. */
static const uint8_t dot_bits[4][2] = {
    { 0x01, 0x08 }, { 0x02, 0x10 }, { 0x04, 0x20 }, { 0x40, 0x80 }
};

typedef struct {
    str name;
    query_point *points;
    uint32_t count;
    double last; /* NaN: it has no value that can be drawn */
} curve;

typedef struct {
    uint8_t dots[PLOT_ROWS][PLOT_COLUMNS_MOST];
    uint8_t owner[PLOT_ROWS][PLOT_COLUMNS_MOST]; /* curve + 1; 0: nobody */
    unsigned columns;
    int64_t from_ns, to_ns, step_ns;
    double low, high, tick; /* of the axis, in its unit */
    double scale;           /* what one of the axis's unit is in the values' */
    const char *unit;
    bool color, dotted;
    unsigned label_width;
    curve curves[PLOT_SERIES];
    unsigned curve_count;
} chart;

/* ---- values ---- */

static bool number_of(const value *sample, double *ret)
{
    if (sample->type != VALUE_MAP)
        return str_to_f64(json_text(sample), ret) && isfinite(*ret);
    double count, sum;
    if (!str_to_f64(json_text(json_member(sample, "count")), &count) ||
        !str_to_f64(json_text(json_member(sample, "sum")), &sum))
        return false;
    *ret = sum / count;
    return isfinite(*ret);
}

static bool gather(chart *c, values series, arena *a)
{
    bool histograms = false;
    c->low = INFINITY;
    c->high = -INFINITY;
    c->curve_count = MIN(series.count, PLOT_SERIES);
    for (unsigned i = 0; i < c->curve_count; i++) {
        curve *v = &c->curves[i];
        v->name = query_labels_text(a, json_member(&series.items[i], "metric"));
        v->points = query_points(a, &series.items[i], &v->count);
        v->last = NAN;
        for (uint32_t k = 0; k < v->count; k++) {
            double y;
            if (!number_of(v->points[k].sample, &y))
                continue;
            histograms = histograms || v->points[k].sample->type == VALUE_MAP;
            c->low = fmin(c->low, y);
            c->high = fmax(c->high, y);
            v->last = y;
        }
    }
    return histograms;
}

/* ---- axes ---- */

/* The largest step of 1, 2 or 5 times a power of ten that makes at most PLOT_TICKS of `range`. */
static double nice_step(double range)
{
    double rough = range / PLOT_TICKS, power = pow(10, floor(log10(rough)));
    static const double steps[] = { 1, 2, 5 };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        if (steps[i] * power >= rough * 0.999999)
            return steps[i] * power;
    return 10 * power;
}

static void choose_scale(chart *c, query_unit unit)
{
    static const struct {
        query_unit unit;
        double from, scale;
        const char *text;
    } scales[] = {
        { AXIS_SECONDS, 1, 1, " s" },
        { AXIS_SECONDS, 1e-3, 1e-3, " ms" },
        { AXIS_SECONDS, 1e-6, 1e-6, " µs" },
        { AXIS_SECONDS, 0, 1e-9, " ns" },
        { AXIS_BYTES, 0x1p40, 0x1p40, " TiB" },
        { AXIS_BYTES, 0x1p30, 0x1p30, " GiB" },
        { AXIS_BYTES, 0x1p20, 0x1p20, " MiB" },
        { AXIS_BYTES, 0x1p10, 0x1p10, " KiB" },
        { AXIS_BYTES, 0, 1, " B" },
        { AXIS_BYTES_RATE, 0x1p30, 0x1p30, " GiB/s" },
        { AXIS_BYTES_RATE, 0x1p20, 0x1p20, " MiB/s" },
        { AXIS_BYTES_RATE, 0x1p10, 0x1p10, " KiB/s" },
        { AXIS_BYTES_RATE, 0, 1, " B/s" },
        { AXIS_RATE, 1e6, 1e6, " M/s" },
        { AXIS_RATE, 1e4, 1e3, " k/s" },
        { AXIS_RATE, 0, 1, " /s" },
        { AXIS_NONE, 1e15, 1, "" },
        { AXIS_NONE, 1e9, 1e9, " G" },
        { AXIS_NONE, 1e6, 1e6, " M" },
        { AXIS_NONE, 1e4, 1e3, " k" },
        { AXIS_NONE, 0, 1, "" },
    };
    double most = fmax(fabs(c->low), fabs(c->high));
    for (size_t i = 0; i < ARRAY_LEN(scales); i++) {
        if (scales[i].unit != unit || most < scales[i].from)
            continue;
        c->scale = most > 0 ? scales[i].scale : 1;
        c->unit = most > 0 || unit == AXIS_NONE ? scales[i].text : "";
        return;
    }
}

static void value_axis(chart *c, query_unit unit)
{
    choose_scale(c, unit);
    c->low /= c->scale;
    c->high /= c->scale;
    /* A flat curve gets some room, so that it stands in the middle. */
    double range = c->high - c->low, most = fmax(fabs(c->low), fabs(c->high));
    if (range <= most * 1e-9) {
        range = most > 0 ? most : 1;
        c->low -= range / 2;
        c->high += range / 2;
    } else if (c->low > 0 && c->low < range) {
        c->low = 0; /* near enough to show it */
    }
    c->tick = nice_step(c->high - c->low);
    c->low = floor(c->low / c->tick + 1e-9) * c->tick;
    c->high = ceil(c->high / c->tick - 1e-9) * c->tick;
}

static void value_label(const chart *c, double y, char ret[LABEL_BYTES])
{
    int decimals = (int)fmin(fmax(ceil(-log10(c->tick) - 1e-9), 0), 9);
    if (fabs(y) < c->tick / 2)
        y = 0;
    if (fabs(y) >= 1e7 || c->tick < 1e-7)
        snprintf(ret, LABEL_BYTES, "%.6g%s", y, c->unit);
    else
        snprintf(ret, LABEL_BYTES, "%.*f%s", decimals, y, c->unit);
}

static unsigned dot_row(const chart *c, double y)
{
    double share = c->high > c->low ? (y - c->low) / (c->high - c->low) : 0.5;
    return (unsigned)((1 - fmin(fmax(share, 0), 1)) * (PLOT_ROWS * 4 - 1) + 0.5);
}

static unsigned dot_column(const chart *c, int64_t time_ns)
{
    double share = (double)(time_ns - c->from_ns) / (double)MAX(c->to_ns - c->from_ns, 1);
    return (unsigned)(fmin(fmax(share, 0), 1) * (c->columns * 2 - 1) + 0.5);
}

/* The label of the tick that falls into a row; false: none does. */
static bool row_label(const chart *c, unsigned row, char ret[LABEL_BYTES])
{
    int ticks = (int)((c->high - c->low) / c->tick + 0.5);
    for (int i = 0; i <= ticks; i++) {
        double y = c->low + i * c->tick;
        if (dot_row(c, y) / 4 == row) {
            value_label(c, y, ret);
            return true;
        }
    }
    return false;
}

static void layout(chart *c)
{
    char label[LABEL_BYTES];
    for (unsigned row = 0; row < PLOT_ROWS; row++)
        if (row_label(c, row, label))
            c->label_width = MAX(c->label_width, (unsigned)text_width(str_c(label)));
    unsigned used = c->label_width + 3, width = terminal_width();
    unsigned columns = width > used ? width - used : 0;
    c->columns = MAX(MIN(columns, PLOT_COLUMNS_MOST), PLOT_COLUMNS_LEAST);
}

/* ---- curves ---- */

static void put_dot(chart *c, unsigned who, unsigned x, unsigned y)
{
    if (x >= c->columns * 2 || y >= PLOT_ROWS * 4)
        return;
    c->dots[y / 4][x / 2] |= dot_bits[y % 4][x % 2];
    if (c->dotted || !c->owner[y / 4][x / 2])
        c->owner[y / 4][x / 2] = (uint8_t)(who + 1);
}

static void draw_line(chart *c, unsigned who, const unsigned from[2], const unsigned to[2])
{
    int dx = (int)to[0] - (int)from[0], dy = (int)to[1] - (int)from[1];
    int n = MAX(abs(dx), abs(dy));
    for (int k = 1; k < n; k++)
        put_dot(c, who, (unsigned)((int)from[0] + (int)lround((double)dx * k / n)),
                (unsigned)((int)from[1] + (int)lround((double)dy * k / n)));
}

/* Points are joined unless one is missing between them. */
static void draw(chart *c, unsigned who)
{
    const curve *v = &c->curves[who];
    unsigned last[2] = { 0 };
    int64_t last_ns = INT64_MIN;
    for (uint32_t i = 0; i < v->count; i++) {
        double y;
        if (!number_of(v->points[i].sample, &y))
            continue;
        int64_t at = v->points[i].time_ns;
        unsigned here[2] = { dot_column(c, at), dot_row(c, y / c->scale) };
        if (last_ns != INT64_MIN && at - last_ns <= c->step_ns + c->step_ns / 2)
            draw_line(c, who, last, here);
        put_dot(c, who, here[0], here[1]);
        last[0] = here[0];
        last[1] = here[1];
        last_ns = at;
    }
}

/* ---- output ---- */

static void put_color(const chart *c, unsigned who, buf *out)
{
    if (c->color)
        buf_fmt(out, "\033[38;5;%um", colors[who]);
}

static void put_cell(const chart *c, unsigned row, unsigned x, buf *out)
{
    unsigned who = c->owner[row][x], code = 0x2800u + c->dots[row][x];
    if (!who) {
        buf_char(out, ' ');
    } else if (!c->dotted) {
        buf_char(out, marks[who - 1]);
    } else {
        buf_char(out, (char)(0xE0 | code >> 12));
        buf_char(out, (char)(0x80 | (code >> 6 & 0x3F)));
        buf_char(out, (char)(0x80 | (code & 0x3F)));
    }
}

static void put_spaces(buf *out, size_t n)
{
    while (n-- > 0)
        buf_char(out, ' ');
}

static void put_rows(const chart *c, buf *out)
{
    char label[LABEL_BYTES];
    for (unsigned row = 0; row < PLOT_ROWS; row++) {
        bool tick = row_label(c, row, label);
        unsigned end = c->columns, colored = 0;
        str text = tick ? str_c(label) : STR_EMPTY;
        put_spaces(out, c->label_width - text_width(text));
        buf_str(out, text);
        buf_str(out, tick ? STR(" ┤") : STR(" │"));
        while (end > 0 && !c->owner[row][end - 1])
            end--;
        for (unsigned x = 0; x < end; x++) {
            unsigned who = c->owner[row][x];
            if (who && who != colored)
                put_color(c, who - 1, out);
            colored = who ? who : colored;
            put_cell(c, row, x, out);
        }
        buf_str(out, c->color && colored ? STR("\033[0m\n") : STR("\n"));
    }
}

static int64_t time_step(const chart *c)
{
    static const int32_t seconds[] = { 1,      2,      5,       10,      15,     30,
                                       60,     120,    300,     600,     900,    1800,
                                       3600,   7200,   10800,   21600,   43200,  86400,
                                       172800, 604800, 1209600, 2592000, 7776000 };
    double least = (double)(c->to_ns - c->from_ns) / NS_PER_S / c->columns * LABEL_COLUMNS;
    for (size_t i = 0; i < ARRAY_LEN(seconds); i++)
        if (seconds[i] >= least)
            return seconds[i];
    return INT64_C(31536000);
}

enum { SHOW_DATE = 1, SHOW_TIME = 2, SHOW_SECONDS = 4 };

/* Appends UTC: 2026-01-31, 12:00 or 12:00:30, or a date with a time. */
static void put_time(buf *out, int64_t seconds, unsigned show)
{
    struct tm t;
    time_t at = (time_t)seconds;
    if (!gmtime_r(&at, &t))
        return;
    if (show & SHOW_DATE)
        buf_fmt(out, "%04d-%02d-%02d", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday);
    if (show == (SHOW_DATE | SHOW_TIME | SHOW_SECONDS))
        buf_char(out, ' ');
    if (show & SHOW_TIME)
        buf_fmt(out, "%02d:%02d", t.tm_hour, t.tm_min);
    if (show & SHOW_SECONDS)
        buf_fmt(out, ":%02d", t.tm_sec);
}

static void time_axis(const chart *c, buf *out)
{
    int64_t step = time_step(c), from = c->from_ns / NS_PER_S, to = c->to_ns / NS_PER_S;
    const unsigned clock = SHOW_TIME | SHOW_SECONDS;
    unsigned show = step >= 86400 ? SHOW_DATE : step >= 60 ? SHOW_TIME : clock;
    buf labels;
    unsigned drawn = 0, width = 0;
    buf_init(&labels, KiB(16));
    put_spaces(out, c->label_width + 1);
    buf_lit(out, "└");
    for (int64_t t = (from + step - 1) / step * step; t <= to; t += step) {
        unsigned x = dot_column(c, t * NS_PER_S) / 2;
        for (; drawn < x; drawn++)
            buf_lit(out, "─");
        if (drawn++ == x)
            buf_lit(out, "┬");
        size_t before = labels.len;
        put_spaces(&labels, x > width ? x - width : 0);
        put_time(&labels, t, show);
        if (width + labels.len - before > c->columns)
            labels.len = before; /* it would stand over the edge */
        else
            width += (unsigned)(labels.len - before);
    }
    for (; drawn < c->columns; drawn++)
        buf_lit(out, "─");
    buf_char(out, '\n');
    put_spaces(out, c->label_width + 2);
    buf_str(out, buf_view(&labels));
    buf_char(out, '\n');
    buf_done(&labels);
    put_spaces(out, c->label_width + 2);
    put_time(out, from, SHOW_DATE | clock);
    buf_lit(out, " to ");
    put_time(out, to, from / 86400 == to / 86400 ? clock : SHOW_DATE | clock);
    buf_lit(out, " UTC\n");
}

/* Cut to the line by code points. */
static void put_name(str name, unsigned columns, buf *out)
{
    size_t end = 0, width = text_width(name);
    unsigned used = 0, room = width > columns ? MAX(columns, 1) - 1 : columns;
    while (end < name.len) {
        size_t next = end + 1;
        while (next < name.len && ((unsigned char)name.ptr[next] & 0xC0) == 0x80)
            next++;
        if (used++ == room)
            break;
        if ((unsigned char)name.ptr[end] < ' ' || name.ptr[end] == 127)
            buf_char(out, ' '); /* it would move the cursor */
        else
            buf_str(out, str_slice(name, end, next));
        end = next;
    }
    if (end < name.len)
        buf_lit(out, "…");
}

static void legend(const chart *c, buf *out)
{
    for (unsigned i = 0; i < c->curve_count; i++) {
        const curve *v = &c->curves[i];
        char last[LABEL_BYTES] = "no value";
        if (!isnan(v->last))
            snprintf(last, sizeof(last), "last %.4g%s", v->last / c->scale, c->unit);
        size_t used = c->label_width + 4 + text_width(str_c(last)) + 2;
        unsigned width = terminal_width();
        put_spaces(out, c->label_width);
        put_color(c, i, out);
        if (c->dotted)
            buf_lit(out, "━━");
        else
            buf_fmt(out, " %c", marks[i]);
        buf_str(out, c->color ? STR("\033[0m ") : STR(" "));
        put_name(v->name, width > used ? (unsigned)(width - used) : 1, out);
        buf_fmt(out, "  %s\n", last);
    }
}

void query_plot(const query_options *o, values series, arena *a, buf *out)
{
    chart *c = ARENA_ARRAY(a, chart, 1);
    if (!c) {
        out->failed = true;
        return;
    }
    *c = (chart){
        .from_ns = o->from_ns, .to_ns = o->to_ns, .step_ns = o->step_ns, .color = terminal_color()
    };
    bool histograms = gather(c, series, a);
    if (c->low > c->high) {
        buf_lit(out, "there is no value to plot\n");
        return;
    }
    c->dotted = c->color || c->curve_count == 1;
    value_axis(c, str_is(str_c(o->language), "promql")
                      ? query_unit_of(str_c(o->expression), histograms, a)
                      : AXIS_NONE);
    layout(c);
    for (unsigned i = 0; i < c->curve_count; i++)
        draw(c, i);
    put_rows(c, out);
    time_axis(c, out);
    legend(c, out);
    if (histograms)
        buf_lit(out, "Of histograms the mean is shown.\n");
    if (series.count > PLOT_SERIES)
        buf_fmt(out, "%u more series are not shown; topk(%d, …) chooses.\n",
                series.count - PLOT_SERIES, PLOT_SERIES);
}

// SPDX-License-Identifier: Apache-2.0
/* The series of a result as JSON, streamed. Answers have millions of points, so that what can be
 * made once is: the texts of times, and of values that repeat. */
#include "api/prometheus.h"

#include "base/number_text.h"
#include "query/promql/histogram.h"

enum {
    PIECE_BYTES = 192 << 10, /* what is sent at once, and some more */
    POINTS_AT_ONCE = 1024,   /* between two looks at what has gathered */
    POINT_BYTES = 40,        /* what one usually takes */
    TIME_ROOM = 24,
    POINT_ROOM = 16 + TIME_ROOM + NUMBER_ROOM, /* what one may take, and write behind itself */
};

/* ---- points ---- */

static size_t time_text(char *to, int64_t time_ms)
{
    size_t n = 0;
    uint64_t t = time_ms < 0 ? 0 - (uint64_t)time_ms : (uint64_t)time_ms;
    if (time_ms < 0)
        to[n++] = '-';
    n += u64_text(to + n, t / 1000);
    unsigned fraction = (unsigned)(t % 1000);
    if (!fraction)
        return n;
    to[n++] = '.';
    to[n++] = (char)('0' + fraction / 100);
    to[n++] = (char)('0' + fraction / 10 % 10);
    to[n++] = (char)('0' + fraction % 10);
    return n;
}

void prometheus_time(buf *out, int64_t time_ms)
{
    char text[TIME_ROOM + NUMBER_ROOM];
    buf_add(out, text, time_text(text, time_ms));
}

void prometheus_value(buf *out, double v)
{
    char text[2 + NUMBER_ROOM] = "\"";
    size_t n = 1 + f64_sample_text(text + 1, v);
    text[n++] = '"';
    buf_add(out, text, n);
}

/* The time of a step, which is the same for all series. */
typedef struct {
    int64_t time_ms;
    uint32_t len;
    char text[TIME_ROOM];
} step_text;

typedef struct {
    const promql_result *result;
    uint32_t count; /* of series that are shown */
    size_t points;  /* that are not printed yet */
    bool matrix;
    const step_text *steps; /* of all steps, or none */
    uint32_t step_count;
} answer;

/* *at: where in the steps to look first; times rise. */
static inline size_t put_time(const answer *a, uint32_t *at, char *to, int64_t time_ms)
{
    while (*at < a->step_count && a->steps[*at].time_ms < time_ms)
        ++*at;
    if (*at == a->step_count || a->steps[*at].time_ms != time_ms)
        return time_text(to, time_ms);
    memcpy(to, a->steps[*at].text, TIME_ROOM);
    return a->steps[*at].len;
}

/* What a value takes at most, copied whatever it takes. */
typedef struct {
    char bytes[32];
} value_text;

/* Points first to end - 1, all floats, with commas between. */
static void put_floats(const answer *a, const promql_series *s, uint32_t first, uint32_t end,
                       buf *out)
{
    uint32_t step = first; /* series may lack steps, so that theirs is not before this */
    size_t last_at = 0, last_len = 0;
    uint64_t last = 0;
    for (uint32_t k = first; k < end; k++) {
        uint64_t bits;
        value_text again;
        if (!buf_reserve(out, POINT_ROOM))
            return;
        char *to = out->ptr + out->len;
        *to = ',';
        to += k > 0;
        *to++ = '[';
        to += put_time(a, &step, to, s->time_ms[k]);
        *to++ = ',';
        *to++ = '"';
        memcpy(&bits, &s->value[k], sizeof(bits));
        if (last_len && bits == last) {
            memcpy(&again, out->ptr + last_at, sizeof(again));
            memcpy(to, &again, sizeof(again));
        } else {
            last_len = f64_sample_text(to, s->value[k]);
            last = bits;
        }
        last_at = (size_t)(to - out->ptr);
        to += last_len;
        *to++ = '"';
        *to++ = ']';
        out->len = (size_t)(to - out->ptr);
    }
}

/* Empty buckets are left out. */
static void put_buckets(buf *out, const histogram *h)
{
    histogram_buckets all;
    histogram_bucket b;
    bool any = false;
    histogram_buckets_start(&all, h, false);
    while (histogram_buckets_next(&all, &b)) {
        if (b.count == 0)
            continue;
        if (any)
            buf_char(out, ',');
        else
            buf_lit(out, ",\"buckets\":[");
        any = true;
        buf_char(out, '[');
        buf_i64(out, histogram_boundary_rule(&b));
        buf_char(out, ',');
        prometheus_value(out, b.lower);
        buf_char(out, ',');
        prometheus_value(out, b.upper);
        buf_char(out, ',');
        prometheus_value(out, b.count);
        buf_char(out, ']');
    }
    if (any)
        buf_char(out, ']');
}

static void put_histogram(buf *out, int64_t time_ms, const histogram *h)
{
    buf_char(out, '[');
    prometheus_time(out, time_ms);
    buf_lit(out, ",{\"count\":");
    prometheus_value(out, h->count);
    buf_lit(out, ",\"sum\":");
    prometheus_value(out, h->sum);
    put_buckets(out, h);
    buf_lit(out, "}]");
}

/* ---- series ---- */

static void put_head(labels l, bool first, buf *out)
{
    json_writer w = json_write(out);
    if (!first)
        buf_char(out, ',');
    buf_lit(out, "{\"metric\":");
    labels_to_json(&w, l);
}

/* Of a series without histograms. False: the client has gone. */
static bool put_plain(api_request *r, answer *a, uint32_t i)
{
    buf *out = http_out(r->x);
    const promql_series *s = &a->result->series[i];
    put_head(s->labels, i == 0, out);
    if (s->count)
        buf_str(out, a->matrix ? STR(",\"values\":[") : STR(",\"value\":"));
    for (uint32_t first = 0; first < s->count; first += POINTS_AT_ONCE) {
        uint32_t end = MIN(first + POINTS_AT_ONCE, s->count);
        size_t wanted = MIN(a->points * POINT_BYTES, (size_t)PIECE_BYTES);
        if (out->cap < wanted && !buf_reserve(out, wanted))
            return false;
        put_floats(a, s, first, end, out);
        a->points -= end - first;
        if (!request_flush(r))
            return false;
    }
    if (s->count && a->matrix)
        buf_char(out, ']');
    buf_char(out, '}');
    return request_flush(r);
}

/* The floats of a series that has histograms as well, or the histograms. False: the client has
 * gone. */
static bool put_mixed_points(api_request *r, const answer *a, const promql_series *s,
                             bool histograms)
{
    static const char *const keys[2][2] = { { ",\"value\":", ",\"values\":[" },
                                            { ",\"histogram\":", ",\"histograms\":[" } };
    buf *out = http_out(r->x);
    bool open = false;
    for (uint32_t k = 0; k < s->count; k++) {
        const histogram *h = s->histograms[k];
        if ((h != NULL) != histograms)
            continue;
        buf_str(out, open ? STR(",") : str_c(keys[histograms][a->matrix]));
        open = true;
        if (h)
            put_histogram(out, s->time_ms[k], h);
        else
            prometheus_point(out, s->time_ms[k], s->value[k]);
        if (!request_flush(r))
            return false;
    }
    if (open && a->matrix)
        buf_char(out, ']');
    return true;
}

static bool put_mixed(api_request *r, const answer *a, uint32_t i)
{
    const promql_series *s = &a->result->series[i];
    put_head(s->labels, i == 0, http_out(r->x));
    if (!put_mixed_points(r, a, s, false) || !put_mixed_points(r, a, s, true))
        return false;
    buf_char(http_out(r->x), '}');
    return true;
}

void prometheus_point(buf *out, int64_t time_ms, double v)
{
    const answer none = { 0 };
    const promql_series one = { .time_ms = &time_ms, .value = &v, .count = 1 };
    put_floats(&none, &one, 0, 1, out);
}

/* ---- the whole ---- */

/* Without memory times are made where they are written. */
static void make_steps(const promql_options *o, arena *memory, answer *a)
{
    size_t count = (size_t)((o->end_ms - o->start_ms) / o->step_ms) + 1;
    step_text *steps = arena_alloc(memory, count * sizeof(*steps));
    if (!steps)
        return;
    for (size_t i = 0; i < count; i++) {
        char text[TIME_ROOM + NUMBER_ROOM];
        steps[i].time_ms = o->start_ms + (int64_t)i * o->step_ms;
        steps[i].len = (uint32_t)time_text(text, steps[i].time_ms);
        memcpy(steps[i].text, text, TIME_ROOM);
    }
    a->steps = steps;
    a->step_count = (uint32_t)count;
}

void prometheus_series(api_request *r, const promql_result *result, const promql_options *o,
                       uint32_t limit)
{
    answer a = { .result = result,
                 .count = MIN(result->count, limit),
                 .matrix = result->type == PROMQL_MATRIX };
    for (uint32_t i = 0; i < a.count; i++)
        a.points += result->series[i].count;
    if (a.points / 2 > (size_t)((o->end_ms - o->start_ms) / o->step_ms))
        make_steps(o, r->arena, &a);
    json_begin_array(&r->json);
    for (uint32_t i = 0; i < a.count; i++)
        if (!(result->series[i].histograms ? put_mixed(r, &a, i) : put_plain(r, &a, i)))
            return;
    json_end_array(&r->json);
}

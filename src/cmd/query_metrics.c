// SPDX-License-Identifier: Apache-2.0
/* `sonde query promql`, and how metric results of both languages are shown. */
#include "cmd/query.h"

#include "codec/json_value.h"

#include <stdlib.h>

static bool point_of(const value *pair, query_point *ret)
{
    values both = json_items(pair);
    if (both.count != 2)
        return false;
    *ret = (query_point){ (int64_t)(json_number(&both.items[0]) * 1000 + 0.5) * NS_PER_MS,
                          &both.items[1] };
    return true;
}

static int by_time(const void *a, const void *b)
{
    int64_t x = ((const query_point *)a)->time_ns, y = ((const query_point *)b)->time_ns;
    return (x > y) - (x < y);
}

query_point *query_points(arena *a, const value *series, uint32_t *ret_count)
{
    values floats = json_items(json_member(series, "values"));
    values histograms = json_items(json_member(series, "histograms"));
    query_point *points = ARENA_ARRAY(a, query_point, (size_t)floats.count + histograms.count + 2);
    uint32_t n = 0;
    *ret_count = 0;
    if (!points)
        return NULL;
    n += point_of(json_member(series, "value"), &points[n]);
    n += point_of(json_member(series, "histogram"), &points[n]);
    for (uint32_t i = 0; i < floats.count; i++)
        n += point_of(&floats.items[i], &points[n]);
    for (uint32_t i = 0; i < histograms.count; i++)
        n += point_of(&histograms.items[i], &points[n]);
    if (histograms.count && floats.count)
        qsort(points, n, sizeof(*points), by_time);
    *ret_count = n;
    return points;
}

str query_sample_text(arena *a, const value *sample)
{
    /* The API's rules of boundaries: open left, open right, both, neither. */
    static const char open[] = "([([", close[] = "]))]";
    buf text;
    if (!sample || sample->type != VALUE_MAP)
        return json_text(sample);
    str count = json_text(json_member(sample, "count")),
        sum = json_text(json_member(sample, "sum"));
    values buckets = json_items(json_member(sample, "buckets"));
    buf_init(&text, MiB(1));
    buf_fmt(&text, "{count:%.*s, sum:%.*s", STR_ARG(count), STR_ARG(sum));
    for (uint32_t i = 0; i < buckets.count; i++) {
        values b = json_items(&buckets.items[i]);
        if (b.count != 4)
            continue;
        uint32_t rule = (uint32_t)json_integer(&b.items[0]) & 3;
        str low = json_text(&b.items[1]), high = json_text(&b.items[2]),
            in = json_text(&b.items[3]);
        buf_fmt(&text, ", %c%.*s,%.*s%c:%.*s", open[rule], STR_ARG(low), STR_ARG(high), close[rule],
                STR_ARG(in));
    }
    buf_char(&text, '}');
    str copy = arena_str(a, buf_view(&text));
    buf_done(&text);
    return copy.ptr ? copy : STR_EMPTY;
}

/* times: one row a point, with its time; else one row a series. */
static void write_series(const query_options *o, values series, bool times, arena *a, buf *out)
{
    static const table_column columns[] = { { "TIME", false },
                                            { "SERIES", false },
                                            { "VALUE", true } };
    table t;
    table_init(&t, a, columns + !times, ARRAY_LEN(columns) - !times);
    for (uint32_t i = 0; i < series.count; i++) {
        uint32_t count;
        str name = query_labels_text(a, json_member(&series.items[i], "metric"));
        query_point *points = query_points(a, &series.items[i], &count);
        for (uint32_t k = 0; k < count; k++) {
            str cells[] = { query_time_text(a, points[k].time_ns), name,
                            query_sample_text(a, points[k].sample) };
            table_row(&t, cells + !times);
        }
    }
    query_write_table(o, &t, out);
}

void query_write_metrics(const query_options *o, const value *data, arena *a, buf *out)
{
    str type = json_text(json_member(data, "resultType"));
    const value *result = json_member(data, "result");
    values series = json_items(result);
    bool single = str_is(type, "scalar") || str_is(type, "string");
    if (o->output == OUTPUT_JSONL) {
        value one = result ? *result : (value){ .type = VALUE_EMPTY };
        query_write_jsonl(single ? (values){ &one, 1 } : series, out);
    } else if (single) {
        query_point point = { 0 };
        buf_str(out, point_of(result, &point) ? query_sample_text(a, point.sample) : STR_EMPTY);
        buf_char(out, '\n');
    } else if (str_is(type, "matrix") && o->plot && o->output == OUTPUT_TABLE) {
        query_plot(o, series, a, out);
    } else {
        write_series(o, series, str_is(type, "matrix"), a, out);
    }
}

static void warn(const value *answer)
{
    static const char *const members[] = { "warnings", "infos" };
    for (size_t m = 0; m < ARRAY_LEN(members); m++) {
        values notes = json_items(json_member(answer, members[m]));
        for (uint32_t i = 0; i < notes.count; i++) {
            error note;
            fail(&note, STATUS_OK, "%.*s", STR_ARG(str_slice(json_text(&notes.items[i]), 0, 400)));
            client_complain(&note, false);
        }
    }
}

static void add_seconds(client_request *r, const char *name, int64_t time_ns)
{
    int64_t ms = time_ns / NS_PER_MS;
    client_add_fmt(r, name, "%.3f", (double)ms / 1000);
}

status query_promql(const query_options *o, arena *a, buf *out, error *err)
{
    client_request r;
    value answer;
    bool range = o->range || o->plot;
    buf *raw = o->output == OUTPUT_JSON ? out : NULL;
    client_request_init(&r, range ? "/api/v1/query_range" : "/api/v1/query");
    client_add(&r, "query", str_c(o->expression));
    if (range) {
        add_seconds(&r, "start", o->from_ns);
        add_seconds(&r, "end", o->to_ns);
        client_add_fmt(&r, "step", "%.3f", (double)o->step_ns / 1e9);
    } else {
        add_seconds(&r, "time", o->to_ns);
    }
    status st = client_query(&r, client_address(o->addr), a, &answer, raw, err);
    client_request_done(&r);
    if (st != STATUS_OK)
        return st;
    warn(&answer);
    if (raw)
        buf_char(out, '\n');
    else
        query_write_metrics(o, json_member(&answer, "data"), a, out);
    return STATUS_OK;
}

// SPDX-License-Identifier: Apache-2.0
/* `sonde query promql`, and how metric results of both languages are shown. */
#include "cmd/query.h"

#include "codec/json_value.h"

/* Text of a sample value: as the server wrote it. */
static str sample_text(const value *point)
{
    values pair = json_items(point);
    return pair.count == 2 ? json_text(&pair.items[1]) : STR_EMPTY;
}

static int64_t sample_time(const value *point)
{
    values pair = json_items(point);
    return pair.count == 2 ? (int64_t)(json_number(&pair.items[0]) * 1000 + 0.5) * NS_PER_MS : 0;
}

static void write_vector(const query_options *o, values series, arena *a, buf *out)
{
    static const table_column columns[] = { { "SERIES", false }, { "VALUE", true } };
    table t;
    table_init(&t, a, columns, ARRAY_LEN(columns));
    for (uint32_t i = 0; i < series.count; i++) {
        const value *s = &series.items[i];
        str cells[] = { query_labels_text(a, json_member(s, "metric")),
                        sample_text(json_member(s, "value")) };
        table_row(&t, cells);
    }
    query_write_table(o, &t, out);
}

static void write_matrix(const query_options *o, values series, arena *a, buf *out)
{
    static const table_column columns[] = { { "TIME", false },
                                            { "SERIES", false },
                                            { "VALUE", true } };
    table t;
    table_init(&t, a, columns, ARRAY_LEN(columns));
    for (uint32_t i = 0; i < series.count; i++) {
        const value *s = &series.items[i];
        str name = query_labels_text(a, json_member(s, "metric"));
        values points = json_items(json_member(s, "values"));
        for (uint32_t k = 0; k < points.count; k++) {
            str cells[] = { query_time_text(a, sample_time(&points.items[k])), name,
                            sample_text(&points.items[k]) };
            table_row(&t, cells);
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
        buf_str(out, sample_text(result));
        buf_char(out, '\n');
    } else if (str_is(type, "matrix") && o->plot && o->output == OUTPUT_TABLE) {
        query_plot(o, series, a, out);
    } else if (str_is(type, "matrix")) {
        write_matrix(o, series, a, out);
    } else {
        write_vector(o, series, a, out);
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

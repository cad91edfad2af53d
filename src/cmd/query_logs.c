// SPDX-License-Identifier: Apache-2.0
/* `sonde query logql`: lines as a table in order of time, metrics as PromQL's. */
#include "cmd/query.h"

#include "query/logql/logql.h"

#include <stdlib.h>

typedef struct {
    int64_t time_ns;
    uint32_t order; /* as answered, for equal times */
    str level, service, line;
    const value *fields; /* structured metadata */
} log_line;

static int oldest_first(const void *a, const void *b)
{
    const log_line *x = a, *y = b;
    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static uint32_t count_lines(values streams)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < streams.count; i++)
        n += json_items(json_member(&streams.items[i], "values")).count;
    return n;
}

static log_line *gather(values streams, arena *a, uint32_t *ret_count)
{
    uint32_t n = 0;
    log_line *lines = ARENA_ARRAY(a, log_line, MAX(count_lines(streams), 1));
    for (uint32_t i = 0; lines && i < streams.count; i++) {
        const value *labels_of = json_member(&streams.items[i], "stream");
        values entries = json_items(json_member(&streams.items[i], "values"));
        for (uint32_t k = 0; k < entries.count; k++, n++) {
            values entry = json_items(&entries.items[k]);
            lines[n] = (log_line){ .order = n,
                                   .level = json_text(json_member(labels_of, "level")),
                                   .service = json_text(json_member(labels_of, "service_name")) };
            if (entry.count < 2)
                continue;
            lines[n].time_ns = json_integer(&entry.items[0]);
            lines[n].line = json_text(&entry.items[1]);
            if (entry.count > 2)
                lines[n].fields = json_member(&entry.items[2], "structuredMetadata");
        }
    }
    *ret_count = n;
    return lines;
}

/* key=value key=value, behind the message; what the record only carries along is left out. */
static str fields_text(arena *a, const value *fields)
{
    static const char *const hidden[] = { "scope_name", "telemetry_sdk_", "sonde_", "process_",
                                          "host_",      "service_",       "code_" };
    buf text;
    buf_init(&text, KiB(64));
    for (uint32_t i = 0; fields && fields->type == VALUE_MAP && i < fields->map.count; i++) {
        const attr *f = &fields->map.items[i];
        bool show = true;
        for (size_t k = 0; k < ARRAY_LEN(hidden); k++)
            show = show && !str_starts(f->key, str_c(hidden[k]));
        if (!show)
            continue;
        if (text.len)
            buf_char(&text, ' ');
        buf_str(&text, f->key);
        buf_char(&text, '=');
        buf_str(&text, json_text(&f->value));
    }
    str copy = arena_str(a, buf_view(&text));
    buf_done(&text);
    return copy.ptr ? copy : STR_EMPTY;
}

static void write_lines(const query_options *o, values streams, arena *a, buf *out)
{
    static const table_column columns[] = { { "TIME", false },
                                            { "LEVEL", false },
                                            { "SERVICE", false },
                                            { "MESSAGE", false },
                                            { "FIELDS", false } };
    uint32_t count;
    log_line *lines = gather(streams, a, &count);
    table t;
    table_init(&t, a, columns, ARRAY_LEN(columns));
    if (lines)
        qsort(lines, count, sizeof(*lines), oldest_first);
    for (uint32_t i = 0; lines && i < count; i++) {
        str cells[] = { query_time_text(a, lines[i].time_ns), lines[i].level, lines[i].service,
                        lines[i].line, fields_text(a, lines[i].fields) };
        table_row(&t, cells);
    }
    query_write_table(o, &t, out);
}

static void add_times(client_request *r, const query_options *o, bool range)
{
    if (!range) {
        client_add_fmt(r, "time", "%lld", (long long)o->to_ns);
        return;
    }
    client_add_fmt(r, "start", "%lld", (long long)o->from_ns);
    client_add_fmt(r, "end", "%lld", (long long)o->to_ns);
    client_add_fmt(r, "step", "%.3f", (double)o->step_ns / 1e9);
    client_add_fmt(r, "limit", "%u", o->limit);
}

status query_logql(const query_options *o, arena *a, buf *out, error *err)
{
    logql_query query;
    client_request r;
    value answer;
    buf *raw = o->output == OUTPUT_JSON ? out : NULL;
    status st = logql_parse(&query, str_c(o->expression), a, err);
    if (st != STATUS_OK)
        return fail(err, STATUS_IO, "%s", (const char *)err->message);
    bool range = query.pipeline || o->range || o->plot;
    client_request_init(&r, range ? "/loki/api/v1/query_range" : "/loki/api/v1/query");
    client_add(&r, "query", str_c(o->expression));
    add_times(&r, o, range);
    st = client_query(&r, client_address(o->addr), a, &answer, raw, err);
    client_request_done(&r);
    if (st != STATUS_OK)
        return st;
    const value *data = json_member(&answer, "data");
    values streams = json_items(json_member(data, "result"));
    if (raw)
        buf_char(out, '\n');
    else if (!query.pipeline)
        query_write_metrics(o, data, a, out);
    else if (o->output == OUTPUT_JSONL)
        query_write_jsonl(streams, out);
    else
        write_lines(o, streams, a, out);
    return STATUS_OK;
}

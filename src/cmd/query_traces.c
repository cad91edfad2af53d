// SPDX-License-Identifier: Apache-2.0
/* `sonde query traces`: a search over Jaeger's API, one trace a row. */
#include "cmd/query.h"

#include "base/clock.h"
#include "codec/json.h"

static void add_tags(client_request *r, const query_options *o)
{
    buf tags;
    if (!o->attribute_count)
        return;
    buf_init(&tags, KiB(64));
    json_writer w = json_write(&tags);
    json_begin_object(&w);
    for (uint32_t i = 0; i < o->attribute_count; i++) {
        str text, key = str_cut(str_c(o->attributes[i]), '=', &text);
        json_key(&w, key);
        json_str(&w, text);
    }
    json_end_object(&w);
    client_add(r, "tags", buf_view(&tags));
    buf_done(&tags);
}

static bool has_error(const value *span)
{
    values tags = json_items(json_member(span, "tags"));
    for (uint32_t i = 0; i < tags.count; i++) {
        const value *v = json_member(&tags.items[i], "value");
        if (str_is(json_text(json_member(&tags.items[i], "key")), "error") && v &&
            v->type == VALUE_BOOL && v->b)
            return true;
    }
    return false;
}

static str duration_text(arena *a, int64_t us)
{
    char memory[40];
    buf text = { .ptr = memory, .cap = sizeof(memory), .limit = sizeof(memory) };
    clock_format_duration(&text, us * NS_PER_US);
    str copy = arena_str(a, buf_view(&text));
    return copy.ptr ? copy : STR_EMPTY;
}

static void trace_row(table *t, arena *a, const value *trace)
{
    values spans = json_items(json_member(trace, "spans"));
    const value *root = NULL, *processes = json_member(trace, "processes");
    int64_t start = INT64_MAX, end = INT64_MIN;
    uint32_t errors = 0;
    for (uint32_t i = 0; i < spans.count; i++) {
        const value *s = &spans.items[i];
        int64_t from = json_integer(json_member(s, "startTime"));
        end = MAX(end, from + json_integer(json_member(s, "duration")));
        errors += has_error(s);
        bool orphan = json_items(json_member(s, "references")).count == 0;
        bool root_has_parent = root && json_items(json_member(root, "references")).count > 0;
        if (!root || (orphan && root_has_parent))
            root = s;
        start = MIN(start, from);
    }
    if (!root)
        return;
    char process[64];
    str_copy_c(process, sizeof(process), json_text(json_member(root, "processID")));
    str cells[] = { query_time_text(a, start * NS_PER_US),
                    json_text(json_member(trace, "traceID")),
                    json_text(json_member(json_member(processes, process), "serviceName")),
                    json_text(json_member(root, "operationName")),
                    duration_text(a, end - start),
                    arena_fmt(a, "%u", spans.count),
                    arena_fmt(a, "%u", errors) };
    table_row(t, cells);
}

static void write_traces(const query_options *o, values traces, arena *a, buf *out)
{
    static const table_column columns[] = { { "TIME", false },    { "TRACE", false },
                                            { "SERVICE", false }, { "OPERATION", false },
                                            { "DURATION", true }, { "SPANS", true },
                                            { "ERRORS", true } };
    table t;
    table_init(&t, a, columns, ARRAY_LEN(columns));
    for (uint32_t i = 0; i < traces.count; i++)
        trace_row(&t, a, &traces.items[i]);
    query_write_table(o, &t, out);
}

status query_traces(const query_options *o, arena *a, buf *out, error *err)
{
    client_request r;
    value answer;
    buf *raw = o->output == OUTPUT_JSON ? out : NULL;
    client_request_init(&r, "/jaeger/api/traces");
    if (o->service)
        client_add(&r, "service", str_c(o->service));
    if (o->operation)
        client_add(&r, "operation", str_c(o->operation));
    if (o->min_duration)
        client_add(&r, "minDuration", str_c(o->min_duration));
    add_tags(&r, o);
    client_add_fmt(&r, "start", "%lld", (long long)(o->from_ns / NS_PER_US));
    client_add_fmt(&r, "end", "%lld", (long long)(o->to_ns / NS_PER_US));
    client_add_fmt(&r, "limit", "%u", MIN(o->limit, 1500u));
    status st = client_get(&r, client_address(o->addr), a, &answer, raw, err);
    client_request_done(&r);
    if (st != STATUS_OK)
        return st;
    values traces = json_items(json_member(&answer, "data"));
    if (raw)
        buf_char(out, '\n');
    else if (o->output == OUTPUT_JSONL)
        query_write_jsonl(traces, out);
    else
        write_traces(o, traces, a, out);
    return STATUS_OK;
}

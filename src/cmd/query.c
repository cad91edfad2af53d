// SPDX-License-Identifier: Apache-2.0
/* `sonde query`: options, time ranges, and the common forms of output. */
#include "cmd/query.h"

#include "base/clock.h"
#include "base/file.h"
#include "cmd/cmd.h"
#include "codec/json_value.h"
#include "query/labels.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OUTPUT_LIMIT  GiB(1)
#define LIMIT_DEFAULT 100
#define POINTS        60 /* of a range that names no step */

static void print_help(void)
{
    puts("usage: sonde query promql EXPR [OPTION]...\n"
         "       sonde query logql EXPR [OPTION]...\n"
         "       sonde query traces [OPTION]...\n\n"
         "  sonde query promql 'rate(http_requests_total[5m])' --since 1h --plot\n"
         "  sonde query logql '{service=\"api\", level=\"error\"}' --since 15m\n"
         "  sonde query traces --service worker --min-duration 500ms --attr job.id=42\n\n"
         "times: 1h (ago), 2026-01-31T12:00:00Z, or Unix seconds\n"
         "  --at TIME            evaluate at one time (now)\n"
         "  --since DURATION     from that long ago until now\n"
         "  --start T, --end T   a range\n"
         "  --step DURATION      between points of a range (a 60th of it)\n\n"
         "traces:\n"
         "  --service NAME, --operation NAME, --min-duration DURATION\n"
         "  --attr KEY=VALUE     a span attribute; may be repeated\n\n"
         "  --limit N            lines or traces at most (100)\n"
         "  -o FORMAT            table, json, jsonl or csv (table)\n"
         "  --plot               one chart of all series instead of a table (promql, logql)\n"
         "  --addr URL           the server ($SONDE_ADDR, else " CLIENT_DEFAULT_ADDRESS ")\n"
         "  --reference          instead of EXPR: all of PromQL's functions, as Markdown\n"
         "  --help               print this");
}

/* ---- options ---- */

static status set_output(query_options *o, const char *text, error *err)
{
    static const char *const names[] = { "table", "json", "jsonl", "csv" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            o->output = (query_output)i;
            return STATUS_OK;
        }
    }
    return fail(err, STATUS_INVALID, "-o %s: use table, json, jsonl or csv", text);
}

static status set_limit(query_options *o, const char *text, error *err)
{
    uint64_t n;
    if (!str_to_u64(str_c(text), &n) || n < 1 || n > 5000)
        return fail(err, STATUS_INVALID, "--limit %s: use a number from 1 to 5000", text);
    o->limit = (uint32_t)n;
    return STATUS_OK;
}

static status add_attribute(query_options *o, const char *text, error *err)
{
    if (!strchr(text, '=') || text[0] == '=')
        return fail(err, STATUS_INVALID, "--attr %s: write KEY=VALUE", text);
    if (o->attribute_count == QUERY_ATTRIBUTES)
        return fail(err, STATUS_INVALID, "more than %d --attr", QUERY_ATTRIBUTES);
    o->attributes[o->attribute_count++] = text;
    return STATUS_OK;
}

static status set_option(query_options *o, const char *name, const char *text, error *err)
{
    const struct {
        const char *name;
        const char **to;
    } texts[] = { { "--addr", &o->addr },
                  { "--at", &o->at },
                  { "--since", &o->since },
                  { "--start", &o->start },
                  { "--end", &o->end },
                  { "--step", &o->step },
                  { "--service", &o->service },
                  { "--operation", &o->operation },
                  { "--min-duration", &o->min_duration } };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].to = text;
            return STATUS_OK;
        }
    }
    if (strcmp(name, "--attr") == 0)
        return add_attribute(o, text, err);
    if (strcmp(name, "--limit") == 0)
        return set_limit(o, text, err);
    if (strcmp(name, "-o") == 0 || strcmp(name, "--output") == 0)
        return set_output(o, text, err);
    return fail(err, STATUS_INVALID, "\"%s\" is no option of `sonde query`", name);
}

static status set_argument(query_options *o, const char *text, error *err)
{
    if (!o->language)
        o->language = text;
    else if (!o->expression && strcmp(o->language, "traces") != 0)
        o->expression = text;
    else
        return fail(err, STATUS_INVALID, "\"%s\" is one argument too many; put the query in quotes",
                    text);
    return STATUS_OK;
}

static status parse_options(query_options *o, int argc, char **argv, error *err)
{
    *o = (query_options){ .limit = LIMIT_DEFAULT };
    bool only_arguments = false;
    status st = STATUS_OK;
    for (int i = 1; i < argc && st == STATUS_OK; i++) {
        const char *a = argv[i];
        bool is_option = !only_arguments && a[0] == '-' && a[1];
        /* An expression may begin with a minus sign: sonde query promql '-up'. */
        if (is_option && a[1] != '-' && strcmp(a, "-o") != 0 && strcmp(a, "-h") != 0 &&
            o->language && !o->expression)
            is_option = false;
        if (!is_option)
            st = set_argument(o, a, err);
        else if (strcmp(a, "--") == 0)
            only_arguments = true;
        else if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0)
            o->help = true;
        else if (strcmp(a, "--plot") == 0)
            o->plot = true;
        else if (strcmp(a, "--reference") == 0)
            o->reference = true;
        else if (i + 1 == argc)
            st = fail(err, STATUS_INVALID, "%s wants a value", a);
        else
            st = set_option(o, a, argv[++i], err);
    }
    return st;
}

static status duration_option(const char *name, const char *text, int64_t *ret, error *err)
{
    double seconds;
    bool plain = str_to_f64(str_c(text), &seconds) && seconds > 0 && seconds < 9e9;
    if (plain)
        *ret = (int64_t)(seconds * 1e9);
    if ((!plain && !clock_parse_duration(str_c(text), ret)) || *ret <= 0)
        return fail(err, STATUS_INVALID, "%s %s is no duration; write 15s, 5m or 1h30m", name,
                    text);
    return STATUS_OK;
}

static status resolve_times(query_options *o, error *err)
{
    status st = STATUS_OK;
    o->now_ns = o->to_ns = clock_now_ns();
    o->range = o->since || o->start || o->end;
    if (o->at && o->range)
        return fail(err, STATUS_INVALID,
                    "--at is one time; --since, --start and --end are a range");
    if (o->since && o->start)
        return fail(err, STATUS_INVALID, "--since and --start both say where the range begins");
    if (o->at)
        st = client_time("--at", o->at, o->now_ns, &o->to_ns, err);
    if (o->end && st == STATUS_OK)
        st = client_time("--end", o->end, o->now_ns, &o->to_ns, err);
    int64_t back_ns = 3600 * NS_PER_S;
    if (o->since && st == STATUS_OK)
        st = duration_option("--since", o->since, &back_ns, err);
    o->from_ns = o->to_ns - back_ns;
    if (o->start && st == STATUS_OK)
        st = client_time("--start", o->start, o->now_ns, &o->from_ns, err);
    if (st == STATUS_OK && o->from_ns >= o->to_ns)
        st = fail(err, STATUS_INVALID, "the range ends before it starts");
    o->step_ns = MAX((o->to_ns - o->from_ns) / POINTS / NS_PER_S, 1) * NS_PER_S;
    if (o->step && st == STATUS_OK)
        st = duration_option("--step", o->step, &o->step_ns, err);
    return st;
}

/* ---- output ---- */

str query_time_text(arena *a, int64_t time_ns)
{
    char memory[48];
    buf text = { .ptr = memory, .cap = sizeof(memory), .limit = sizeof(memory) };
    clock_format_rfc3339(&text, time_ns, 3);
    str copy = arena_str(a, buf_view(&text));
    return copy.ptr ? copy : STR_EMPTY;
}

str query_labels_text(arena *a, const value *metric)
{
    buf text;
    attrs empty = { 0 };
    const attrs *map = metric && metric->type == VALUE_MAP ? &metric->map : &empty;
    label *items = ARENA_ARRAY(a, label, MAX(map->count, 1));
    for (uint32_t i = 0; items && i < map->count; i++)
        items[i] = (label){ map->items[i].key, json_text(&map->items[i].value) };
    buf_init(&text, MiB(1));
    if (items)
        labels_print(&text, labels_sort(items, map->count));
    str copy = arena_str(a, buf_view(&text));
    buf_done(&text);
    return copy.ptr ? copy : STR_EMPTY;
}

void query_write_table(const query_options *o, const table *t, buf *out)
{
    if (o->output == OUTPUT_CSV)
        table_csv(t, out);
    else
        table_print(t, terminal_color(), out);
}

void query_write_jsonl(values items, buf *out)
{
    for (uint32_t i = 0; i < items.count; i++) {
        json_writer w = json_write(out);
        value_to_json(&items.items[i], &w);
        buf_char(out, '\n');
    }
}

/* ---- the command ---- */

static status run(query_options *o, buf *out, error *err)
{
    if (o->reference && strcmp(o->language, "promql") == 0 && !o->expression) {
        query_write_reference(out);
        return STATUS_OK;
    }
    static const struct {
        const char *name;
        status (*ask)(const query_options *o, arena *a, buf *out, error *err);
        bool wants_expression;
    } languages[] = { { "promql", query_promql, true },
                      { "logql", query_logql, true },
                      { "traces", query_traces, false } };
    for (size_t i = 0; i < ARRAY_LEN(languages); i++) {
        if (strcmp(o->language, languages[i].name) != 0)
            continue;
        if (languages[i].wants_expression && !o->expression)
            return fail(err, STATUS_INVALID, "no query given: sonde query %s EXPR", o->language);
        arena a;
        arena_init(&a, GiB(2));
        status st = languages[i].ask(o, &a, out, err);
        arena_done(&a);
        return st;
    }
    return fail(err, STATUS_INVALID, "\"%s\" is no query language: use promql, logql or traces",
                o->language);
}

int cmd_query(int argc, char **argv)
{
    error err;
    query_options o;
    status st = parse_options(&o, argc, argv, &err);
    if (st == STATUS_OK && o.help) {
        print_help();
        return EXIT_GOOD;
    }
    if (st == STATUS_OK && !o.language) {
        fail(&err, STATUS_INVALID, "usage: sonde query promql|logql|traces …; see --help");
        return client_complain(&err, true);
    }
    if (st == STATUS_OK)
        st = resolve_times(&o, &err);
    if (st != STATUS_OK)
        return client_complain(&err, true);
    buf out;
    buf_init(&out, OUTPUT_LIMIT);
    st = run(&o, &out, &err);
    if (st == STATUS_OK)
        st = buf_check(&out, &err, "the output");
    if (st == STATUS_OK)
        st = file_write_all(STDOUT_FILENO, out.ptr, out.len, &err);
    buf_done(&out);
    return st == STATUS_OK ? EXIT_GOOD : client_complain(&err, true);
}

// SPDX-License-Identifier: Apache-2.0
/* `sonde trace ID`: the waterfall of a trace id, request id or job id. */
#include "base/file.h"
#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/table.h"
#include "cmd/trace_curl.h"
#include "cmd/trace_print.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *id;
    const char *addr;
    bool json;
    bool curl;
    bool help;
} trace_options;

static void print_help(void)
{
    puts("usage: sonde trace ID [OPTION]...\n\n"
         "Prints the trace that a trace id, request id or job id belongs to:\n"
         "  sonde trace 4bf92f3577b34da6a3ce929d0e0e4736\n\n"
         "  -o FORMAT    text or json (text)\n"
         "  --curl       the curl command that repeats each failed request of the trace; what was\n"
         "               redacted is a placeholder\n"
         "  --addr URL   the server ($SONDE_ADDR, else " CLIENT_DEFAULT_ADDRESS ")\n"
         "  --help       print this");
}

static status parse_options(trace_options *o, int argc, char **argv, error *err)
{
    *o = (trace_options){ 0 };
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        bool wants = strcmp(a, "--addr") == 0 || strcmp(a, "-o") == 0;
        if (wants && i + 1 == argc)
            return fail(err, STATUS_INVALID, "%s wants a value", a);
        if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0)
            o->help = true;
        else if (strcmp(a, "--curl") == 0)
            o->curl = true;
        else if (strcmp(a, "--addr") == 0)
            o->addr = argv[++i];
        else if (strcmp(a, "-o") == 0) {
            const char *format = argv[++i];
            o->json = strcmp(format, "json") == 0;
            if (!o->json && strcmp(format, "text") != 0)
                return fail(err, STATUS_INVALID, "-o %s: use text or json", format);
        } else if (a[0] == '-' && a[1])
            return fail(err, STATUS_INVALID, "\"%s\" is no option of `sonde trace`", a);
        else if (o->id)
            return fail(err, STATUS_INVALID, "one id only");
        else
            o->id = a;
    }
    if (o->curl && o->json)
        return fail(err, STATUS_INVALID, "--curl and -o json: use one of them");
    if (!o->help && !o->id)
        return fail(err, STATUS_INVALID, "usage: sonde trace ID; see --help");
    return STATUS_OK;
}

static status find(const trace_options *o, arena *a, values *ret, error *err)
{
    client_request r;
    value answer;
    client_request_init(&r, "/api/sonde/v1/find");
    client_add(&r, "id", str_c(o->id));
    status st = client_get(&r, client_address(o->addr), a, &answer, NULL, err);
    client_request_done(&r);
    if (st != STATUS_OK)
        return st;
    *ret = json_items(json_member(json_member(&answer, "data"), "trace_ids"));
    if (!ret->count)
        return fail(err, STATUS_NOT_FOUND, "no trace, request or job has the id %.100s", o->id);
    return STATUS_OK;
}

static status show(const trace_options *o, str id, arena *a, buf *out, error *err)
{
    client_request r;
    value answer;
    trace_style style = { terminal_width(), terminal_color() };
    client_request_init(&r, "/jaeger/api/traces");
    client_add_path(&r, id);
    status st = client_get(&r, client_address(o->addr), a, &answer, o->json ? out : NULL, err);
    client_request_done(&r);
    if (st != STATUS_OK)
        return st;
    if (o->json) {
        buf_char(out, '\n');
        return STATUS_OK;
    }
    values traces = json_items(json_member(&answer, "data"));
    uint32_t requests = 0;
    for (uint32_t i = 0; i < traces.count && o->curl; i++)
        requests += trace_curl(&traces.items[i], out);
    if (o->curl && !requests)
        return fail(err, STATUS_NOT_FOUND,
                    "the trace keeps no request: a service that uses sonde_http_begin keeps those "
                    "that it answers with status 500 and above, or with an error envelope");
    for (uint32_t i = 0; i < traces.count && !o->curl; i++)
        if (!trace_print(&style, &traces.items[i], a, out))
            return fail(err, STATUS_NO_MEMORY, "no memory for the trace");
    return STATUS_OK;
}

static status run(const trace_options *o, buf *out, error *err)
{
    arena a;
    values ids;
    arena_init(&a, GiB(2));
    status st = find(o, &a, &ids, err);
    for (uint32_t i = 0; st == STATUS_OK && i < ids.count; i++) {
        if (i && !o->json)
            buf_char(out, '\n');
        st = show(o, json_text(&ids.items[i]), &a, out, err);
    }
    arena_done(&a);
    return st;
}

int cmd_trace(int argc, char **argv)
{
    error err;
    trace_options o;
    status st = parse_options(&o, argc, argv, &err);
    if (st != STATUS_OK)
        return client_complain(&err, true);
    if (o.help) {
        print_help();
        return EXIT_GOOD;
    }
    buf out;
    buf_init(&out, GiB(1));
    st = run(&o, &out, &err);
    if (st == STATUS_OK)
        st = buf_check(&out, &err, "the output");
    if (st == STATUS_OK)
        st = file_write_all(STDOUT_FILENO, out.ptr, out.len, &err);
    buf_done(&out);
    return st == STATUS_OK ? EXIT_GOOD : client_complain(&err, false);
}

// SPDX-License-Identifier: Apache-2.0
/* `sonde tail LOGQL`: follows logs live over Loki's tail endpoint. */
#include "base/clock.h"
#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/tail_print.h"
#include "net/ws_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    const char *address;
    const char *query;
    int64_t since_ns;
    tail_style style;
    bool help;
    error problem; /* why printing ended */
} tail_options;

static void print_help(void)
{
    puts("usage: sonde tail [OPTION]... LOGQL\n\n"
         "Follows the logs that a LogQL selector (with filters) matches, until Ctrl-C:\n"
         "  sonde tail '{service=\"shop-api\"} |= \"timeout\"'\n\n"
         "  --addr URL    the server ($SONDE_ADDR, else http://127.0.0.1:4319)\n"
         "  --since TIME  also what came in that time before now (0s)\n"
         "  -o FORMAT     text or json, one object a line (text)\n"
         "  --help        print this");
}

static status parse(tail_options *o, int argc, char **argv, error *err)
{
    const char *address = getenv("SONDE_ADDR");
    const char *no_color = getenv("NO_COLOR");
    *o = (tail_options){ .address = address && *address ? address : "http://127.0.0.1:4319" };
    o->style.color = isatty(STDOUT_FILENO) && !(no_color && *no_color);
    for (int i = 1; i < argc; i++) {
        str a = str_c(argv[i]);
        bool wants = str_is(a, "--addr") || str_is(a, "--since") || str_is(a, "-o");
        if (wants && !argv[i + 1])
            return fail(err, STATUS_INVALID, "%s wants a value", argv[i]);
        if (str_is(a, "--help") || str_is(a, "-h"))
            o->help = true;
        else if (str_is(a, "--addr"))
            o->address = argv[++i];
        else if (str_is(a, "--since")) {
            if (!clock_parse_duration(str_c(argv[++i]), &o->since_ns) || o->since_ns < 0)
                return fail(err, STATUS_INVALID, "--since %s is no duration; write 5m", argv[i]);
        } else if (str_is(a, "-o")) {
            o->style.json = str_is(str_c(argv[++i]), "json");
            if (!o->style.json && !str_is(str_c(argv[i]), "text"))
                return fail(err, STATUS_INVALID, "-o %s: use text or json", argv[i]);
        } else if (a.len > 1 && a.ptr[0] == '-')
            return fail(err, STATUS_INVALID, "\"%s\" is no option", argv[i]);
        else if (o->query)
            return fail(err, STATUS_INVALID, "one query only; put it in quotes");
        else
            o->query = argv[i];
    }
    if (!o->query && !o->help)
        return fail(err, STATUS_INVALID,
                    "a LogQL selector is missing: sonde tail '{service=~\".+\"}'");
    return STATUS_OK;
}

static void add_encoded(buf *out, str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' ||
                     c == '_' || c == '.' || c == '~';
        if (plain)
            buf_char(out, (char)c);
        else
            buf_fmt(out, "%%%02X", c);
    }
}

static bool on_text(void *user, str text)
{
    tail_options *o = user;
    buf out;
    uint64_t dropped = 0;
    buf_init(&out, MiB(64));
    status st = tail_print(&o->style, text, &out, &dropped, &o->problem);
    if (st == STATUS_OK)
        st = buf_check(&out, &o->problem, "the printed lines");
    if (st == STATUS_OK)
        st = file_write_all(STDOUT_FILENO, out.ptr, out.len, &o->problem);
    if (st == STATUS_OK && dropped)
        fprintf(stderr, "sonde tail: the server left out %llu lines: too many at once\n",
                (unsigned long long)dropped);
    buf_done(&out);
    return st == STATUS_OK;
}

static status follow(tail_options *o, error *err)
{
    ws_client *c = NULL;
    buf target;
    buf_init(&target, KiB(64));
    buf_lit(&target, "/loki/api/v1/tail?query=");
    add_encoded(&target, str_c(o->query));
    buf_fmt(&target, "&start=%lld", (long long)(clock_now_ns() - o->since_ns));
    if (o->since_ns)
        buf_lit(&target, "&limit=1000");
    status st = buf_check(&target, err, "the query");
    if (st == STATUS_OK)
        st = ws_client_open(&c, o->address, buf_view(&target), err);
    if (st == STATUS_OK)
        st = ws_client_run(c, on_text, o, err);
    if (st == STATUS_OK && o->problem.code != STATUS_OK) {
        *err = o->problem;
        st = err->code;
    }
    ws_client_close(c);
    buf_done(&target);
    return st;
}

int cmd_tail(int argc, char **argv)
{
    tail_options o;
    error err;
    if (parse(&o, argc, argv, &err) != STATUS_OK) {
        fprintf(stderr, "sonde tail: %s\n", err.message);
        return EXIT_USAGE;
    }
    if (o.help) {
        print_help();
        return EXIT_GOOD;
    }
    if (follow(&o, &err) != STATUS_OK) {
        fprintf(stderr, "sonde tail: %s\n", err.message);
        return EXIT_FAILED;
    }
    return EXIT_GOOD;
}

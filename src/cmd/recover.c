// SPDX-License-Identifier: Apache-2.0
/* sonde recover DIR: everything that dead processes left in their recorders, without changing them.
 * Log records and spans still in the rings (some may have reached a sink before the death: the
 * record id tells copies), spans that were open, the last metric values, and what had been dropped.
 * Processes that are alive are passed over; a file that cannot be read is named on stderr, and the
 * exit code is then 1 although everything else is printed. */
#include "cmd/cmd.h"

#include "base/clock.h"
#include "base/file.h"
#include "codec/json_value.h"
#include "codec/log_json.h"
#include "codec/otlp.h"
#include "codec/recorder.h"
#include "codec/recorder_metrics.h"
#include "codec/span_json.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROWS_MAX = 2000, BATCH_MAX = 32 << 20, OUT_MAX = 512 << 20, FLUSH_AT = 1 << 20 };

typedef enum { AS_TEXT, AS_JSON, AS_OTLP } output;

typedef struct {
    output as;
    buf out;
    batch logs, spans, points;
    unsigned processes, alive, unreadable;
} recovery;

static const char usage[] = "usage: sonde recover DIR [-o json|otlp]\n";

static void complain(const char *path, const char *why)
{
    fprintf(stderr, "sonde recover: %s: %s\n", path, why);
}

/* Standard output is gone: nothing more can be done here. */
static void flush(recovery *r)
{
    error err;
    if (r->out.failed)
        complain("output", "a batch is longer than 512 MiB and left out");
    else if (file_write_all(STDOUT_FILENO, r->out.ptr, r->out.len, &err) != STATUS_OK)
        exit(EXIT_FAILED);
    buf_clear(&r->out);
}

/* ---- text for people ---- */

static void text_attributes(const attrs *a, buf *out)
{
    for (uint32_t i = 0; i < a->count; i++) {
        if (str_starts(a->items[i].key, STR("sonde.")))
            continue;
        buf_fmt(out, "  %.*s=", STR_ARG(a->items[i].key));
        json_writer w = json_write(out);
        value_to_json(&a->items[i].value, &w);
    }
    buf_char(out, '\n');
}

static void text_log(const batch *b, uint32_t row, buf *out)
{
    const log_rows *l = &b->logs;
    clock_format_rfc3339(out, l->time_ns[row], 6);
    buf_fmt(out, "  %-5s  ", severity_name(l->severity[row]));
    if (l->body[row].type == VALUE_EMPTY)
        buf_str(out, l->event_name[row]);
    else
        value_to_text(&l->body[row], out);
    text_attributes(&l->attributes[row], out);
}

static void text_span(const batch *b, uint32_t row, buf *out)
{
    const span_rows *s = &b->spans;
    clock_format_rfc3339(out, s->start_ns[row], 6);
    buf_fmt(out, "  span   %.*s  ", STR_ARG(s->name[row]));
    clock_format_duration(out, s->end_ns[row] - s->start_ns[row]);
    if (s->status[row] == SPAN_STATUS_ERROR)
        buf_fmt(out, "  error: %.*s", STR_ARG(s->status_message[row]));
    buf_lit(out, "  trace=");
    buf_hex(out, s->trace[row].bytes, 16);
    text_attributes(&s->attributes[row], out);
}

static void text_point(const batch *b, uint32_t row, buf *out)
{
    const point_rows *p = &b->points;
    const batch_metric *m = &b->metrics[p->metric[row]];
    const point_value *v = &p->value[row];
    buf_fmt(out, "metric  %.*s  ", STR_ARG(m->name));
    if (m->type == METRIC_HISTOGRAM || m->type == METRIC_EXP_HISTOGRAM) {
        bool plain = m->type == METRIC_HISTOGRAM;
        buf_lit(out, "count=");
        buf_u64(out, plain ? v->histogram->count : v->exp->count);
        buf_lit(out, " sum=");
        buf_f64(out, plain ? v->histogram->sum : v->exp->sum);
    } else if (v->is_int) {
        buf_i64(out, v->i64);
    } else {
        buf_f64(out, v->f64);
    }
    text_attributes(&p->attributes[row], out);
}

static void text_process(const recorder_info *info, int64_t end_ns, buf *out)
{
    buf_fmt(out, "%.*s, process %d, from ", STR_ARG(info->service), (int)info->pid);
    clock_format_rfc3339(out, info->start_ns, 3);
    buf_fmt(out, " to ");
    clock_format_rfc3339(out, end_ns, 3);
    buf_fmt(out, ", %s\n", info->ended ? "stopped" : "died");
}

/* ---- one batch of each signal ---- */

static void print_otlp(recovery *r, const batch *b)
{
    error err;
    if (batch_row_count(b) == 0)
        return;
    if (otlp_encode_json(b, &r->out, &err) != STATUS_OK)
        complain(signal_name(b->signal), err.message);
    buf_char(&r->out, '\n');
}

static void print_batch(recovery *r, const batch *b)
{
    static const log_json_options all = { .fraction_digits = 9, .with_type = 1, .with_hidden = 1 };
    uint32_t rows = batch_row_count(b);
    if (r->as == AS_OTLP)
        print_otlp(r, b);
    for (uint32_t i = 0; i < rows && r->as != AS_OTLP; i++) {
        bool text = r->as == AS_TEXT;
        if (b->signal == SIGNAL_LOGS && text)
            text_log(b, i, &r->out);
        else if (b->signal == SIGNAL_LOGS)
            log_json_row(b, i, &all, &r->out);
        else if (b->signal == SIGNAL_TRACES && text)
            text_span(b, i, &r->out);
        else if (b->signal == SIGNAL_TRACES)
            span_json_row(b, i, &r->out);
        else if (text)
            text_point(b, i, &r->out);
        else
            point_json_row(b, i, &r->out);
    }
    if (r->out.len > FLUSH_AT || r->out.failed)
        flush(r);
}

/* ---- one recorder ---- */

static void print_drops(recovery *r, recorder_reader *reader, const recorder_info *info)
{
    for (int s = 0; s < SIGNAL_COUNT && r->as != AS_OTLP; s++)
        for (int reason = 0; reason < RECORDER_DROP_COUNT; reason++) {
            uint64_t n = recorder_drops(reader, (signal_kind)s, (recorder_drop)reason);
            const char *label = recorder_drop_label((recorder_drop)reason);
            if (n == 0)
                continue;
            if (r->as == AS_TEXT) {
                buf_fmt(&r->out, "dropped  %s  %s  %llu\n", signal_name((signal_kind)s), label,
                        (unsigned long long)n);
                continue;
            }
            json_writer w = json_write(&r->out);
            json_begin_object(&w);
            JSON_PUT(&w, str, "type", STR("dropped"));
            JSON_PUT(&w, str, "service", info->service);
            JSON_PUT(&w, i64, "pid", info->pid);
            JSON_PUT(&w, str, "signal", str_c(signal_name((signal_kind)s)));
            JSON_PUT(&w, str, "reason", str_c(label));
            JSON_PUT(&w, u64, "count", n);
            json_end_object(&w);
            buf_char(&r->out, '\n');
        }
}

static status print_rows(recovery *r, recorder_reader *reader, error *err)
{
    recorder_cursor *cursor;
    uint32_t rows = 0;
    bool full = false;
    status st = recorder_cursor_open_unnamed(reader, &cursor, err);
    while (st == STATUS_OK) {
        batch_clear(&r->logs);
        batch_clear(&r->spans);
        st = recorder_poll(reader, cursor, INT64_MAX, ROWS_MAX, &r->logs, &r->spans, &rows, &full,
                           err);
        print_batch(r, &r->logs);
        print_batch(r, &r->spans);
        if (rows == 0)
            break;
    }
    return st;
}

static status print_recorder(recovery *r, recorder_reader *reader, error *err)
{
    recorder_info info = recorder_reader_info(reader);
    if (info.alive) {
        r->alive++;
        return STATUS_OK;
    }
    r->processes++;
    if (r->as == AS_TEXT)
        text_process(&info, recorder_last_sign_ns(reader), &r->out);
    status st = print_rows(r, reader, err);
    batch_clear(&r->spans);
    if (st == STATUS_OK && !info.ended)
        st = recorder_live_spans(reader, &r->spans, err);
    print_batch(r, &r->spans);
    batch_clear(&r->points);
    if (st == STATUS_OK)
        st = recorder_metrics_read(reader, &r->points, err);
    print_batch(r, &r->points);
    print_drops(r, reader, &info);
    return st;
}

static void recover_file(recovery *r, const char *path)
{
    recorder_reader *reader;
    error err;
    status st =
        recorder_reader_open(&reader, path, &(recorder_reader_options){ .read_only = true }, &err);
    if (st == STATUS_OK) {
        st = print_recorder(r, reader, &err);
        recorder_reader_close(reader);
    }
    if (st != STATUS_OK) {
        r->unreadable++;
        complain(path, err.message);
    }
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_recorder(const struct dirent *entry)
{
    return str_ends(str_c(entry->d_name), STR(".rec"));
}

static int recover_dir(recovery *r, const char *dir)
{
    char path[PATH_MAX];
    struct dirent **entries;
    int count = scandir(dir, &entries, is_recorder, by_name);
    if (count < 0) {
        complain(dir, strerror(errno));
        return EXIT_FAILED;
    }
    for (int i = 0; i < count; i++) {
        int n = snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
        if (n > 0 && (size_t)n < sizeof(path))
            recover_file(r, path);
        free(entries[i]);
    }
    free(entries);
    if (r->as == AS_TEXT)
        buf_fmt(&r->out, "%u dead, %u alive, %u unreadable recorders in %s\n", r->processes,
                r->alive, r->unreadable, dir);
    flush(r);
    return r->unreadable ? EXIT_FAILED : EXIT_GOOD;
}

/* False: wrong usage. */
static bool parse_arguments(int argc, char **argv, recovery *r, const char **ret_dir)
{
    const char *dir = NULL;
    r->as = isatty(STDOUT_FILENO) ? AS_TEXT : AS_JSON;
    for (int i = 1; i < argc; i++) {
        const char *format = NULL;
        if (strcmp(argv[i], "-o") == 0 && i + 1 < argc)
            format = argv[++i];
        else if (argv[i][0] == '-' || dir)
            return false;
        else
            dir = argv[i];
        if (format && strcmp(format, "json") == 0)
            r->as = AS_JSON;
        else if (format && strcmp(format, "otlp") == 0)
            r->as = AS_OTLP;
        else if (format)
            return false;
    }
    *ret_dir = dir;
    return dir != NULL;
}

int cmd_recover(int argc, char **argv)
{
    recovery r = { 0 };
    const char *dir;
    if (!parse_arguments(argc, argv, &r, &dir)) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    buf_init(&r.out, OUT_MAX);
    batch_init(&r.logs, SIGNAL_LOGS, BATCH_MAX);
    batch_init(&r.spans, SIGNAL_TRACES, BATCH_MAX);
    batch_init(&r.points, SIGNAL_METRICS, 4 * (size_t)BATCH_MAX);
    int code = recover_dir(&r, dir);
    batch_done(&r.logs);
    batch_done(&r.spans);
    batch_done(&r.points);
    buf_done(&r.out);
    return code;
}

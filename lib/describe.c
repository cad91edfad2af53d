// SPDX-License-Identifier: Apache-2.0
/* See describe.h. What is known is gathered under the library's lock into one struct, and told from
 * there, as lines or as JSON. */
#include "lib/describe.h"

#include "base/clock.h"
#include "base/file.h"
#include "lib/start.h"

#include <stdlib.h>

typedef struct {
    lib_state state;
    lib_parts parts; /* while held */
    bool has_report;
    drain_report report;
    recorder_info info;
    recorder_reader *reader; /* of the own recorder; NULL: none can be had */
} facts;

static const char *state_name(lib_state state)
{
    static const char *const names[] = { "off", "disabled", "running", "busy" };
    return names[state];
}

/* facts_free is due. */
static void facts_gather(facts *f)
{
    error err;
    memset(f, 0, sizeof(*f));
    f->state = lib_hold(&f->parts);
    if (f->state != LIB_RUNNING || !f->parts.recorder)
        return;
    if (recorder_open_reader(f->parts.recorder, &f->reader, NULL, &err) == STATUS_OK)
        f->info = recorder_reader_info(f->reader);
    f->has_report = f->parts.drainer != NULL;
    if (f->has_report)
        drainer_report(f->parts.drainer, &f->report);
}

static void facts_free(facts *f)
{
    recorder_reader_close(f->reader);
    if (f->state == LIB_RUNNING || f->state == LIB_DISABLED)
        lib_release();
}

static const char *drained_by(const facts *f)
{
    return f->has_report        ? "a thread of this process"
           : f->parts.elsewhere ? "a server that reads the recorder directory"
                                : "nobody: the drainer could not be started";
}

static const char *lane_state_name(const lane_report *r)
{
    return r->waiting_ns ? "waiting" : r->taken_ns ? "good" : r->failed_ns ? "failed" : "idle";
}

/* ---- lines ---- */

static void put_when(buf *out, const char *what, int64_t time_ns)
{
    buf_fmt(out, "%s", what);
    clock_format_rfc3339(out, time_ns, 3);
}

static void lane_lines(buf *out, const drain_report *d, lane_id i)
{
    const lane_report *r = &d->lane[i];
    buf_fmt(out, "  %-14s %s to %s: %s", lane_name(i), r->protocol ? r->protocol : "", r->url,
            lane_state_name(r));
    if (r->waiting_ns)
        buf_fmt(out, " for %lld s (%s)", (long long)((clock_now_ns() - r->waiting_ns) / NS_PER_S),
                r->failure);
    buf_fmt(out, "\n    %llu taken, %llu refused, %llu repetitions, %llu bytes behind",
            (unsigned long long)r->rows_taken, (unsigned long long)r->rows_refused,
            (unsigned long long)r->retries, (unsigned long long)d->lane_behind[i]);
    if (d->spool.rows[i])
        buf_fmt(out, ", %llu in the spool", (unsigned long long)d->spool.rows[i]);
    if (r->taken_ns)
        put_when(out, "; taken last ", r->taken_ns);
    if (r->failed_ns) {
        put_when(out, "; failed last ", r->failed_ns);
        buf_fmt(out, ": %s", r->failure);
    }
    buf_char(out, '\n');
}

static void sink_lines(buf *out, const facts *f)
{
    static const char *const places[] = { "stdout", "stderr", "file", "none" };
    const settings *s = f->parts.settings;
    const drain_report *d = &f->report;
    bool remote = false;
    buf_fmt(out, "sinks\n  %-14s %s%s%.*s%s, %llu bytes behind\n", "log lines",
            places[s->log_output], s->log_path.len ? " " : "", STR_ARG(s->log_path),
            d->lines_waiting ? ": waiting for its reader" : "",
            (unsigned long long)d->lines_behind);
    for (lane_id i = 0; i < LANE_COUNT; i++)
        if (lane_wanted(s, i)) {
            remote = true;
            if (f->has_report)
                lane_lines(out, d, i);
        }
    if (!remote)
        buf_lit(out, "  nothing is sent: neither OTEL_EXPORTER_OTLP_ENDPOINT, nor an option, nor "
                     "OTEL_<SIGNAL>_EXPORTER asks for it\n");
    if (d->spooling)
        buf_fmt(out, "  %-14s %.*s, %llu of %llu bytes\n", "spool", STR_ARG(s->spool_dir),
                (unsigned long long)d->spool.bytes, (unsigned long long)d->spool.limit);
    if (d->dead)
        buf_fmt(out, "  %u recorders of processes that died are being sent\n", d->dead);
}

static void signal_lines(buf *out, const facts *f)
{
    buf_lit(out, "signals\n");
    for (int i = 0; i < SIGNAL_COUNT && f->reader; i++) {
        uint64_t all = 0;
        buf_fmt(out, "  %-14s ", signal_name((signal_kind)i));
        if (i != SIGNAL_METRICS)
            buf_fmt(out, "%llu recorded, ",
                    (unsigned long long)recorder_count_written(f->parts.recorder, (signal_kind)i));
        size_t at = out->len;
        for (int reason = 0; reason < RECORDER_DROP_COUNT; reason++) {
            uint64_t n = recorder_drops(f->reader, (signal_kind)i, (recorder_drop)reason);
            all += n;
            if (n)
                buf_fmt(out, "%s%llu dropped: %s", out->len > at ? ", " : "", (unsigned long long)n,
                        recorder_drop_label((recorder_drop)reason));
        }
        buf_fmt(out, "%s\n", all ? "" : "nothing dropped");
    }
}

static void setting_line(void *user, str name, str text, setting_origin from)
{
    buf_fmt(user, "  %.*s=%.*s  (%s)\n", STR_ARG(name), STR_ARG(text), describe_origin(from));
}

void describe_text(buf *out)
{
    facts f;
    facts_gather(&f);
    const settings *s = f.parts.settings;
    buf_fmt(out, "sonde %s: %s\n", SONDE_VERSION, state_name(f.state));
    if (f.state == LIB_OFF)
        buf_lit(out, "sonde_start has not been called in this process, or sonde_stop has\n");
    if (f.state == LIB_BUSY)
        buf_lit(out, "it is starting, stopping or flushing: ask again\n");
    if (f.state == LIB_DISABLED)
        buf_lit(out, "OTEL_SDK_DISABLED is true: every call does nothing\n");
    if (f.state == LIB_RUNNING) {
        const char *path = recorder_path(f.parts.recorder);
        buf_fmt(out, "service        %.*s %.*s\n", STR_ARG(s->service), STR_ARG(s->version));
        buf_fmt(out, "recorder       %s, %llu bytes of %llu used\n",
                path[0] ? path : "private memory, which does not survive a crash",
                (unsigned long long)f.info.used_bytes, (unsigned long long)f.info.capacity_bytes);
        buf_fmt(out, "drained by     %s\n", drained_by(&f));
        if (sonde_admin_port())
            buf_fmt(out, "admin port     %u\n", sonde_admin_port());
        sink_lines(out, &f);
        signal_lines(out, &f);
    }
    if (s) {
        buf_lit(out, "settings\n");
        describe_each_setting(s, setting_line, out);
    }
    facts_free(&f);
}

void sonde_describe(int fd)
{
    buf text;
    buf_init(&text, KiB(256));
    describe_text(&text);
    (void)(file_write_all(fd, text.ptr, text.len, NULL) == STATUS_OK);
    buf_done(&text);
}

/* ---- JSON ---- */

static void setting_member(void *user, str name, str text, setting_origin from)
{
    json_writer *w = user;
    json_key(w, name);
    json_begin_object(w);
    JSON_PUT(w, str, "value", text);
    JSON_PUT(w, str, "from", str_c(describe_origin(from)));
    json_end_object(w);
}

void describe_config_json(json_writer *w)
{
    facts f;
    facts_gather(&f);
    json_begin_object(w);
    if (f.parts.settings)
        describe_each_setting(f.parts.settings, setting_member, w);
    json_end_object(w);
    facts_free(&f);
}

static void put_time(json_writer *w, str key, int64_t time_ns)
{
    char text[40];
    buf b = { .ptr = text, .cap = sizeof(text), .limit = sizeof(text) };
    if (!time_ns)
        return;
    clock_format_rfc3339(&b, time_ns, 3);
    json_key(w, key);
    json_str(w, buf_view(&b));
}

static void lane_object(json_writer *w, const drain_report *d, lane_id i)
{
    const lane_report *r = &d->lane[i];
    json_begin_object(w);
    JSON_PUT(w, str, "name", str_c(lane_name(i)));
    JSON_PUT(w, str, "state", str_c(lane_state_name(r)));
    JSON_PUT(w, str, "protocol", str_c(r->protocol));
    JSON_PUT(w, str, "url", str_c(r->url));
    put_time(w, STR("waiting_since"), r->waiting_ns);
    put_time(w, STR("last_taken"), r->taken_ns);
    put_time(w, STR("last_failed"), r->failed_ns);
    if (r->failure[0])
        JSON_PUT(w, str, "failure", str_c(r->failure));
    JSON_PUT(w, u64, "taken", r->rows_taken);
    JSON_PUT(w, u64, "refused", r->rows_refused);
    JSON_PUT(w, u64, "repetitions", r->retries);
    JSON_PUT(w, u64, "behind_bytes", d->lane_behind[i]);
    JSON_PUT(w, u64, "spooled", d->spool.rows[i]);
    json_end_object(w);
}

static void sinks_array(json_writer *w, const facts *f)
{
    const drain_report *d = &f->report;
    json_key(w, STR("sinks"));
    json_begin_array(w);
    if (d->lines_used) {
        json_begin_object(w);
        JSON_PUT(w, str, "name", STR("log lines"));
        JSON_PUT(w, str, "state", d->lines_waiting ? STR("waiting") : STR("good"));
        JSON_PUT(w, u64, "behind_bytes", d->lines_behind);
        json_end_object(w);
    }
    for (lane_id i = 0; i < LANE_COUNT && f->has_report; i++)
        if (lane_wanted(f->parts.settings, i))
            lane_object(w, d, i);
    json_end_array(w);
}

static void signals_object(json_writer *w, const facts *f)
{
    json_key(w, STR("signals"));
    json_begin_object(w);
    for (int i = 0; i < SIGNAL_COUNT && f->reader; i++) {
        json_key(w, str_c(signal_name((signal_kind)i)));
        json_begin_object(w);
        if (i != SIGNAL_METRICS)
            JSON_PUT(w, u64, "recorded", recorder_count_written(f->parts.recorder, (signal_kind)i));
        json_key(w, STR("dropped"));
        json_begin_object(w);
        for (int reason = 0; reason < RECORDER_DROP_COUNT; reason++) {
            uint64_t n = recorder_drops(f->reader, (signal_kind)i, (recorder_drop)reason);
            if (n) {
                json_key(w, str_c(recorder_drop_label((recorder_drop)reason)));
                json_u64(w, n);
            }
        }
        json_end_object(w);
        json_end_object(w);
    }
    json_end_object(w);
}

void describe_status_json(json_writer *w)
{
    facts f;
    facts_gather(&f);
    json_begin_object(w);
    JSON_PUT(w, str, "state", str_c(state_name(f.state)));
    if (f.state == LIB_RUNNING) {
        JSON_PUT(w, str, "service", f.parts.settings->service);
        JSON_PUT(w, str, "drained_by", str_c(drained_by(&f)));
        json_key(w, STR("recorder"));
        json_begin_object(w);
        JSON_PUT(w, str, "path", str_c(recorder_path(f.parts.recorder)));
        JSON_PUT(w, u64, "bytes", f.info.capacity_bytes);
        JSON_PUT(w, u64, "used_bytes", f.info.used_bytes);
        json_end_object(w);
        if (f.report.spooling) {
            json_key(w, STR("spool"));
            json_begin_object(w);
            JSON_PUT(w, u64, "bytes", f.report.spool.bytes);
            JSON_PUT(w, u64, "limit", f.report.spool.limit);
            json_end_object(w);
        }
        sinks_array(w, &f);
        signals_object(w, &f);
    }
    json_end_object(w);
    facts_free(&f);
}

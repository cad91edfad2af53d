// SPDX-License-Identifier: Apache-2.0
/* The drainer's lines: logs (and spans, where the console exporter is on) from the sources to the
 * line sink. The cursor moves when the system took all lines of a poll, or, when nobody reads a
 * pipe while other sinks need the recorder's room, when they were dropped and counted. */
#include "lib/drain_internal.h"

#include "base/clock.h"
#include "codec/log_console.h"
#include "codec/span_json.h"
#include "lib/debug.h"

#include <unistd.h>

#define ROOM_CHECK_MS 20

/* ---- opening ---- */

/* What people look at gets colours, unless they said otherwise. */
static bool wants_colour(log_output_kind kind)
{
    int fd = kind == LOG_TO_STDERR ? STDERR_FILENO : STDOUT_FILENO;
    if (env_get("NO_COLOR").len)
        return false;
    if (env_get("FORCE_COLOR").len)
        return true;
    return kind != LOG_TO_FILE && isatty(fd) && !str_is(env_get("TERM"), "dumb");
}

static void choose_format(drainer *d)
{
    const settings *s = d->settings;
    error err;
    str spec = s->log_format;
    if (!spec.len && s->log_output == LOG_TO_STDOUT && isatty(STDOUT_FILENO))
        spec = STR("console");
    if (log_format_parse(&d->format, spec, &err) != STATUS_OK)
        lib_warn("%s; json is used", err.message);
    d->colour = d->format.console && wants_colour(s->log_output);
}

status drain_lines_open(drainer *d, error *err)
{
    const settings *s = d->settings;
    error why;
    choose_format(d);
    /* The console exporter needs a place where the log lines have none. */
    bool console = s->signal[SIGNAL_TRACES].console || s->signal[SIGNAL_METRICS].console;
    bool borrowed = s->log_output == LOG_TO_NONE && console;
    line_sink_options options = { .kind = borrowed ? LOG_TO_STDOUT : s->log_output,
                                  .path = s->log_path,
                                  .rotate_bytes = s->log_rotate_bytes,
                                  .rotate_age_s = s->log_rotate_age_s,
                                  .rotate_keep = s->log_rotate_keep };
    if (line_sink_init(&d->lines, &options, &why) == STATUS_OK)
        return STATUS_OK;
    lib_warn("log lines go to stderr: %s", why.message);
    line_sink_done(&d->lines);
    return line_sink_init(&d->lines, &(line_sink_options){ .kind = LOG_TO_STDERR }, err);
}

/* ---- writing ---- */

/* What became of the pending lines; false while they wait. */
static bool finish_pending(drainer *d)
{
    lines_progress progress = line_sink_step(&d->lines);
    if (progress == LINES_BLOCKED)
        return false;
    source *s = d->lines_owner;
    d->lines_owner = NULL;
    if (!s)
        return true;
    if (progress == LINES_GONE && d->lines.kind != LOG_TO_NONE)
        drain_count_drop(s, SIGNAL_LOGS, RECORDER_DROP_EXPORT, d->lines_rows);
    drain_commit(s, FEED_LINES);
    return true;
}

/* The log lines may be off while spans still go to the console. */
static void render(drainer *d)
{
    const log_json_options options = { .schema = &d->format.schema };
    buf *out = &d->lines.pending;
    drain_limit_attributes(d->settings, &d->logs);
    uint32_t rows = d->settings->log_output != LOG_TO_NONE ? d->logs.logs.count : 0;
    /* Lines of /debug/logs look like these. */
    bool shared = rows && !d->format.console, keep = shared && debug_logs_wanted();
    if (!shared)
        debug_logs_keep(&d->logs);
    for (uint32_t i = 0; i < rows; i++) {
        size_t from = out->len;
        if (d->format.console)
            log_console_row(&d->logs, i, options.schema->time_digits, d->colour, out);
        else
            log_json_row(&d->logs, i, &options, out);
        if (keep && !out->failed)
            debug_logs_keep_line(&d->logs, i, str_n(out->ptr + from, out->len - from));
    }
    if (d->plan.console_traces)
        for (uint32_t i = 0; i < d->spans.spans.count; i++)
            span_json_row(&d->spans, i, &d->lines.pending);
    if (d->lines.pending.failed) {
        /* Not reachable while a row's line fits LINES_PENDING_MAX / LINES_ROWS_MAX; never stop. */
        buf_clear(&d->lines.pending);
        drain_count_drop(d->lines_owner, SIGNAL_LOGS, RECORDER_DROP_EXPORT, d->lines_rows);
    }
}

/* Nobody reads the pipe, and the recorder is three quarters full because of that: what other sinks
 * have still to take would find no room. The oldest lines are dropped and counted until a quarter
 * of the recorder is left to this sink. Where there is no other sink, they stay. */
static void give_way(drainer *d)
{
    error err;
    bool live, more = true;
    source *s = d->own;
    int64_t now = clock_mono_ns();
    bool alone = true;
    for (int f = 0; f < FEED_COUNT; f++)
        alone = alone && (f == FEED_LINES || !d->plan.in_use[f]);
    if (alone || now < d->lines_room_check_ns)
        return;
    d->lines_room_check_ns = now + ROOM_CHECK_MS * NS_PER_MS;
    uint64_t capacity = s->info.capacity_bytes;
    if (recorder_reader_info(s->reader).used_bytes < capacity / 4 * 3 ||
        recorder_cursor_behind_extents(s->reader, s->cursor[FEED_LINES]) < capacity / 2)
        return;
    if (d->lines_owner == s) {
        uint32_t rows = MIN(line_sink_forget(&d->lines), d->lines_rows);
        drain_count_drop(s, SIGNAL_LOGS, RECORDER_DROP_SPOOL, rows);
        d->lines_rows -= rows;
        drain_commit(s, FEED_LINES);
    }
    while (more &&
           recorder_cursor_behind_extents(s->reader, s->cursor[FEED_LINES]) > capacity / 4) {
        batch_clear(&d->logs);
        if (source_poll(s, FEED_LINES, d->at_rest, LINES_ROWS_MAX, &d->logs, NULL, &live, &more,
                        &err) != STATUS_OK)
            break;
        drain_count_drop(s, SIGNAL_LOGS, RECORDER_DROP_SPOOL, d->logs.logs.count);
        if (!drain_commit(s, FEED_LINES))
            break;
    }
}

bool drain_lines_step(drainer *d, bool *ret_more)
{
    error err;
    bool live, more;
    if (!d->plan.in_use[FEED_LINES])
        return false;
    if (!finish_pending(d)) {
        give_way(d);
        return false;
    }
    source *s = drain_next_source(d, FEED_LINES);
    if (!s || (!d->reads && !d->lines_more && !source_is_dead(s)))
        return false;
    batch_clear(&d->logs);
    batch_clear(&d->spans);
    status st = source_poll(s, FEED_LINES, d->at_rest, LINES_ROWS_MAX, &d->logs,
                            d->plan.console_traces ? &d->spans : NULL, &live, &more, &err);
    if (st != STATUS_OK) {
        drain_read_failed(d, s, FEED_LINES, &err);
        return false;
    }
    d->lines_rows = d->logs.logs.count + d->spans.spans.count;
    d->lines_more = more;
    *ret_more = *ret_more || more;
    if (d->lines_rows == 0) {
        drain_commit(s, FEED_LINES); /* it may have passed over rows of other signals */
        return false;
    }
    d->lines_owner = s;
    render(d);
    finish_pending(d);
    return true;
}

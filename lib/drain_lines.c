// SPDX-License-Identifier: Apache-2.0
/* The drainer's JSON lines: logs (and spans, where the console exporter is on) from the sources to
 * the line sink. The cursor moves when the system took all lines of a poll. */
#include "lib/drain_internal.h"

#include "codec/log_json.h"
#include "codec/span_json.h"

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
    static const log_json_options options = { 0 };
    drain_limit_attributes(d->settings, &d->logs);
    if (d->lines.kind != LOG_TO_NONE)
        for (uint32_t i = 0; i < d->logs.logs.count; i++)
            log_json_row(&d->logs, i, &options, &d->lines.pending);
    if (d->plan.console_traces)
        for (uint32_t i = 0; i < d->spans.spans.count; i++)
            span_json_row(&d->spans, i, &d->lines.pending);
    if (d->lines.pending.failed) {
        /* Not reachable while a row's line fits LINES_PENDING_MAX / LINES_ROWS_MAX; never stop. */
        buf_clear(&d->lines.pending);
        drain_count_drop(d->lines_owner, SIGNAL_LOGS, RECORDER_DROP_EXPORT, d->lines_rows);
    }
}

bool drain_lines_step(drainer *d, bool *ret_more)
{
    error err;
    bool live, more;
    if (!d->plan.in_use[FEED_LINES] || !finish_pending(d))
        return false;
    source *s = drain_next_source(d, FEED_LINES);
    if (!s)
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

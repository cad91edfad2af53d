// SPDX-License-Identifier: Apache-2.0
/* What goes over the network: logs and spans from the sources, and metric values at their interval,
 * to the exporter's lanes. A lane's cursor moves when the receiver took its batch, or refused it
 * for good, which is counted. */
#include "lib/drain_internal.h"

#include "base/clock.h"
#include "codec/recorder_metrics.h"
#include "codec/span_json.h"
#include "lib/debug.h"
#include "lib/library_metrics.h"
#include "lib/metric.h"

/* A lane that has this much waiting does not wait for its schedule; one that has several batches
 * waiting sends the next as soon as the last was answered. */
#define EAGER_BYTES   KiB(128)
#define BACKLOG_BYTES KiB(512)

feed drain_feed_of(lane_id lane)
{
    static const feed feeds[LANE_COUNT] = { [LANE_LOGS] = FEED_LOGS,
                                            [LANE_METRICS] = FEED_COUNT,
                                            [LANE_TRACES] = FEED_TRACES,
                                            [LANE_ZIPKIN] = FEED_ZIPKIN };
    return feeds[lane];
}

batch *drain_batch_of(drainer *d, lane_id lane)
{
    return lane == LANE_LOGS ? &d->logs : &d->spans;
}

status drain_poll_lane(drainer *d, lane_id lane, source *s, uint32_t max_rows, bool *ret_live,
                       bool *ret_more, error *err)
{
    batch *b = drain_batch_of(d, lane);
    batch_clear(b);
    return source_poll(s, drain_feed_of(lane), d->at_rest, max_rows, lane == LANE_LOGS ? b : NULL,
                       lane == LANE_LOGS ? NULL : b, ret_live, ret_more, err);
}

static bool metrics_wanted(const drainer *d)
{
    const signal_settings *m = &d->settings->signal[SIGNAL_METRICS];
    return m->otlp || m->console;
}

bool drain_reached(const drainer *d, int64_t wall_ns)
{
    for (int f = 0; f < FEED_COUNT; f++)
        if (d->own->cursor[f] && d->own->reached_ns[f] < wall_ns)
            return false;
    for (lane_id i = 0; i < LANE_COUNT; i++)
        if (i != LANE_METRICS && d->plan.in_use[drain_feed_of(i)] &&
            (d->work[i].spooled || d->work[i].released || spool_has(d->spool, i)))
            return false;
    return d->lines_owner != d->own && d->lines.pending.len == 0 &&
           (!metrics_wanted(d) || d->metrics_sent_ns >= d->pass_since_ns);
}

void drain_lane_done(void *user, lane_id lane, const export_result *result)
{
    drainer *d = user;
    lane_work *w = &d->work[lane];
    source *s = w->owner;
    w->owner = NULL;
    library_metrics_exported(lane_signal(lane), result->rows - result->rejected, !result->taken);
    if (w->spooled)
        spool_done(d->spool, lane);
    if (w->spooled || w->released) {
        w->spooled = w->released = false;
        drain_count_drop(d->own, lane_signal(lane), RECORDER_DROP_EXPORT, result->rejected);
        return;
    }
    if (!s)
        return;
    drain_count_drop(s, lane_signal(lane), RECORDER_DROP_EXPORT, result->rejected);
    if (lane == LANE_METRICS) {
        s->metrics_sent = true;
        if (s == d->own && result->taken)
            metric_delta_commit(d->delta);
        if (s == d->own)
            d->metrics_sent_ns = d->metrics_collected_ns;
    } else if (!w->live) {
        drain_commit(s, drain_feed_of(lane));
    }
}

/* Encodes and sends; a batch that cannot be is dropped and counted. */
static void send_batch(drainer *d, lane_id lane, source *s, const batch *b)
{
    error err;
    buf_clear(&d->body);
    status st = exporter_encode(d->exporter, lane, b, &d->body, &err);
    d->work[lane].owner = s;
    d->work[lane].sent_ns = clock_mono_ns();
    d->work[lane].rows = batch_row_count(b);
    if (st == STATUS_OK)
        st = exporter_send(d->exporter, lane, buf_view(&d->body), batch_row_count(b), &err);
    if (st != STATUS_OK) {
        uint32_t rows = batch_row_count(b);
        lib_warn("%u %s cannot be sent and are dropped: %s", rows, lane_name(lane), err.message);
        drain_lane_done(d, lane, &(export_result){ .rows = rows, .rejected = rows });
    }
    if (d->body.cap > MiB(1))
        buf_done(&d->body);
}

static bool lane_is_due(drainer *d, lane_id lane, source *s)
{
    feed f = drain_feed_of(lane);
    return d->at_rest || d->pass_since_ns || source_is_dead(s) ||
           clock_mono_ns() >= d->work[lane].due_ns ||
           recorder_cursor_behind_extents(s->reader, s->cursor[f]) >=
               (d->reads ? EAGER_BYTES : BACKLOG_BYTES);
}

static bool rows_step(drainer *d, lane_id lane, bool *ret_more)
{
    error err;
    bool more;
    feed f = drain_feed_of(lane);
    lane_work *w = &d->work[lane];
    const signal_settings *how = &d->settings->signal[lane_signal(lane)];
    if (!d->plan.in_use[f] || w->owner || w->spooled || w->released ||
        exporter_state(d->exporter, lane) != LANE_IDLE)
        return false;
    if (spool_has(d->spool, lane))
        return drain_spool_send(d, lane);
    source *s = drain_next_source(d, f);
    if (!s || !lane_is_due(d, lane, s))
        return false;
    batch *b = drain_batch_of(d, lane);
    status st = drain_poll_lane(d, lane, s, how->batch_max, &w->live, &more, &err);
    if (st != STATUS_OK)
        drain_read_failed(d, s, f, &err);
    w->due_ns = clock_mono_ns() + (more ? 0 : how->schedule_ms * NS_PER_MS);
    *ret_more = *ret_more || more;
    if (st != STATUS_OK)
        return false;
    if (batch_row_count(b) == 0) {
        drain_commit(s, f); /* it may have passed over rows of other signals */
        return false;
    }
    drain_limit_attributes(d->settings, b);
    if (f == FEED_LOGS && !d->plan.in_use[FEED_LINES])
        debug_logs_keep(b);
    send_batch(d, lane, s, b);
    return true;
}

/* ---- metrics ---- */

static void points_to_console(drainer *d)
{
    if (!d->settings->signal[SIGNAL_METRICS].console || d->lines.pending.len)
        return;
    for (uint32_t i = 0; i < d->points.points.count; i++)
        point_json_row(&d->points, i, &d->lines.pending);
    if (d->lines.pending.failed)
        buf_clear(&d->lines.pending);
    line_sink_step(&d->lines);
}

static void send_metrics(drainer *d, source *s)
{
    error err;
    batch_clear(&d->points);
    status st = recorder_metrics_read(s->reader, &d->points, &err);
    if (st != STATUS_OK)
        lib_warn("metrics cannot be read: %s", err.message);
    points_to_console(d);
    if (s == d->own)
        metric_delta_apply(d->delta, &d->points);
    d->work[LANE_METRICS].owner = s;
    if (st == STATUS_OK && d->points.points.count && d->settings->signal[SIGNAL_METRICS].otlp)
        send_batch(d, LANE_METRICS, s, &d->points);
    else
        drain_lane_done(d, LANE_METRICS, &(export_result){ .taken = true });
}

static bool metrics_step(drainer *d)
{
    lane_work *w = &d->work[LANE_METRICS];
    bool otlp = d->settings->signal[SIGNAL_METRICS].otlp;
    lane_state state = otlp ? exporter_state(d->exporter, LANE_METRICS) : LANE_IDLE;
    if (!metrics_wanted(d) || state == LANE_SENDING)
        return false;
    /* At rest the own ones go first. */
    for (source *s = d->dead; s && !w->owner && (!d->at_rest || d->empty); s = s->next)
        if (!s->metrics_sent) {
            send_metrics(d, s);
            return true;
        }
    int64_t now = clock_mono_ns();
    bool asked = d->pass_since_ns && d->metrics_collected_ns < d->pass_since_ns;
    if ((!asked && now < d->metrics_due_ns) || (w->owner && w->owner != d->own))
        return false;
    d->metrics_due_ns = now + d->settings->metric_interval_ms * NS_PER_MS;
    d->metrics_collected_ns = clock_now_ns();
    if (!d->at_rest)
        metric_collect();
    send_metrics(d, d->own);
    return true;
}

bool drain_lanes_step(drainer *d, bool *ret_more)
{
    bool moved = metrics_step(d);
    if (!d->exporter)
        return moved;
    for (lane_id i = 0; i < LANE_COUNT; i++)
        if (i != LANE_METRICS)
            moved = rows_step(d, i, ret_more) || moved;
    exporter_step(d->exporter);
    drain_make_room(d);
    return moved;
}

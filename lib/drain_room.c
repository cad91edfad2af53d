// SPDX-License-Identifier: Apache-2.0
/* Room in the recorder while a receiver is away: what it has not taken goes to the spool, oldest
 * first, or is dropped and counted where there is none. Later the spool goes out before anything
 * else of the lane. */
#include "lib/drain_internal.h"

#include "base/clock.h"
#include "codec/otlp.h"

/* What a record is taken to be where a limit is in records and the recorder counts bytes. */
#define QUEUE_RECORD_BYTES 256u
#define ROOM_CHECK_MS      20
/* A request that is under way this long is like one that failed; it gets longer where calls rather
 * wait for room than lose a record. */
#define PATIENCE_NS NS_PER_S

static void on_dropped(void *user, lane_id lane, uint64_t rows)
{
    drainer *d = user;
    drain_count_drop(d->own, lane_signal(lane), RECORDER_DROP_SPOOL, rows);
}

void drain_spool_open(drainer *d)
{
    error err;
    const settings *s = d->settings;
    if (s->spool_dir.len == 0)
        return;
    spool_options options = { .dir = s->spool_dir,
                              .bytes = s->spool_bytes,
                              .service = s->service,
                              .id = recorder_id(d->recorder),
                              .adopt = d->adoptions_left > 0,
                              .dropped = on_dropped,
                              .user = d };
    if (spool_open(&d->spool, &options, &err) != STATUS_OK)
        lib_warn("there is no spool: %s", err.message);
}

/* The spool has OTLP's protobuf; another encoding is made of it here. */
static status encode_spooled(drainer *d, lane_id lane, error *err)
{
    if (exporter_encodes_protobuf(d->exporter, lane))
        return STATUS_OK;
    batch *b = drain_batch_of(d, lane);
    batch_clear(b);
    status st = otlp_decode(b, buf_view(&d->body), NULL, NULL, err);
    if (st == STATUS_OK) {
        /* The batch's texts are views into the bytes that it was decoded from. */
        buf encoded;
        buf_init(&encoded, d->body.limit);
        st = exporter_encode(d->exporter, lane, b, &encoded, err);
        buf_done(&d->body);
        d->body = encoded;
    }
    batch_clear(b);
    return st;
}

bool drain_spool_send(drainer *d, lane_id lane)
{
    error err;
    uint32_t rows = 0;
    lane_work *w = &d->work[lane];
    buf_clear(&d->body);
    if (spool_peek(d->spool, lane, &d->body, &rows, &err) != STATUS_OK)
        return false;
    status st = encode_spooled(d, lane, &err);
    w->spooled = true;
    w->sent_ns = clock_mono_ns();
    if (st == STATUS_OK)
        st = exporter_send(d->exporter, lane, buf_view(&d->body), rows, &err);
    if (st != STATUS_OK) {
        lib_warn("%u spooled %s cannot be sent and are dropped: %s", rows, lane_name(lane),
                 err.message);
        drain_lane_done(d, lane, &(export_result){ .rows = rows, .rejected = rows });
    }
    return true;
}

/* ---- making room ---- */

/* Bytes that a lane may leave unread while its receiver is away: what the configured queue size
 * comes to, else half of a recorder that is three quarters full. 0: no limit now. */
static uint64_t queue_bytes(const drainer *d, lane_id lane, bool tight)
{
    uint32_t records = d->settings->signal[lane_signal(lane)].queue_max;
    uint64_t capacity = d->own->info.capacity_bytes;
    if (records)
        return MIN((uint64_t)records * QUEUE_RECORD_BYTES, capacity / 2);
    return tight ? capacity / 2 : 0;
}

/* A lane whose receiver does not keep up: where there is a spool, any that is busy when the
 * recorder needs room. Without one the rows would be lost, so that a request gets its time. */
static bool is_away(const drainer *d, lane_id lane, bool tight)
{
    lane_state state = exporter_state(d->exporter, lane);
    int64_t patience_ns = MAX(PATIENCE_NS, (int64_t)d->settings->full_wait_ms * NS_PER_MS);
    return state == LANE_WAITING ||
           (state == LANE_SENDING &&
            ((tight && d->spool) || clock_mono_ns() - d->work[lane].sent_ns > patience_ns));
}

/* False, with a warning, when it cannot be kept. */
static bool to_spool(drainer *d, lane_id lane, batch *b)
{
    error err;
    uint32_t rows = batch_row_count(b);
    if (!d->spool)
        return false;
    drain_limit_attributes(d->settings, b);
    buf_clear(&d->body);
    status st = otlp_encode(b, &d->body, &err);
    if (st == STATUS_OK)
        st = spool_add(d->spool, lane, buf_view(&d->body), rows, &err);
    int64_t now = clock_mono_ns();
    if (st != STATUS_OK && (!d->spool_warned_ns || now - d->spool_warned_ns > 60 * NS_PER_S)) {
        d->spool_warned_ns = now;
        lib_warn("%u %s cannot be spooled and are dropped: %s", rows, lane_name(lane), err.message);
    }
    return st == STATUS_OK;
}

/* The rows that the lane is sending leave the recorder: to the spool, whose oldest entry for the
 * lane they become, or else they live only in the body that is being sent. Reading the same number
 * of rows from the same place gives the same rows. */
static void take_over(drainer *d, lane_id lane)
{
    error err;
    bool live, more;
    uint32_t rows;
    lane_work *w = &d->work[lane];
    source *s = w->owner;
    feed f = drain_feed_of(lane);
    recorder_cursor_rewind(s->reader, s->cursor[f]);
    batch *b = drain_batch_of(d, lane);
    if (drain_poll_lane(d, lane, s, w->rows, &live, &more, &err) != STATUS_OK ||
        batch_row_count(b) != w->rows)
        lib_warn("%s: other rows than before were read", lane_name(lane));
    w->owner = NULL;
    w->spooled = to_spool(d, lane, b);
    w->released = !w->spooled;
    buf_clear(&d->body);
    if (w->spooled && spool_peek(d->spool, lane, &d->body, &rows, &err) != STATUS_OK)
        w->spooled = !(w->released = true);
    drain_commit(s, f);
}

/* Takes what the lane has not sent out of the recorder until half of the limit is left. */
static void give_way(drainer *d, lane_id lane, bool tight)
{
    error err;
    bool live, more = true;
    source *s = d->own;
    feed f = drain_feed_of(lane);
    uint64_t limit = queue_bytes(d, lane, tight);
    if (!s->cursor[f] || !limit || !is_away(d, lane, tight) ||
        recorder_cursor_behind_extents(s->reader, s->cursor[f]) < limit)
        return;
    if (d->work[lane].owner == s)
        take_over(d, lane);
    while (more && recorder_cursor_behind_extents(s->reader, s->cursor[f]) > limit / 2) {
        if (drain_poll_lane(d, lane, s, LINES_ROWS_MAX, &live, &more, &err) != STATUS_OK)
            break;
        batch *b = drain_batch_of(d, lane);
        if (batch_row_count(b) && !to_spool(d, lane, b))
            drain_count_drop(s, lane_signal(lane), RECORDER_DROP_SPOOL, batch_row_count(b));
        if (!drain_commit(s, f))
            break;
    }
}

void drain_make_room(drainer *d)
{
    int64_t now = clock_mono_ns();
    uint64_t capacity = d->own->info.capacity_bytes;
    if (now < d->room_check_ns)
        return;
    d->room_check_ns = now + ROOM_CHECK_MS * NS_PER_MS;
    bool tight = recorder_reader_info(d->own->reader).used_bytes >= capacity / 4 * 3;
    for (lane_id i = 0; i < LANE_COUNT; i++)
        if (i != LANE_METRICS)
            give_way(d, i, tight);
}

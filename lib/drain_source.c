// SPDX-License-Identifier: Apache-2.0
/* Sources of the drainer; see drain_source.h. */
#include "lib/drain_source.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ADOPT_MAX = 16 };

feed_plan feed_plan_of(const settings *s)
{
    feed_plan plan = { .console_traces = s->signal[SIGNAL_TRACES].console };
    plan.in_use[FEED_LOGS] = s->signal[SIGNAL_LOGS].otlp;
    plan.in_use[FEED_TRACES] = s->signal[SIGNAL_TRACES].otlp;
    plan.in_use[FEED_ZIPKIN] = s->signal[SIGNAL_TRACES].zipkin;
    plan.in_use[FEED_LINES] =
        s->log_output != LOG_TO_NONE || plan.console_traces ||
        (!plan.in_use[FEED_LOGS] && !plan.in_use[FEED_TRACES] && !plan.in_use[FEED_ZIPKIN]);
    plan.code = plan.in_use[FEED_LOGS] || str_contains(s->log_format, STR("code=on"));
    return plan;
}

/* Takes the lock and opens the cursors; the reader is closed on failure. */
static status source_new(source **ret, recorder_reader *reader, const feed_plan *plan, error *err)
{
    static const str names[FEED_COUNT] = { STR_INIT("lines"), STR_INIT("otlp-logs"),
                                           STR_INIT("otlp-traces"), STR_INIT("zipkin") };
    status st = recorder_reader_lock(reader, err);
    source *s = st == STATUS_OK ? calloc(1, sizeof(*s)) : NULL;
    if (st == STATUS_OK && !s)
        st = fail(err, STATUS_NO_MEMORY, "no memory for reading a recorder");
    for (int f = 0; f < FEED_COUNT && st == STATUS_OK; f++)
        if (plan->in_use[f])
            st = recorder_cursor_open(reader, &s->cursor[f], names[f], err);
    if (st != STATUS_OK) {
        recorder_reader_close(reader);
        free(s);
        return st;
    }
    s->reader = reader;
    s->info = recorder_reader_info(reader);
    *ret = s;
    return STATUS_OK;
}

status source_open_own(source **ret, recorder *r, const feed_plan *plan, error *err)
{
    recorder_reader *reader;
    recorder_reader_options options = { .code_on_logs = plan->code };
    status st = recorder_open_reader(r, &reader, &options, err);
    return st == STATUS_OK ? source_new(ret, reader, plan, err) : st;
}

bool source_is_dead(const source *s)
{
    return s->path != NULL;
}

bool source_feed_done(const source *s, feed f)
{
    return !s->cursor[f] || s->reached_ns[f] == INT64_MAX;
}

void source_close(source *s)
{
    if (!s)
        return;
    recorder_reader_close(s->reader);
    free(s->path);
    free(s);
}

void source_remove(source *s)
{
    /* The name goes first, while the lock is held: nobody else can begin to read it again. */
    if (s->path)
        unlink(s->path);
    source_close(s);
}

/* ---- what dead processes left ---- */

/* NULL when the file is not for us: alive, another service's, somebody else is on it, damaged. */
static source *adopt_one(const char *path, str service, const feed_plan *plan, bool later)
{
    recorder_reader *reader;
    source *s;
    error err;
    if (later && recorder_lock_is_held(path, RECORDER_LOCK_ALIVE))
        return NULL;
    recorder_reader_options options = { .code_on_logs = plan->code };
    status st = recorder_reader_open(&reader, path, &options, &err);
    if (st != STATUS_OK) {
        if (!later && (st == STATUS_UNSUPPORTED || st == STATUS_CORRUPT))
            lib_warn("%s; it is left alone", err.message);
        return NULL;
    }
    recorder_info info = recorder_reader_info(reader);
    if (info.alive || !str_eq(info.service, service)) {
        recorder_reader_close(reader);
        return NULL;
    }
    if (source_new(&s, reader, plan, &err) != STATUS_OK)
        return NULL;
    s->path = strdup(path);
    /* It may have been finished by another process between opening and locking. */
    if (!s->path || access(path, F_OK) != 0) {
        source_close(s);
        return NULL;
    }
    return s;
}

static unsigned adopt_from(source **list, const char *dir, str service, const char *own,
                           const feed_plan *plan, bool later)
{
    char path[PATH_MAX];
    unsigned found = 0;
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && found < ADOPT_MAX && (entry = readdir(d));) {
        str name = str_c(entry->d_name);
        if (!str_ends(name, STR(".rec")))
            continue;
        int n = snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (n < 0 || (size_t)n >= sizeof(path) || strcmp(path, own) == 0)
            continue;
        source *s = adopt_one(path, service, plan, later);
        if (!s)
            continue;
        source **at = list;
        while (*at && (*at)->info.start_ns < s->info.start_ns)
            at = &(*at)->next;
        s->next = *at;
        *at = s;
        found++;
    }
    if (d)
        closedir(d);
    return found;
}

unsigned source_adopt(source **list, const char *dir, str service, const char *own,
                      const feed_plan *plan)
{
    return adopt_from(list, dir, service, own, plan, false);
}

unsigned source_adopt_later(source **list, const char *dir, str service, const char *own,
                            const feed_plan *plan)
{
    return adopt_from(list, dir, service, own, plan, true);
}

/* ---- reading ---- */

status source_poll(source *s, feed f, bool at_rest, uint32_t max_rows, batch *logs, batch *spans,
                   bool *ret_live, bool *ret_more, error *err)
{
    uint32_t rows = 0;
    bool full = false;
    /* What recorder_horizon gives, without asking whether this process is alive. */
    int64_t horizon =
        at_rest || source_is_dead(s) ? INT64_MAX : clock_now_ns() - RECORDER_WINDOW_NS;
    *ret_live = *ret_more = false;
    status st =
        recorder_poll(s->reader, s->cursor[f], horizon, max_rows, logs, spans, &rows, &full, err);
    if (st != STATUS_OK)
        return st;
    *ret_more = rows == max_rows || full;
    if (rows || full)
        return STATUS_OK;
    if (source_is_dead(s) && !s->live_sent[f] && spans && !s->info.ended) {
        *ret_live = true;
        s->live_sent[f] = true;
        st = recorder_live_spans(s->reader, spans, err);
        *ret_more = true;
        if (st != STATUS_OK || spans->spans.count)
            return st;
    }
    s->reached_ns[f] = horizon;
    return STATUS_OK;
}

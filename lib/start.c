// SPDX-License-Identifier: Apache-2.0
/* sonde_start and sonde_stop: wiring of settings, recorder, metrics, drainer and admin port. There
 * is one instance in a process; the child of a fork gets a drainer of its own at its first call. */
#include "lib/start.h"

#include "lib/admin.h"
#include "lib/db.h"
#include "lib/debug.h"
#include "lib/drain.h"
#include "lib/export.h"
#include "lib/health.h"
#include "lib/http.h"
#include "lib/log.h"
#include "lib/metric.h"
#include "lib/propagate.h"
#include "lib/redact.h"
#include "lib/span_sampler.h"
#include "lib/state.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    bool running;
    bool registered; /* exit handler and fork hook */
    pid_t pid;       /* the process that `drainer` and the admin port belong to */
    settings *settings;
    drainer *drainer; /* NULL: switched off, or it could not be started */
    drainer *parents; /* in the child of a fork */
    bool elsewhere;   /* a server drains: nothing to wait for here */
} lib = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Whether a server reads the recorder, so that the process needs no thread for it. */
static bool server_drains(const settings *s)
{
    char dir[4096];
    error err;
    return s->drain == DRAIN_SERVER ||
           (s->drain == DRAIN_AUTO &&
            recorder_directory(s->recorder_dir, dir, sizeof(dir), &err) == STATUS_OK &&
            recorder_server_reads(dir));
}

static void start_drainer(recorder *r, bool adopt)
{
    error err;
    lib.drainer = NULL;
    lib.pid = getpid();
    lib.elsewhere = recorder_is_external(r);
    if (lib.elsewhere)
        return;
    if (drainer_start(&lib.drainer, lib.settings, r, adopt, &err) != STATUS_OK)
        lib_error("nothing is written out until the next start: %s", err.message);
}

/* In the child of a fork the parent's drainer and admin port are memory without a thread: they are
 * forgotten, not freed, because their connections are the parent's. */
static void on_state(recorder *r, state_event event)
{
    if (event != STATE_FORKED)
        return;
    lib.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    admin_forked();
    health_forked();
    http_forked();
    db_forked();
    log_throttles_forked();
    lib.parents = lib.drainer;
    start_drainer(r, false);
}

static void at_exit(void)
{
    sonde_stop();
}

static void register_once(void)
{
    if (lib.registered)
        return;
    lib.registered = true;
    state_add_hook(on_state);
    atexit(at_exit);
}

static status open_recorder(const settings *s, error *err)
{
    recorder *r;
    error why = { 0 };
    recorder_options options = { .service = s->service,
                                 .dir = s->recorder_dir,
                                 .bytes = s->recorder_bytes,
                                 .resource = s->resource.items,
                                 .resource_count = s->resource.count,
                                 .external = server_drains(s),
                                 .full_wait_ms = s->full_wait_ms,
                                 .redact_values = s->redact_values,
                                 .redact_keys = s->redact_keys };
    redact_configure(s->redact_values, s->redact_keys);
    status st = recorder_open(&r, &options, &why);
    if (st != STATUS_OK)
        return fail(err, st, "%s", why.message);
    if (recorder_path(r)[0] == '\0')
        lib_warn("what is recorded will not survive a crash of this process%s: %s",
                 options.external ? ", and no server can read it, so that a thread does" : "",
                 why.message);
    st = state_enable(r, &options, (sonde_level)s->log_severity, sampler_from(s), err);
    if (st != STATUS_OK) {
        recorder_close(r, true);
        return st;
    }
    metric_attach();
    start_drainer(r, true);
    return STATUS_OK;
}

/* Without libcurl nothing is sent, and everything else goes on. */
static void prepare_export(settings *s)
{
    error err;
    bool wanted = false;
    for (lane_id i = 0; i < LANE_COUNT; i++)
        wanted = wanted || lane_wanted(s, i);
    if (!wanted || export_prepare(&err) == STATUS_OK)
        return;
    lib_warn("nothing is sent: %s", err.message);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        s->signal[i].otlp = s->signal[i].zipkin = false;
}

static status start_locked(const sonde_options *options, error *err)
{
    static const sonde_options none;
    const sonde_options *o = options ? options : &none;
    settings *s = malloc(sizeof(*s));
    if (!s)
        return fail(err, STATUS_NO_MEMORY, "no memory for the settings");
    status st = settings_load(s, options, err);
    if (st != STATUS_OK) {
        free(s);
        return st;
    }
    lib.settings = s;
    lib.drainer = NULL;
    lib.pid = getpid();
    health_configure(&o->health, s->version);
    debug_configure(s);
    propagate_configure(s->propagators);
    log_configure(s->log_levels);
    if (s->disabled) {
        state_off();
        return STATUS_OK;
    }
    prepare_export(s);
    register_once();
    metric_configure(s);
    process_metrics_register();
    st = open_recorder(s, err);
    if (st != STATUS_OK) {
        lib.settings = NULL;
        settings_done(s);
        free(s);
        return st;
    }
    http_configure(&o->http, s->http_old_names);
    db_configure(&o->db, s->db_old_names);
    if (s->admin_addr.len)
        admin_start(s->admin_addr);
    return STATUS_OK;
}

int sonde_start(const sonde_options *options)
{
    error err;
    int result = 0;
    pthread_mutex_lock(&lib.lock);
    if (!lib.running) {
        if (start_locked(options, &err) == STATUS_OK) {
            lib.running = true;
        } else {
            lib_error("the library stays off: %s", err.message);
            result = -1;
        }
    }
    pthread_mutex_unlock(&lib.lock);
    return result;
}

static void stop_locked(void)
{
    settings *s = lib.settings;
    admin_stop();
    if (lib.drainer)
        metric_collect();
    log_flush_suppressed();
    recorder *r = state_disable();
    drain_end end = lib.drainer ? drainer_stop(lib.drainer, s->stop_timeout_ms) : DRAIN_LEFT;
    lib.drainer = NULL;
    lib.settings = NULL;
    if (end == DRAIN_STUCK)
        return; /* its thread may still read all of it */
    if (r) {
        http_release();
        metric_detach();
        recorder_close(r, end == DRAIN_EMPTY);
    }
    settings_done(s);
    free(s);
}

void sonde_stop(void)
{
    pthread_mutex_lock(&lib.lock);
    /* A child of fork that never made a call has nothing of its own. */
    if (lib.running && lib.pid == getpid()) {
        stop_locked();
        lib.running = false;
    }
    pthread_mutex_unlock(&lib.lock);
}

bool sonde_flush(uint32_t timeout_ms)
{
    bool done = false;
    pthread_mutex_lock(&lib.lock);
    if (lib.drainer && lib.pid == getpid())
        done = drainer_flush(lib.drainer, timeout_ms);
    else if (lib.running && lib.pid == getpid())
        done = lib.elsewhere;
    pthread_mutex_unlock(&lib.lock);
    return done;
}

lib_state lib_hold(lib_parts *ret)
{
    enum { PATIENCE_NS = 250 * 1000 * 1000 };
    struct timespec until;
    *ret = (lib_parts){ 0 };
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += PATIENCE_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    if (pthread_mutex_timedlock(&lib.lock, &until) != 0)
        return LIB_BUSY;
    if (!lib.running || lib.pid != getpid()) {
        pthread_mutex_unlock(&lib.lock);
        return LIB_OFF;
    }
    *ret = (lib_parts){ .settings = lib.settings,
                        .drainer = lib.drainer,
                        .recorder = state_recorder(),
                        .elsewhere = lib.elsewhere };
    return lib.settings->disabled ? LIB_DISABLED : LIB_RUNNING;
}

void lib_release(void)
{
    pthread_mutex_unlock(&lib.lock);
}

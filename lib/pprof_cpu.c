// SPDX-License-Identifier: Apache-2.0
/* /debug/pprof/profile: each thread has a timer on its own CPU time that sends it SIGPROF 100 times
 * a second of it; the handler writes the stack into a buffer. New threads are looked for ten times
 * a second. One profile at a time; a program that uses SIGPROF itself keeps it. */
#include "lib/debug.h"
#include "lib/pprof.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { HZ = 100, SECONDS_DEFAULT = 30, SECONDS_MAX = 300, LOOK_MS = 100, MAPS_MAX = 256 };
#define PERIOD_NS    (NS_PER_S / HZ)
#define BUFFER_BYTES MiB(32)
#define BUFFER_WORDS (BUFFER_BYTES / sizeof(uint64_t))
#define TIMER_TAG    0x736f6e64

typedef struct {
    pid_t tid;
    timer_t timer;
    char name[THREAD_NAME_SIZE];
} watched;

/* What the handler sees. A record in the buffer: tid << 32 | depth, then the frames. */
static struct {
    _Atomic bool on;
    _Atomic uint32_t handlers; /* inside of the handler now */
    const stack_map *_Atomic map;
    _Atomic size_t used; /* words; may pass the end */
    _Atomic uint64_t lost;
    _Atomic bool missed; /* a stack that the map does not know */
    uint64_t *words;
} sampling;

/* The one profile that is being taken. */
static struct {
    pthread_mutex_t lock;
    pthread_once_t once;
    pthread_cond_t changed;
    bool busy, canceled;
} turn = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT };

typedef struct {
    watched *threads;
    size_t count;
    stack_map *maps[MAPS_MAX]; /* all are kept until the end: a handler may still look at one */
    size_t map_count;
    size_t unwatched; /* threads for which there was no timer */
    pprof_signal signal;
} profile_run;

static void turn_init(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&turn.changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void pprof_cancel(void)
{
    pthread_once(&turn.once, turn_init);
    pthread_mutex_lock(&turn.lock);
    turn.canceled = true;
    pthread_cond_broadcast(&turn.changed);
    pthread_mutex_unlock(&turn.lock);
}

void pprof_allow(void)
{
    pthread_mutex_lock(&turn.lock);
    turn.canceled = false;
    pthread_mutex_unlock(&turn.lock);
}

void pprof_forked(void)
{
    turn.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    turn.once = (pthread_once_t)PTHREAD_ONCE_INIT;
    turn.busy = turn.canceled = false;
    sampling.on = false; /* timers are not inherited */
    sampling.handlers = 0;
    pprof_threads_forked();
}

/* ---- in the threads ---- */

static void record_stack(const void *context)
{
    uint64_t frames[PPROF_FRAMES_MAX];
    unwind_state s;
    unwind_from_context(&s, context);
    uintptr_t end = stack_map_end(atomic_load_explicit(&sampling.map, memory_order_acquire), s.sp);
    if (!end)
        sampling.missed = true;
    unsigned depth = unwind_stack(&s, end, frames, PPROF_FRAMES_MAX);
    size_t at = atomic_fetch_add_explicit(&sampling.used, depth + 1, memory_order_relaxed);
    if (at + depth + 1 > BUFFER_WORDS) {
        sampling.lost++;
        return;
    }
    pid_t tid = (pid_t)syscall(SYS_gettid);
    memcpy(&sampling.words[at + 1], frames, depth * sizeof(*frames));
    __atomic_store_n(&sampling.words[at], (uint64_t)tid << 32 | depth, __ATOMIC_RELEASE);
}

static void on_sigprof(int number UNUSED, siginfo_t *info, void *context)
{
    int saved = errno;
    sampling.handlers++;
    if (sampling.on && info->si_code == SI_TIMER && info->si_value.sival_int == TIMER_TAG)
        record_stack(context);
    sampling.handlers--;
    errno = saved;
}

/* ---- the threads' timers ---- */

/* The clock of another thread's CPU time, as the kernel numbers it. */
static clockid_t thread_clock(pid_t tid)
{
    return (clockid_t)((~(unsigned)tid << 3) | 6u);
}

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static bool start_timer(watched *w)
{
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF };
    struct itimerspec every = { { 0, PERIOD_NS }, { 0, PERIOD_NS } };
    event.sigev_value.sival_int = TIMER_TAG;
    event.sigev_notify_thread_id = w->tid;
    if (timer_create(thread_clock(w->tid), &event, &w->timer) != 0)
        return false;
    if (timer_settime(w->timer, 0, &every, NULL) == 0)
        return true;
    timer_delete(w->timer);
    return false;
}

static bool is_watched(const profile_run *run, pid_t tid)
{
    for (size_t i = 0; i < run->count; i++)
        if (run->threads[i].tid == tid)
            return true;
    return false;
}

/* A fresh map of stacks, then timers for the threads that came since. */
static void look_for_threads(profile_run *run, pid_t *tids)
{
    size_t count = pprof_threads_list(tids, PPROF_THREADS_MAX), fresh = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_watched(run, tids[i]))
            tids[fresh++] = tids[i];
    bool missed = atomic_exchange(&sampling.missed, false);
    if ((fresh || missed) && run->map_count < MAPS_MAX) {
        stack_map *m = stack_map_read();
        if (m) {
            run->maps[run->map_count++] = m;
            atomic_store_explicit(&sampling.map, m, memory_order_release);
        }
    }
    for (size_t i = 0; i < fresh && run->count < PPROF_THREADS_MAX; i++) {
        watched *w = &run->threads[run->count];
        w->tid = tids[i];
        pprof_thread_name(w->tid, w->name);
        if (start_timer(w))
            run->count++;
        else
            run->unwatched++;
    }
}

/* ---- taking it ---- */

static bool wait_ms(int64_t ms)
{
    int64_t until_ns = clock_mono_ns() + ms * NS_PER_MS;
    struct timespec until = { until_ns / NS_PER_S, until_ns % NS_PER_S };
    pthread_mutex_lock(&turn.lock);
    while (!turn.canceled && pthread_cond_timedwait(&turn.changed, &turn.lock, &until) == 0)
        ;
    bool canceled = turn.canceled;
    pthread_mutex_unlock(&turn.lock);
    return !canceled;
}

static void stop_timers(profile_run *run)
{
    for (size_t i = 0; i < run->count; i++)
        timer_delete(run->threads[i].timer);
    sampling.on = false;
    pprof_signal_give_back(&run->signal);
    while (sampling.handlers)
        wait_ms(1);
}

static const char *thread_name(const profile_run *run, pid_t tid)
{
    for (size_t i = 0; i < run->count; i++)
        if (run->threads[i].tid == tid)
            return run->threads[i].name;
    return NULL;
}

static bool collect(const profile_run *run, pprof_profile *profile)
{
    size_t used = MIN(sampling.used, BUFFER_WORDS);
    const int64_t values[] = { 1, PERIOD_NS };
    for (size_t at = 0; at < used;) {
        uint64_t word = sampling.words[at];
        size_t depth = word & UINT32_MAX;
        if (depth == 0 || depth >= used - at)
            break; /* the one that did not fit */
        pid_t tid = (pid_t)(word >> 32);
        if (!pprof_add(profile, &sampling.words[at + 1], depth, thread_name(run, tid), tid, values))
            return false;
        at += depth + 1;
    }
    return true;
}

/* 0; or the status, and the page says why, when a profile cannot be taken. */
static int take_profile(page *p, profile_run *run, uint64_t seconds)
{
    pid_t *tids = malloc(PPROF_THREADS_MAX * sizeof(*tids));
    run->threads = malloc(PPROF_THREADS_MAX * sizeof(*run->threads));
    if (!tids || !run->threads) {
        free(tids);
        return page_fail(p, 500, NULL, "no memory for a profile");
    }
    if (!pprof_signal_take(&run->signal, SIGPROF, on_sigprof)) {
        free(tids);
        return page_fail(p, 503, "end the other profiler, or take its profiles",
                         "SIGPROF is in use: the program has a handler of its own, or another "
                         "profiler runs in it");
    }
    sampling.used = 0;
    sampling.lost = 0;
    sampling.on = true;
    int64_t end = clock_mono_ns() + (int64_t)seconds * NS_PER_S;
    do {
        look_for_threads(run, tids);
    } while (clock_mono_ns() < end &&
             wait_ms(MIN((int64_t)LOOK_MS, (end - clock_mono_ns()) / NS_PER_MS + 1)));
    stop_timers(run);
    atomic_store(&sampling.map, NULL);
    free(tids);
    return 0;
}

static int write_profile(page *p, const profile_run *run, int64_t start_ns, int64_t began)
{
    static const pprof_type types[] = { { "samples", "count" }, { "cpu", "nanoseconds" } };
    char comment[128] = "";
    pprof_profile *profile = pprof_new(types, ARRAY_LEN(types));
    symbols *names = symbols_open();
    pprof_header header = { .time_ns = start_ns,
                            .duration_ns = clock_mono_ns() - began,
                            .period_type = { "cpu", "nanoseconds" },
                            .period = PERIOD_NS };
    if (sampling.lost || run->unwatched) {
        snprintf(comment, sizeof(comment), "%llu samples had no room, %zu threads got no timer",
                 (unsigned long long)sampling.lost, run->unwatched);
        header.comment = comment;
    }
    bool good =
        profile && names && collect(run, profile) && pprof_write(profile, &header, names, p->out);
    pprof_free(profile);
    symbols_close(names);
    if (!good)
        return page_fail(p, 500, NULL, "no memory for the profile");
    p->content_type = "application/octet-stream";
    page_header(p, "Content-Disposition", "attachment; filename=\"profile.pb.gz\"");
    return 200;
}

static bool begin_turn(void)
{
    pthread_once(&turn.once, turn_init);
    pthread_mutex_lock(&turn.lock);
    bool mine = !turn.busy;
    turn.busy = true;
    pthread_mutex_unlock(&turn.lock);
    return mine;
}

static void end_turn(void)
{
    pthread_mutex_lock(&turn.lock);
    turn.busy = false;
    pthread_mutex_unlock(&turn.lock);
}

int pprof_cpu_page(page *p)
{
    uint64_t seconds;
    if (!query_number(p, "seconds", SECONDS_DEFAULT, 1, SECONDS_MAX, &seconds))
        return 400;
    if (p->head)
        return 200;
    if (!begin_turn())
        return page_fail(p, 409, "ask again when it is done: only one at a time",
                         "another CPU profile is being taken");
    profile_run run = { .count = 0 };
    int64_t start_ns = clock_now_ns(), began = clock_mono_ns();
    sampling.words = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int code;
    if (sampling.words == MAP_FAILED)
        code = page_fail(p, 500, NULL, "no memory for a profile");
    else if ((code = take_profile(p, &run, seconds)) == 0)
        code = write_profile(p, &run, start_ns, began);
    if (sampling.words != MAP_FAILED)
        munmap(sampling.words, BUFFER_BYTES);
    for (size_t i = 0; i < run.map_count; i++)
        stack_map_free(run.maps[i]);
    free(run.threads);
    end_turn();
    return code;
}

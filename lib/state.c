// SPDX-License-Identifier: Apache-2.0
/* Starting, stopping and forking of the one instance. The gate opens last and closes first.
 *
 * Lock order: only state_one.lock, held for moments; nothing that is called under it takes it. */
#include "lib/state_internal.h"

#include "lib/log.h"
#include "lib/tsc.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

sonde_gate sonde_gate_ = { GATE_NOT_STARTED };
state_instance state_one;

static state_page unstarted_page;
state_page *state_shared_page = &unstarted_page;
uint32_t state_fork_id;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void state_lock(void)
{
    uint32_t unlocked = 0;
    while (!atomic_compare_exchange_weak_explicit(&state_one.lock, &unlocked, 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
        unlocked = 0;
        sched_yield();
    }
}

void state_unlock(void)
{
    atomic_store_explicit(&state_one.lock, 0, memory_order_release);
}

static void gate_set(unsigned char level)
{
    __atomic_store_n(&sonde_gate_.level, level, __ATOMIC_RELAXED);
    log_gates_apply(level);
}

static void generation_set(uint32_t generation)
{
    atomic_store(&state_one.generation, generation);
    __atomic_store_n(&state_shared_page->generation, generation, __ATOMIC_RELEASE);
}

/* The child's copy: the parent's recorder is let go at once, so that its lock ends with the parent.
 * Only async-signal-safe calls; the child's recorder is made by its first call. */
static void atfork_child(void)
{
    state_one.lock = 0;
    log_levels_forked();
    state_fork_id++;
    state_shared_page->generation = 0;
    recorder *r = atomic_load(&state_one.recorder);
    if (r)
        recorder_abandon(r);
}

static void prepare_once(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED) {
        madvise(page, 4096, MADV_WIPEONFORK);
        state_shared_page = page;
    }
    pthread_atfork(NULL, NULL, atfork_child);
    state_register_thread_exit();
}

static bool copy_options(const recorder_options *from)
{
    arena *a = &state_one.option_arena;
    recorder_options *to = &state_one.options;
    arena_done(a);
    arena_init(a, STATE_OPTIONS_BYTES * 2);
    attr *resource = ARENA_ARRAY(a, attr, from->resource_count + 1);
    *to = (recorder_options){ .service = arena_str(a, from->service),
                              .dir = arena_str(a, from->dir),
                              .bytes = from->bytes,
                              .resource = resource,
                              .resource_count = from->resource_count,
                              .external = from->external,
                              .full_wait_ms = from->full_wait_ms,
                              .redact_values = arena_str(a, from->redact_values),
                              .redact_keys = arena_str(a, from->redact_keys) };
    if (!to->redact_values.ptr || !to->redact_keys.ptr)
        return false;
    if (!resource || !to->service.ptr || !to->dir.ptr)
        return false;
    for (size_t i = 0; i < from->resource_count; i++) {
        resource[i].key = arena_str(a, from->resource[i].key);
        if (!resource[i].key.ptr || !value_copy(a, &resource[i].value, &from->resource[i].value))
            return false;
    }
    return true;
}

static void call_hooks(recorder *r, state_event event)
{
    for (size_t i = 0; i < STATE_HOOKS_MAX; i++) {
        state_hook *hook = atomic_load(&state_one.hooks[i]);
        if (hook)
            hook(r, event);
    }
}

/* Generations are never 0 or UINT32_MAX. */
static void install(recorder *r)
{
    state_one.last_generation = state_one.last_generation % (UINT32_MAX - 2) + 1;
    atomic_store(&state_one.recorder, r);
    generation_set(state_one.last_generation);
}

status state_enable(recorder *r, const recorder_options *options, sonde_level level,
                    state_sampler sampler, error *err)
{
    pthread_once(&once, prepare_once);
    state_lock();
    if (atomic_load(&state_one.recorder)) {
        state_unlock();
        return fail(err, STATUS_EXISTS, "the library is started already");
    }
    if (!copy_options(options)) {
        state_unlock();
        return fail(err, STATUS_LIMIT, "resource attributes take more than %zu bytes",
                    STATE_OPTIONS_BYTES);
    }
    state_one.sampler = sampler;
    state_one.level = level;
    install(r);
    for (int s = 0; s < SIGNAL_COUNT; s++)
        recorder_count_drop(r, s, RECORDER_DROP_NOT_STARTED, atomic_load(&state_one.early[s]));
    state_unlock();
    call_hooks(r, STATE_STARTED);
    gate_set((unsigned char)level);
    return STATUS_OK;
}

recorder *state_disable(void)
{
    gate_set(GATE_NOT_STARTED);
    state_lock();
    recorder *r = atomic_exchange(&state_one.recorder, NULL);
    generation_set(0);
    state_unlock();
    return r;
}

void state_off(void)
{
    gate_set(GATE_OFF);
}

recorder *state_after_fork(void)
{
    state_lock();
    uint32_t before = atomic_load(&state_one.generation);
    if (__atomic_load_n(&state_shared_page->generation, __ATOMIC_ACQUIRE) != 0 || before == 0) {
        state_unlock(); /* another thread of the child was first */
        return atomic_load(&state_one.recorder);
    }
    recorder *parents = atomic_load(&state_one.recorder), *own = NULL;
    error err = { 0 };
    if (parents)
        recorder_abandon(parents); /* once more, for a raw clone */
    if (recorder_open(&own, &state_one.options, &err) == STATUS_OK) {
        if (err.code != STATUS_OK)
            dprintf(STDERR_FILENO, "sonde: crash recovery is off in process %d: %s\n",
                    (int)getpid(), err.message);
        install(own);
    } else {
        atomic_store(&state_one.recorder, NULL);
        atomic_store(&state_one.generation, 0);
        gate_set(GATE_NOT_STARTED);
    }
    state_unlock();
    if (own)
        call_hooks(own, STATE_FORKED);
    return own;
}

recorder *state_recorder(void)
{
    if (UNLIKELY(state_generation() == 0 && atomic_load(&state_one.generation) != 0)) {
        thread_context();
        return atomic_load(&state_one.recorder);
    }
    return atomic_load_explicit(&state_one.recorder, memory_order_acquire);
}

uint32_t state_generation(void)
{
    return __atomic_load_n(&state_shared_page->generation, __ATOMIC_ACQUIRE);
}

bool state_add_hook(state_hook *hook)
{
    for (size_t i = 0; i < STATE_HOOKS_MAX; i++) {
        state_hook *none = NULL;
        if (atomic_compare_exchange_strong(&state_one.hooks[i], &none, hook) || none == hook)
            return true;
    }
    return false;
}

uint64_t state_early_drops(signal_kind signal)
{
    return atomic_load(&state_one.early[signal]);
}

void state_count_early(signal_kind signal)
{
    atomic_fetch_add_explicit(&state_one.early[signal], 1, memory_order_relaxed);
}

state_sampler state_get_sampler(void)
{
    return state_one.sampler;
}

void sonde_early_(int signal)
{
    state_count_early((signal_kind)signal);
}

void sonde_log_level_set(sonde_level level)
{
    state_lock();
    state_one.level = level;
    if (sonde_gate_.level < GATE_OFF)
        gate_set((unsigned char)level);
    state_unlock();
}

sonde_level sonde_log_level(void)
{
    return state_one.level ? state_one.level : SONDE_INFO;
}

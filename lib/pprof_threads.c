// SPDX-License-Identifier: Apache-2.0
/* /debug/pprof/threads: where every thread stands. Each gets a signal that the program does not
 * use, and its handler writes the stack into the thread's slot; who blocks all signals, waits for
 * one, or does not come to its handler in time, is shown with the place where the kernel holds it.
 */
#include "lib/debug.h"
#include "lib/pprof.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ANSWER_MS = 500 };

typedef struct {
    pid_t tid;
    char name[THREAD_NAME_SIZE];
    bool asked;
    _Atomic bool done;
    uint32_t depth;
    uint64_t frames[PPROF_FRAMES_MAX];
} thread_stack;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* one dump at a time */

/* What handlers see. */
static struct {
    _Atomic bool on;
    _Atomic uint32_t handlers, answers;
    const stack_map *map;
    thread_stack *slots;
    size_t count;
} asking;

void pprof_threads_forked(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    asking.on = false;
    asking.handlers = 0;
}

static void fill_slot(thread_stack *slot, const void *context)
{
    unwind_state s;
    unwind_from_context(&s, context);
    slot->depth = unwind_stack(&s, stack_map_end(asking.map, s.sp), slot->frames, PPROF_FRAMES_MAX);
    slot->done = true;
    asking.answers++;
}

static void on_question(int number UNUSED, siginfo_t *info, void *context)
{
    int saved = errno;
    asking.handlers++;
    size_t i = (size_t)info->si_value.sival_int;
    if (asking.on && info->si_code == SI_QUEUE && info->si_pid == getpid() && i < asking.count &&
        asking.slots[i].tid == (pid_t)syscall(SYS_gettid))
        fill_slot(&asking.slots[i], context);
    asking.handlers--;
    errno = saved;
}

/* Whether the thread has the signal blocked: then it would get it at some later time. */
static bool blocks(pid_t tid, int number)
{
    char path[64];
    unsigned long long mask = 0;
    buf text;
    snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)tid);
    buf_init(&text, KiB(64));
    if (file_read(path, &text, NULL) != STATUS_OK)
        mask = ~0ull;
    size_t at = str_find(buf_view(&text), STR("SigBlk:"));
    buf_char(&text, '\0');
    if (at != SIZE_MAX)
        mask = strtoull(text.ptr + at + 7, NULL, 16);
    buf_done(&text);
    return mask >> (number - 1) & 1;
}

static bool ask(size_t i, int number)
{
    siginfo_t info = { .si_signo = number, .si_code = SI_QUEUE };
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = (int)i;
    return syscall(SYS_rt_tgsigqueueinfo, getpid(), asking.slots[i].tid, number, &info) == 0;
}

/* Where a thread waits, from "34 0x5 … 0x7ffd1000 0x7f12a0c5b3a6": the number of the system call,
 * and last the place. False for a thread that runs. */
static bool waits_at(pid_t tid, long *ret_call, uint64_t *ret_pc)
{
    char path[64];
    buf text;
    snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)tid);
    buf_init(&text, KiB(4));
    size_t at = 0;
    if (file_read(path, &text, NULL) == STATUS_OK) {
        str all = str_trim(buf_view(&text));
        at = all.len;
        while (at && all.ptr[at - 1] != ' ')
            at--;
        buf_char(&text, '\0');
    }
    if (at) {
        *ret_call = strtol(text.ptr, NULL, 10);
        *ret_pc = strtoull(text.ptr + at, NULL, 16);
    }
    buf_done(&text);
    return at && *ret_pc;
}

static void place_in_kernel(thread_stack *slot)
{
    long call;
    slot->depth = waits_at(slot->tid, &call, &slot->frames[0]) ? 1 : 0;
}

/* Whether any signal would end what the thread waits in, as pause() does: a program that waits for
 * its end there must not be ended by a question. */
static bool waits_for_a_signal(pid_t tid)
{
    static const long calls[] = {
#ifdef SYS_pause
        SYS_pause,
#endif
        SYS_rt_sigsuspend,
        SYS_rt_sigtimedwait,
    };
    long call;
    uint64_t pc;
    bool waits = false;
    if (waits_at(tid, &call, &pc))
        for (size_t i = 0; i < ARRAY_LEN(calls); i++)
            waits = waits || call == calls[i];
    return waits;
}

static void wait_for_answers(uint32_t asked)
{
    int64_t end = clock_mono_ns() + ANSWER_MS * NS_PER_MS;
    struct timespec pause = { 0, 200 * NS_PER_US };
    while (asking.answers < asked && clock_mono_ns() < end)
        nanosleep(&pause, NULL);
}

/* Fills the slots of all threads; false when there is no free signal. */
static bool ask_all(void)
{
    pprof_signal sig;
    uint32_t asked = 0;
    if (!pprof_signal_take(&sig, 0, on_question))
        return false;
    asking.answers = 0;
    asking.on = true;
    for (size_t i = 0; i < asking.count; i++) {
        pid_t tid = asking.slots[i].tid;
        bool may = !blocks(tid, sig.signal) && !waits_for_a_signal(tid);
        asked += asking.slots[i].asked = may && ask(i, sig.signal);
    }
    wait_for_answers(asked);
    asking.on = false;
    pprof_signal_give_back(&sig);
    struct timespec pause = { 0, 200 * NS_PER_US };
    while (asking.handlers)
        nanosleep(&pause, NULL);
    for (size_t i = 0; i < asking.count; i++)
        if (!asking.slots[i].done)
            place_in_kernel(&asking.slots[i]);
    return true;
}

/* ---- answers ---- */

static void write_dump(buf *out, symbols *names)
{
    for (size_t i = 0; i < asking.count; i++) {
        const thread_stack *t = &asking.slots[i];
        buf_fmt(out, "thread %d \"%s\"%s:\n", (int)t->tid, t->name,
                t->done    ? ""
                : t->asked ? " [no answer]"
                           : " [not interrupted]");
        for (uint32_t j = 0; j < t->depth; j++) {
            uintptr_t start = t->frames[j];
            symbols_name(names, t->frames[j], &start);
            pprof_put_name(names, t->frames[j], out);
            buf_fmt(out, "\n\t%#llx +%#llx\n", (unsigned long long)t->frames[j],
                    (unsigned long long)(t->frames[j] - start));
        }
        buf_char(out, '\n');
    }
}

static bool write_profile(page *p, symbols *names, bool text)
{
    static const pprof_type types[] = { { "threads", "count" } };
    pprof_profile *profile = pprof_new(types, ARRAY_LEN(types));
    pprof_header header = { .time_ns = clock_now_ns(),
                            .period_type = { "threads", "count" },
                            .period = 1 };
    const int64_t one = 1;
    bool good = profile != NULL;
    for (size_t i = 0; i < asking.count && good; i++) {
        const thread_stack *t = &asking.slots[i];
        good = pprof_add(profile, t->frames, t->depth, t->name, t->tid, &one);
    }
    if (good && text)
        pprof_write_text(profile, "threads", names, p->out);
    else
        good = good && pprof_write(profile, &header, names, p->out);
    pprof_free(profile);
    return good;
}

static int answer(page *p, uint64_t debug)
{
    symbols *names = symbols_open();
    bool good = names != NULL;
    if (good && debug == 2)
        write_dump(p->out, names);
    else
        good = good && write_profile(p, names, debug == 1);
    symbols_close(names);
    if (!good)
        return page_fail(p, 500, NULL, "no memory for the stacks");
    if (debug == 0) {
        p->content_type = "application/octet-stream";
        page_header(p, "Content-Disposition", "attachment; filename=\"threads.pb.gz\"");
    }
    return 200;
}

/* Slots for all threads of now, in memory that handlers can fill without faults of ours. */
static bool make_slots(void)
{
    pid_t *tids = malloc(PPROF_THREADS_MAX * sizeof(*tids));
    asking.count = tids ? pprof_threads_list(tids, PPROF_THREADS_MAX) : 0;
    asking.slots = calloc(asking.count + 1, sizeof(*asking.slots));
    asking.map = stack_map_read();
    for (size_t i = 0; asking.slots && i < asking.count; i++) {
        asking.slots[i].tid = tids[i];
        pprof_thread_name(tids[i], asking.slots[i].name);
    }
    free(tids);
    return asking.count && asking.slots && asking.map;
}

static void free_slots(void)
{
    free(asking.slots);
    stack_map_free((stack_map *)(uintptr_t)asking.map);
    asking.slots = NULL;
    asking.map = NULL;
    asking.count = 0;
}

int pprof_threads_page(page *p)
{
    uint64_t debug;
    int code;
    if (!query_number(p, "debug", 0, 0, 2, &debug))
        return 400;
    if (p->head)
        return 200;
    pthread_mutex_lock(&lock);
    if (!make_slots())
        code = page_fail(p, 500, NULL, "no memory for the stacks, or no /proc");
    else if (!ask_all())
        code = page_fail(p, 503, "leave one of SIGRTMIN to SIGRTMAX to the library",
                         "there is no free realtime signal to ask the threads with");
    else
        code = answer(p, debug);
    free_slots();
    pthread_mutex_unlock(&lock);
    return code;
}

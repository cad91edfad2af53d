// SPDX-License-Identifier: Apache-2.0
/* /debug/pprof/heap: what libsonde_heap.so (lib/heap/) sampled, scaled to what it stands for, as Go
 * does it: an allocation of n bytes is sampled with probability 1 - exp(-n / period). */
#include "lib/debug.h"
#include "lib/heap/heap.h"
#include "lib/pprof.h"

#include "base/clock.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>

typedef struct {
    pprof_profile *profile;
    uint64_t period;
    bool failed;
} heap_read;

static void scale(uint64_t count, uint64_t bytes, uint64_t period, int64_t *ret_count,
                  int64_t *ret_bytes)
{
    *ret_count = *ret_bytes = 0;
    if (!count || !bytes)
        return;
    double mean = (double)bytes / (double)count;
    double factor = period > 1 ? 1 / -expm1(-mean / (double)period) : 1;
    *ret_count = (int64_t)((double)count * factor);
    *ret_bytes = (int64_t)((double)bytes * factor);
}

static void add_stack(void *user, const sonde_heap_stack *s)
{
    heap_read *h = user;
    int64_t values[4];
    scale(s->alloc_count, s->alloc_bytes, h->period, &values[0], &values[1]);
    scale(s->live_count, s->live_bytes, h->period, &values[2], &values[3]);
    if (!pprof_add(h->profile, s->frames, s->depth, NULL, 0, values))
        h->failed = true;
}

static void skip_stack(void *user, const sonde_heap_stack *s)
{
    (void)user;
    (void)s;
}

static bool write_heap(page *p, const heap_read *h, uint64_t lost, bool text)
{
    char comment[64];
    pprof_header header = { .time_ns = clock_now_ns(),
                            .period_type = { "space", "bytes" },
                            .period = (int64_t)h->period,
                            .default_type = "inuse_space" };
    snprintf(comment, sizeof(comment), "%llu samples had no room", (unsigned long long)lost);
    header.comment = lost ? comment : NULL;
    symbols *names = symbols_open();
    bool good = names != NULL;
    if (good && text)
        pprof_write_text(h->profile, "heap", names, p->out);
    else
        good = good && pprof_write(h->profile, &header, names, p->out);
    symbols_close(names);
    return good;
}

int pprof_heap_page(page *p)
{
    static const pprof_type types[] = { { "alloc_objects", "count" },
                                        { "alloc_space", "bytes" },
                                        { "inuse_objects", "count" },
                                        { "inuse_space", "bytes" } };
    uint64_t debug;
    sonde_heap_state state;
    sonde_heap_read_fn *read = NULL;
    if (!query_number(p, "debug", 0, 0, 1, &debug))
        return 400;
    *(void **)&read = dlsym(RTLD_DEFAULT, SONDE_HEAP_READ);
    if (!read)
        return page_fail(p, 501,
                         "start it with LD_PRELOAD=libsonde_heap.so, or link it with -lsonde_heap "
                         "before libc",
                         "allocations are not sampled in this process");
    if (p->head)
        return 200;
    read(skip_stack, NULL, &state);
    heap_read h = { .profile = pprof_new(types, ARRAY_LEN(types)), .period = state.period_bytes };
    if (h.profile)
        read(add_stack, &h, &state);
    bool good = h.profile && !h.failed && write_heap(p, &h, state.lost, debug == 1);
    pprof_free(h.profile);
    if (!good)
        return page_fail(p, 500, NULL, "no memory for the profile");
    if (debug == 0) {
        p->content_type = "application/octet-stream";
        page_header(p, "Content-Disposition", "attachment; filename=\"heap.pb.gz\"");
    }
    return 200;
}

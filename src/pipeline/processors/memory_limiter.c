// SPDX-License-Identifier: Apache-2.0
/* The processor "memory_limiter": senders are told to come again later while the process has more
 * resident memory than the limit less the spike. It is asked by receivers before a batch is worked
 * on; what was accepted stands in the log and is never refused. */
#include "pipeline/component.h"

#include "base/clock.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    int64_t check_interval; /* ns */
    int64_t limit_mib, spike_limit_mib;
    int64_t limit_percentage, spike_limit_percentage;
} limiter_settings;

#define AT(member) offsetof(limiter_settings, member)
static const option limiter_rows[] = {
    { .name = "check_interval",
      .type = OPTION_DURATION,
      .offset = AT(check_interval),
      .fallback = "1s",
      .min = 0.001,
      .max = 3600,
      .help = "how long a measurement of memory holds" },
    { .name = "limit_mib",
      .type = OPTION_INT,
      .offset = AT(limit_mib),
      .min = 0,
      .max = 1 << 24,
      .help = "memory of the process, MiB" },
    { .name = "spike_limit_mib",
      .type = OPTION_INT,
      .offset = AT(spike_limit_mib),
      .min = 0,
      .max = 1 << 24,
      .help = "distance below the limit from which on items are refused; 0: a fifth of the limit" },
    { .name = "limit_percentage",
      .type = OPTION_INT,
      .offset = AT(limit_percentage),
      .min = 0,
      .max = 100,
      .help = "the limit as a part of the machine's, or the control group's memory" },
    { .name = "spike_limit_percentage",
      .type = OPTION_INT,
      .offset = AT(spike_limit_percentage),
      .min = 0,
      .max = 100,
      .help = "the same for spike_limit_mib" },
    { .name = "min_gc_interval_when_soft_limited",
      .type = OPTION_IGNORED,
      .help = "memory is not collected, but freed" },
    { .name = "min_gc_interval_when_hard_limited",
      .type = OPTION_IGNORED,
      .help = "memory is not collected, but freed" },
};
#undef AT

typedef struct {
    int64_t interval_ns;
    uint64_t limit, soft; /* bytes */
    atomic_llong checked_ns;
    atomic_ullong resident;
} limiter;

static status limiter_check(const void *settings, char *where, size_t where_size, error *err)
{
    const limiter_settings *s = settings;
    str_copy_c(where, where_size, STR("limit_mib"));
    if (!s->limit_mib && !s->limit_percentage)
        return fail(err, STATUS_INVALID, "limit_mib or limit_percentage is needed");
    str_copy_c(where, where_size, STR("spike_limit_mib"));
    if (s->limit_mib && s->spike_limit_mib >= s->limit_mib)
        return fail(err, STATUS_INVALID, "must be below limit_mib (%lld)", (long long)s->limit_mib);
    str_copy_c(where, where_size, STR("spike_limit_percentage"));
    if (s->limit_percentage && s->spike_limit_percentage >= s->limit_percentage)
        return fail(err, STATUS_INVALID, "must be below limit_percentage (%lld)",
                    (long long)s->limit_percentage);
    return STATUS_OK;
}

/* The first number of a small file; 0 when there is none ("max"). */
static uint64_t number_in(const char *path, unsigned skip)
{
    char text[128];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
    if (fd >= 0)
        close(fd);
    str rest = str_n(text, n > 0 ? (size_t)n : 0);
    uint64_t number = 0;
    for (unsigned i = 0; i < skip; i++)
        (void)str_cut(rest, ' ', &rest);
    return str_to_u64(str_trim(str_cut(rest, ' ', &rest)), &number) ? number : 0;
}

static uint64_t total_memory(void)
{
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t group = number_in("/sys/fs/cgroup/memory.max", 0);
    if (!group)
        group = number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes", 0);
    return group && group < machine ? group : machine;
}

static status limiter_open(void **ret_self, component *c, error *err)
{
    const limiter_settings *s = c->settings;
    limiter *l = calloc(1, sizeof(*l));
    if (!l)
        return fail(err, STATUS_NO_MEMORY, "no memory for the processor %s", c->id);
    uint64_t total = total_memory();
    l->interval_ns = s->check_interval;
    l->limit =
        s->limit_mib ? MiB((uint64_t)s->limit_mib) : total / 100 * (uint64_t)s->limit_percentage;
    uint64_t spike = s->limit_mib ? MiB((uint64_t)s->spike_limit_mib)
                                  : total / 100 * (uint64_t)s->spike_limit_percentage;
    l->soft = l->limit - (spike ? spike : l->limit / 5);
    *ret_self = l;
    return STATUS_OK;
}

static void limiter_close(void *self)
{
    free(self);
}

static status limiter_admit(void *self, error *err)
{
    limiter *l = self;
    long long now = clock_mono_ns(), checked = atomic_load(&l->checked_ns);
    if ((checked == 0 || now - checked >= l->interval_ns) &&
        atomic_compare_exchange_strong(&l->checked_ns, &checked, now))
        atomic_store(&l->resident,
                     number_in("/proc/self/statm", 1) * (uint64_t)sysconf(_SC_PAGESIZE));
    unsigned long long resident = atomic_load(&l->resident);
    if (resident <= l->soft)
        return STATUS_OK;
    return fail(err, STATUS_BUSY,
                "memory_limiter: the server has %llu MiB of memory, and takes items below %llu",
                resident >> 20, (unsigned long long)l->soft >> 20);
}

const component_type memory_limiter_processor = {
    .type = "memory_limiter",
    .kind = COMPONENT_PROCESSOR,
    .signals = SIGNALS_ALL,
    .help = "Refuses items while the server has too much memory; senders try again later.",
    .options = OPTION_TABLE(limiter_rows, limiter_settings),
    .check = limiter_check,
    .open = limiter_open,
    .close = limiter_close,
    .admit = limiter_admit,
};

// SPDX-License-Identifier: Apache-2.0
/* Decides whether the time stamp counter can be the clock of records: the CPU must call it
 * invariant, and the kernel must not have given it up for a slower clock. */
#include "lib/tsc.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

bool tsc_usable;

#if defined(__x86_64__)
static bool cpu_says_invariant(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8);
}

static bool kernel_gave_it_up(void)
{
    char name[32] = { 0 };
    int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
                  O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, name, sizeof(name) - 1);
    close(fd);
    return n > 0 && (strncmp(name, "hpet", 4) == 0 || strncmp(name, "acpi_pm", 7) == 0 ||
                     strncmp(name, "jiffies", 7) == 0);
}
#endif

void tsc_init(void)
{
#if defined(__x86_64__)
    tsc_usable = cpu_says_invariant() && !kernel_gave_it_up();
#endif
}

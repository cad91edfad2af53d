// SPDX-License-Identifier: Apache-2.0
/* What the process says about itself, under Prometheus's usual names, read from /proc at each
 * collection. The callback of one gauge sets them all. */
#include "lib/library_metrics.h"
#include "lib/metric.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Part of the library's one instance; written once under process_metrics_register. */
static struct {
    sonde_counter *cpu;
    sonde_gauge *virtual_memory, *open_fds, *max_fds, *start_time, *threads;
    double boot_time; /* Unix seconds; 0 unknown */
} process;

static size_t read_file(const char *path, char *ret, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, ret, size - 1);
    close(fd);
    size_t length = n > 0 ? (size_t)n : 0;
    ret[length] = 0;
    return length;
}

static size_t count_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    size_t n = 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n > 3 ? n - 3 : 0; /* ".", ".." and the directory itself */
}

static double read_boot_time(void)
{
    char text[KiB(16)];
    FILE *f = fopen("/proc/stat", "re");
    unsigned long long boot = 0;
    while (f && boot == 0 && fgets(text, sizeof(text), f))
        if (sscanf(text, "btime %llu", &boot) != 1)
            boot = 0;
    if (f)
        fclose(f);
    return (double)boot;
}

/* proc(5), after the command's closing parenthesis: fields from the third on. */
static void set_from_stat(sonde_gauge *resident)
{
    char text[1024];
    if (read_file("/proc/self/stat", text, sizeof(text)) == 0)
        return;
    const char *at = strrchr(text, ')');
    unsigned long long threads, start, bytes;
    long long pages;
    if (!at || sscanf(at + 1,
                      " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %llu "
                      "%*d %llu %llu %lld",
                      &threads, &start, &bytes, &pages) != 4)
        return;
    sonde_gauge_set(process.threads, (double)threads);
    sonde_gauge_set(process.virtual_memory, (double)bytes);
    sonde_gauge_set(resident, (double)pages * (double)sysconf(_SC_PAGESIZE));
    if (process.boot_time > 0)
        sonde_gauge_set(process.start_time,
                        process.boot_time + (double)start / (double)sysconf(_SC_CLK_TCK));
}

static void read_process(sonde_gauge *resident, void *user)
{
    (void)user;
    struct rusage use;
    struct rlimit files;
    if (getrusage(RUSAGE_SELF, &use) == 0)
        metric_set_total(process.cpu,
                         (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                             (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        sonde_gauge_set(process.max_fds, (double)files.rlim_cur);
    sonde_gauge_set(process.open_fds, (double)count_open_fds());
    set_from_stat(resident);
}

void process_metrics_register(void)
{
    library_metrics_register();
    process.boot_time = read_boot_time();
    process.cpu = sonde_counter_new("process_cpu_seconds_total",
                                    "Total user and system CPU time spent in seconds.",
                                    SONDE_LABELS(), .unit = "s");
    process.virtual_memory =
        sonde_gauge_new("process_virtual_memory_bytes", "Virtual memory size in bytes.",
                        SONDE_LABELS(), .unit = "By");
    process.open_fds =
        sonde_gauge_new("process_open_fds", "Number of open file descriptors.", SONDE_LABELS());
    process.max_fds = sonde_gauge_new("process_max_fds", "Maximum number of open file descriptors.",
                                      SONDE_LABELS());
    process.start_time = sonde_gauge_new("process_start_time_seconds",
                                         "Start time of the process since unix epoch in seconds.",
                                         SONDE_LABELS(), .unit = "s");
    process.threads =
        sonde_gauge_new("process_threads", "Number of threads in the process.", SONDE_LABELS());
    (void)sonde_gauge_callback("process_resident_memory_bytes", "Resident memory size in bytes.",
                               read_process, NULL, SONDE_LABELS(), .unit = "By");
}

// SPDX-License-Identifier: Apache-2.0
/* Metrics of process and pool, read when somebody collects; see runtime.h. */
#include "examples/staging/runtime.h"

#include <malloc.h>
#include <sonde/sonde.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POOL_IDLE, POOL_MAX, POOL_ACQUIRED, POOL_TOTAL, POOL_WAITING };

static struct {
    database *database;
    struct {
        const char *name, *help;
        int what;
    } pool[5];
} runtime = {
    .pool = { { "pgx_pool_idle_conns", "Database connections that are free to use.", POOL_IDLE },
              { "pgx_pool_max_conns", "Database connections at most.", POOL_MAX },
              { "pgx_pool_acquired_conns", "Database connections in use.", POOL_ACQUIRED },
              { "pgx_pool_total_conns", "Database connections that are open.", POOL_TOTAL },
              { "pgx_pool_waiting", "Callers that wait for a connection.", POOL_WAITING } },
};

/* A number of /proc/self/status, such as "Threads:"; 0 when it is not there. */
static double status_number(const char *key)
{
    char line[256];
    double value = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && value == 0 && fgets(line, sizeof(line), f))
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtod(line + strlen(key), NULL);
    if (f)
        fclose(f);
    return value;
}

static void read_threads(sonde_gauge *gauge, void *user)
{
    (void)user;
    sonde_gauge_set(gauge, status_number("Threads:"));
}

#ifdef __SANITIZE_ADDRESS__
/* Where a sanitizer stands in front of malloc it alone knows what is in use, and what the process
 * has of data is nearly all the sanitizer's own. gcc has no header for these. */
size_t __sanitizer_get_current_allocated_bytes(void);
size_t __sanitizer_get_heap_size(void);

static double allocated_bytes(void)
{
    return (double)__sanitizer_get_current_allocated_bytes();
}

static double obtained_bytes(void)
{
    return (double)__sanitizer_get_heap_size();
}
#else
static double allocated_bytes(void)
{
    struct mallinfo2 m = mallinfo2();
    return (double)(m.uordblks + m.hblkhd);
}

static double obtained_bytes(void)
{
    return status_number("VmData:") * 1024;
}
#endif

static void read_allocated(sonde_gauge *gauge, void *user)
{
    (void)user;
    sonde_gauge_set(gauge, allocated_bytes());
}

static void read_obtained(sonde_gauge *gauge, void *user)
{
    (void)user;
    sonde_gauge_set(gauge, obtained_bytes());
}

static void read_pool(sonde_gauge *gauge, void *user)
{
    database_pool p = database_pool_state(runtime.database);
    /* One that was never needed is not open and yet free: a quiet service has not run out. */
    int values[] = { [POOL_IDLE] = p.max - p.used,
                     [POOL_MAX] = p.max,
                     [POOL_ACQUIRED] = p.used,
                     [POOL_TOTAL] = p.idle + p.used,
                     [POOL_WAITING] = p.waiting };
    sonde_gauge_set(gauge, values[*(const int *)user]);
}

void runtime_metrics(database *d)
{
    runtime.database = d;
    sonde_gauge_callback("go_goroutines", "Threads of the process.", read_threads, NULL,
                         SONDE_LABELS());
    sonde_gauge_callback("go_memstats_alloc_bytes", "Bytes allocated and in use.", read_allocated,
                         NULL, SONDE_LABELS());
    sonde_gauge_callback("go_memstats_sys_bytes", "Bytes obtained from the system.", read_obtained,
                         NULL, SONDE_LABELS());
    for (size_t i = 0; i < sizeof(runtime.pool) / sizeof(runtime.pool[0]); i++)
        sonde_gauge_callback(runtime.pool[i].name, runtime.pool[i].help, read_pool,
                             &runtime.pool[i].what, SONDE_LABELS());
}

// SPDX-License-Identifier: Apache-2.0
/* Bursts, threads and medians; see measure.h. */
#include "benchmarks/measure.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WARM_UP = 40 };

typedef struct {
    const measure *what;
    int thread;
    pthread_barrier_t *barrier;
    void (*between)(void);
    double ns[MEASURE_ROUNDS];
} worker;

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *work(void *argument)
{
    worker *w = argument;
    for (int round = -WARM_UP; round < MEASURE_ROUNDS; round++) {
        pthread_barrier_wait(w->barrier);
        double start = now_ns();
        w->what->run(w->thread);
        double end = now_ns();
        if (round >= 0)
            w->ns[round] = (end - start) / MEASURE_BURST;
        pthread_barrier_wait(w->barrier);
        if (w->thread == 0 && w->between)
            w->between();
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *all, size_t n)
{
    qsort(all, n, sizeof(*all), compare);
    return all[n / 2];
}

static double run(const measure *what, int threads, void (*between)(void))
{
    static worker workers[MEASURE_THREADS_MAX];
    static double all[MEASURE_ROUNDS * MEASURE_THREADS_MAX];
    pthread_t ids[MEASURE_THREADS_MAX];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    for (int t = 0; t < threads; t++) {
        workers[t] = (worker){ .what = what, .thread = t, .barrier = &barrier, .between = between };
        if (pthread_create(&ids[t], NULL, work, &workers[t]) != 0) {
            fprintf(stderr, "bench: no thread\n");
            exit(1);
        }
    }
    for (int t = 0; t < threads; t++) {
        pthread_join(ids[t], NULL);
        memcpy(all + t * MEASURE_ROUNDS, workers[t].ns, sizeof(workers[t].ns));
    }
    pthread_barrier_destroy(&barrier);
    return median(all, (size_t)threads * MEASURE_ROUNDS);
}

void measure_table(const char *title, const measure *measures, size_t count, void (*between)(void))
{
    double best[MEASURE_ROWS_MAX][2];
    for (int pass = 0; pass < MEASURE_PASSES; pass++)
        for (size_t i = 0; i < count && i < MEASURE_ROWS_MAX; i++)
            for (int k = 0; k < 2; k++) {
                double ns = run(&measures[i], k + 1, between);
                best[i][k] = pass == 0 || ns < best[i][k] ? ns : best[i][k];
            }
    printf("\n%s, ns per call: the lowest of %d medians of %d bursts of %d calls\n\n", title,
           MEASURE_PASSES, MEASURE_ROUNDS, MEASURE_BURST);
    printf("%-40s %10s %10s %8s\n", "", "1 thread", "2 threads", "aim");
    for (size_t i = 0; i < count && i < MEASURE_ROWS_MAX; i++)
        printf("%-40s %10.1f %10.1f %8s\n", measures[i].name, best[i][0], best[i][1],
               measures[i].aim);
    fflush(stdout);
}

void measure_slow(const char *name, void (*call)(void), int rounds, const char *aim)
{
    double ms[64];
    int n = rounds < 64 ? rounds : 64;
    for (int i = 0; i < n; i++) {
        double start = now_ns();
        call();
        ms[i] = (now_ns() - start) / 1e6;
    }
    printf("%-40s %7.2f ms %10s %8s\n", name, median(ms, (size_t)n), "", aim);
    fflush(stdout);
}

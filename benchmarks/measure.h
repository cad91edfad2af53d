// SPDX-License-Identifier: Apache-2.0
/* How the programs of ./bench library measure a call: the median over bursts, for one thread and
 * for two at once, with a pause between bursts in which nobody measures. Virtual machines have slow
 * seconds, which a median does not see: so the whole table is run several times, and each row shows
 * its lowest median. Floors and peers are treated alike. For C and C++. */
#ifndef SONDE_BENCHMARKS_MEASURE_H
#define SONDE_BENCHMARKS_MEASURE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    MEASURE_BURST = 1000,
    MEASURE_ROUNDS = 400,
    MEASURE_THREADS_MAX = 2,
    MEASURE_PASSES = 7,
    MEASURE_ROWS_MAX = 32
};

typedef struct {
    const char *name;
    void (*run)(int thread); /* makes MEASURE_BURST calls */
    const char *aim;
} measure;

/* Prints a row of ns per call for each measure. `between` is called by one thread after each burst;
 * NULL is fine. */
void measure_table(const char *title, const measure *measures, size_t count, void (*between)(void));

/* Prints a row for something that takes long: the median of `rounds` calls, in milliseconds. */
void measure_slow(const char *name, void (*run)(void), int rounds, const char *aim);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Records numbered logs, spans and counts, waits until they are sent, and prints what
 * sonde_flush said and how long sonde_stop took: export_probe COUNT [FLUSH_MS [STOP_MS]] */
#include <sonde/sonde.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1;
    unsigned flush_ms = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 20000;
    unsigned stop_ms = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
    sonde_start(&(sonde_options){ .service = "probe", .stop_timeout_ms = stop_ms });
    sonde_counter *counted = sonde_counter_new("counted_total", "Counts.", SONDE_LABELS());
    for (int i = 0; i < count; i++) {
        SONDE_SPAN ("numbered", sonde_kv("n", i)) {
            sonde_info("numbered", sonde_kv("n", i));
            sonde_counter_add(counted, 1);
        }
    }
    bool flushed = flush_ms ? sonde_flush(flush_ms) : false;
    long start = now_ms();
    sonde_stop();
    printf("{\"flushed\":%s,\"stop_ms\":%ld}\n", flushed ? "true" : "false", now_ms() - start);
    sonde_counter_free(counted);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* LTTng-UST: one event with 4 fields, into the ring buffers of a session that the script
 * benchmarks/peers/lttng starts in snapshot mode (nothing is consumed meanwhile). */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "lttng_ust_provider.h"

#include "benchmarks/measure.h"

#include <stdio.h>

static void event(int thread)
{
    for (int i = 0; i < MEASURE_BURST; i++)
        lttng_ust_tracepoint(sonde_bench, order_placed, i, 99.5, "EUR", thread);
}

int main(void)
{
    const measure measures[] = { { "event, 4 fields", event, "" } };
    if (!lttng_ust_tracepoint_enabled(sonde_bench, order_placed)) {
        fprintf(stderr, "bench: no LTTng session records the event\n");
        return 1;
    }
    measure_table("lttng-ust", measures, 1, NULL);
    return 0;
}

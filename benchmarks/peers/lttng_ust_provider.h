/* SPDX-License-Identifier: Apache-2.0 */
/* The event that lttng_ust.c emits; included several times by LTTng's own headers. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER sonde_bench

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "lttng_ust_provider.h"

#if !defined(SONDE_BENCH_PROVIDER_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define SONDE_BENCH_PROVIDER_H

#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(
    sonde_bench, order_placed,
    LTTNG_UST_TP_ARGS(int, order_id, double, total, const char *, currency, int, thread),
    LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(int, order_id, order_id)
                            lttng_ust_field_float(double, total, total)
                                lttng_ust_field_string(currency, currency)
                                    lttng_ust_field_integer(int, thread, thread)))

#endif
#include <lttng/tracepoint-event.h>

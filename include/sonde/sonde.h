/* SPDX-License-Identifier: Apache-2.0 */
/* libsonde: logs, metrics, traces and context for C and C++ programs.
 *
 *     #include <sonde/sonde.h>
 *
 *     int main(void)
 *     {
 *         sonde_start(&(sonde_options){ .service = "shop-api", .version = "1.4.0" });
 *         SONDE_SPAN("checkout", sonde_kv("user.id", "u-17")) {
 *             sonde_info("order_placed", sonde_kv("order_id", 42));
 *         }
 *         sonde_stop();
 *     }
 *
 * This includes everything; each subject has a header of its own beside it. */
#ifndef SONDE_SONDE_H
#define SONDE_SONDE_H

#include <sonde/baggage.h>
#include <sonde/context.h>
#include <sonde/db.h>
#include <sonde/debug.h>
#include <sonde/error.h>
#include <sonde/health.h>
#include <sonde/http.h>
#include <sonde/http_client.h>
#include <sonde/job.h>
#include <sonde/kv.h>
#include <sonde/log.h>
#include <sonde/metric.h>
#include <sonde/propagate.h>
#include <sonde/redact.h>
#include <sonde/span.h>
#include <sonde/start.h>

#endif

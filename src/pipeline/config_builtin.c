// SPDX-License-Identifier: Apache-2.0
/* The configuration that runs when no file is given. `sonde check config --example` prints it with
 * the default ports in place of the variables. */
#include "pipeline/config.h"

static const char text[] =
    "# What `sonde serve` runs without --config. Receivers that name the web port share it.\n"
    "extensions:\n"
    "  sonde_web:\n"
    "    endpoint: ${sonde:http}\n"
    "\n"
    "receivers:\n"
    "  otlp:\n"
    "    protocols:\n"
    "      grpc:\n"
    "        endpoint: ${sonde:otlp_grpc}\n"
    "      http:\n"
    "        endpoint: ${sonde:otlp_http}\n"
    "  otlp/web:\n"
    "    protocols:\n"
    "      http:\n"
    "        endpoint: ${sonde:http}\n"
    "  loki:\n"
    "    protocols:\n"
    "      http:\n"
    "        endpoint: ${sonde:http}\n"
    "  elasticsearch:\n"
    "    endpoint: ${sonde:http}\n"
    "    path_prefix: /elasticsearch\n"
    "  zipkin:\n"
    "    endpoint: ${sonde:http}\n"
    "    path_prefix: /zipkin\n"
    "  recorder:\n"
    "    directories: ${sonde:recorders}\n"
    "    metric_interval: ${sonde:recorder_metrics}\n"
    "\n"
    "exporters:\n"
    "  sonde:\n"
    "    retention: ${sonde:retention}\n"
    "    seal_after: ${sonde:seal_after}\n"
    "\n"
    "service:\n"
    "  extensions: [sonde_web]\n"
    "  pipelines:\n"
    "    traces:\n"
    "      receivers: [otlp, otlp/web, zipkin, recorder]\n"
    "      exporters: [sonde]\n"
    "    metrics:\n"
    "      receivers: [otlp, otlp/web, recorder]\n"
    "      exporters: [sonde]\n"
    "    logs:\n"
    "      receivers: [otlp, otlp/web, loki, elasticsearch, recorder]\n"
    "      exporters: [sonde]\n";

str config_builtin(void)
{
    return str_n(text, sizeof(text) - 1);
}

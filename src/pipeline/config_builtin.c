// SPDX-License-Identifier: Apache-2.0
/* The configuration that runs when no file is given: OTLP and the other protocols on loopback, all
 * of it into the store. ${sonde:…} are the command line's flags. */
#include "pipeline/config.h"

str config_builtin(void)
{
    return STR("receivers:\n"
               "  otlp:\n"
               "    protocols:\n"
               "      grpc: { endpoint: '${sonde:otlp_grpc}' }\n"
               "      http: { endpoint: '${sonde:otlp_http}' }\n"
               "  otlp/web:\n"
               "    protocols:\n"
               "      grpc: { endpoint: '${sonde:http}' }\n"
               "      http: { endpoint: '${sonde:http}' }\n"
               "  recorder:\n"
               "    directories: ${sonde:recorders}\n"
               "    metric_interval: ${sonde:recorder_metrics}\n"
               "\n"
               "exporters:\n"
               "  sonde:\n"
               "    retention: ${sonde:retention}\n"
               "    seal_after: ${sonde:seal_after}\n"
               "\n"
               "extensions:\n"
               "  sonde_web: { endpoint: '${sonde:http}' }\n"
               "\n"
               "service:\n"
               "  extensions: [sonde_web]\n"
               "  pipelines:\n"
               "    traces:\n"
               "      receivers: [otlp, otlp/web, recorder]\n"
               "      exporters: [sonde]\n"
               "    metrics:\n"
               "      receivers: [otlp, otlp/web, recorder]\n"
               "      exporters: [sonde]\n"
               "    logs:\n"
               "      receivers: [otlp, otlp/web, recorder]\n"
               "      exporters: [sonde]\n");
}

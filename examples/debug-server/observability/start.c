// SPDX-License-Identifier: Apache-2.0
/* Settings and start; see observability.h. Flags and variables become libsonde's own settings, so
 * that sonde_describe and /debug/config show one truth. */
#include "examples/debug-server/observability/observability.h"

#include "examples/common/config.h"
#include "examples/common/web_server.h"
#include "examples/debug-server/env_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *flag;
    const char *variable; /* NULL: a file of variables */
    const char *value;    /* NULL: the next argument */
    const char *help;
} setting;

static const setting settings[] = {
    { "--env-file", NULL, NULL, "FILE: settings, KEY=VALUE a line; the environment wins" },
    { "--otlp", "OTEL_EXPORTER_OTLP_ENDPOINT", NULL, "ENDPOINT: send telemetry there" },
    { "--no-metrics", "OBSERVABILITY_METRICS", "0", "no /metrics, no metrics sent" },
    { "--no-traces", "OBSERVABILITY_TRACES", "0", "no spans recorded, none sent" },
    { "--no-log-export", "OBSERVABILITY_LOG_EXPORT", "0", "logs go to their output only" },
    { "--no-telemetry", "OBSERVABILITY", "0", "nothing at all" },
    { "--log-output", "SONDE_LOG_OUTPUT", NULL, "stdout|stderr|none|file:PATH" },
    { "--log-level", "SONDE_LOG_LEVEL", NULL, "debug|info|warn|error" },
};

static void print_help(FILE *to, const char *usage)
{
    fprintf(to, "%s\n", usage);
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        fprintf(to, "  %-16s %s\n", settings[i].flag, settings[i].help);
}

static const setting *find(const char *argument)
{
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        if (strcmp(argument, settings[i].flag) == 0)
            return &settings[i];
    return NULL;
}

void observability_arguments(int *argc, char **argv, const char *usage)
{
    const char *file = NULL;
    char error[512];
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        const setting *s = find(argv[i]);
        if (strcmp(argv[i], "--help") == 0) {
            print_help(stdout, usage);
            exit(0);
        }
        if (!s) {
            argv[kept++] = argv[i];
            continue;
        }
        const char *value = s->value ? s->value : i + 1 < *argc ? argv[++i] : NULL;
        if (!value) {
            fprintf(stderr, "%s needs a value: %s\n", s->flag, s->help);
            exit(2);
        }
        if (s->variable)
            setenv(s->variable, value, 1);
        else
            file = value;
    }
    argv[ *argc = kept] = NULL;
    if (file && !env_file_load(file, error, sizeof(error))) {
        fprintf(stderr, "%s\n", error);
        exit(2);
    }
}

static bool is_off(const char *variable)
{
    const char *value = config_text(variable, "1");
    return strcmp(value, "0") == 0 || strcmp(value, "false") == 0 || strcmp(value, "off") == 0;
}

void observability_start(const char *program)
{
    static const char *const resource[] = { "service.namespace", "debug-server", NULL };
    char service[64];
    bool off = is_off("OBSERVABILITY");
    if (off)
        setenv("OTEL_SDK_DISABLED", "true", 1);
    if (off || is_off("OBSERVABILITY_METRICS")) {
        setenv("OTEL_METRICS_EXPORTER", "none", 1);
        web_server_hide("/metrics");
    }
    if (is_off("OBSERVABILITY_TRACES")) {
        setenv("OTEL_TRACES_EXPORTER", "none", 1);
        setenv("OTEL_TRACES_SAMPLER", "always_off", 1);
    }
    if (is_off("OBSERVABILITY_LOG_EXPORT"))
        setenv("OTEL_LOGS_EXPORTER", "none", 1);
    snprintf(service, sizeof(service), "debug-%s", program);
    sonde_start(&(sonde_options){ .service = service,
                                  .version = "1.0.0",
                                  .resource = resource,
                                  .log_format = "debug-server",
                                  .http = { .request_id_prefix = "req_" } });
}

// SPDX-License-Identifier: Apache-2.0
/* What the library holds at rest: starts it with the defaults (recorder, drainer, admin port),
 * makes some of everything, waits until all is written out, and prints the process's PSS in kB.
 * With the argument "without" it prints that of the same program before it starts the library. */
#include "sonde/sonde.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int print_pss(void)
{
    char line[256];
    long kb;
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "Pss: %ld kB", &kb) == 1) {
            printf("%ld\n", kb);
            fclose(f);
            return 0;
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    if (strcmp(how, "without") == 0)
        return print_pss();
    sonde_start(
        &(sonde_options){ .service = "rest",
                          .log_output = "none",
                          .admin_addr = strcmp(how, "admin") == 0 ? "0" : NULL,
                          .otlp_endpoint = strcmp(how, "export") == 0 ? "http://127.0.0.1:9" : NULL,
                          .stop_timeout_ms = 100 });
    sonde_counter *c = sonde_counter_new("requests_total", "Requests.", SONDE_LABELS("route"));
    for (int i = 0; i < 100; i++) {
        SONDE_SPAN ("request") {
            sonde_info("served", sonde_kv("number", i));
            sonde_counter_add(c, 1, "/users/{id}");
        }
    }
    sonde_flush(2000);
    return print_pss();
}

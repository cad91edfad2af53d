/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered log records with 400 bytes of filler, never faster than the recorder has room:
 * export_load FROM TO LINES_FILE; then one command a line on stdin: "flush MS", "describe",
 * "metrics", "die", "log FROM TO"; at its end it stops the library. */
#include <sonde/sonde.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void log_numbers(int from, int to)
{
    char filler[401];
    memset(filler, 'x', 400);
    filler[400] = '\0';
    for (int n = from; n < to; n++)
        sonde_info("numbered", sonde_kv("n", n), sonde_kv("filler", filler));
}

int main(int argc, char **argv)
{
    char line[256];
    int from, to;
    unsigned ms;
    sonde_start(&(sonde_options){ .service = "load", .log_output = argc > 1 ? argv[1] : "none" });
    while (fgets(line, sizeof(line), stdin)) {
        if (sscanf(line, "log %d %d", &from, &to) == 2)
            log_numbers(from, to);
        else if (sscanf(line, "flush %u", &ms) == 1)
            printf("%d\n", sonde_flush(ms));
        else if (strcmp(line, "describe\n") == 0)
            sonde_describe(STDERR_FILENO);
        else if (strcmp(line, "die\n") == 0)
            kill(getpid(), SIGKILL);
        else if (strcmp(line, "metrics\n") == 0) {
            sonde_http_response page = { 0 };
            sonde_http_handle(&(sonde_http_request){ .method = "GET", .path = "/metrics" }, &page);
            printf("%.*s\n", (int)page.body_len, (const char *)page.body);
            sonde_http_response_free(&page);
        }
        printf("ok\n");
        fflush(stdout);
    }
    sonde_stop();
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* A program whose recorder somebody else reads. Logs, spans and counts argv[1] items, begins a
 * span, prints "threads N" and "done", and then ends, or (argv[2] "wait") waits until it is killed.
 */
#include <sonde/sonde.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int threads(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    struct dirent *entry;
    while (d && (entry = readdir(d)))
        n += entry->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

int main(int argc, char **argv)
{
    int items = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 10;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (sonde_start(&(sonde_options){ .service = "drained", .log_output = "none" }) != 0)
        return 1;
    sonde_counter *counted = sonde_counter_new("counted_total", "Items.", SONDE_LABELS());
    for (int i = 0; i < items; i++) {
        SONDE_SPAN ("item", sonde_kv("n", i)) {
            sonde_info("item", sonde_kv("n", i), sonde_kv("header", "Bearer abc123def"),
                       sonde_kv("text", "card 4111111111111111"));
            sonde_counter_add(counted, 1);
        }
    }
    sonde_span *open = sonde_span_start("open", NULL);
    printf("threads %d\ndone\n", threads());
    if (argc > 2 && strcmp(argv[2], "wait") == 0)
        pause();
    sonde_span_end(open);
    sonde_stop();
    return 0;
}

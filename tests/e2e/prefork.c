// SPDX-License-Identifier: Apache-2.0
/* A prefork server in a hurry: prefork CHILDREN. The parent starts the library and forks; the
 * children record, some fork children of their own, and all of them end at once, every second one
 * by _exit; the parent does not wait for them. "prefork 0" only starts and stops: it hands on what
 * the others left. */
#include <sonde/sonde.h>

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static sonde_bound_counter *served;

static void serve(long n)
{
    SONDE_SPAN ("serve", sonde_kv("n", n)) {
        sonde_info("served", sonde_kv("n", n));
        sonde_counter_add(served, 1);
    }
}

static void child(long n)
{
    serve(n);
    if (n % 8 == 0 && fork() == 0) {
        serve(1000 + n);
        if (n % 16)
            exit(0);
        _exit(0);
    }
    if (n % 2)
        exit(0);
    _exit(0);
}

int main(int argc, char **argv)
{
    long children = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    sonde_start(&(sonde_options){ .service = "prefork" });
    served =
        sonde_counter_bind(sonde_counter_new("served_total", "Requests served.", SONDE_LABELS()));
    for (long n = 1; n <= children; n++) {
        pid_t pid = fork();
        if (pid < 0)
            return 1;
        if (pid == 0)
            child(n);
    }
    if (children)
        serve(0);
    return 0;
}

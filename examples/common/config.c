// SPDX-License-Identifier: Apache-2.0
/* Settings and signals; see config.h. A pipe carries the signal to whoever waits. */
#include "examples/common/config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static atomic_bool stopping; /* set by the handler, seen by every thread */
static int wake[2] = { -1, -1 };

const char *config_text(const char *variable, const char *fallback)
{
    const char *value = getenv(variable);
    return value && *value ? value : fallback;
}

long config_number(const char *variable, long fallback, long min, long max)
{
    const char *text = config_text(variable, "");
    char *end;
    if (!*text)
        return fallback;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || *end || n < min || n > max) {
        fprintf(stderr, "%s is '%s'; it must be a whole number from %ld to %ld\n", variable, text,
                min, max);
        exit(2);
    }
    return n;
}

static void on_signal(int signal)
{
    (void)signal;
    int saved = errno;
    stopping = true;
    if (write(wake[1], "", 1) < 0)
        stopping = true; /* the pipe is full: it wakes the waiter already */
    errno = saved;
}

void config_catch_signals(void)
{
    if (pipe2(wake, O_CLOEXEC | O_NONBLOCK) != 0) {
        perror("pipe");
        exit(1);
    }
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool config_stopping(void)
{
    return stopping;
}

bool config_wait(int ms)
{
    struct pollfd p = { .fd = wake[0], .events = POLLIN };
    if (!stopping)
        poll(&p, 1, ms);
    return stopping;
}

int64_t config_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void config_new_id(const char *prefix, char ret[32])
{
    uint8_t bytes[6];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        abort();
    snprintf(ret, 32, "%.18s%02x%02x%02x%02x%02x%02x", prefix, bytes[0], bytes[1], bytes[2],
             bytes[3], bytes[4], bytes[5]);
}

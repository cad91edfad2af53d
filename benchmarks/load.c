// SPDX-License-Identifier: Apache-2.0
/* Sends a fixed number of HTTP requests over keep-alive connections, a thread each, and costs
 * little. Usage: bench_load PORT CONNECTIONS COUNT FILE. FILE holds whole requests, each ended by a
 * byte 0; a connection sends them in turn and waits for each answer. Prints "seconds refused": the
 * wall time, and how many answers were no 2xx. Answers need a Content-Length. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 64, REQUESTS_MAX = 256, FILE_MAX = 1 << 20, ANSWER_MAX = 1 << 16 };

static struct {
    uint16_t port;
    size_t count;
    const char *request[REQUESTS_MAX];
    size_t length[REQUESTS_MAX];
    atomic_long left, refused, failed;
} load;

static bool load_requests(const char *path)
{
    static char text[FILE_MAX];
    FILE *f = fopen(path, "rb");
    size_t size = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f)
        fclose(f);
    for (size_t at = 0; at < size && load.count < REQUESTS_MAX; load.count++) {
        load.request[load.count] = text + at;
        load.length[load.count] = strlen(text + at);
        at += load.length[load.count] + 1;
    }
    return load.count > 0;
}

static int dial(void)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(load.port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Bytes of the whole answer once its head is there; 0: not yet. */
static size_t answer_size(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    const char *length = strcasestr(answer, "\r\nContent-Length:");
    if (!end || !length || length > end)
        return 0;
    return (size_t)(end + 4 - answer) + strtoul(length + 17, NULL, 10);
}

/* The answer's status; 0 when the connection broke. */
static long exchange(int fd, const char *request, size_t length)
{
    static _Thread_local char answer[ANSWER_MAX];
    size_t have = 0, want = 0;
    if (send(fd, request, length, MSG_NOSIGNAL) != (ssize_t)length)
        return 0;
    while (!want || have < want) {
        ssize_t n = recv(fd, answer + have, sizeof(answer) - 1 - have, 0);
        if (n <= 0)
            return 0;
        have += (size_t)n;
        answer[have] = '\0';
        want = want ? want : answer_size(answer);
    }
    return strtol(answer + sizeof("HTTP/1.1 ") - 1, NULL, 10);
}

static void *connection_run(void *unused)
{
    int fd = dial();
    long left;
    (void)unused;
    while (fd >= 0 && (left = atomic_fetch_sub(&load.left, 1)) > 0) {
        size_t i = (size_t)left % load.count;
        long status = exchange(fd, load.request[i], load.length[i]);
        if (status == 0)
            break;
        if (status < 200 || status > 299)
            load.refused++;
    }
    if (fd < 0 || atomic_load(&load.left) > 0)
        load.failed++;
    if (fd >= 0)
        close(fd);
    return NULL;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    pthread_t thread[CONNECTIONS_MAX];
    if (argc != 5) {
        fprintf(stderr, "usage: bench_load PORT CONNECTIONS COUNT FILE\n");
        return 2;
    }
    load.port = (uint16_t)strtoul(argv[1], NULL, 10);
    unsigned long connections = strtoul(argv[2], NULL, 10);
    load.left = strtol(argv[3], NULL, 10);
    if (connections < 1 || connections > CONNECTIONS_MAX || !load_requests(argv[4])) {
        fprintf(stderr, "bench_load: 1 to %d connections, and requests in '%s'\n", CONNECTIONS_MAX,
                argv[4]);
        return 2;
    }
    double begin = now_s();
    for (unsigned long i = 0; i < connections; i++)
        if (pthread_create(&thread[i], NULL, connection_run, NULL) != 0)
            return 1;
    for (unsigned long i = 0; i < connections; i++)
        pthread_join(thread[i], NULL);
    printf("%.3f %ld\n", now_s() - begin, load.refused);
    if (load.failed)
        fprintf(stderr, "bench_load: %ld connections to port %u broke\n", load.failed, load.port);
    return load.failed ? 1 : 0;
}

// SPDX-License-Identifier: Apache-2.0
/* A program with something on every path under /debug. It serves the library's paths on the admin
 * port of its environment and, with an argument, on a small HTTP server of its own, by
 * sonde_http_handle. Prints one line with both ports, and ends when its input does. */
#define SONDE_LOGGER "app"
#include <sonde/sonde.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- what the paths show ---- */

static void pod(void *user, sonde_json *json)
{
    (void)user;
    sonde_json_put(json, sonde_kv("pod_id", "pod_abc123"), sonde_kv("status", "processing"));
    sonde_json_begin(json, "gpu");
    sonde_json_put(json, sonde_kv("name", "NVIDIA A100"), sonde_kv("memory_used_mb", 32000),
                   sonde_kv("utilization_percent", 85));
    sonde_json_end(json);
    sonde_json_begin(json, "current_generation");
    sonde_json_put(json, sonde_kv("generation_id", "gen_xyz"), sonde_kv("progress_percent", 45));
}

static void planted(void *user, sonde_json *json)
{
    (void)user;
    sonde_json_put(json, sonde_kv("api_key", "planted-1"),
                   sonde_kv("url", "https://user:planted-2@example.com/"));
    sonde_json_begin_array(json, "list");
    sonde_json_put(json, sonde_kv("", 1), sonde_kv("", "two"), sonde_kv("", true));
    for (int i = 0; i < 100; i++)
        sonde_json_begin(json, "deep");
    for (int i = 0; i < 200; i++)
        sonde_json_end(json);
}

static void large(void *user, sonde_json *json)
{
    (void)user;
    for (int i = 0; i < 100000; i++)
        sonde_json_put(json, sonde_kv("number", i));
}

static void late(void *user, sonde_json *json)
{
    (void)user;
    (void)json;
    pause();
    for (;;)
        sleep(1000);
}

static void jobs(void *user, sonde_queue_state *ret)
{
    (void)user;
    ret->depth = 3;
    ret->oldest_age_s = 1.5;
}

static void pool(void *user, sonde_pool_state *ret, sonde_json *connections)
{
    (void)user;
    ret->max = 10;
    ret->idle = 4;
    ret->in_use = 6;
    sonde_json_begin(connections, NULL);
    sonde_json_put(connections, sonde_kv("id", 7), sonde_kv("state", "active"));
    sonde_json_end(connections);
}

static bool database(void *user, char *detail, size_t size)
{
    (void)user;
    snprintf(detail, size, "connection refused");
    return getenv("DEBUG_APP_BROKEN") == NULL;
}

static void register_all(void)
{
    sonde_health_check_new("database", database, NULL, 0);
    sonde_debug_status(NULL, pod, NULL);
    if (getenv("DEBUG_APP_ODD")) {
        sonde_debug_status("planted", planted, NULL);
        sonde_debug_status("large", large, NULL);
        sonde_debug_status("late", late, NULL);
    }
    sonde_debug_queue("jobs", jobs, NULL);
    sonde_debug_pool("db", pool, NULL);
    sonde_workflow *w = sonde_workflow_new(NULL);
    char id[32];
    sonde_workflow_expect(w, 15);
    for (int i = 0; i < 7; i++) {
        snprintf(id, sizeof(id), "Load_%d", i);
        sonde_workflow_node(w, id, "completed");
    }
    sonde_workflow_progress(w, "KSampler_3", 12, 30);
    for (int i = 0; i < 1100; i++)
        sonde_debug_artifact_add("image", "/out/image.png", 1000 + i,
                                 sonde_kv("generation_id", i % 2 ? "gen_odd" : "gen_xyz"),
                                 sonde_kv("number", i), sonde_kv("token", "planted-3"));
    sonde_debug_config("WORKERS", "4");
    sonde_debug_config("DATABASE_PASSWORD", "planted-4");
    sonde_debug_config("DATABASE_URL", "postgres://app:planted-5@db/app");
}

/* ---- what profiles show ---- */

static volatile double sink;

static __attribute__((noinline)) void burn_inner(void)
{
    for (int i = 0; i < 100000; i++)
        sink += i * 0.5;
}

static __attribute__((noinline)) void burn_outer(void)
{
    for (;;)
        burn_inner();
}

static void *burner(void *arg)
{
    burn_outer();
    return arg;
}

static __attribute__((noinline)) void wait_in_here(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    pthread_mutex_lock(&lock);
    for (;;)
        pthread_cond_wait(&never, &lock);
}

/* As main() of a program that waits for its end: nothing here may wake it. */
static void *pauser(void *arg)
{
    pause();
    abort();
    return arg;
}

static void *waiter(void *arg)
{
    wait_in_here();
    return arg;
}

/* Kept in libc's allocator when libsonde_heap.so is loaded. */
static void *volatile kept[2048];

static __attribute__((noinline)) void keep_32_mib(void)
{
    for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
        kept[i] = calloc(1, 16384);
}

static void start_thread(void *(*run)(void *), const char *name)
{
    pthread_t thread;
    extern int pthread_setname_np(pthread_t, const char *);
    pthread_create(&thread, NULL, run, NULL);
    pthread_setname_np(thread, name);
    pthread_detach(thread);
}

/* ---- a server of the program's own ---- */

typedef struct {
    char text[65536];
    char value[1024];
} message;

static const char *header_of(void *user, const char *name)
{
    message *m = user;
    size_t n = strlen(name);
    for (char *line = strchr(m->text, '\n'); line; line = strchr(line + 1, '\n'))
        if (strncasecmp(line + 1, name, n) == 0 && line[1 + n] == ':') {
            char *from = line + n + 2 + strspn(line + n + 2, " ");
            snprintf(m->value, sizeof(m->value), "%.*s", (int)strcspn(from, "\r\n"), from);
            return m->value;
        }
    return NULL;
}

static void answer(int fd, message *m)
{
    char method[16], path[2048], client[INET_ADDRSTRLEN], head[2048];
    struct sockaddr_in peer;
    socklen_t size = sizeof(peer);
    sonde_http_response r;
    if (sscanf(m->text, "%15s %2047s", method, path) != 2)
        return;
    getpeername(fd, (struct sockaddr *)&peer, &size);
    const char *body = strstr(m->text, "\r\n\r\n") + 4;
    sonde_http_request request = { .method = method,
                                   .path = path,
                                   .header = header_of,
                                   .user = m,
                                   .client_address =
                                       inet_ntop(AF_INET, &peer.sin_addr, client, sizeof(client)),
                                   .body = body,
                                   .body_len = strlen(body) };
    if (!sonde_http_handle(&request, &r)) {
        snprintf(head, sizeof(head), "HTTP/1.1 418 mine\r\nConnection: close\r\n\r\n");
        send(fd, head, strlen(head), MSG_NOSIGNAL);
        return;
    }
    int n = snprintf(
        head, sizeof(head),
        "HTTP/1.1 %d x\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %zu\r\n",
        r.status, r.content_type, r.body_len);
    for (int i = 0; i < SONDE_HTTP_HEADERS && r.headers[i].name; i++)
        n += snprintf(head + n, sizeof(head) - (size_t)n, "%s: %s\r\n", r.headers[i].name,
                      r.headers[i].value);
    n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
    send(fd, head, (size_t)n, MSG_NOSIGNAL);
    for (size_t at = 0; strcmp(method, "HEAD") != 0 && at < r.body_len;) {
        ssize_t sent = send(fd, r.body + at, r.body_len - at, MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        at += (size_t)sent;
    }
    sonde_http_response_free(&r);
}

static void *serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    message *m = calloc(1, sizeof(*m));
    size_t used = 0, wanted = 1;
    while (m && used < wanted && used < sizeof(m->text) - 1) {
        ssize_t n = recv(fd, m->text + used, sizeof(m->text) - 1 - used, 0);
        if (n <= 0)
            break;
        used += (size_t)n;
        char *end = strstr(m->text, "\r\n\r\n");
        const char *length = end ? header_of(m, "content-length") : NULL;
        wanted =
            end ? (size_t)(end + 4 - m->text) + (length ? strtoul(length, NULL, 10) : 0) : used + 1;
    }
    if (m && used >= wanted)
        answer(fd, m);
    free(m);
    close(fd);
    return NULL;
}

static void *serve(void *arg)
{
    for (int listener = (int)(intptr_t)arg;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    }
    return NULL;
}

static int start_server(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof(at);
    pthread_t thread;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&at, size) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &size) != 0)
        return 0;
    pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd);
    pthread_detach(thread);
    return ntohs(at.sin_port);
}

static volatile sig_atomic_t profiled;

static void own_handler(int signal)
{
    (void)signal;
    profiled = 1;
}

int main(int argc, char **argv)
{
    char byte;
    (void)argv;
    sonde_start(&(sonde_options){ .service = "debugged",
                                  .version = "1.2.3",
                                  .health = { .shape = SONDE_HEALTH_WORDS, .cache_ms = 1 } });
    register_all();
    start_thread(burner, "burner");
    start_thread(waiter, "waiter");
    start_thread(pauser, "pauser");
    keep_32_mib();
    if (getenv("DEBUG_APP_SIGPROF"))
        signal(SIGPROF, own_handler);
    sonde_info("first_line", sonde_kv("auth", "Bearer planted-6-abcdefghijklmnop"));
    for (int i = 0; i < 300; i++)
        sonde_info("line", sonde_kv("number", i));
    sonde_warn("careful");
    sonde_debug("hidden");
    int own = argc > 1 ? start_server() : 0;
    SONDE_SPAN ("outer", sonde_kv("tenant", "t-1")) {
        printf("ready %d %d\n", sonde_admin_port(), own);
        fflush(stdout);
        while (read(STDIN_FILENO, &byte, 1) == 1) {
            if (byte == 'd')
                sonde_debug("spoken", sonde_kv("now", true));
            if (byte == 'p')
                raise(SIGPROF);
            printf("did %c %d\n", byte, profiled);
            fflush(stdout);
        }
    }
    sonde_stop();
    return 0;
}

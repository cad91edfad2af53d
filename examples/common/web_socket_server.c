// SPDX-License-Identifier: Apache-2.0
/* The server's side of WebSockets: the answer to a handshake, and the loop that serves all of them
 * on one thread. One lock guards the sockets; it is open only while the loop waits. */
#include "examples/common/web_socket_engine.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { STOP_MS = 1000 };

struct web_sockets {
    pthread_mutex_t lock;
    pthread_t thread;
    int wake;
    unsigned most, count;
    web_socket **sockets;
    struct pollfd *polled; /* one more than sockets: the wake-up */
    bool stopping;
    int64_t stop_ms; /* no longer than until then */
};

/* A handshake that was answered, until libmicrohttpd hands the socket over. */
typedef struct {
    web_sockets *loop;
    web_socket_limits limits;
    web_socket_handlers handlers;
    web_socket_opened *opened;
    void *user;
} handover;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

void web_sockets_lock(web_sockets *loop)
{
    pthread_mutex_lock(&loop->lock);
}

void web_sockets_unlock(web_sockets *loop)
{
    pthread_mutex_unlock(&loop->lock);
}

void web_sockets_wake(web_sockets *loop)
{
    uint64_t one = 1;
    while (write(loop->wake, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

/* With the lock held: what to poll for, and how long at most. */
static int prepare(web_sockets *loop)
{
    int ms = loop->stopping ? (int)(loop->stop_ms - now_ms()) : 60000;
    loop->polled[0] = (struct pollfd){ .fd = loop->wake, .events = POLLIN };
    for (unsigned i = 0; i < loop->count; i++) {
        int next = web_socket_next_ms(loop->sockets[i]);
        loop->polled[i + 1] = (struct pollfd){ .fd = web_socket_fd(loop->sockets[i]),
                                               .events = web_socket_events(loop->sockets[i]) };
        ms = next < ms ? next : ms;
    }
    return ms < 0 ? 0 : ms;
}

/* With the lock held: every socket does what it can. Those that came while the loop waited are at
 * the end and were not polled; they are looked at too. */
static void work(web_sockets *loop)
{
    for (unsigned i = 0; i < loop->count;) {
        web_socket *s = loop->sockets[i];
        if (web_socket_work(s)) {
            i++;
            continue;
        }
        loop->sockets[i] = loop->sockets[--loop->count];
        web_socket_free(s);
    }
}

static void *run(void *user)
{
    web_sockets *loop = user;
    uint64_t ignored;
    web_sockets_lock(loop);
    while (!loop->stopping || (loop->count && now_ms() < loop->stop_ms)) {
        int ms = prepare(loop);
        nfds_t polled = loop->count + 1;
        web_sockets_unlock(loop);
        poll(loop->polled, polled, ms);
        web_sockets_lock(loop);
        if ((loop->polled[0].revents & POLLIN) && read(loop->wake, &ignored, sizeof(ignored)) < 0 &&
            errno != EAGAIN)
            break;
        work(loop);
    }
    while (loop->count)
        web_socket_free(loop->sockets[--loop->count]);
    web_sockets_unlock(loop);
    return NULL;
}

web_sockets *web_sockets_start(unsigned most)
{
    web_sockets *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return NULL;
    pthread_mutex_init(&loop->lock, NULL);
    loop->most = most;
    loop->sockets = calloc(most, sizeof(void *));
    loop->polled = calloc(most + 1, sizeof(*loop->polled));
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->sockets && loop->polled && loop->wake >= 0 &&
        pthread_create(&loop->thread, NULL, run, loop) == 0)
        return loop;
    if (loop->wake >= 0)
        close(loop->wake);
    free(loop->sockets);
    free(loop->polled);
    free(loop);
    return NULL;
}

void web_sockets_stop(web_sockets *loop)
{
    if (!loop)
        return;
    web_sockets_lock(loop);
    loop->stopping = true;
    loop->stop_ms = now_ms() + STOP_MS;
    for (unsigned i = 0; i < loop->count; i++)
        web_socket_close(loop->sockets[i], WEB_SOCKET_GOING_AWAY, "the server stops");
    web_sockets_unlock(loop);
    web_sockets_wake(loop);
    pthread_join(loop->thread, NULL);
}

void web_sockets_free(web_sockets *loop)
{
    if (!loop)
        return;
    close(loop->wake);
    pthread_mutex_destroy(&loop->lock);
    free(loop->sockets);
    free(loop->polled);
    free(loop);
}

/* ---- the handshake ---- */

static void release(void *handle)
{
    MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
}

/* libmicrohttpd's MHD_UpgradeHandler: the answer was sent, the socket is ours. */
static void take_over(void *user, struct MHD_Connection *connection, void *state, const char *extra,
                      size_t extra_len, MHD_socket fd, struct MHD_UpgradeResponseHandle *handle)
{
    handover *h = user;
    web_sockets *loop = h->loop;
    (void)connection, (void)state;
    web_sockets_lock(loop);
    web_socket *s =
        loop->count < loop->most && !loop->stopping
            ? web_socket_new(fd, false, extra, extra_len, &h->limits, &h->handlers, NULL)
            : NULL;
    if (s) {
        web_socket_on_release(s, release, handle);
        loop->sockets[loop->count++] = s;
    }
    void *its = h->opened(s, h->user);
    bool wanted = s && its;
    if (wanted) {
        web_socket_set_user(s, its);
    } else if (s) {
        loop->count--;
        web_socket_free(s); /* releases it */
    }
    web_sockets_unlock(loop);
    if (wanted)
        web_sockets_wake(loop);
    else if (!s)
        release(handle);
    free(h);
}

static bool asks_for_it(web_request *r)
{
    const char *upgrade = web_header(r, "Upgrade"), *key = web_header(r, "Sec-WebSocket-Key"),
               *version = web_header(r, "Sec-WebSocket-Version");
    if (!upgrade || strcasecmp(upgrade, "websocket") != 0) {
        web_fail(r, 426, "UPGRADE_REQUIRED", "this path speaks WebSocket only");
        return false;
    }
    if (!key || strlen(key) != 24 || !version || strcmp(version, "13") != 0) {
        web_fail(r, 400, "INVALID_HANDSHAKE",
                 "Sec-WebSocket-Key of 24 characters and Sec-WebSocket-Version 13 are needed");
        return false;
    }
    return true;
}

bool web_socket_accept(web_request *r, web_sockets *loop, const web_socket_limits *limits,
                       const web_socket_handlers *handlers, web_socket_opened *opened, void *user)
{
    char answer[WEB_SOCKET_KEY_BYTES];
    if (!asks_for_it(r))
        return false;
    web_sockets_lock(loop);
    bool full = loop->count >= loop->most || loop->stopping;
    web_sockets_unlock(loop);
    handover *h = full ? NULL : malloc(sizeof(*h));
    struct MHD_Response *response = h ? MHD_create_response_for_upgrade(take_over, h) : NULL;
    if (!response) {
        free(h);
        web_fail(r, 503, "STREAMS_UNAVAILABLE", "too many streams are open; try again");
        return false;
    }
    *h = (handover){ loop, *limits, *handlers, opened, user };
    web_socket_answer_key(web_header(r, "Sec-WebSocket-Key"), answer);
    MHD_add_response_header(response, MHD_HTTP_HEADER_UPGRADE, "websocket");
    MHD_add_response_header(response, MHD_HTTP_HEADER_SEC_WEBSOCKET_ACCEPT, answer);
    web_answer_with(r, MHD_HTTP_SWITCHING_PROTOCOLS, response);
    return true;
}

// SPDX-License-Identifier: Apache-2.0
/* UDP packets of Jaeger's clients; see jaeger_agent.h. */
#include "pipeline/receivers/jaeger_agent.h"

#include "base/clock.h"
#include "codec/jaeger.h"
#include "pipeline/receivers/span_intake.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Bytes of packets that go into the log together, as far as they are there already. */
#define TOGETHER       MiB(4)
#define DECODED_MAX    MiB(64)
#define SOCKET_DEFAULT MiB(4)
enum { POLL_MS = 100 };

struct jaeger_agent {
    component *component;
    const jaeger_agent_settings *settings;
    thrift_protocol protocol;
    const char *transport;
    int fd;
    bool started;
    _Atomic int ending;
    pthread_t thread;
    uint32_t kernel_drops; /* the socket's count, as last reported */
};

#define AGENT_ROWS(endpoint_) \
    { \
        { .name = "endpoint", \
          .type = OPTION_TEXT, \
          .offset = offsetof(jaeger_agent_settings, endpoint), \
          .fallback = (endpoint_), \
          .address = true, \
          .help = "UDP address to listen on: HOST:PORT" }, \
            { .name = "max_packet_size", \
              .type = OPTION_INT, \
              .offset = offsetof(jaeger_agent_settings, max_packet_size), \
              .fallback = "65000", \
              .min = 1000, \
              .max = 65535, \
              .help = "bytes; larger packets are refused" }, \
            { .name = "socket_buffer_size", \
              .type = OPTION_INT, \
              .offset = offsetof(jaeger_agent_settings, socket_buffer_size), \
              .max = 1 << 30, \
              .help = "bytes that wait in the socket, as far as the system lets it; 0: 4 MiB" }, \
            { .name = "queue_size", \
              .type = OPTION_IGNORED, \
              .help = "packets wait in the socket's buffer, and then stand in the intake log" }, \
        { \
            .name = "workers", .type = OPTION_IGNORED, \
            .help = "one thread for each port; it takes all packets that are there at once" \
        } \
    }
static const option compact_rows[] = AGENT_ROWS("localhost:6831");
static const option binary_rows[] = AGENT_ROWS("localhost:6832");
const option_table jaeger_compact_options = OPTION_TABLE(compact_rows, jaeger_agent_settings);
const option_table jaeger_binary_options = OPTION_TABLE(binary_rows, jaeger_agent_settings);

/* ---- the socket ---- */

static status bind_first(int *ret, const struct addrinfo *list, str endpoint, error *err)
{
    int number = EADDRNOTAVAIL;
    for (const struct addrinfo *at = list; at; at = at->ai_next) {
        int fd = socket(at->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && bind(fd, at->ai_addr, at->ai_addrlen) == 0) {
            *ret = fd;
            return STATUS_OK;
        }
        number = errno;
        if (fd >= 0)
            close(fd);
        if (number ==
            EADDRINUSE) /* another address of the name would not be the one that was meant */
            break;
    }
    errno = number;
    return fail_errno(err, number, "UDP %.*s", STR_ARG(endpoint));
}

static status open_socket(int *ret, str endpoint, error *err)
{
    char host[256];
    const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *list = NULL;
    size_t colon = endpoint.len;
    while (colon > 0 && endpoint.ptr[colon - 1] != ':')
        colon--;
    str name = str_slice(endpoint, 0, colon ? colon - 1 : 0);
    if (str_starts(name, STR("[")) && str_ends(name, STR("]")))
        name = str_slice(name, 1, name.len - 1);
    errno = 0;
    if (colon == 0 || name.len >= sizeof(host))
        return fail(err, STATUS_INVALID, "\"%.*s\" is no address; HOST:PORT is", STR_ARG(endpoint));
    str_copy_c(host, sizeof(host), name);
    int code = getaddrinfo(name.len ? host : NULL, endpoint.ptr + colon, &hints, &list);
    errno = 0;
    if (code != 0)
        return fail(err, STATUS_IO, "UDP %.*s: %s", STR_ARG(endpoint), gai_strerror(code));
    status st = bind_first(ret, list, endpoint, err);
    int number = errno;
    freeaddrinfo(list);
    errno = number;
    return st;
}

/* Without the right to take as much as it wants, as much as the system lets anyone have. */
static status open_agent(jaeger_agent *a, error *err)
{
    int64_t wish = a->settings->socket_buffer_size;
    int size = wish ? (int)wish : (int)SOCKET_DEFAULT, on = 1;
    status st = open_socket(&a->fd, a->settings->endpoint, err);
    if (st != STATUS_OK)
        return st;
    if (setsockopt(a->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
        setsockopt(a->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    setsockopt(a->fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
    return STATUS_OK;
}

/* A port in use may be that of the configuration before: it is asked for again at the start. */
status jaeger_agent_new(jaeger_agent **ret, component *c, const jaeger_agent_settings *s,
                        thrift_protocol protocol, error *err)
{
    jaeger_agent *a = calloc(1, sizeof(*a));
    if (!a)
        return fail(err, STATUS_NO_MEMORY, "no memory for a UDP port");
    *a = (jaeger_agent){ .component = c, .settings = s, .protocol = protocol, .fd = -1 };
    a->transport = protocol == THRIFT_COMPACT ? "udp_thrift_compact" : "udp_thrift_binary";
    status st = open_agent(a, err);
    if (st != STATUS_OK && errno != EADDRINUSE) {
        free(a);
        return st;
    }
    *ret = a;
    return STATUS_OK;
}

/* ---- reading ---- */

/* What the kernel had no room for counts as spans, since it cannot be known how many there were. */
static void note_kernel_drops(jaeger_agent *a, struct msghdr *message)
{
    uint32_t drops;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_RXQ_OVFL)
            continue;
        memcpy(&drops, CMSG_DATA(c), sizeof(drops));
        if (drops != a->kernel_drops) {
            component_drop(a->component, SIGNAL_TRACES, "udp_buffer_full", drops - a->kernel_drops);
            component_warn(a->component, "udp_dropped",
                           "%u packets were dropped, because the socket's buffer was full",
                           drops - a->kernel_drops);
        }
        a->kernel_drops = drops;
    }
}

/* One packet into *packet, if there is one. False: none now. */
static bool receive(jaeger_agent *a, char *to, size_t size, str *packet, bool *cut)
{
    char control[CMSG_SPACE(sizeof(uint32_t))];
    struct iovec part = { to, size };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    ssize_t n = recvmsg(a->fd, &message, 0);
    if (n < 0)
        return false;
    note_kernel_drops(a, &message);
    *packet = str_n(to, (size_t)n);
    *cut = message.msg_flags & MSG_TRUNC;
    return true;
}

/* Until it is in the log, or the component ends: nobody would send it again. */
static void put(jaeger_agent *a, const batch *b)
{
    error err;
    status st;
    const struct timespec pause = { 0, POLL_MS * NS_PER_MS };
    do {
        st = span_intake_batch(a->component, a->transport, b, &err);
        if (st != STATUS_BUSY && st != STATUS_FULL && st != STATUS_IO)
            break;
        nanosleep(&pause, NULL);
    } while (!a->ending);
    if (st != STATUS_OK)
        component_warn(a->component, "udp_spans_refused", "%s", err.message);
}

/* A packet that cannot be decoded costs itself only: what it added is taken back. */
static void take(jaeger_agent *a, batch *all, str packet, bool cut)
{
    error err;
    const uint32_t spans = all->spans.count, scopes = all->scope_count;
    const uint32_t resources = all->resource_count;
    status st = cut ? fail(&err, STATUS_LIMIT, "a packet of more than %lld bytes",
                           (long long)a->settings->max_packet_size)
                    : jaeger_agent_decode(all, packet, a->protocol, &err);
    if (st == STATUS_OK)
        return;
    all->spans.count = spans;
    all->scope_count = scopes;
    all->resource_count = resources;
    component_failed(a->component, a->transport, SIGNAL_TRACES);
    component_warn(a->component, "udp_packet_refused", "%s", err.message);
}

/* All packets that are there now, one behind the other in `bytes`, as long as one more has room. */
static void take_all(jaeger_agent *a, char *bytes)
{
    batch all;
    size_t at = 0, most = (size_t)a->settings->max_packet_size;
    str packet;
    bool cut;
    batch_init(&all, SIGNAL_TRACES, DECODED_MAX);
    while (at + most <= TOGETHER && receive(a, bytes + at, most, &packet, &cut)) {
        take(a, &all, packet, cut);
        at += packet.len;
    }
    put(a, &all);
    batch_done(&all);
}

static void *run(void *user)
{
    jaeger_agent *a = user;
    char *bytes = malloc(TOGETHER);
    struct pollfd p = { .fd = a->fd, .events = POLLIN };
    if (!bytes)
        component_warn(a->component, "no_memory", "no memory for packets: none will be taken");
    while (bytes && !a->ending)
        if (poll(&p, 1, POLL_MS) > 0)
            take_all(a, bytes);
    free(bytes);
    return NULL;
}

status jaeger_agent_start(jaeger_agent *a, error *err)
{
    status st = a->fd < 0 ? open_agent(a, err) : STATUS_OK;
    if (st != STATUS_OK)
        return st;
    int number = pthread_create(&a->thread, NULL, run, a);
    if (number)
        return fail_errno(err, number, "cannot start a thread for UDP");
    a->started = true;
    return STATUS_OK;
}

void jaeger_agent_stop(jaeger_agent *a)
{
    if (!a || !a->started)
        return;
    a->ending = 1;
    pthread_join(a->thread, NULL);
    a->started = false;
    close(a->fd); /* another configuration may want the port */
    a->fd = -1;
}

void jaeger_agent_free(jaeger_agent *a)
{
    if (!a)
        return;
    if (a->fd >= 0)
        close(a->fd);
    free(a);
}

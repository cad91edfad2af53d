// SPDX-License-Identifier: Apache-2.0
/* The client's side of a WebSocket: address, connection, handshake (RFC 6455, section 4.1), as a
 * client span that ends with the answer. */
#include "examples/common/web_socket_engine.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_BYTES = 8192 };

/* The request as it is written; `failed` once something did not fit. */
typedef struct {
    char text[HEAD_BYTES];
    size_t len;
    bool failed;
} head;

typedef struct {
    char host[256], port[8], path[1024];
} address;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static bool split(const char *url, address *ret, char *error, size_t size)
{
    int at = 0;
    if (sscanf(url, "ws://%255[^:/]:%7[0-9]%n", ret->host, ret->port, &at) < 2 || !at ||
        (url[at] && url[at] != '/') || strlen(url + at) >= sizeof(ret->path)) {
        snprintf(error, size, "the address is '%s'; it must look like ws://127.0.0.1:8000/path",
                 url);
        return false;
    }
    snprintf(ret->path, sizeof(ret->path), "%s", url[at] ? url + at : "/");
    return true;
}

static bool wait_for(int fd, short events, int64_t until)
{
    struct pollfd p = { .fd = fd, .events = events };
    int64_t left = until - now_ms();
    return left > 0 && poll(&p, 1, (int)left) == 1;
}

static int dial(const address *a, int64_t until, char *error, size_t size)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list = NULL;
    int problem = getaddrinfo(a->host, a->port, &hints, &list), fd = -1;
    if (problem) {
        snprintf(error, size, "%s: %s", a->host, gai_strerror(problem));
        return -1;
    }
    for (struct addrinfo *i = list; i && fd < 0; i = i->ai_next) {
        fd = socket(i->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        problem = 0;
        socklen_t n = sizeof(problem);
        if (fd >= 0 && connect(fd, i->ai_addr, i->ai_addrlen) != 0 && errno != EINPROGRESS)
            problem = errno;
        else if (fd >= 0 && !wait_for(fd, POLLOUT, until))
            problem = ETIMEDOUT;
        else
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &n);
        if (problem && fd >= 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0)
        snprintf(error, size, "%s:%s: %s", a->host, a->port, strerror(problem));
    return fd;
}

static void add_header(void *user, const char *name, const char *value)
{
    head *h = user;
    int n = snprintf(h->text + h->len, sizeof(h->text) - h->len, "%s: %s\r\n", name, value);
    h->failed |= n < 0 || (size_t)n >= sizeof(h->text) - h->len;
    h->len = h->failed ? h->len : h->len + (size_t)n;
}

static bool send_all(int fd, const head *h, int64_t until)
{
    for (size_t at = 0; at < h->len;) {
        ssize_t n = send(fd, h->text + at, h->len - at, MSG_NOSIGNAL);
        if (n > 0)
            at += (size_t)n;
        else if (n == 0 || errno != EAGAIN || !wait_for(fd, POLLOUT, until))
            return false;
    }
    return true;
}

/* Reads until the empty line; what comes behind it stays in h->text. The head's length, or 0. */
static size_t read_head(int fd, head *h, int64_t until)
{
    h->len = 0;
    while (h->len + 1 < sizeof(h->text)) {
        if (!wait_for(fd, POLLIN, until))
            return 0;
        ssize_t n = recv(fd, h->text + h->len, sizeof(h->text) - 1 - h->len, 0);
        if (n <= 0)
            return 0;
        h->len += (size_t)n;
        h->text[h->len] = 0;
        char *end = strstr(h->text, "\r\n\r\n");
        if (end)
            return (size_t)(end + 4 - h->text);
    }
    return 0;
}

/* Whether the answer's head has this header with this value. */
static bool has_header(const char *text, size_t len, const char *name, const char *value)
{
    size_t name_len = strlen(name), value_len = strlen(value);
    for (const char *line = text; line && line < text + len;) {
        if (strncasecmp(line, name, name_len) == 0 && line[name_len] == ':') {
            const char *v = line + name_len + 1 + strspn(line + name_len + 1, " \t");
            return strncmp(v, value, value_len) == 0 &&
                   (v[value_len] == '\r' || v[value_len] == ' ');
        }
        line = strstr(line, "\r\n");
        line = line ? line + 2 : NULL;
    }
    return false;
}

/* The handshake over `fd`; the status of the answer, 0 when none came. */
static int shake_hands(int fd, const address *a, const char *const *headers, head *trace, head *h,
                       size_t *ret_head_len, int64_t until, char *error, size_t size)
{
    unsigned char random[16];
    char key[WEB_SOCKET_KEY_BYTES], answer[WEB_SOCKET_KEY_BYTES];
    int status = 0;
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return 0;
    EVP_EncodeBlock((unsigned char *)key, random, sizeof(random));
    web_socket_answer_key(key, answer);
    h->len = (size_t)snprintf(h->text, sizeof(h->text),
                              "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: %s\r\n%s",
                              a->path, a->host, a->port, key, trace->text);
    for (; headers && headers[0]; headers += 2)
        add_header(h, headers[0], headers[1]);
    if (h->failed || trace->failed || h->len + 3 > sizeof(h->text)) {
        snprintf(error, size, "the headers have more than %d bytes", HEAD_BYTES);
        return 0;
    }
    h->len += (size_t)snprintf(h->text + h->len, sizeof(h->text) - h->len, "\r\n");
    if (!send_all(fd, h, until) || (*ret_head_len = read_head(fd, h, until)) == 0 ||
        sscanf(h->text, "HTTP/1.1 %d", &status) != 1) {
        snprintf(error, size, "%s:%s: no answer to the handshake", a->host, a->port);
        return 0;
    }
    if (status != 101)
        snprintf(error, size, "%s:%s%s answered %d", a->host, a->port, a->path, status);
    else if (!has_header(h->text, *ret_head_len, "Sec-WebSocket-Accept", answer)) {
        snprintf(error, size, "%s:%s%s answered with a wrong key", a->host, a->port, a->path);
        status = 0;
    }
    return status;
}

web_socket *web_socket_connect(const char *url, const char *const *headers, int timeout_ms,
                               const web_socket_limits *limits, const web_socket_handlers *handlers,
                               void *user, int *ret_status, char *error, size_t size)
{
    static const web_socket_limits defaults;
    address a;
    head *h = calloc(1, sizeof(*h)), *trace = calloc(1, sizeof(*trace));
    size_t head_len = 0;
    int64_t until = now_ms() + timeout_ms;
    web_socket *s = NULL;
    *ret_status = 0;
    if (!h || !trace || !split(url, &a, error, size)) {
        free(trace);
        free(h);
        return NULL;
    }
    sonde_http_call call = sonde_http_call_begin(&(sonde_http_call_options){
        .method = "GET", .url = url, .set_header = add_header, .user = trace });
    int fd = dial(&a, until, error, size);
    if (fd >= 0)
        *ret_status = shake_hands(fd, &a, headers, trace, h, &head_len, until, error, size);
    if (*ret_status == 101)
        s = web_socket_new(fd, true, h->text + head_len, h->len - head_len,
                           limits ? limits : &defaults, handlers, user);
    if (!s && fd >= 0)
        close(fd);
    sonde_http_call_end(
        &call, &(sonde_http_call_result){ .status = *ret_status,
                                          .error_type = fd < 0 ? "connection_refused" : NULL,
                                          .message = s ? NULL : error });
    free(trace);
    free(h);
    return s;
}

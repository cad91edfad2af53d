// SPDX-License-Identifier: Apache-2.0
/* Addresses and listening sockets; see listen.h. */
#include "net/listen.h"

#include "net/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

static status split_address(str address, str *ret_host, str *ret_port, error *err)
{
    size_t colon = address.len;
    while (colon > 0 && address.ptr[colon - 1] != ':')
        colon--;
    str host = str_slice(address, 0, colon ? colon - 1 : 0);
    str port = str_slice(address, colon, address.len);
    uint64_t number;
    if (colon == 0 || !str_to_u64(port, &number) || number > 65535)
        return fail(err, STATUS_INVALID,
                    "address \"%.*s\" must be HOST:PORT with a port from 0 to 65535, as in "
                    "127.0.0.1:4319 or [::1]:0",
                    STR_ARG(address));
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = str_slice(host, 1, host.len - 1);
    else if (str_find_char(host, ':') != SIZE_MAX)
        return fail(err, STATUS_INVALID, "address \"%.*s\": write an IPv6 address as [%.*s]:%.*s",
                    STR_ARG(address), STR_ARG(host), STR_ARG(port));
    *ret_host = host;
    *ret_port = port;
    return STATUS_OK;
}

bool http_address_is_written(str address)
{
    error err;
    str host, port;
    return split_address(address, &host, &port, &err) == STATUS_OK;
}

status listen_resolve(const char *address, struct addrinfo **ret, error *err)
{
    char host[256], port[8];
    str h, p;
    status st = split_address(str_c(address), &h, &p, err);
    if (st != STATUS_OK)
        return st;
    str_copy_c(host, sizeof(host), h);
    str_copy_c(port, sizeof(port), p);
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    int rc = getaddrinfo(h.len ? host : NULL, port, &hints, ret);
    if (rc != 0)
        return fail(err, STATUS_INVALID, "address \"%s\": %s", address, gai_strerror(rc));
    return STATUS_OK;
}

static void set_port(struct sockaddr *a, unsigned port)
{
    if (a->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)a)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)(void *)a)->sin_port = htons((uint16_t)port);
}

static unsigned get_port(const struct sockaddr *a)
{
    return a->sa_family == AF_INET6
               ? ntohs(((const struct sockaddr_in6 *)(const void *)a)->sin6_port)
               : ntohs(((const struct sockaddr_in *)(const void *)a)->sin_port);
}

status listen_open(int *ret, const struct addrinfo *at, unsigned *port, const char *address,
                   error *err)
{
    struct sockaddr_storage name;
    socklen_t n = at->ai_addrlen;
    int one = 1;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_errno(err, errno, "cannot open a socket for %s", address);
    memcpy(&name, at->ai_addr, n);
    if (*port && get_port(at->ai_addr) == 0)
        set_port((struct sockaddr *)&name, *port);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (at->ai_family == AF_INET6) /* IPv4 has its own socket, so ":80" and "[::]:80" agree */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&name, n) != 0 || listen(fd, BACKLOG) != 0) {
        status st = fail_errno(err, errno, "cannot listen on %s", address);
        close(fd);
        return st;
    }
    n = sizeof(name);
    if (getsockname(fd, (struct sockaddr *)&name, &n) == 0)
        *port = get_port((struct sockaddr *)&name);
    *ret = fd;
    return STATUS_OK;
}

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET6) {
        const struct in6_addr *ip = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(ip) || (IN6_IS_ADDR_V4MAPPED(ip) && ip->s6_addr[12] == 127);
    }
    return a->sa_family == AF_INET &&
           ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
}

status http_address_is_loopback(const char *address, bool *ret, error *err)
{
    struct addrinfo *list = NULL;
    status st = listen_resolve(address, &list, err);
    if (st != STATUS_OK)
        return st;
    *ret = true;
    for (struct addrinfo *a = list; a; a = a->ai_next)
        *ret &= is_loopback(a->ai_addr);
    freeaddrinfo(list);
    return STATUS_OK;
}

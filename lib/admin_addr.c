// SPDX-License-Identifier: Apache-2.0
/* The address of the admin port from its text. Pure; asks no name server. */
#include "lib/admin.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static bool fill(int family, const void *host, uint16_t port, struct sockaddr_storage *ret,
                 socklen_t *ret_size)
{
    memset(ret, 0, sizeof(*ret));
    if (family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        memcpy(&in6->sin6_addr, host, sizeof(in6->sin6_addr));
        *ret_size = sizeof(*in6);
        return true;
    }
    struct sockaddr_in *in = (struct sockaddr_in *)ret;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    memcpy(&in->sin_addr, host, sizeof(in->sin_addr));
    *ret_size = sizeof(*in);
    return true;
}

bool admin_parse_addr(str text, struct sockaddr_storage *ret, socklen_t *ret_size)
{
    char host[64];
    uint64_t port;
    struct in_addr in = { htonl(INADDR_LOOPBACK) };
    struct in6_addr in6;
    size_t colon = SIZE_MAX;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == ':')
            colon = i;
    str name = colon == SIZE_MAX ? STR("localhost") : str_slice(text, 0, colon);
    str number = colon == SIZE_MAX ? text : str_slice(text, colon + 1, text.len);
    if (!str_to_u64(number, &port) || port > UINT16_MAX || name.len >= sizeof(host))
        return false;
    if (str_is(name, "localhost"))
        return fill(AF_INET, &in, (uint16_t)port, ret, ret_size);
    if (name.len == 0 || str_is(name, "*")) {
        in.s_addr = htonl(INADDR_ANY);
        return fill(AF_INET, &in, (uint16_t)port, ret, ret_size);
    }
    if (name.len > 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']') {
        str_copy_c(host, sizeof(host), str_slice(name, 1, name.len - 1));
        return inet_pton(AF_INET6, host, &in6) == 1 &&
               fill(AF_INET6, &in6, (uint16_t)port, ret, ret_size);
    }
    str_copy_c(host, sizeof(host), name);
    return inet_pton(AF_INET, host, &in) == 1 && fill(AF_INET, &in, (uint16_t)port, ret, ret_size);
}

// SPDX-License-Identifier: Apache-2.0
/* The gRPC client: whatever a server sends, the connection neither breaks nor leaks, the answer is
 * within its limits and its texts are terminated UTF-8. The server is one end of a socket pair. */
#include "fuzz/fuzz.h"

#include "net/grpc_client_impl.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INPUT_MAX = 64 << 10 };
static const int64_t pause_max = 3601LL * 1000000000;

#define NV(name_, value_) \
    { \
        .name = (uint8_t *)(uintptr_t)(name_), .value = (uint8_t *)(uintptr_t)(value_), \
        .namelen = sizeof(name_) - 1, .valuelen = sizeof(value_) - 1 \
    }

static void judge(const grpc_call *call)
{
    grpc_answer answer = { 0 };
    error err = { 0 };
    buf_init(&answer.body, GRPC_ANSWER_LIMIT);
    status st = grpc_call_judge(call, "host:1", &answer, &err);
    FUZZ_CHECK(st == STATUS_OK || st == STATUS_IO || st == STATUS_LIMIT);
    FUZZ_CHECK(answer.body.len <= GRPC_ANSWER_LIMIT);
    FUZZ_CHECK(answer.retry_after_ns >= 0 && answer.retry_after_ns <= pause_max);
    str text = str_c(answer.message);
    FUZZ_CHECK(text.len < sizeof(answer.message) && utf8_valid_prefix(text) == text.len);
    (void)grpc_answer_check(&answer, "host:1", &err);
    grpc_answer_done(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const nghttp2_nv headers[] = { NV(":method", "POST"), NV(":scheme", "http"),
                                          NV(":path", "/t/T"), NV(":authority", "host:1") };
    int ends[2];
    error err;
    grpc_connection c;
    grpc_call call = { .message = STR_INIT("x"), .code = GRPC_NOT_SAID };
    if (size > INPUT_MAX || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        return 0;
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    (void)fcntl(ends[1], F_SETFL, O_NONBLOCK);
    buf_init(&call.text, KiB(64));
    buf_init(&call.details, KiB(64));
    buf_init(&call.body, GRPC_ANSWER_LIMIT + GRPC_FRAME_HEAD);
    FUZZ_CHECK(grpc_connection_open(&c, ends[0], NULL, &err) == STATUS_OK);
    FUZZ_CHECK(grpc_connection_submit(&c, &call, headers, ARRAY_LEN(headers), &err) == STATUS_OK);
    status st = grpc_connection_step(&c, &err);
    for (size_t at = 0; at < size && st == STATUS_OK && !call.ended;) {
        ssize_t n = send(ends[1], data + at, size - at, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        at += (size_t)n;
        st = grpc_connection_step(&c, &err);
    }
    grpc_connection_forget(&c);
    judge(&call);
    grpc_connection_close(&c);
    close(ends[1]);
    buf_done(&call.text);
    buf_done(&call.details);
    buf_done(&call.body);
    return 0;
}

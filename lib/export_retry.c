// SPDX-License-Identifier: Apache-2.0
/* When a request is sent again, as the OTLP specification has it (opentelemetry-proto,
 * docs/specification.md, "Failures" and "Throttling", for HTTP and for gRPC), and the names of the
 * lanes. Pure functions. */
#include "lib/export.h"

#include "codec/json.h"
#include "codec/protobuf.h"

#include <time.h>

enum { BACKOFF_FIRST_MS = 500, BACKOFF_MAX_MS = 30000, RETRY_AFTER_MAX_S = 300 };

uint32_t export_backoff_ms(uint32_t attempt, uint64_t random)
{
    uint32_t doubled = attempt ? MIN(attempt - 1, 10u) : 0;
    uint32_t whole = MIN((uint32_t)BACKOFF_FIRST_MS << doubled, (uint32_t)BACKOFF_MAX_MS);
    return whole / 2 + (uint32_t)(random % (whole / 2 + 1));
}

int64_t export_retry_after_ms(str header, int64_t now_ns)
{
    uint64_t seconds;
    header = str_trim(header);
    if (str_to_u64(header, &seconds))
        return (int64_t)MIN(seconds, (uint64_t)RETRY_AFTER_MAX_S) * 1000;
    char text[64];
    struct tm parts = { 0 };
    str_copy_c(text, sizeof(text), header);
    if (header.len >= sizeof(text) || !strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &parts))
        return -1;
    int64_t wait_ms = (int64_t)timegm(&parts) * 1000 - now_ns / NS_PER_MS;
    return MIN(MAX(wait_ms, 0), (int64_t)RETRY_AFTER_MAX_S * 1000);
}

bool export_status_is_retryable(long code)
{
    return code == 429 || code == 502 || code == 503 || code == 504;
}

bool export_grpc_is_retryable(uint64_t code, bool has_retry_info)
{
    enum {
        CANCELLED = 1,
        DEADLINE = 4,
        EXHAUSTED = 8,
        ABORTED = 10,
        RANGE,
        UNAVAILABLE = 14,
        LOSS
    };
    const uint32_t always = 1u << CANCELLED | 1u << DEADLINE | 1u << ABORTED | 1u << RANGE |
                            1u << UNAVAILABLE | 1u << LOSS;
    return (code < 32 && (always >> code & 1)) || (code == EXHAUSTED && has_retry_info);
}

/* google.protobuf.Duration */
static int64_t duration_ms(pb_reader d)
{
    enum { SECONDS = 1, NANOS = 2 };
    uint64_t seconds = 0, nanos = 0;
    for (pb_field f; pb_next(&d, &f);) {
        bool good = f.wire == PB_VARINT && (f.number == SECONDS || f.number == NANOS)
                        ? pb_varint(&d, f.number == SECONDS ? &seconds : &nanos)
                        : pb_skip(&d, f);
        if (!good)
            return -1;
    }
    if ((int64_t)seconds < 0 || (int64_t)nanos < 0)
        return 0;
    return (int64_t)MIN(seconds, (uint64_t)RETRY_AFTER_MAX_S) * 1000 +
           (int64_t)MIN(nanos, 999999999u) / NS_PER_MS;
}

/* The first message field of that number in `m`; false when there is none. */
static bool find_message(pb_reader m, uint32_t number, pb_reader *ret)
{
    for (pb_field f; pb_next(&m, &f);) {
        if (f.wire == PB_LEN && f.number == number)
            return pb_message(&m, ret);
        if (!pb_skip(&m, f))
            return false;
    }
    return false;
}

/* google.protobuf.Any: -1 when it is no RetryInfo. */
static int64_t retry_info_of(pb_reader any)
{
    enum { TYPE_URL = 1, VALUE = 2, RETRY_DELAY = 1 };
    str type = STR_EMPTY, bytes = STR_EMPTY;
    for (pb_field f; pb_next(&any, &f);) {
        bool good = f.wire == PB_LEN && (f.number == TYPE_URL || f.number == VALUE)
                        ? pb_bytes(&any, f.number == TYPE_URL ? &type : &bytes)
                        : pb_skip(&any, f);
        if (!good)
            return -1;
    }
    pb_reader delay;
    if (!str_ends(type, STR("/google.rpc.RetryInfo")))
        return -1;
    return find_message(pb_read(bytes), RETRY_DELAY, &delay) ? duration_ms(delay) : 0;
}

int64_t export_retry_info_ms(str details)
{
    enum { STATUS_DETAILS = 3 };
    arena memory;
    str bytes;
    char padded[2048 + 4];
    int64_t wait_ms = -1;
    /* gRPC leaves the padding out. */
    while (details.len && details.ptr[details.len - 1] == '=')
        details.len--;
    if (details.len == 0 || details.len + 3 >= sizeof(padded))
        return -1;
    str_copy_c(padded, sizeof(padded), details);
    size_t n = details.len;
    while (n % 4)
        padded[n++] = '=';
    arena_init(&memory, KiB(16));
    if (base64_decode(&memory, str_n(padded, n), &bytes)) {
        pb_reader status_message = pb_read(bytes), any;
        for (pb_field f; wait_ms < 0 && pb_next(&status_message, &f);) {
            if (f.wire == PB_LEN && f.number == STATUS_DETAILS) {
                if (!pb_message(&status_message, &any))
                    break;
                wait_ms = retry_info_of(any);
            } else if (!pb_skip(&status_message, f)) {
                break;
            }
        }
    }
    arena_done(&memory);
    return wait_ms < 0 ? -1 : MIN(wait_ms, (int64_t)RETRY_AFTER_MAX_S * 1000);
}

/* ---- lanes ---- */

const char *lane_name(lane_id lane)
{
    static const char *const names[LANE_COUNT] = { "otlp logs", "otlp metrics", "otlp traces",
                                                   "zipkin traces" };
    return names[lane];
}

bool lane_wanted(const settings *s, lane_id lane)
{
    const signal_settings *one = &s->signal[lane_signal(lane)];
    return lane == LANE_ZIPKIN ? one->zipkin : one->otlp;
}

// SPDX-License-Identifier: Apache-2.0
/* When an OTLP/HTTP request is sent again, as the OTLP specification has it (opentelemetry-proto,
 * docs/specification.md, "Failures" and "Throttling"). Pure functions. */
#include "lib/export.h"

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

// SPDX-License-Identifier: Apache-2.0
/* Time and durations. Wall time is int64 nanoseconds since 1970 (good until 2262). */
#ifndef SONDE_BASE_CLOCK_H
#define SONDE_BASE_CLOCK_H

#include "base/buf.h"

int64_t clock_now_ns(void);  /* CLOCK_REALTIME */
int64_t clock_mono_ns(void); /* CLOCK_MONOTONIC */

/* RFC 3339 in UTC with 0, 3, 6 or 9 fraction digits: "2025-10-12T20:30:00.125Z". */
void clock_format_rfc3339(buf *out, int64_t time_ns, int fraction_digits);
/* RFC 3339 with any offset and up to 9 fraction digits. */
MUST_USE bool clock_parse_rfc3339(str s, int64_t *ret_ns);
/* Prometheus durations: "90s", "1h30m", "250ms", "1d12h", also "1.5h"; units in falling order. */
MUST_USE bool clock_parse_duration(str s, int64_t *ret_ns);
/* "1h30m", "250ms", "1.234s": short, for people. */
void clock_format_duration(buf *out, int64_t duration_ns);

#endif

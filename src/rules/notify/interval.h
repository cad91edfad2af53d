// SPDX-License-Identifier: Apache-2.0
/* Time intervals of Alertmanager's configuration: times of the day, weekdays, days of the month,
 * months and years, in a time zone. An interval holds a moment when each kind of range that it
 * names holds it. Read-only after reading; lives in the arena given. */
#ifndef SONDE_RULES_NOTIFY_INTERVAL_H
#define SONDE_RULES_NOTIFY_INTERVAL_H

#include "base/arena.h"
#include "settings/option.h"

/* ---- time zones, from the system's files ---- */

typedef struct time_zone time_zone;

/* "UTC", "Local" (the machine's) or a name as "Europe/Berlin"; STATUS_NOT_FOUND. */
MUST_USE status time_zone_load(arena *a, str name, const time_zone **ret, error *err);
int32_t time_zone_offset_s(const time_zone *z, int64_t unix_s); /* east of UTC; NULL: 0 */

/* ---- intervals ---- */

typedef struct {
    text_list weekdays, days_of_month, months, years;
    section_list times; /* of interval_time_settings */
    str location;
} interval_settings;
extern const option_table interval_options;

typedef struct interval interval;

/* On failure `where` is the option's path within the interval: "weekdays[1]". */
MUST_USE status interval_make(arena *a, const interval_settings *s, const interval **ret,
                              char *where, size_t where_size, error *err);
bool interval_holds(const interval *i, int64_t time_ms);

#endif

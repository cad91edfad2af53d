// SPDX-License-Identifier: Apache-2.0
/* Series that are not updated for long. They are found by the collector, which looks at whether
 * their cells changed: updates themselves cost nothing more. An expired series keeps its name and
 * handles; its cells are taken from it and, a while later, given to others. All under the
 * registry's lock. */
#ifndef SONDE_LIB_METRIC_EXPIRE_H
#define SONDE_LIB_METRIC_EXPIRE_H

#include "lib/metric.h"

/* Looks at all series of a metric; `now_ns` is monotonic. */
void metric_expire(metric *m, int64_t now_ns);
/* What came into cells after they were taken away is moved to where it is seen. */
void metric_expire_late(int64_t now_ns);
/* The series is used again: it counts from now on. */
void metric_revive(metric_series *s);
/* A zeroed cell that another series had in that shard; NULL when there is none. */
uint64_t *metric_retired_take(uint32_t shard, size_t bytes, uint64_t *ret_offset);
/* The recorder of the cells is no longer attached. */
void metric_retired_forget(void);

#endif

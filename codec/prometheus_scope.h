// SPDX-License-Identifier: Apache-2.0
/* How series of Prometheus (scraped, or by remote write) travel in a batch without losing their
 * names: the scope's name is PROMETHEUS_SCOPE; then a metric's name is the Prometheus name as it is
 * (no unit or _total is added on the way to series), point attributes are its labels but job and
 * instance, and those two are the resource's service.name and service.instance.id, as they are (job
 * is not split at '/'). No target_info is made and no resource attribute becomes a label.
 * Types: counter: monotonic cumulative sum; gauge and unknown: gauge; a scraped histogram or
 * summary whose parts are complete: histogram, summary; any other series of a histogram: its own
 * gauge or sum by its full name ("x_bucket" with "le"). A stale marker:
 * POINT_FLAG_NO_RECORDED_VALUE. */
#ifndef SONDE_CODEC_PROMETHEUS_SCOPE_H
#define SONDE_CODEC_PROMETHEUS_SCOPE_H

#include "base/str.h"

#define PROMETHEUS_SCOPE "prometheus"

static inline bool scope_is_prometheus(str scope_name)
{
    return str_is(scope_name, PROMETHEUS_SCOPE);
}

#endif

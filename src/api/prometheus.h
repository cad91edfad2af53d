// SPDX-License-Identifier: Apache-2.0
/* What the files of the Prometheus API share: the envelope and the forms of numbers. */
#ifndef SONDE_API_PROMETHEUS_H
#define SONDE_API_PROMETHEUS_H

#include "api/request.h"
#include "query/labels.h"
#include "query/promql/promql.h"
#include "store/store.h"

void prometheus_error(api_request *r, status code, const char *message);
/* {"status":"success","data": */
void prometheus_begin(api_request *r);
void prometheus_end(api_request *r);

/* The whole answer of a look-up of names: the list up to `limit` (0: all), or what st and r->err
 * say. */
void prometheus_names(api_request *r, status st, const str_list *list, uint64_t limit);

/* The parameters match[]. False after an answer was given. `refused`: what is said before the
 * reason of a selector that is wrong; Prometheus's paths differ. */
MUST_USE bool prometheus_selectors(api_request *r, const char *refused, const promql_node ***ret,
                                   uint32_t *ret_count);
/* A whole number, -1 when absent; below 0: no limit. False after an answer was given. */
MUST_USE bool prometheus_limit(api_request *r, const char *name, int64_t *ret);

/* Type, help and unit of all metrics by their names, and the order that they are in. */
MUST_USE status prometheus_all_metadata(api_request *r, metric_metadata **ret, uint32_t *ret_count);
int prometheus_order_metadata(const void *a, const void *b);

/* 1435781451.781 */
void prometheus_time(buf *out, int64_t time_ms);
/* A sample value in quotes. */
void prometheus_value(buf *out, double v);
/* [1435781451.781,"1.5"] */
void prometheus_point(buf *out, int64_t time_ms, double v);
/* The list of the series of a vector or matrix, at most `limit`. o: as it was evaluated. */
void prometheus_series(api_request *r, const promql_result *result, const promql_options *o,
                       uint32_t limit);

void prometheus_query(api_request *r);
void prometheus_query_range(api_request *r);
/* The parameter `query`; NULL after an answer was given. */
const promql_node *prometheus_parse(api_request *r);

void prometheus_format_query(api_request *r);
void prometheus_parse_query(api_request *r);
void prometheus_query_exemplars(api_request *r);
void prometheus_features(api_request *r);
void prometheus_build_info(api_request *r);
void prometheus_runtime_info(api_request *r);
void prometheus_flags(api_request *r);
void prometheus_config(api_request *r);
void prometheus_tsdb(api_request *r);
void prometheus_replay(api_request *r);
void prometheus_targets(api_request *r);
void prometheus_federate(api_request *r);
void prometheus_scrape_pools(api_request *r);
void prometheus_target_metadata(api_request *r);
void prometheus_rules(api_request *r);
void prometheus_alerts(api_request *r);
void prometheus_alertmanagers(api_request *r);

#endif

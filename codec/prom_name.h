// SPDX-License-Identifier: Apache-2.0
/* OpenTelemetry names as Prometheus has them: the rules of Prometheus's own OTLP endpoint in its
 * default mode (underscores, unit and type suffixes, no UTF-8 names). Used where /metrics is
 * written and where the store turns points into series; meant to be called once for each new
 * series. Pure functions; thread-safe. */
#ifndef SONDE_CODEC_PROM_NAME_H
#define SONDE_CODEC_PROM_NAME_H

#include "base/buf.h"
#include "codec/batch.h"

typedef enum {
    PROM_UNKNOWN,
    PROM_COUNTER,
    PROM_GAUGE,
    PROM_HISTOGRAM,
    PROM_SUMMARY,
} prom_type;

/* What becomes of characters outside [A-Za-z0-9_:] in names: the schemes of Prometheus. */
typedef enum {
    PROM_UNDERSCORES,   /* the OTLP rules, below */
    PROM_ALLOW_UTF8,    /* kept; names that need it are quoted */
    PROM_ESCAPE_DOTS,   /* "." is "_dot_", "_" is "__" */
    PROM_ESCAPE_VALUES, /* "U__", and "_2e_" for "." */
} prom_escaping;

/* A monotonic sum is a counter, any other sum a gauge. */
prom_type prom_type_of(const batch_metric *m);
/* "counter", "gauge", "histogram", "summary", "unknown". */
const char *prom_type_name(prom_type t);

/* Appends the family name: "http.server.request.duration" in "s" gives
 * "http_server_request_duration_seconds"; a counter ends in "_total", a gauge of unit "1" in
 * "_ratio"; no suffix is doubled. False, and nothing appended, when no usable character is left. */
bool prom_metric_name(buf *out, const batch_metric *m);
/* Appends the unit in words: "By/s" gives "bytes_per_second"; "1" and "{…}" give nothing. */
void prom_unit_name(buf *out, str unit);
/* Appends a label name: "http.route" gives "http_route", "1st" gives "key_1st", "_x" gives "key_x".
 * False, and nothing appended, when nothing but underscores would be left of another name. */
bool prom_label_name(buf *out, str key);

/* The same in another escaping: full names with unit and type, characters kept or escaped. */
bool prom_metric_name_as(buf *out, const batch_metric *m, prom_escaping escaping);
bool prom_label_name_as(buf *out, str key, prom_escaping escaping);
/* Appends a name that has all its suffixes. */
void prom_escape_name(buf *out, str name, prom_escaping escaping);
/* Appends a name of Prometheus's own: where it has other characters than the old set, they are kept
 * or escaped; with PROM_UNDERSCORES each is one '_'. A label's name has no ':'. */
void prom_native_name(buf *out, str name, bool is_label, prom_escaping escaping);
/* Needs no quotes: [A-Za-z_:][A-Za-z0-9_:]*. */
bool prom_name_is_plain(str name);

/* ---- label sets ---- */

typedef struct {
    str name;
    str value;
} prom_label;

/* Sorted by name, no name twice, no empty value. */
typedef struct {
    prom_label *items;
    uint32_t count;
} prom_labels;

/* Puts a label at its place in a list that has room for it; one without a value is not put. */
void prom_labels_put(prom_labels *l, prom_label add, bool replace);

/* What a resource gives each of its series: job ("namespace/name" or "name" of service.*), instance
 * (service.instance.id), and promoted: service_name, deployment_environment_name. */
bool prom_resource_labels(arena *a, const attrs *resource, prom_labels *ret);
/* A point's attributes as labels, with the resource's (may be NULL): job and instance replace a
 * point's own, promoted ones do not. Keys that become the same name join their values by ';' in the
 * order of the keys. False without memory. */
bool prom_point_labels(arena *a, const attrs *point, const prom_labels *resource, prom_labels *ret);
bool prom_point_labels_as(arena *a, const attrs *point, const prom_labels *resource,
                          prom_escaping escaping, prom_labels *ret);
/* Labels of target_info: all attributes but the three of job and instance, which stand beside them
 * when with_job. Empty (count 0) when there is nothing to say. */
bool prom_target_info(arena *a, const attrs *resource, bool with_job, prom_labels *ret);

#endif

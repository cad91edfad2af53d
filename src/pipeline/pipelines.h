// SPDX-License-Identifier: Apache-2.0
/* The collector: everything that a configuration makes, running. One thread (the main one) creates,
 * starts, reloads and stops it; the functions of component.h are called by any.
 *
 * Order at start: collector_new, collector_configure (components are opened), store_open with
 * collector_router (the log is replayed through the processors), collector_start. */
#ifndef SONDE_PIPELINE_PIPELINES_H
#define SONDE_PIPELINE_PIPELINES_H

#include "pipeline/config.h"
#include "pipeline/counts.h"

typedef struct collector collector;

typedef struct {
    const char *data; /* directory; outlives the collector */
    /* What an operator should know; component: "exporter otlp/backup". Any thread. NULL: nobody. */
    void (*say)(bool warning, const char *component, const char *event, const char *text);
} collector_options;

MUST_USE status collector_new(collector **ret, const collector_options *options, error *err);
void collector_free(collector *c); /* NULL is fine; after collector_stop */

/* Opens the components of `file`, whose memory passes to the collector, also on failure. */
MUST_USE status collector_configure(collector *c, config *file, error *err);
const store_router *collector_router(collector *c);

/* The settings of the first used component of that type, or NULL: exporter "sonde", … */
const void *collector_settings(const collector *c, component_kind kind, const char *type);

/* The query and UI port, which belongs to the server itself; its listener may be shared. Settings
 * and tables live as long as the configuration that they were given with. */
typedef struct {
    const server_settings *settings;
    const http_route_table *tables;
    size_t count;
    size_t open_count; /* of these, the first ones that ask nobody who they are (health) */
} collector_web;

/* Opens listeners, starts exporters and then receivers. Keeps store and server, which outlive
 * collector_stop. */
MUST_USE status collector_start(collector *c, store *s, http_server *server,
                                const collector_web *web, error *err);
/* Another configuration in place of the running one. After a failure the old one runs on. What
 * cannot be started once the old one is gone fails nothing here: the rest runs, and
 * collector_complete says what is missing. */
MUST_USE status collector_reload(collector *c, config *file, const collector_web *web, error *err);
/* Receivers first; what exporters hold is sent if that takes less than two seconds, and is in the
 * log otherwise. */
void collector_stop(collector *c);

/* Whether all of the configuration runs; what does not, otherwise. Any thread. */
MUST_USE status collector_complete(collector *c, error *err);

/* Ports that were opened: "127.0.0.1:4317" and what the system chose. */
typedef void collector_port_sink(void *user, const char *endpoint, unsigned port,
                                 const char *components);
void collector_ports(const collector *c, collector_port_sink *sink, void *user);

/* All counts of one kind, and how far each exporter is behind. */
void collector_counts(collector *c, count_kind what, count_sink *sink, void *user);
typedef void collector_behind_sink(void *user, const char *id, log_behind behind);
void collector_behind(collector *c, collector_behind_sink *sink, void *user);

/* The running component of that type, one after another (`after` NULL: the first); for the APIs
 * that show what it does. Main thread, or a handler: valid until its return. */
const component *collector_component(collector *c, component_kind kind, const char *type,
                                     const component *after);

#endif

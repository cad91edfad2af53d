/* SPDX-License-Identifier: Apache-2.0 */
/* What a program tells about itself under /debug, on the admin port and wherever sonde_http_handle
 * is mounted:
 *
 *     static void pod(void *user, sonde_json *json)      // GET /debug/status
 *     {
 *         sonde_json_put(json, sonde_kv("pod_id", "pod_abc123"), sonde_kv("status", "processing"));
 *         sonde_json_begin(json, "gpu");
 *         sonde_json_put(json, sonde_kv("name", "NVIDIA A100"), sonde_kv("memory_used_mb", 32000));
 *         sonde_json_end(json);
 *     }
 *     sonde_debug_status(NULL, pod, NULL);
 *
 * /debug/status, /debug/workflow, /debug/queue, /debug/artifacts and, outside of production,
 * /debug/connections and /debug/config show what is registered here; docs/debug.md has all paths.
 *
 * Everything works before sonde_start and after sonde_stop, and in the child of a fork, which keeps
 * what its parent registered. Texts are copied, and cut where a limit is stated. Values whose key
 * names a secret are shown as "[REDACTED]". Thread-safe; nothing here is for signal handlers. A
 * program that runs in production with SONDE_DEBUG_ENDPOINTS off may call all of it. */
#ifndef SONDE_DEBUG_H
#define SONDE_DEBUG_H

#include <sonde/kv.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* ---- JSON, as callbacks write it ---- */

/* Open for writing only inside of the callback that got it, and on its thread. An answer has at
 * most 1 MiB and 32 levels; what is more replaces it by an error that says so. Levels that are left
 * open are closed. NULL is fine and writes nothing. */
typedef struct sonde_json sonde_json;

/* sonde_json_put(json, sonde_kv("steps", 12), sonde_kv("total", 30)): members of the object that is
 * open. In an array the keys are not written: sonde_kv("", 12) is an element. */
#define sonde_json_put(json, ...) sonde_json_put_((json), SONDE_ATTRS_(__VA_ARGS__))
/* Opens an object, or an array. `key` is not written inside of an array. */
void sonde_json_begin(sonde_json *json, const char *key);
void sonde_json_begin_array(sonde_json *json, const char *key);
/* Closes the innermost; one too many does nothing. */
void sonde_json_end(sonde_json *json);

/* ---- status, queues, connections: asked when somebody asks ---- */

/* Callbacks run on a thread of the library, all of a path side by side, none twice at the same
 * time. One that takes longer than 2 s is shown as an error until it returns, and holds up nobody.
 * They may call everything in this library but sonde_stop. */
typedef struct sonde_debug_provider sonde_debug_provider;

/* Fills the object that is open. */
typedef void sonde_debug_status_fn(void *user, sonde_json *json);
/* GET /debug/status: the members under "name"; `name` NULL or "": at the top. Without any provider
 * the path shows the library's own state. */
sonde_debug_provider *sonde_debug_status(const char *name, sonde_debug_status_fn *fn, void *user);

/* All are -1 at the call; what stays -1 is not shown. */
typedef struct {
    int64_t depth;       /* items that wait */
    int64_t processing;  /* items that are worked on */
    int64_t capacity;    /* items that fit */
    double oldest_age_s; /* age of the oldest item that waits, in seconds */
} sonde_queue_state;
typedef void sonde_debug_queue_fn(void *user, sonde_queue_state *ret);
/* GET /debug/queue: {"queues":[{"name":"jobs","depth":3,"processing":1,"oldest_age_seconds":1.5}]}
 */
sonde_debug_provider *sonde_debug_queue(const char *name, sonde_debug_queue_fn *fn, void *user);

/* All are -1 at the call; what stays -1 is not shown. */
typedef struct {
    int64_t max;
    int64_t idle;
    int64_t in_use;
    int64_t waiting; /* callers that wait for a connection */
} sonde_pool_state;
/* `connections` is an open array, for one object per connection; it may stay empty. */
typedef void sonde_debug_pool_fn(void *user, sonde_pool_state *ret, sonde_json *connections);
/* GET /debug/connections (not in production):
 * {"pools":[{"name":"db","max":10,"idle":4,"in_use":6,"connections":[…]}]} */
sonde_debug_provider *sonde_debug_pool(const char *name, sonde_debug_pool_fn *fn, void *user);

/* The three above return NULL without `fn`, without a name where one is shown, without memory, and
 * when there are 64 of the kind. Names have at most 63 bytes.
 *
 * Takes a provider out, and waits until a run of it has ended, so that `user` can be freed; inside
 * of its own callback it does not wait. NULL is fine. */
void sonde_debug_provider_free(sonde_debug_provider *provider);

/* ---- workflow ---- */

/* GET /debug/workflow: nodes and their progress, of all workflows together:
 * {"nodes_total":15,"nodes_completed":7,
 *  "nodes":[{"id":"KSampler_3","status":"running","progress":{"steps":12,"total":30}}]}
 * ?status=running shows only these nodes; the two counts stay those of all. */
typedef struct sonde_workflow sonde_workflow;

/* `name` (at most 63 bytes, may be NULL) is shown as "workflow" in each node. At most 256
 * workflows; NULL beyond, and without memory; the functions below take NULL. */
sonde_workflow *sonde_workflow_new(const char *name);
void sonde_workflow_free(sonde_workflow *workflow);
/* How many nodes there will be, so that nodes_total is right before all of them are known. */
void sonde_workflow_expect(sonde_workflow *workflow, uint32_t nodes);
/* Enters a node or changes it: `id` at most 63 bytes; `status` at most 31, NULL leaves it as it is
 * ("pending" at first). "completed" is what nodes_completed counts. At most 4,096 nodes: false for
 * one more, and without memory. */
bool sonde_workflow_node(sonde_workflow *workflow, const char *id, const char *status);
/* The node's progress, in steps of the program's choice; total 0: not known. Enters the node, as
 * "running", when it is new. */
bool sonde_workflow_progress(sonde_workflow *workflow, const char *id, uint64_t steps,
                             uint64_t total);

/* ---- artifacts ---- */

/* sonde_debug_artifact_add("image", "/out/7.png", 183204, sonde_kv("generation_id", id)):
 * something that the program made: a kind, where it is (a path or URL, at most 1,023 bytes), its
 * size, and attributes to find it by; those of the current context are added.
 * GET /debug/artifacts?generation_id=gen_xyz shows, newest last, those whose attributes (or kind,
 * or path) are exactly that; several conditions must all hold. The last 1,024 artifacts are kept,
 * of each at most 16 attributes, texts up to 255 bytes. */
#define sonde_debug_artifact_add(kind, path, bytes, ...) \
    sonde_debug_artifact_add_((kind), (path), (bytes), SONDE_ATTRS_(__VA_ARGS__))

/* ---- configuration ---- */

/* GET /debug/config (not in production) shows this beside the library's own settings. A secret by
 * its key is not even kept. `key` at most 127 bytes, `value` at most 1,023; NULL takes the key out.
 * At most 512 keys; false for one more, and without memory. */
bool sonde_debug_config(const char *key, const char *value);

/* ---- what the macros use ---- */

void sonde_json_put_(sonde_json *json, const sonde_attr *attrs, size_t count);
void sonde_debug_artifact_add_(const char *kind, const char *path, uint64_t bytes,
                               const sonde_attr *attrs, size_t count);

#pragma GCC visibility pop
#ifdef __cplusplus
} /* extern "C" */

SONDE_INLINE void sonde_json_put_(sonde_json *json, sonde_attrs_ attrs)
{
    sonde_json_put_(json, attrs.begin(), attrs.size());
}

SONDE_INLINE void sonde_debug_artifact_add_(const char *kind, const char *path, uint64_t bytes,
                                            sonde_attrs_ attrs)
{
    sonde_debug_artifact_add_(kind, path, bytes, attrs.begin(), attrs.size());
}
#endif
#endif

// SPDX-License-Identifier: Apache-2.0
/* The staging API: takes orders for staged images.
 *
 *   POST /v1/images {"project_id", "style"}    checks the token, finds the user, signs an upload
 *                                              URL, puts a job into the queue; 202
 *   GET  /v1/images/{id}                       what became of it
 *   /health, /ready, /metrics                  by libsonde
 *
 * PORT (8080), JWT_SECRET, DATABASE_URL, REDIS_URL, SQLITE_PATH, S3_ENDPOINT; profiles and the
 * other /debug paths are on 127.0.0.1:6060 (SONDE_ADMIN_ADDR). */
#include "examples/common/config.h"
#include "examples/common/jwt.h"
#include "examples/common/s3.h"
#include "examples/common/trace_job.h"
#include "examples/common/web_server.h"
#include "examples/staging/images.h"
#include "examples/staging/numbered.h"
#include "examples/staging/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS = 8, UPLOAD_SECONDS = 900, MAX_FIELD = 64, QUEUE_LENGTH_MS = 500 };

typedef struct {
    service service;
    s3_account s3;
    const char *jwt_secret;
    sonde_counter *jwt_failures, *presigns, *enqueues;
    sonde_gauge *queue_length;
} api;

/* An order while it is placed. */
typedef struct {
    char user[MAX_FIELD];
    const char *project, *style;
    char image[32], original[80], staged[80];
    struct timespec begun;
} order;

/* Whose token it is; false when the request was answered with 401. */
static bool authenticate(api *a, web_request *r, char *ret_user, size_t size)
{
    const char *header = web_header(r, "Authorization"), *why = "missing";
    bool good = false;
    service_note_trace();
    SONDE_SPAN ("JWT Validation") {
        if (header && strncmp(header, "Bearer ", 7) == 0)
            good = jwt_validate(header + 7, a->jwt_secret, ret_user, size, &why);
        if (good)
            sonde_span_set(sonde_kv("user.id", (const char *)ret_user));
        else
            sonde_span_fail("token refused", sonde_kv("error.type", why));
    }
    if (good) {
        sonde_http_set(sonde_kv("user.id", (const char *)ret_user));
        return true;
    }
    sonde_counter_add(a->jwt_failures, 1, why);
    sonde_warn("Token refused", sonde_kv("reason", why));
    web_fail(r, 401, "UNAUTHENTICATED", "a valid bearer token is needed");
    return false;
}

static void note_found(void *user, int columns, const char *const *values)
{
    (void)columns, (void)values;
    *(bool *)user = true;
}

static bool user_exists(api *a, const char *user, bool *ret_found)
{
    *ret_found = false;
    return database_run(
        a->service.database, (statement_name){ "Database Query", "SELECT", "users" },
        "SELECT id, name, plan FROM users WHERE id = $1", 1, &user, note_found, ret_found, NULL);
}

static bool presign(api *a, const char *key, char *ret, size_t size)
{
    bool good = false;
    SONDE_SPAN_KIND (SONDE_CLIENT, "S3 Presign Operation", sonde_kv("aws.s3.bucket", a->s3.bucket),
                     sonde_kv("aws.s3.key", key), sonde_kv("rpc.method", "PutObject")) {
        good = s3_presign(&a->s3, "PUT", key, UPLOAD_SECONDS, time(NULL), ret, size);
        if (!good)
            sonde_span_fail("the URL is too long");
    }
    sonde_counter_add(a->presigns, 1, "PutObject", good ? "success" : "error");
    return good;
}

/* Puts the job into the queue, with the trace it belongs to. */
static bool enqueue(api *a, const order *o)
{
    bool good = false;
    queue *q = a->service.queue;
    json_t *job =
        json_pack("{ssssssssss}", "image_id", o->image, "user_id", o->user, "original_key",
                  o->original, "staged_key", o->staged, "style", o->style);
    SONDE_SPAN_KIND (SONDE_PRODUCER, "Redis Enqueue", sonde_kv("messaging.system", queue_system(q)),
                     sonde_kv("messaging.operation.name", "send"),
                     sonde_kv("messaging.destination.name", IMAGES_QUEUE)) {
        trace_job_inject(job);
        char *text = json_dumps(job, JSON_COMPACT);
        good = text && queue_push(q, text);
        free(text);
        if (!good)
            sonde_span_fail("the queue did not take the job");
    }
    json_decref(job);
    sonde_counter_add(a->enqueues, 1, good ? "success" : "error");
    return good;
}

static bool save_image(api *a, const order *o)
{
    const char *const values[] = { o->image, o->user, o->project, o->style, "queued", o->original };
    return database_run(a->service.database,
                        (statement_name){ "Database Insert", "INSERT", "images" },
                        "INSERT INTO images (id, user_id, project_id, style, status, original_key) "
                        "VALUES ($1, $2, $3, $4, $5, $6)",
                        6, values, NULL, NULL, NULL);
}

/* An image whose job was not taken would wait for ever. */
static void forget_image(api *a, const order *o)
{
    const char *const values[] = { o->image };
    database_run(a->service.database, (statement_name){ "Database Delete", "DELETE", "images" },
                 "DELETE FROM images WHERE id = $1", 1, values, NULL, NULL, NULL);
}

static void refuse_order(web_request *r, const order *o, const char *code, const char *what)
{
    sonde_error("Image could not be ordered", sonde_kv("code", code),
                sonde_kv("project_id", o->project), sonde_kv("error", what));
    web_fail(r, 503, code, "the order could not be stored; try again");
}

static const char *field(const json_t *body, const char *name)
{
    const char *text = json_string_value(json_object_get(body, name));
    return text && *text && strlen(text) <= MAX_FIELD ? text : NULL;
}

static void place_order(api *a, web_request *r, order *o)
{
    char url[1024];
    config_new_id("img_", o->image);
    snprintf(o->original, sizeof(o->original), "originals/%s.jpg", o->image);
    snprintf(o->staged, sizeof(o->staged), "staged/%s.jpg", o->image);
    sonde_debug("Order parameters", sonde_kv("image_id", (const char *)o->image),
                sonde_kv("project_id", o->project), sonde_kv("style", o->style),
                sonde_kv("original_key", (const char *)o->original));
    if (!presign(a, o->original, url, sizeof(url))) {
        refuse_order(r, o, "S3_ERROR", "the upload URL could not be signed");
    } else if (!save_image(a, o)) {
        refuse_order(r, o, "DATABASE_ERROR", "the database did not take the image");
    } else if (!enqueue(a, o)) {
        forget_image(a, o);
        refuse_order(r, o, "QUEUE_ERROR", "the queue did not take the job");
    } else {
        sonde_info("Image created successfully", sonde_kv("image_id", (const char *)o->image),
                   sonde_kv("project_id", o->project),
                   sonde_kv("duration_ms", images_ms_since(&o->begun)));
        numbered_log();
        web_answer(
            r, 202,
            json_pack("{ssssss}", "image_id", o->image, "status", "queued", "upload_url", url));
    }
}

static void post_image(web_request *r, void *context)
{
    api *a = context;
    order o = { 0 };
    bool found;
    clock_gettime(CLOCK_MONOTONIC, &o.begun);
    if (!authenticate(a, r, o.user, sizeof(o.user)))
        return;
    json_t *body = web_body(r);
    o.project = field(body, "project_id");
    o.style = field(body, "style");
    if (!o.project || !o.style)
        web_fail(r, 400, "INVALID_ORDER",
                 "project_id and style are needed, texts of 1 to 64 bytes");
    else if (!user_exists(a, o.user, &found))
        refuse_order(r, &o, "DATABASE_ERROR", "the user could not be looked up");
    else if (!found)
        web_fail(r, 403, "UNKNOWN_USER", "the token's subject is no user");
    else
        place_order(a, r, &o);
    json_decref(body);
}

static void image_row(void *user, int columns, const char *const *values)
{
    if (columns == 4)
        *(json_t **)user =
            json_pack("{ssssssso}", "image_id", values[0], "status", values[1], "style", values[2],
                      "staged_key", values[3] ? json_string(values[3]) : json_null());
}

static void get_image(web_request *r, void *context)
{
    api *a = context;
    char user[MAX_FIELD];
    json_t *image = NULL;
    if (!authenticate(a, r, user, sizeof(user)))
        return;
    const char *parameters[] = { web_segment(r), user };
    if (!database_run(a->service.database, (statement_name){ "Database Query", "SELECT", "images" },
                      "SELECT id, status, style, staged_key FROM images "
                      "WHERE id = $1 AND user_id = $2",
                      2, parameters, image_row, &image, NULL))
        web_fail(r, 503, "DATABASE_ERROR", "the database did not answer; try again");
    else if (!image)
        web_fail(r, 404, "IMAGE_NOT_FOUND", "the user has no image of that id");
    else
        web_answer(r, 200, image);
}

static const web_route routes[] = {
    { "POST", "/v1/images", post_image },
    { "GET", "/v1/images/{id}", get_image },
};

/* Not when metrics are collected: a queue that is a table may have to wait for a connection, and
 * all other metrics, those of the pool among them, would wait with it. */
static void note_queue_length(api *a)
{
    long n = queue_length(a->service.queue);
    if (n >= 0)
        sonde_gauge_set(a->queue_length, (double)n);
}

static void make_metrics(api *a)
{
    a->jwt_failures = sonde_counter_new("jwt_validation_failures_total", "Tokens refused.",
                                        SONDE_LABELS("reason"));
    a->presigns = sonde_counter_new("s3_presign_operations_total", "Presigned URLs made.",
                                    SONDE_LABELS("operation", "status"));
    a->enqueues = sonde_counter_new("redis_enqueue_operations_total", "Jobs put into the queue.",
                                    SONDE_LABELS("status"));
    /* From 0 on, so that a rate sees the first of each. */
    static const char *const reasons[] = { "missing",   "malformed", "algorithm",
                                           "signature", "expired",   "subject" };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        (void)sonde_counter_bind(a->jwt_failures, reasons[i]);
    static const char *const results[] = { "success", "error" };
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        (void)sonde_counter_bind(a->presigns, "PutObject", results[i]);
        (void)sonde_counter_bind(a->enqueues, results[i]);
    }
    a->queue_length =
        sonde_gauge_new("redis_queue_length", "Jobs that wait in the queue.", SONDE_LABELS());
}

int main(void)
{
    config_catch_signals();
    api a = { .s3 = s3_account_from_environment(IMAGES_BUCKET),
              .jwt_secret = config_text("JWT_SECRET", "staging-example-secret") };
    if (!service_start(&a.service, "api", "127.0.0.1:6060"))
        return 1;
    make_metrics(&a);
    numbered_open();
    web_server *server = web_server_start((uint16_t)config_number("PORT", 8080, 1, 65535), THREADS,
                                          routes, sizeof(routes) / sizeof(routes[0]), &a);
    if (!server) {
        service_stop(&a.service);
        return 1;
    }
    sonde_info("Service started", sonde_kv("database", database_system(a.service.database)),
               sonde_kv("queue", queue_system(a.service.queue)));
    do
        note_queue_length(&a);
    while (!config_wait(QUEUE_LENGTH_MS));
    sonde_info("Service stopping");
    web_server_stop(server);
    service_stop(&a.service);
    return 0;
}

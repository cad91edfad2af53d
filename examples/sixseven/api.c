// SPDX-License-Identifier: Apache-2.0
/* Commands and jobs by HTTP; see api.h. */
#define SONDE_LOGGER "app.main"
#include "examples/sixseven/api.h"

#include "examples/common/json_field.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LISTED = 50 };

static void fail(web_request *r, const char *event_error, const sonde_error *e)
{
    if (event_error)
        sonde_error("command_error", sonde_kv("error", event_error), sonde_kv("code", e->code),
                    sonde_kv_exception(e->code, event_error));
    web_fail_with(r, e);
}

static void fail_store(web_request *r)
{
    sonde_span_fail("the store does not answer");
    fail(r, NULL,
         &(sonde_error){ .code = "STORE_UNAVAILABLE",
                         .message = "the database did not answer",
                         .help = "try again in a moment" });
}

/* ---- POST /command ---- */

/* The session of the body, of the header, or a new one. */
static void settle_session(const json_t *body, job *j)
{
    const char *given = json_text(body, "session_id", MAX_SESSION_BYTES);
    sonde_str known = sonde_context_get("session_id");
    if (given)
        snprintf(j->session_id, sizeof(j->session_id), "%s", given);
    else if (known.len && known.len < sizeof(j->session_id))
        snprintf(j->session_id, sizeof(j->session_id), "%.*s", (int)known.len, known.ptr);
    else
        job_new_id(j->session_id);
    sonde_http_set(sonde_kv("session_id", (const char *)j->session_id));
}

/* Absent, null, or what `good` says. */
static bool is_optional(const json_t *member, bool good)
{
    return !member || json_is_null(member) || good;
}

/* Takes the command out of the body; what is wrong with it, or NULL. */
static const char *read_command(const json_t *body, job *j)
{
    const char *command = json_text(body, "command", MAX_COMMAND_BYTES);
    const json_t *picture = json_object_get(body, "image");
    const char *image = json_string_value(picture);
    const json_t *options = json_object_get(body, "options");
    settle_session(body, j);
    if (!command)
        return "the body holds no command";
    if (!is_optional(picture, image != NULL))
        return "image is no text";
    if (!is_optional(options, json_is_object(options)))
        return "options are no object";
    j->command = strdup(command);
    j->image = image && *image ? strdup(image) : NULL;
    j->options = json_is_object(options) ? json_dumps(options, JSON_COMPACT) : NULL;
    return j->command ? NULL : "out of memory";
}

static const struct {
    sonde_error error;
    const char *event;
} refusals[] = {
    [COMMAND_UNCLEAR] = { { .code = "UNKNOWN_INTENT",
                            .status = 422,
                            .message = "the command asks neither for research nor for a picture",
                            .help = "say what to research, draw, design or edit" },
                          "no intent is known for the command" },
    [COMMAND_NOT_STORED] = { { .code = "STORE_UNAVAILABLE",
                               .message = "the job could not be stored",
                               .help = "try again in a moment" },
                             "the job could not be stored" },
    [COMMAND_TOO_MANY] = { { .code = "TOO_MANY_JOBS",
                             .status = 503,
                             .message = "too many jobs wait already",
                             .help = "try again in a moment" },
                           "too many jobs wait" },
};

static void handle(api *a, web_request *r, job *j)
{
    sonde_info("command_received", sonde_kv("command", (const char *)j->command),
               sonde_kv_bool("has_image", j->image != NULL));
    accepted how = orchestrator_handle(a->orchestrator, j);
    if (how != COMMAND_ACCEPTED) {
        sonde_span_error(refusals[how].error.code, refusals[how].event);
        fail(r, refusals[how].event, &refusals[how].error);
        return;
    }
    sonde_info("command_handled", sonde_kv("intent", (const char *)j->type),
               sonde_kv("job_id", (const char *)j->id));
    web_answer(r, 202,
               json_pack("{ssssssss}", "job_id", j->id, "intent", j->type, "status", j->status,
                         "session_id", j->session_id));
}

static void post_command(web_request *r, void *user)
{
    json_t *body = web_body(r);
    job j = { .progress = 0 };
    const char *wrong = read_command(body, &j);
    web_problem problem;
    if (!body) {
        problem = web_body_problem(r);
        wrong = problem.text;
    }
    SONDE_SPAN ("handle_command") {
        if (!wrong)
            handle(user, r, &j);
        else
            fail(r, wrong,
                 &(sonde_error){ .code = "INVALID_COMMAND",
                                 .message = wrong,
                                 .help = "send {\"command\": TEXT} with 1 to 4000 bytes of text; "
                                         "session_id, image and options may stand beside it" });
    }
    job_done(&j);
    json_decref(body);
}

/* ---- jobs ---- */

static void fail_unknown(web_request *r, const char *id)
{
    fail(r, NULL,
         &(sonde_error){ .code = "JOB_NOT_FOUND",
                         .message = "there is no such job",
                         .details = SONDE_DETAILS(sonde_kv("job_id", id)) });
}

static void get_job(web_request *r, void *user)
{
    api *a = user;
    const char *id = web_segment(r);
    job j;
    sonde_span_set(sonde_kv("job_id", id));
    if (!store_find(a->database, id, &j)) {
        fail_store(r);
        return;
    }
    sonde_info("get_job", sonde_kv("job_id", id), sonde_kv_bool("found", *j.id != 0));
    if (*j.id)
        web_answer(r, 200, job_json(&j));
    else
        fail_unknown(r, id);
    job_done(&j);
}

static void list_jobs(web_request *r, void *user)
{
    api *a = user;
    const char *status = web_query(r, "status"), *number = web_query(r, "limit");
    char *end = NULL;
    long limit = number ? strtol(number, &end, 10) : LISTED;
    if ((end && *end) || limit < 1 || limit > MAX_LISTED) {
        fail(r, NULL,
             &(sonde_error){ .code = "INVALID_LIMIT",
                             .message = "limit is a whole number from 1 to 500" });
        return;
    }
    json_t *jobs = json_array();
    if (!store_list(a->database, status, limit, jobs)) {
        json_decref(jobs);
        fail_store(r);
        return;
    }
    sonde_info("jobs_listed", sonde_kv("count", json_array_size(jobs)),
               sonde_kv("status", status ? status : "all"));
    web_answer(r, 200,
               json_pack("{sI so}", "count", (json_int_t)json_array_size(jobs), "jobs", jobs));
}

static void cancel_job(web_request *r, void *user)
{
    api *a = user;
    const char *id = web_segment(r);
    sonde_span_set(sonde_kv("job_id", id));
    switch (orchestrator_cancel(a->orchestrator, id)) {
    case CANCEL_ACCEPTED:
        sonde_info("job_cancelled", sonde_kv("job_id", id));
        web_answer(r, 202, json_pack("{ssss}", "job_id", id, "status", "cancelling"));
        break;
    case CANCEL_UNKNOWN:
        fail_unknown(r, id);
        break;
    case CANCEL_TOO_LATE:
        fail(r, NULL,
             &(sonde_error){ .code = "JOB_ALREADY_ENDED",
                             .message = "the job has ended",
                             .details = SONDE_DETAILS(sonde_kv("job_id", id)) });
        break;
    case CANCEL_NOT_STORED:
        fail_store(r);
        break;
    }
}

/* ---- health ---- */

/* libsonde's answer, and a line in the log. */
static void get_health(web_request *r, void *user)
{
    (void)user;
    sonde_http_response answer;
    if (!sonde_http_handle(&(sonde_http_request){ .method = "GET", .path = "/health" }, &answer)) {
        web_fail(r, 503, "HEALTH_UNAVAILABLE", "libsonde is not running");
        return;
    }
    json_t *body = json_loadb(answer.body, answer.body_len, 0, NULL);
    const char *status = json_string_value(json_object_get(body, "status"));
    sonde_info("health_check", sonde_kv("status", status ? status : "unknown"));
    web_answer(r, answer.status, body);
    sonde_http_response_free(&answer);
}

static const web_route routes[] = {
    { "POST", "/command", post_command },
    { "GET", "/jobs", list_jobs },
    { "GET", "/jobs/{id}", get_job },
    { "DELETE", "/jobs/{id}", cancel_job },
    { "POST", "/jobs/{id}/cancel", cancel_job },
    { "GET", "/health", get_health },
};

web_server *api_start(uint16_t port, unsigned threads, api *a)
{
    web_server_hide("/health");
    return web_server_start(port, threads, routes, sizeof(routes) / sizeof(routes[0]), a);
}

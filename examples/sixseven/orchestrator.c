// SPDX-License-Identifier: Apache-2.0
/* Commands, jobs and the threads that do them; see orchestrator.h. */
#define SONDE_LOGGER "app.orchestrator"
#include "examples/sixseven/orchestrator.h"

#include "examples/common/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_THREADS = 64, MAX_RUNS = 1000, STORE_AGAIN_MS = 250, STORE_AGAIN_MOST_MS = 4000 };

struct orchestrator {
    orchestrator_options options;
    agent_bell bell;  /* its lock is that of the list, too */
    run *runs, *last; /* the oldest first */
    unsigned run_count, thread_count;
    pthread_t threads[MAX_THREADS];
};

/* ---- intent ---- */

/* The first word that occurs decides; a picture in the command means one. */
static const struct {
    const char *word, *intent;
} words[] = {
    { "research", "research" },  { "find out", "research" }, { "investigate", "research" },
    { "summarize", "research" }, { "compare", "research" },  { "what", "research" },
    { "why", "research" },       { "how", "research" },      { "who", "research" },
    { "draw", "creative" },      { "paint", "creative" },    { "image", "creative" },
    { "picture", "creative" },   { "design", "creative" },   { "generate", "creative" },
    { "edit", "creative" },      { "restyle", "creative" },  { "upscale", "creative" },
    { "retouch", "creative" },
};

static const char *intent_of(const job *j)
{
    if (j->image)
        return "creative";
    const char *best = NULL, *intent = NULL;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const char *at = strcasestr(j->command, words[i].word);
        if (at && (!best || at < best)) {
            best = at;
            intent = words[i].intent;
        }
    }
    return intent;
}

static bool parse_intent(job *j)
{
    const char *intent = NULL;
    SONDE_SPAN ("parse_intent") {
        intent = intent_of(j);
        snprintf(j->type, sizeof(j->type), "%s", intent ? intent : "");
        run_describe_span(j);
        sonde_info("intent_parsed", sonde_kv("intent", intent ? intent : "unknown"),
                   sonde_kv_bool("has_image", j->image != NULL));
        if (!intent)
            sonde_span_fail("no intent is known for the command");
    }
    return intent != NULL;
}

/* ---- the list of jobs at work ---- */

static run *new_run(orchestrator *o, job *j)
{
    run *r = calloc(1, sizeof(*r));
    if (!r)
        abort();
    r->job = *j;
    r->database = o->options.database;
    r->settings = &o->options.agents;
    r->bell = &o->bell;
    /* The texts are the run's now. */
    j->command = j->image = j->options = j->result = NULL;
    return r;
}

static void free_run(run *r)
{
    job_done(&r->job);
    free(r);
}

static void submit(orchestrator *o, run *r)
{
    pthread_mutex_lock(&o->bell.lock);
    if (o->last)
        o->last->next = r;
    else
        o->runs = r;
    o->last = r;
    o->run_count++;
    pthread_cond_broadcast(&o->bell.changed);
    pthread_mutex_unlock(&o->bell.lock);
}

static void take_out(orchestrator *o, run *r)
{
    run *before = NULL;
    pthread_mutex_lock(&o->bell.lock);
    for (run *i = o->runs; i != r; i = i->next)
        before = i;
    if (before)
        before->next = r->next;
    else
        o->runs = r->next;
    if (o->last == r)
        o->last = before;
    o->run_count--;
    pthread_mutex_unlock(&o->bell.lock);
}

static bool is_full(orchestrator *o)
{
    pthread_mutex_lock(&o->bell.lock);
    bool full = o->run_count >= MAX_RUNS;
    pthread_mutex_unlock(&o->bell.lock);
    return full;
}

/* ---- a command becomes a job ---- */

static bool create_job(orchestrator *o, job *j, const sonde_context *from, sonde_job **ret)
{
    bool good = false;
    SONDE_SPAN ("create_job") {
        good = store_create(o->options.database, j);
        run_describe_span(j);
        if (good)
            *ret = sonde_job_created(
                o->options.jobs,
                &(sonde_job_info){ .id = j->id, .type = j->type, .context = from });
        else
            sonde_span_fail("the job could not be stored");
    }
    return good;
}

/* The current trace and request id, as a JSON object: a later process goes on in them. */
static void keep_context(job *j)
{
    char members[sizeof(j->context) - 2];
    sonde_inject_json(members, sizeof(members));
    snprintf(j->context, sizeof(j->context), "{%s}", members);
}

accepted orchestrator_handle(orchestrator *o, job *j)
{
    sonde_job *observed = NULL;
    /* What the agent does belongs to the command, not to the step that made the job. */
    sonde_context from = sonde_context_capture();
    keep_context(j);
    run_describe_span(j);
    if (!parse_intent(j))
        return COMMAND_UNCLEAR;
    if (is_full(o))
        return COMMAND_TOO_MANY;
    job_new_id(j->id);
    snprintf(j->status, sizeof(j->status), "pending");
    if (!create_job(o, j, &from, &observed))
        return COMMAND_NOT_STORED;
    run_describe_span(j);
    run *r = new_run(o, j);
    r->observed = observed;
    submit(o, r);
    return COMMAND_ACCEPTED;
}

/* ---- work ---- */

static const char *word_of(run_end end)
{
    return end == RUN_SUCCEEDED ? "succeeded" : end == RUN_CANCELLED ? "cancelled" : "failed";
}

static void log_broken(const run *r, const char *error)
{
    if (strcmp(r->job.type, "research") == 0)
        sonde_error("research_execution_error", sonde_kv("error", error),
                    sonde_kv_exception("WorkflowError", error));
    else
        sonde_error("creative_execution_error", sonde_kv("error", error),
                    sonde_kv_exception("WorkflowError", error));
}

/* The workflow inside of its span; *ret_stored: whether the outcome is in the store. */
static run_end execute(run *r, run_end (*agent)(run *), bool *ret_stored)
{
    snprintf(r->job.status, sizeof(r->job.status), "running");
    run_describe_span(&r->job);
    store_save(r->database, &r->job); /* the job's end is stored in any case */
    run_end end = agent(r);
    if (end == RUN_INTERRUPTED) {
        sonde_span_event("interrupted");
        return end;
    }
    snprintf(r->job.status, sizeof(r->job.status), "%s", word_of(end));
    r->job.progress = end == RUN_SUCCEEDED ? 100 : r->job.progress;
    sonde_span_set(sonde_kv("job.status", (const char *)r->job.status));
    if (end == RUN_BROKEN)
        log_broken(r, r->job.error);
    if (end == RUN_BROKEN || end == RUN_FAILED)
        sonde_span_fail((const char *)r->job.error);
    *ret_stored = store_save(r->database, &r->job);
    if (!*ret_stored) {
        sonde_span_fail("the outcome could not be stored");
        log_broken(r, "the outcome could not be stored; trying again");
    }
    return end;
}

static run_end execute_in_span(run *r, bool *ret_stored)
{
    run_end end = RUN_BROKEN;
    if (strcmp(r->job.type, "research") == 0)
        SONDE_JOB_SPAN (r->observed, "execute_research")
            end = execute(r, research_run, ret_stored);
    else
        SONDE_JOB_SPAN (r->observed, "execute_creative")
            end = execute(r, creative_run, ret_stored);
    return end;
}

/* Until the store has it: a job counts as active as long as nobody can read its outcome. False when
 * the program ends before. */
static bool store_at_last(run *r)
{
    for (int ms = STORE_AGAIN_MS; !config_wait(ms);) {
        SONDE_JOB (r->observed)
            if (store_save(r->database, &r->job))
                return true;
        ms = ms < STORE_AGAIN_MOST_MS ? ms * 2 : ms;
    }
    return false;
}

static void work_on(orchestrator *o, run *r)
{
    bool stored = false;
    sonde_job_started(r->observed);
    run_end end = execute_in_span(r, &stored);
    /* What did not end stays in the list until the stop, and in the store for the next start. */
    if (end == RUN_INTERRUPTED || (!stored && !store_at_last(r)))
        return;
    sonde_job_ended(r->observed, r->job.status, *r->job.error ? r->job.error : NULL);
    take_out(o, r);
    free_run(r);
}

/* NULL: the program ends. */
static run *next_run(orchestrator *o, web_client *client)
{
    run *r = NULL;
    pthread_mutex_lock(&o->bell.lock);
    while (!o->bell.stopping) {
        for (r = o->runs; r && r->client; r = r->next)
            continue;
        if (r)
            break;
        pthread_cond_wait(&o->bell.changed, &o->bell.lock);
    }
    if (r)
        r->client = client;
    pthread_mutex_unlock(&o->bell.lock);
    return r;
}

static void *run_thread(void *user)
{
    orchestrator *o = user;
    web_client *client = web_client_new();
    for (run *r; client && (r = next_run(o, client));)
        work_on(o, r);
    web_client_free(client);
    return NULL;
}

/* ---- cancelling ---- */

cancelled orchestrator_cancel(orchestrator *o, const char *id)
{
    bool found = false;
    job j;
    pthread_mutex_lock(&o->bell.lock);
    for (run *r = o->runs; r && !found; r = r->next)
        if (strcmp(r->job.id, id) == 0)
            found = r->cancelled = true;
    pthread_cond_broadcast(&o->bell.changed);
    pthread_mutex_unlock(&o->bell.lock);
    if (found)
        return CANCEL_ACCEPTED;
    if (!store_find(o->options.database, id, &j))
        return CANCEL_NOT_STORED;
    bool open = strcmp(j.status, "pending") == 0 || strcmp(j.status, "running") == 0;
    cancelled answer = !*j.id ? CANCEL_UNKNOWN : open ? CANCEL_ACCEPTED : CANCEL_TOO_LATE;
    job_done(&j);
    if (open && !store_cancel(o->options.database, id))
        answer = CANCEL_NOT_STORED;
    return answer;
}

/* ---- start and stop ---- */

/* Goes on with a job of an earlier process, in the trace and the context that it was made in. */
static void take_up(void *user, job *j)
{
    orchestrator *o = user;
    sonde_context from = sonde_extract_json(j->context, strlen(j->context));
    sonde_attr session = sonde_kv("session_id", (const char *)j->session_id);
    sonde_context_set(&from, &session);
    sonde_job *observed = sonde_job_taken(
        o->options.jobs, &(sonde_job_info){ .id = j->id, .type = j->type, .context = &from });
    run *r = new_run(o, j);
    r->observed = observed;
    submit(o, r);
}

orchestrator *orchestrator_start(const orchestrator_options *options)
{
    orchestrator *o = calloc(1, sizeof(*o));
    pthread_condattr_t monotonic;
    if (!o)
        return NULL;
    o->options = *options;
    pthread_mutex_init(&o->bell.lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&o->bell.changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (!store_unfinished(o->options.database, take_up, o)) {
        fprintf(stderr, "cannot read the unfinished jobs\n");
        orchestrator_stop(o);
        return NULL;
    }
    while (o->thread_count < options->threads && o->thread_count < MAX_THREADS &&
           pthread_create(&o->threads[o->thread_count], NULL, run_thread, o) == 0)
        o->thread_count++;
    if (o->thread_count)
        return o;
    fprintf(stderr, "cannot start a thread for jobs\n");
    orchestrator_stop(o);
    return NULL;
}

void orchestrator_stop(orchestrator *o)
{
    if (!o)
        return;
    pthread_mutex_lock(&o->bell.lock);
    o->bell.stopping = true;
    pthread_cond_broadcast(&o->bell.changed);
    pthread_mutex_unlock(&o->bell.lock);
    for (unsigned i = 0; i < o->thread_count; i++)
        pthread_join(o->threads[i], NULL);
    for (run *r; (r = o->runs);) {
        o->runs = r->next;
        sonde_job_released(r->observed);
        free_run(r);
    }
    pthread_cond_destroy(&o->bell.changed);
    pthread_mutex_destroy(&o->bell.lock);
    free(o);
}

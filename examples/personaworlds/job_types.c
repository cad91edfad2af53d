// SPDX-License-Identifier: Apache-2.0
/* The work of the jobs; see job_types.h. */
#include "examples/personaworlds/job_types.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { FIELD_BYTES = 1024 };

/* What one row holds, as texts. */
typedef struct {
    bool found;
    char fields[3][FIELD_BYTES];
} found_row;

static void keep_fields(void *user, int columns, const char *const *values)
{
    found_row *row = user;
    row->found = true;
    for (int i = 0; i < columns && i < 3; i++)
        snprintf(row->fields[i], FIELD_BYTES, "%s", values[i] ? values[i] : "");
}

static job_outcome database_away(job_run *run)
{
    snprintf(run->error, sizeof(run->error), "the database did not answer");
    return JOB_WAITS;
}

/* JOB_DONE when the subject has such a row. */
static job_outcome look(job_run *run, const char *sql, found_row *ret)
{
    ret->found = false;
    if (!database_run(run->database, (statement_name){ NULL, "SELECT", "posts" }, sql, 1,
                      &run->subject, keep_fields, ret, NULL))
        return database_away(run);
    if (ret->found)
        return JOB_DONE;
    snprintf(run->error, sizeof(run->error), "there is no such post");
    return JOB_REFUSED;
}

static job_outcome set_post(job_run *run, const char *status, const char *text)
{
    const char *const values[] = { status, text, run->subject };
    if (!database_run(run->database, (statement_name){ NULL, "UPDATE", "posts" },
                      "UPDATE posts SET status = $1, text = $2 WHERE id = $3", 3, values, NULL,
                      NULL, NULL))
        return database_away(run);
    return JOB_DONE;
}

/* Has the persona write its post, and hands it on for moderation: the same request id goes along.
 */
static job_outcome generate_post(job_run *run)
{
    char said[MODEL_TEXT_BYTES], job[32];
    found_row row;
    job_outcome outcome = look(run,
                               "SELECT personas.name, personas.bio, posts.topic FROM posts JOIN "
                               "personas ON personas.id = posts.persona_id WHERE posts.id = $1",
                               &row);
    if (outcome != JOB_DONE)
        return outcome;
    model_result result = model_say(run->client, row.fields[0], row.fields[1], row.fields[2], said);
    if (result != MODEL_SAID) {
        snprintf(run->error, sizeof(run->error), "%s", said);
        return result == MODEL_REFUSED ? JOB_REFUSED : JOB_RETRY;
    }
    outcome = set_post(run, "review", said);
    if (outcome == JOB_DONE && !job_queue_push(run->jobs, JOB_MODERATE, run->subject, job)) {
        snprintf(run->error, sizeof(run->error), "the queue did not take the moderation");
        return JOB_WAITS;
    }
    return outcome;
}

/* Publishes a post, or hides it. */
static job_outcome moderate(job_run *run)
{
    static const char *const unwanted[] = { "spam", "scam" };
    found_row row;
    const char *status = "published";
    job_outcome outcome = look(run, "SELECT text FROM posts WHERE id = $1", &row);
    if (outcome != JOB_DONE)
        return outcome;
    for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
        if (strcasestr(row.fields[0], unwanted[i]))
            status = "hidden";
    outcome = set_post(run, status, row.fields[0]);
    if (outcome == JOB_DONE)
        sonde_info("post_moderated", sonde_kv("post_id", run->subject),
                   sonde_kv("post_status", status));
    return outcome;
}

/* Notes how many posts there were at the end of a period; the first to do so wins. */
static job_outcome send_digest(job_run *run)
{
    if (!database_run(run->database, (statement_name){ NULL, "INSERT", "digests" },
                      "INSERT INTO digests (period, posts) SELECT $1, count(*) FROM posts WHERE "
                      "status = 'published' ON CONFLICT DO NOTHING",
                      1, &run->subject, NULL, NULL, NULL))
        return database_away(run);
    return JOB_DONE;
}

job_function *const job_functions[JOB_TYPES] = { generate_post, moderate, send_digest };

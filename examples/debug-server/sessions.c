// SPDX-License-Identifier: Apache-2.0
/* Statements on the table debug_sessions; see sessions.h. Texts only, so that one form suits both
 * engines. */
#include "examples/debug-server/sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TABLE "debug_sessions"
#define COLUMNS \
    "id, repository, command, status, reason, request_id, runner, exit_code, created_ms, " \
    "ended_ms, " \
    "output_lines, last_output"

int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

bool sessions_migrate(database *d)
{
    static const char *const statements[] = {
        "CREATE TABLE IF NOT EXISTS " TABLE
        " (id TEXT PRIMARY KEY, repository TEXT NOT NULL, command TEXT NOT NULL, status TEXT NOT "
        "NULL, reason TEXT NOT NULL DEFAULT '', request_id TEXT NOT NULL DEFAULT '', runner TEXT "
        "NOT NULL DEFAULT '', exit_code BIGINT NOT NULL DEFAULT -1, created_ms BIGINT NOT NULL, "
        "ended_ms BIGINT NOT NULL DEFAULT 0, output_lines BIGINT NOT NULL DEFAULT 0, last_output "
        "TEXT NOT NULL DEFAULT '')",
        "CREATE INDEX IF NOT EXISTS debug_sessions_open ON " TABLE " (status, created_ms)",
    };
    return database_migrate(d, TABLE, statements, sizeof(statements) / sizeof(statements[0]));
}

bool sessions_insert(database *d, const session_row *row)
{
    char created[24];
    snprintf(created, sizeof(created), "%lld", (long long)row->created_ms);
    const char *values[] = { row->id,     row->repository, row->command,
                             row->status, row->request_id, created };
    return database_run(d, (statement_name){ "insert session", "INSERT", TABLE },
                        "INSERT INTO " TABLE " (id, repository, command, status, request_id, "
                        "created_ms) VALUES ($1, $2, $3, $4, $5, $6)",
                        6, values, NULL, NULL, NULL);
}

bool sessions_claim(database *d, const char *id, const char *runner, bool *ret_taken)
{
    long changed = 0;
    bool good = database_run(d, (statement_name){ "claim session", "UPDATE", TABLE },
                             "UPDATE " TABLE " SET status = 'running', runner = $2 WHERE id = $1 "
                             "AND (status = 'queued' OR (status = 'running' AND runner = $2))",
                             2, (const char *[]){ id, runner }, NULL, NULL, &changed);
    *ret_taken = changed > 0;
    return good;
}

bool sessions_finish(database *d, const session_row *row)
{
    char code[16], ended[24], lines[24];
    snprintf(code, sizeof(code), "%d", row->exit_code);
    snprintf(ended, sizeof(ended), "%lld", (long long)row->ended_ms);
    snprintf(lines, sizeof(lines), "%lld", (long long)row->output_lines);
    const char *values[] = {
        row->id, row->status, row->reason, code, ended, lines, row->last_output
    };
    return database_run(d, (statement_name){ "finish session", "UPDATE", TABLE },
                        "UPDATE " TABLE " SET status = $2, reason = $3, exit_code = $4, ended_ms = "
                        "$5, output_lines = $6, last_output = $7 WHERE id = $1 AND ended_ms = 0",
                        7, values, NULL, NULL, NULL);
}

static void copy(char *ret, size_t size, const char *text)
{
    snprintf(ret, size, "%s", text ? text : "");
}

static int64_t whole(const char *text)
{
    return text ? strtoll(text, NULL, 10) : 0;
}

static void read_row(session_row *r, const char *const *v)
{
    *r = (session_row){ .exit_code = (int)whole(v[7]),
                        .created_ms = whole(v[8]),
                        .ended_ms = whole(v[9]),
                        .output_lines = whole(v[10]) };
    copy(r->id, sizeof(r->id), v[0]);
    copy(r->repository, sizeof(r->repository), v[1]);
    copy(r->command, sizeof(r->command), v[2]);
    copy(r->status, sizeof(r->status), v[3]);
    copy(r->reason, sizeof(r->reason), v[4]);
    copy(r->request_id, sizeof(r->request_id), v[5]);
    copy(r->runner, sizeof(r->runner), v[6]);
    copy(r->last_output, sizeof(r->last_output), v[11]);
}

static void take_row(void *user, int columns, const char *const *values)
{
    if (columns == 12)
        read_row(user, values);
}

bool sessions_find(database *d, const char *id, session_row *ret, bool *ret_found)
{
    *ret = (session_row){ .exit_code = -1 };
    bool good = database_run(d, (statement_name){ "find session", "SELECT", TABLE },
                             "SELECT " COLUMNS " FROM " TABLE " WHERE id = $1", 1, &id, take_row,
                             ret, NULL);
    *ret_found = ret->id[0] != 0;
    return good;
}

static void append_row(void *user, int columns, const char *const *values)
{
    session_row row;
    if (columns != 12)
        return;
    read_row(&row, values);
    json_array_append_new(user, session_json(&row));
}

bool sessions_list(database *d, json_t **ret)
{
    *ret = json_array();
    return database_run(d, (statement_name){ "list sessions", "SELECT", TABLE },
                        "SELECT " COLUMNS " FROM " TABLE " ORDER BY created_ms DESC, id LIMIT 50",
                        0, NULL, append_row, *ret, NULL);
}

static void append_id(void *user, int columns, const char *const *values)
{
    if (columns == 1 && values[0])
        json_array_append_new(user, json_string(values[0]));
}

bool sessions_open_before(database *d, int64_t before_ms, json_t **ret)
{
    char before[24];
    snprintf(before, sizeof(before), "%lld", (long long)before_ms);
    *ret = json_array();
    return database_poll(d,
                         "SELECT id FROM " TABLE " WHERE status IN ('queued', 'running') AND "
                         "created_ms < $1 LIMIT 200",
                         before, append_id, *ret);
}

bool session_has_ended(const session_row *row)
{
    return strcmp(row->status, "queued") != 0 && strcmp(row->status, "running") != 0;
}

json_t *session_json(const session_row *row)
{
    json_t *j = json_pack("{ss ss ss ss sI sI ss}", "session_id", row->id, "repository",
                          row->repository, "command", row->command, "status", row->status,
                          "created_ms", (json_int_t)row->created_ms, "output_lines",
                          (json_int_t)row->output_lines, "request_id", row->request_id);
    if (row->reason[0])
        json_object_set_new(j, "reason", json_string(row->reason));
    if (row->exit_code >= 0)
        json_object_set_new(j, "exit_code", json_integer(row->exit_code));
    if (row->ended_ms) {
        json_object_set_new(j, "ended_ms", json_integer(row->ended_ms));
        json_object_set_new(j, "last_output", json_string(row->last_output));
    }
    return j;
}

// SPDX-License-Identifier: Apache-2.0
/* PostgreSQL by libpq, never waiting longer than a deadline: everything is asynchronous and waits
 * in poll, so that a server that is stopped or behind a dead network holds nobody. The name of a
 * host is looked up by the system's resolver with the resolver's own limits. */
#include "examples/common/database_engine.h"

#include "examples/common/config.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 16 };

static bool fail(database_error *e, const char *type, const char *code, const char *text)
{
    while (*text == '\n' || *text == ' ')
        text++;
    snprintf(e->text, sizeof(e->text), "%.*s", (int)strcspn(text, "\n"), text);
    snprintf(e->code, sizeof(e->code), "%s", code);
    e->type = type;
    return false;
}

/* Waits for the connection's socket; false at the deadline. */
static bool wait_for(PGconn *c, short events, int64_t deadline_ms)
{
    int64_t left = deadline_ms - config_now_ms();
    struct pollfd p = { .fd = PQsocket(c), .events = events };
    return left > 0 && poll(&p, 1, (int)left) != 0;
}

static bool connect_within(PGconn *c, int64_t deadline_ms, database_error *e)
{
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (PQstatus(c) != CONNECTION_BAD && state != PGRES_POLLING_OK) {
        if (state == PGRES_POLLING_FAILED)
            break;
        if (!wait_for(c, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms))
            return fail(e, "timeout", "", "connecting to the database took too long");
        state = PQconnectPoll(c);
    }
    return PQstatus(c) == CONNECTION_OK || fail(e, "connection", "", PQerrorMessage(c));
}

/* Notices, such as of a table that exists already, would go to stderr. */
static void ignore_notice(void *user, const char *text)
{
    (void)user, (void)text;
}

static void *postgres_open(const char *where, int64_t deadline_ms, database_error *e)
{
    char limit[48];
    snprintf(limit, sizeof(limit), "-c statement_timeout=%d", DATABASE_STATEMENT_MS);
    /* What the URL says comes later, and so goes first. */
    const char *const names[] = { "options", "dbname", NULL };
    const char *const values[] = { limit, where, NULL };
    PGconn *c = PQconnectStartParams(names, values, 1);
    if (!c) {
        fail(e, "connection", "", "out of memory");
        return NULL;
    }
    PQsetNoticeProcessor(c, ignore_notice, NULL);
    if (connect_within(c, deadline_ms, e) && PQsetnonblocking(c, 1) == 0)
        return c;
    PQfinish(c);
    return NULL;
}

static void postgres_close(void *connection)
{
    PQfinish(connection);
}

/* An idle connection has nothing to read: what came is its end, or news of a server that was
 * reloaded, and then a new one does no harm. */
static bool postgres_usable(void *connection)
{
    PGconn *c = connection;
    struct pollfd p = { .fd = PQsocket(c), .events = POLLIN };
    return PQstatus(c) == CONNECTION_OK && PQtransactionStatus(c) == PQTRANS_IDLE &&
           poll(&p, 1, 0) == 0;
}

static bool send_all(PGconn *c, int64_t deadline_ms, database_error *e)
{
    int left;
    while ((left = PQflush(c)) > 0) {
        if (!wait_for(c, POLLIN | POLLOUT, deadline_ms))
            return fail(e, "timeout", "", "the database did not take the statement in time");
        if (!PQconsumeInput(c))
            break;
    }
    return left == 0 || fail(e, "connection", "", PQerrorMessage(c));
}

/* The next result; NULL with an empty error after the last. */
static PGresult *next_result(PGconn *c, int64_t deadline_ms, database_error *e)
{
    while (PQisBusy(c)) {
        if (!wait_for(c, POLLIN, deadline_ms)) {
            fail(e, "timeout", "", "the database did not answer in time");
            return NULL;
        }
        if (!PQconsumeInput(c)) {
            fail(e, "connection", "", PQerrorMessage(c));
            return NULL;
        }
    }
    return PQgetResult(c);
}

static void give_rows(const PGresult *result, row_handler *row, void *user)
{
    int columns = PQnfields(result);
    columns = columns < MAX_COLUMNS ? columns : MAX_COLUMNS;
    for (int r = 0; r < PQntuples(result); r++) {
        const char *values[MAX_COLUMNS];
        for (int c = 0; c < columns; c++)
            values[c] = PQgetisnull(result, r, c) ? NULL : PQgetvalue(result, r, c);
        row(user, columns, values);
    }
}

static bool take_result(PGconn *c, PGresult *result, const database_statement *s, database_error *e)
{
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
        return fail(e, code ? NULL : "connection", code ? code : "",
                    text ? text : PQerrorMessage(c));
    }
    if (s->row)
        give_rows(result, s->row, s->user);
    if (s->ret_changed)
        *s->ret_changed = strtol(PQcmdTuples(result), NULL, 10);
    return true;
}

static bool postgres_run(void *connection, const database_statement *s, int64_t deadline_ms,
                         database_error *e)
{
    PGconn *c = connection;
    if (!PQsendQueryParams(c, s->sql, s->count, NULL, s->parameters, NULL, NULL, 0))
        return fail(e, "connection", "", PQerrorMessage(c));
    if (!send_all(c, deadline_ms, e))
        return false;
    bool good = true;
    for (PGresult *result; (result = next_result(c, deadline_ms, e)) != NULL; PQclear(result))
        good = take_result(c, result, s, e) && good;
    return good && !*e->text;
}

const database_engine database_postgres = { "postgresql",  0,
                                            postgres_open, postgres_close,
                                            postgres_run,  postgres_usable };

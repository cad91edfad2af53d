// SPDX-License-Identifier: Apache-2.0
/* PostgreSQL by libpq; a lost connection is opened again by the next statement. */
#include "examples/common/database_engine.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_COLUMNS = 16 };

static void *postgres_open(const char *where, char *error, size_t size)
{
    PGconn *connection = PQconnectdb(where);
    if (PQstatus(connection) != CONNECTION_OK) {
        snprintf(error, size, "%s", PQerrorMessage(connection));
        PQfinish(connection);
        return NULL;
    }
    return connection;
}

static void postgres_close(void *connection)
{
    PQfinish(connection);
}

static void give_rows(PGresult *result, row_handler *row, void *user)
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

static bool postgres_run(void *connection, const char *sql, int count,
                         const char *const *parameters, row_handler *row, void *user,
                         long *ret_changed, char *error, size_t size, char code[16])
{
    if (PQstatus(connection) != CONNECTION_OK)
        PQreset(connection);
    PGresult *result = PQexecParams(connection, sql, count, NULL, parameters, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);
    bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!good) {
        const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        snprintf(error, size, "%s", PQerrorMessage(connection));
        snprintf(code, 16, "%s", state ? state : "connection");
    } else if (row) {
        give_rows(result, row, user);
    }
    if (ret_changed)
        *ret_changed = strtol(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return good;
}

const database_engine database_postgres = { "postgresql", postgres_open, postgres_close,
                                            postgres_run };

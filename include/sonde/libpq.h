/* SPDX-License-Identifier: Apache-2.0 */
/* libpq, observed: the same functions with sonde_ in front. Each call is a client span with
 * PostgreSQL's attributes and a sample of db.client.operation.duration (db.h).
 *
 *     PGresult *rows = sonde_PQexecParams(connection, "SELECT id FROM users WHERE name = $1",
 *                                         1, NULL, &name, NULL, NULL, 0);
 *
 * Arguments, results and ownership are libpq's. Errors carry the SQLSTATE; of the message only the
 * primary line, which holds no values. Asynchronous calls: sonde_db_begin and sonde_db_end around
 * them. Include this where <libpq-fe.h> is to be had. */
#ifndef SONDE_LIBPQ_H
#define SONDE_LIBPQ_H

#include <sonde/db.h>

#include <libpq-fe.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

static inline sonde_db_query sonde_PQ_query_(const PGconn *c, const char *text)
{
    sonde_db_query q;
    const char *port = PQport(c);
    memset(&q, 0, sizeof(q));
    q.system = "postgresql";
    q.name_space = PQdb(c);
    q.text = text;
    q.server_address = PQhost(c);
    q.server_port = port ? (int)strtol(port, NULL, 10) : 0;
    return q;
}

static inline void sonde_PQ_end_(sonde_db_call *call, const PGconn *c, const PGresult *result)
{
    sonde_db_result end;
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    memset(&end, 0, sizeof(end));
    switch (result ? PQresultStatus(result) : PGRES_FATAL_ERROR) {
    case PGRES_FATAL_ERROR:
    case PGRES_BAD_RESPONSE:
        end.failed = true;
        end.status_code = state;
        end.error_type = state ? NULL : "connection";
        end.message =
            state ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : PQerrorMessage(c);
        break;
    case PGRES_TUPLES_OK:
        end.rows = PQntuples(result);
        break;
    default:
        break;
    }
    sonde_db_end(call, &end);
}

static inline PGresult *sonde_PQexec(PGconn *c, const char *query)
{
    sonde_db_query q = sonde_PQ_query_(c, query);
    sonde_db_call call = sonde_db_begin(&q);
    PGresult *result = PQexec(c, query);
    sonde_PQ_end_(&call, c, result);
    return result;
}

static inline PGresult *sonde_PQexecParams(PGconn *c, const char *command, int count,
                                           const Oid *types, const char *const *values,
                                           const int *lengths, const int *formats,
                                           int result_format)
{
    sonde_db_query q = sonde_PQ_query_(c, command);
    sonde_db_call call = sonde_db_begin(&q);
    PGresult *result =
        PQexecParams(c, command, count, types, values, lengths, formats, result_format);
    sonde_PQ_end_(&call, c, result);
    return result;
}

/* Operation "PREPARE". */
static inline PGresult *sonde_PQprepare(PGconn *c, const char *name, const char *query, int count,
                                        const Oid *types)
{
    sonde_db_query q = sonde_PQ_query_(c, query);
    q.operation = "PREPARE";
    q.span_name = "PREPARE";
    sonde_db_call call = sonde_db_begin(&q);
    PGresult *result = PQprepare(c, name, query, count, types);
    sonde_PQ_end_(&call, c, result);
    return result;
}

/* Operation "EXECUTE", the statement's name as summary: its text is not known here. */
static inline PGresult *sonde_PQexecPrepared(PGconn *c, const char *name, int count,
                                             const char *const *values, const int *lengths,
                                             const int *formats, int result_format)
{
    sonde_db_query q = sonde_PQ_query_(c, NULL);
    q.operation = "EXECUTE";
    q.summary = name && *name ? name : "EXECUTE";
    sonde_db_call call = sonde_db_begin(&q);
    PGresult *result = PQexecPrepared(c, name, count, values, lengths, formats, result_format);
    sonde_PQ_end_(&call, c, result);
    return result;
}

#ifdef __cplusplus
}
#endif
#endif

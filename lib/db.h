// SPDX-License-Identifier: Apache-2.0
/* What sonde_start does for database calls, and how SQL texts are read; see sonde/db.h. */
#ifndef SONDE_LIB_DB_H
#define SONDE_LIB_DB_H

#include "base/buf.h"
#include "sonde/db.h"
#include "sonde/start.h"

/* Makes the metrics. old_names: db.system and db.statement on spans, too. */
void db_configure(const sonde_db_options *options, bool old_names);
/* In the child of a fork. */
void db_forked(void);

/* What an SQL text says, without parsing more than its words. */
typedef struct {
    char operation[32];  /* "SELECT", upper case; "" when there is none */
    char collection[64]; /* the first table */
    char summary[256];   /* operation and tables: "SELECT orders users" */
    bool has_texts;      /* quoted literals or comments, which were left out */
} sql_summary;

/* Appends the text with literals replaced, and fills `summary` (may be NULL). `quotes_are_text`:
 * "…" is a literal, as in MySQL, not a name. */
void sql_clean(str text, bool quotes_are_text, buf *out, sql_summary *summary);

/* A text that was read before. */
typedef struct {
    str text;
    const char *clean; /* valid UTF-8 */
    sql_summary found;
    bool quotes_are_text;
} sql_text;

/* NULL: not known; what is found stays for ever. */
const sql_text *sql_text_find(str text, bool quotes_are_text);
/* Remembers it if it seems to come often. */
void sql_text_keep(str text, bool quotes_are_text, str clean, const sql_summary *found);

#endif

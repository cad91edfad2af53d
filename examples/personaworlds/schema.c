// SPDX-License-Identifier: Apache-2.0
/* Migrations; see schema.h. A row's place is its version, so rows are only ever added at the end.
 * Two programs may apply one at the same time: each statement does nothing the second time. */
#include "examples/personaworlds/schema.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    const char *name, *table, *sql, *note; /* note: how its row is written */
} migration;

#define NOTE(version, name) \
    "INSERT INTO schema_migrations (version, name) VALUES (" #version ", '" name "') " \
    "ON CONFLICT DO NOTHING"
#define MIGRATION(version, name, table, sql) \
    { \
        name, table, sql, NOTE(version, name) \
    }

static const migration migrations[] = {
    MIGRATION(1, "create_personas", "personas",
              "CREATE TABLE IF NOT EXISTS personas (id TEXT PRIMARY KEY, owner_id TEXT NOT NULL, "
              "name TEXT NOT NULL, bio TEXT NOT NULL)"),
    MIGRATION(2, "create_worlds", "worlds",
              "CREATE TABLE IF NOT EXISTS worlds (id TEXT PRIMARY KEY, owner_id TEXT NOT NULL, "
              "name TEXT NOT NULL)"),
    MIGRATION(3, "create_posts", "posts",
              "CREATE TABLE IF NOT EXISTS posts (id TEXT PRIMARY KEY, world_id TEXT NOT NULL, "
              "persona_id TEXT NOT NULL, topic TEXT NOT NULL, status TEXT NOT NULL, text TEXT)"),
    MIGRATION(4, "create_digests", "digests",
              "CREATE TABLE IF NOT EXISTS digests (period TEXT PRIMARY KEY, "
              "posts INTEGER NOT NULL)"),
};
enum { MIGRATIONS = sizeof(migrations) / sizeof(migrations[0]) };

/* Bit n is set when version n + 1 is applied. */
static void note_version(void *user, int columns, const char *const *values)
{
    long version = columns > 0 && values[0] ? strtol(values[0], NULL, 10) : 0;
    if (version >= 1 && version <= MIGRATIONS)
        *(uint64_t *)user |= (uint64_t)1 << (version - 1);
}

static bool read_applied(database *d, uint64_t *ret)
{
    *ret = 0;
    return database_poll(d, "SELECT version FROM schema_migrations WHERE version >= $1", "1",
                         note_version, ret);
}

bool schema_migrate(database *d)
{
    static const char *const table[] = { "CREATE TABLE IF NOT EXISTS schema_migrations (version "
                                         "INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT "
                                         "DEFAULT CURRENT_TIMESTAMP)" };
    uint64_t applied;
    bool good = database_migrate(d, "schema_migrations", table, 1) && read_applied(d, &applied);
    for (size_t i = 0; good && i < MIGRATIONS; i++) {
        const char *const statements[] = { migrations[i].sql, migrations[i].note };
        if (!(applied >> i & 1))
            good = database_migrate(d, migrations[i].table, statements, 2);
    }
    return good;
}

bool schema_check(void *user, char *detail, size_t size)
{
    uint64_t applied;
    size_t count = 0, missing = MIGRATIONS;
    if (!read_applied(user, &applied)) {
        snprintf(detail, size, "schema_migrations cannot be read");
        return false;
    }
    for (size_t i = MIGRATIONS; i-- > 0;) {
        count += applied >> i & 1;
        if (!(applied >> i & 1))
            missing = i;
    }
    if (missing == MIGRATIONS)
        snprintf(detail, size, "%zu applied", count);
    else
        snprintf(detail, size, "%zu of %d applied, %zu %s is missing", count, MIGRATIONS,
                 missing + 1, migrations[missing].name);
    return missing == MIGRATIONS;
}

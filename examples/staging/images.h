// SPDX-License-Identifier: Apache-2.0
/* What the API and the worker agree on: the tables, the job's fields, the names of the queue and of
 * the objects, how time is told. */
#ifndef EXAMPLES_STAGING_IMAGES_H
#define EXAMPLES_STAGING_IMAGES_H

#include "examples/common/database.h"

#include <time.h>

#define IMAGES_QUEUE  "staging:jobs"
#define IMAGES_BUCKET "real-staging"

/* A job is a JSON object: "image_id", "user_id", "original_key", "staged_key", "style", and the
 * trace it belongs to ("traceparent", "tracestate", "baggage", "request_id"). */

/* Creates what is missing: tables users and images, and ten users. False when that fails. */
static inline bool images_migrate(database *d)
{
    static const char *const statements[] = {
        "CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, name TEXT NOT NULL, "
        "plan TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS images (id TEXT PRIMARY KEY, user_id TEXT NOT NULL, "
        "project_id TEXT NOT NULL, style TEXT NOT NULL, status TEXT NOT NULL, "
        "original_key TEXT NOT NULL, staged_key TEXT)",
        "CREATE INDEX IF NOT EXISTS images_of_user ON images (user_id)",
        "INSERT INTO users (id, name, plan) VALUES ('user_abc123', 'Ada', 'pro'), "
        "('user_xyz', 'Grace', 'free'), ('user_000', 'Edsger', 'pro'), "
        "('user_001', 'Barbara', 'pro'), ('user_002', 'Donald', 'free'), "
        "('user_003', 'Frances', 'free'), ('user_004', 'Dennis', 'pro'), "
        "('user_005', 'Margaret', 'pro'), ('user_006', 'Ken', 'free') ON CONFLICT (id) DO NOTHING",
    };
    return database_migrate(d, "images", statements, sizeof(statements) / sizeof(statements[0]));
}

/* Whole milliseconds since a moment of CLOCK_MONOTONIC. */
static inline long images_ms_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

#endif

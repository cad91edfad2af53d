// SPDX-License-Identifier: Apache-2.0
/* The server's own log: one JSON object a line on stderr. Only src/cmd writes it. Thread-safe. */
#ifndef SONDE_CMD_SLOG_H
#define SONDE_CMD_SLOG_H

#include "base/str.h"

typedef enum { SLOG_DEBUG, SLOG_INFO, SLOG_WARN, SLOG_ERROR } slog_level;

typedef struct {
    const char *key;
    const char *value;
} slog_field;

void slog_write(slog_level level, const char *event, const slog_field *fields, size_t count);
/* SLOG(SLOG_INFO, "listening", { "http", address }); at least one field. */
#define SLOG(level, event, ...) \
    slog_write((level), (event), (const slog_field[]){ __VA_ARGS__ }, \
               sizeof((const slog_field[]){ __VA_ARGS__ }) / sizeof(slog_field))

/* "debug", "info", "warn", "error"; false: another word. Lower levels are not written. */
MUST_USE bool slog_set_level(const char *name);

#endif

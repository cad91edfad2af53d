// SPDX-License-Identifier: Apache-2.0
/* The server's own log; see slog.h. A line is built in memory and written by one write(2), so lines
 * of several threads do not mix. */
#include "cmd/slog.h"

#include "base/clock.h"
#include "base/file.h"

#include <stdatomic.h>
#include <unistd.h>

static const char *const level_names[] = { "debug", "info", "warn", "error" };
static atomic_int lowest_level = SLOG_INFO;

bool slog_set_level(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (str_eq_nocase(str_c(name), str_c(level_names[i]))) {
            atomic_store(&lowest_level, (int)i);
            return true;
        }
    }
    return false;
}

static void json_string(buf *out, const char *s)
{
    buf_char(out, '"');
    for (; s && *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_fmt(out, "\\%c", c);
        else if (c < ' ')
            buf_fmt(out, "\\u%04x", c);
        else
            buf_char(out, (char)c);
    }
    buf_char(out, '"');
}

void slog_write(slog_level level, const char *event, const slog_field *fields, size_t count)
{
    buf line;
    if ((int)level < atomic_load_explicit(&lowest_level, memory_order_relaxed))
        return;
    buf_init(&line, KiB(64));
    buf_lit(&line, "{\"time\":\"");
    clock_format_rfc3339(&line, clock_now_ns(), 3);
    buf_fmt(&line, "\",\"level\":\"%s\",\"event\":", level_names[level]);
    json_string(&line, event);
    for (size_t i = 0; i < count; i++) {
        buf_char(&line, ',');
        json_string(&line, fields[i].key);
        buf_char(&line, ':');
        json_string(&line, fields[i].value);
    }
    buf_lit(&line, "}\n");
    if (!line.failed && file_write_all(STDERR_FILENO, line.ptr, line.len, NULL) != STATUS_OK)
        buf_clear(&line); /* nobody is left to be told */
    buf_done(&line);
}

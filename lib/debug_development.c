// SPDX-License-Identifier: Apache-2.0
/* The pages that production must not have: configuration, connections, the log level. A build with
 * SONDE_DEBUG_ENDPOINTS off has none of this code; what programs register then goes nowhere. */
#include "lib/debug_internal.h"

#if SONDE_DEBUG_ENDPOINTS
#include "codec/log_json.h"
#include "lib/describe.h"
#include "lib/site.h"
#include "sonde/log.h"

#include <stdlib.h>

enum { CONFIG_MAX = 512, KEY_SIZE = 128, VALUE_SIZE = 1024 };

typedef struct {
    char key[KEY_SIZE];
    char *text; /* own memory */
} config_entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static config_entry *entries[CONFIG_MAX];
static size_t entry_count;

void debug_config_forked(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

static void remove_entry(const char *key)
{
    for (size_t i = 0; i < entry_count; i++)
        if (strcmp(entries[i]->key, key) == 0) {
            free(entries[i]->text);
            free(entries[i]);
            memmove(&entries[i], &entries[i + 1], (--entry_count - i) * sizeof(void *));
            return;
        }
}

bool sonde_debug_config(const char *key, const char *value)
{
    char name[KEY_SIZE];
    if (!key || !key[0])
        return false;
    str_copy_c(name, sizeof(name), str_c(key));
    config_entry *e = value ? calloc(1, sizeof(*e)) : NULL;
    if (e) {
        str text = site_key_is_secret(str_c(key)) ? STR("[REDACTED]") : str_c(value);
        memcpy(e->key, name, sizeof(name));
        e->text = strndup(text.ptr, MIN(text.len, (size_t)VALUE_SIZE - 1));
    }
    pthread_mutex_lock(&lock);
    remove_entry(name);
    bool good = !value || (e && e->text && entry_count < CONFIG_MAX);
    if (e && good)
        entries[entry_count++] = e;
    pthread_mutex_unlock(&lock);
    if (e && !good) {
        free(e->text);
        free(e);
    }
    return good;
}

int debug_config_page(page *p)
{
    json_writer w = debug_begin_json(p);
    json_key(&w, STR("program"));
    json_begin_object(&w);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < entry_count; i++) {
        json_key(&w, str_c(entries[i]->key));
        debug_json_text(&w, str_c(entries[i]->text));
    }
    pthread_mutex_unlock(&lock);
    json_end_object(&w);
    json_key(&w, STR("library"));
    describe_config_json(&w);
    return debug_end_json(p, &w);
}

int debug_connections_page(page *p)
{
    return debug_provider_list(p, PROVIDE_POOL, "pools");
}

/* ---- the log level ---- */

/* What a POST asks for; texts are empty when absent. */
typedef struct {
    char level[QUERY_TEXT_MAX];
    char logger[QUERY_TEXT_MAX];
} level_request;

static bool read_level_json(page *p, level_request *ask)
{
    arena memory;
    json_reader r;
    str key;
    arena_init(&memory, KiB(64));
    json_read(&r, p->body, &memory, 4);
    bool good = json_next(&r) == JSON_OBJECT;
    while (good && json_next_key(&r, &key)) {
        char *to = str_is(key, "level") ? ask->level : str_is(key, "logger") ? ask->logger : NULL;
        good = json_next(&r) == JSON_STRING && to && r.text.len < QUERY_TEXT_MAX;
        if (good)
            str_copy_c(to, QUERY_TEXT_MAX, r.text);
    }
    good = good && json_next(&r) == JSON_END;
    arena_done(&memory);
    if (!good)
        page_fail(p, 400,
                  "it must be {\"level\":\"debug\"}, {\"logger\":\"db\",\"level\":\"debug\"} or "
                  "empty, with ?level=debug",
                  "the body is no level");
    return good;
}

int debug_log_level_page(page *p)
{
    level_request ask = { "", "" };
    uint8_t severity;
    query_get(p->query, "level", ask.level);
    query_get(p->query, "logger", ask.logger);
    if (str_trim(p->body).len && !read_level_json(p, &ask))
        return 400;
    if (!debug_parse_level(str_c(ask.level), &severity))
        return page_fail(p, 400, "it must be debug, info, warn, error or fatal",
                         "level=%.32s is wrong", ask.level);
    sonde_level old = sonde_logger_level(ask.logger);
    if (sonde_logger_level_set(ask.logger, (sonde_level)severity) != 0)
        return page_fail(p, 400, "a name has at most 63 bytes, and 64 loggers have levels",
                         "logger=%.64s is wrong", ask.logger);
    json_writer w = debug_begin_json(p);
    JSON_PUT(&w, str, "level", str_c(severity_name(severity)));
    JSON_PUT(&w, str, "old", str_c(severity_name((uint8_t)old)));
    if (ask.logger[0])
        JSON_PUT(&w, str, "logger", str_c(ask.logger));
    return debug_end_json(p, &w);
}

#else

void debug_config_forked(void)
{
}

bool sonde_debug_config(const char *key, const char *value UNUSED)
{
    return key && key[0];
}
#endif

// SPDX-License-Identifier: Apache-2.0
/* Scrubbing for what a session brings along; see observability.h. Keys that name secrets and values
 * that look like them are libsonde's to find; here are the values that only the session knows. */
#include "examples/debug-server/observability/observability.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHORTEST = 4 };

static const char redacted[] = "[REDACTED]";

bool secrets_learn(secrets *s, const char *name, const char *value)
{
    if (!sonde_redact_key(name))
        return false;
    size_t len = value ? strlen(value) : 0;
    for (size_t i = 0; i < s->count; i++)
        if (value && strcmp(s->values[i], value) == 0)
            return true;
    if (len >= SHORTEST && s->count < SECRETS_MAX && (s->values[s->count] = strdup(value)))
        s->count++;
    return true;
}

void secrets_done(secrets *s)
{
    while (s->count)
        free(s->values[--s->count]);
}

/* The longest known secret that `text` begins with. */
static size_t known_at(const secrets *s, const char *text, size_t len)
{
    size_t longest = 0;
    for (size_t i = 0; s && i < s->count; i++) {
        size_t n = strlen(s->values[i]);
        if (n > longest && n <= len && memcmp(text, s->values[i], n) == 0)
            longest = n;
    }
    return longest;
}

void end_whole(char *text)
{
    size_t len = strlen(text), n = 0;
    while (n < 3 && n < len && ((unsigned char)text[len - 1 - n] & 0xC0) == 0x80)
        n++;
    unsigned char first = len > n ? (unsigned char)text[len - 1 - n] : 0;
    size_t wanted = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : 0;
    if (wanted > n)
        text[len - 1 - n] = 0;
}

void secrets_scrub(const secrets *s, const char *text, size_t len, char *ret, size_t size)
{
    if (!s || !s->count) {
        sonde_redact_text(text, len, ret, size);
        end_whole(ret);
        return;
    }
    size_t room = len + (len / SHORTEST + 1) * sizeof(redacted), n = 0;
    char *known = malloc(room);
    if (!known) {
        snprintf(ret, size, "%s", redacted);
        return;
    }
    for (size_t i = 0; i < len;) {
        size_t secret = known_at(s, text + i, len - i);
        if (secret) {
            memcpy(known + n, redacted, sizeof(redacted) - 1);
            n += sizeof(redacted) - 1;
            i += secret;
        } else {
            known[n++] = text[i++];
        }
    }
    sonde_redact_text(known, n, ret, size);
    end_whole(ret);
    free(known);
}

/* Whether the argument is a flag whose value comes as the next one, and a secret. */
static bool announces_secret(const char *argument)
{
    return argument[0] == '-' && !strchr(argument, '=') && sonde_redact_key(argument);
}

void scrub_command(const json_t *arguments, char *ret, size_t size)
{
    size_t i, n = 0;
    json_t *argument;
    bool secret = false;
    char text[4096] = "";
    json_array_foreach(arguments, i, argument)
    {
        const char *word = json_string_value(argument);
        int len = snprintf(text + n, sizeof(text) - n, "%s%s", i ? " " : "",
                           secret || !word ? redacted : word);
        n = n + (size_t)len < sizeof(text) ? n + (size_t)len : sizeof(text) - 1;
        secret = word && announces_secret(word);
    }
    sonde_redact_text(text, n, ret, size);
    end_whole(ret);
}

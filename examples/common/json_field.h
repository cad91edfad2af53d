// SPDX-License-Identifier: Apache-2.0
/* Members of a JSON object as a program needs them: of the right type, within limits. The object
 * may be NULL. */
#ifndef EXAMPLES_COMMON_JSON_FIELD_H
#define EXAMPLES_COMMON_JSON_FIELD_H

#include <jansson.h>
#include <string.h>

/* A text of 1 to `max` bytes; NULL otherwise. Lives as long as the object. */
static inline const char *json_text(const json_t *object, const char *name, size_t max)
{
    const json_t *member = json_object_get(object, name);
    const char *text = json_string_value(member);
    size_t length = json_string_length(member);
    return text && length && length <= max && strlen(text) == length ? text : NULL;
}

/* A whole number; `fallback` when the member is absent or something else. */
static inline json_int_t json_whole(const json_t *object, const char *name, json_int_t fallback)
{
    const json_t *member = json_object_get(object, name);
    return json_is_integer(member) ? json_integer_value(member) : fallback;
}

#endif

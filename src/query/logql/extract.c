// SPDX-License-Identifier: Apache-2.0
/* The parser stages: fields of a JSON or logfmt line become labels. */
#include "query/logql/entry.h"

#include "codec/json.h"
#include "query/quote.h"

#include <ctype.h>

#define NAME_LIMIT 512 /* of a flattened JSON path */

static void extract_error(logql_entry *e, str kind)
{
    entry_set(e, ERROR_LABEL, kind);
}

/* One value below the path; objects are flattened with "_", arrays and nulls are passed over. */
static bool take_value(logql_entry *e, json_reader *r, char *path, size_t length);

static bool take_object(logql_entry *e, json_reader *r, char *path, size_t length)
{
    str key;
    while (json_next_key(r, &key)) {
        size_t at = length;
        str name = label_name_of(e->scratch, key);
        if (at + name.len + 1 >= NAME_LIMIT) {
            if (!json_skip_next(r))
                return false;
            continue;
        }
        if (at)
            path[at++] = '_';
        if (name.len)
            memcpy(path + at, name.ptr, name.len);
        if (!take_value(e, r, path, at + name.len))
            return false;
    }
    return r->type != JSON_ERROR;
}

static bool take_value(logql_entry *e, json_reader *r, char *path, size_t length)
{
    str text;
    switch (json_next(r)) {
    case JSON_OBJECT:
        return take_object(e, r, path, length);
    case JSON_STRING:
    case JSON_NUMBER:
        text = r->text;
        break;
    case JSON_BOOL:
        text = r->boolean ? STR("true") : STR("false");
        break;
    case JSON_ERROR:
        return false;
    default:
        return json_skip(r);
    }
    str name = arena_str(e->scratch, str_n(path, length));
    if (!name.ptr)
        return false;
    entry_extract(e, name, text);
    return true;
}

/* A record whose body is no JSON text has its fields already: nothing is extracted, nothing wrong.
 */
void extract_json(logql_entry *e)
{
    char path[NAME_LIMIT];
    json_reader r;
    if (!str_starts(str_trim(e->line), STR("{")))
        return;
    json_read(&r, e->line, e->scratch, 0);
    if (json_next(&r) != JSON_OBJECT || !take_object(e, &r, path, 0))
        extract_error(e, STR("JSONParserErr"));
}

static bool key_end(char c)
{
    return c == '=' || isspace((unsigned char)c);
}

/* key=value key2="quoted value"; a word without "=" is no field. */
void extract_logfmt(logql_entry *e)
{
    str line = e->line;
    size_t i = 0;
    while (i < line.len) {
        while (i < line.len && isspace((unsigned char)line.ptr[i]))
            i++;
        size_t from = i;
        while (i < line.len && !key_end(line.ptr[i]))
            i++;
        str key = str_slice(line, from, i), text = STR_EMPTY;
        if (i >= line.len || line.ptr[i] != '=')
            continue;
        i++;
        if (i < line.len && line.ptr[i] == '"') {
            size_t taken = 0;
            if (unquote(str_slice(line, i, line.len), e->scratch, &text, &taken)) {
                extract_error(e, STR("LogfmtParserErr"));
                return;
            }
            i += taken;
        } else {
            size_t start = i;
            while (i < line.len && !isspace((unsigned char)line.ptr[i]))
                i++;
            text = str_slice(line, start, i);
        }
        if (key.len && text.len)
            entry_extract(e, label_name_of(e->scratch, key), text);
    }
}

// SPDX-License-Identifier: Apache-2.0
/* The other side of go_promql_parse: reads lines that are JSON strings, each a PromQL expression,
 * and answers a line of JSON for each: the error, or the expression printed on one line, prettily
 * and as a tree. */
#include "codec/json.h"
#include "codec/json_value.h"
#include "query/promql/ast.h"

#include <stdio.h>
#include <stdlib.h>

static void answer(str line, arena *a, buf *out)
{
    const promql_node *n;
    value text;
    error err;
    buf part;
    json_reader r;
    json_writer w = json_write(out);
    json_read(&r, line, a, 8);
    buf_init(&part, MiB(16));
    json_begin_object(&w);
    if (!value_from_json(&r, a, &text) ||
        promql_parse(&n, text.s, UINT32_MAX & ~(uint32_t)PROMQL_UNQUOTED_UTF8_NAMES, a, &err) !=
            STATUS_OK) {
        JSON_PUT(&w, str, "error", str_c(err.message));
    } else {
        promql_print(&part, n);
        JSON_PUT(&w, str, "text", buf_view(&part));
        buf_clear(&part);
        promql_print_pretty(&part, n);
        JSON_PUT(&w, str, "pretty", buf_view(&part));
        buf_clear(&part);
        promql_print_json(&part, n);
        json_key(&w, STR("tree"));
        json_raw(&w, buf_view(&part));
    }
    json_end_object(&w);
    buf_char(out, '\n');
    buf_done(&part);
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    arena a;
    buf out;
    arena_init(&a, MiB(256));
    buf_init(&out, MiB(64));
    while ((n = getline(&line, &size, stdin)) > 0) {
        answer(str_n(line, (size_t)n - (line[n - 1] == '\n')), &a, &out);
        fwrite(buf_view(&out).ptr, 1, buf_view(&out).len, stdout);
        buf_clear(&out);
        arena_clear(&a);
    }
    free(line);
    buf_done(&out);
    arena_done(&a);
    return 0;
}

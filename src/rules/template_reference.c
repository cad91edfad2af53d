// SPDX-License-Identifier: Apache-2.0
/* The page about templates, out of the tables that they are executed by. */
#include "rules/template_internal.h"

static const char head[] =
    "# Reference of templates\n"
    "\n"
    "Made by `tools/reference.py --templates SONDE` from the tables of the template engine. Labels "
    "and\n"
    "annotations of alert rules, and the texts of notifications, are Go templates: text with "
    "actions in\n"
    "`{{ }}`. What a template may use is limited (1 MiB of output, a million steps, 400 levels).\n"
    "\n"
    "## The language\n"
    "\n"
    "| action | does |\n"
    "|---|---|\n"
    "| `{{ X }}` | prints the value of a pipeline |\n"
    "| `{{ X \\| F Y }}` | calls F with Y, then X as the last argument |\n"
    "| `{{ $x := X }}`, `{{ $x = X }}` | a variable, and its new value |\n"
    "| `{{ if X }} … {{ else if Y }} … {{ else }} … {{ end }}` | what is false, 0, empty or absent "
    "is not taken |\n"
    "| `{{ range $key, $value := X }} … {{ else }} … {{ end }}` | each item of a list, of a map by "
    "key, each number below an integer; `{{ break }}`, `{{ continue }}` |\n"
    "| `{{ with X }} … {{ else }} … {{ end }}` | with X as the dot, if it is not empty |\n"
    "| `{{ define \"name\" }} … {{ end }}`, `{{ template \"name\" X }}` | a named template, and "
    "its call with X as the dot |\n"
    "| `{{ block \"name\" X }} … {{ end }}` | both at once |\n"
    "| `{{/* … */}}` | a comment |\n"
    "| `{{- X -}}` | without the white space before or behind the action |\n"
    "\n"
    "Literals: `\"text\"`, `` `raw` ``, `'c'`, `12`, `0x1f`, `1.5e3`, `true`, `false`, `nil`. "
    "Fields and\n"
    "methods: `.Labels.job`, `$x.Name`, `(query \"up\" | first).Value`.\n"
    "\n"
    "Alert rules know `$labels`, `$value`, `$externalLabels` and `$externalURL`; a label that is "
    "absent is\n"
    "the empty text. Notifications know `.Receiver`, `.Status`, `.Alerts`, `.GroupLabels`,\n"
    "`.CommonLabels`, `.CommonAnnotations` and `.ExternalURL`; an alert has `.Status`, `.Labels`,\n"
    "`.Annotations`, `.StartsAt`, `.EndsAt`, `.GeneratorURL` and `.Fingerprint`.\n";

static void put_cell(buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            buf_char(out, '\\');
        buf_char(out, *text);
    }
}

static void put_table(buf *out, const template_function *items, size_t count)
{
    buf_lit(out, "| call | gives |\n|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        buf_lit(out, "| `");
        put_cell(out, items[i].usage);
        buf_lit(out, "` | ");
        put_cell(out, items[i].text);
        buf_lit(out, " |\n");
    }
}

void template_write_reference(buf *out)
{
    static const struct {
        const char *title;
        const template_type *type;
    } methods[] = {
        { "labels and annotations in notifications", &template_type_kv },
        { "`.SortedPairs`", &template_type_pairs },
        { "`.Alerts`", &template_type_alerts },
        { "times", &template_type_time },
        { "durations", &template_type_duration },
    };
    buf_str(out, str_c(head));
    buf_lit(out, "\n## Functions\n");
    for (size_t i = 0; i < TEMPLATE_TABLES; i++) {
        const template_function_table *t = template_tables[i];
        buf_fmt(out, "\n### %s\n\n", t->title);
        if (t->text[0])
            buf_fmt(out, "%s\n\n", t->text);
        put_table(out, t->items, t->count);
    }
    buf_lit(out, "\n## Methods\n");
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        buf_fmt(out, "\nOf %s:\n\n", methods[i].title);
        put_table(out, methods[i].type->methods, methods[i].type->method_count);
    }
}

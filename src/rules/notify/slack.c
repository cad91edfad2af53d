// SPDX-License-Identifier: Apache-2.0
/* Slack's incoming webhook: one message with one attachment, every text of it a template. */
#include "rules/notify/state.h"

enum { TITLE_RUNES = 1024 };

typedef struct {
    const notification *n;
    json_writer *w;
    status st;
    error *err;
} message;

static str expand(message *m, str text)
{
    str out = STR_EMPTY;
    if (m->st == STATUS_OK)
        m->st = content_expand(m->n, text, false, &out, m->err);
    return m->st == STATUS_OK ? out : STR_EMPTY;
}

/* Nothing when the text is empty. */
static void put(message *m, const char *name, str text)
{
    str out = expand(m, text);
    if (!out.len)
        return;
    json_key(m->w, str_c(name));
    json_str(m->w, out);
}

/* Cut to so many code points, the last of them an ellipsis. */
static str cut(message *m, str text, uint32_t most)
{
    uint32_t runes = 0;
    size_t keep = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (((uint8_t)text.ptr[i] & 0xc0) == 0x80)
            continue;
        if (++runes == most)
            keep = i;
    }
    if (runes <= most)
        return text;
    str out = arena_fmt(m->n->arena, "%.*s…", (int)keep, text.ptr);
    return out.ptr ? out : str_slice(text, 0, keep);
}

static void put_fields(message *m, const slack_settings *s)
{
    const slack_field_settings *f = s->fields.items;
    if (!s->fields.count)
        return;
    json_key(m->w, STR("fields"));
    json_begin_array(m->w);
    for (uint32_t i = 0; i < s->fields.count; i++) {
        json_begin_object(m->w);
        JSON_PUT(m->w, str, "title", expand(m, f[i].title));
        JSON_PUT(m->w, str, "value", expand(m, f[i].value));
        JSON_PUT(m->w, bool, "short", f[i].has_short ? f[i].is_short : s->short_fields);
        json_end_object(m->w);
    }
    json_end_array(m->w);
}

static void put_action(message *m, const slack_action_settings *a)
{
    json_begin_object(m->w);
    put(m, "type", a->type);
    put(m, "text", a->text);
    put(m, "url", a->url);
    put(m, "style", a->style);
    put(m, "name", a->name);
    put(m, "value", a->value);
    if (a->has_confirm) {
        json_key(m->w, STR("confirm"));
        json_begin_object(m->w);
        put(m, "title", a->confirm.title);
        put(m, "text", a->confirm.text);
        put(m, "ok_text", a->confirm.ok_text);
        put(m, "dismiss_text", a->confirm.dismiss_text);
        json_end_object(m->w);
    }
    json_end_object(m->w);
}

static void put_attachment(message *m, const slack_settings *s)
{
    const slack_action_settings *actions = s->actions.items;
    json_begin_object(m->w);
    str title = cut(m, expand(m, s->title), TITLE_RUNES);
    if (title.len)
        JSON_PUT(m->w, str, "title", title);
    put(m, "title_link", s->title_link);
    put(m, "pretext", s->pretext);
    JSON_PUT(m->w, str, "text", expand(m, s->text));
    JSON_PUT(m->w, str, "fallback", expand(m, s->fallback));
    JSON_PUT(m->w, str, "callback_id", expand(m, s->callback_id));
    put_fields(m, s);
    if (s->actions.count) {
        json_key(m->w, STR("actions"));
        json_begin_array(m->w);
        for (uint32_t i = 0; i < s->actions.count; i++)
            put_action(m, &actions[i]);
        json_end_array(m->w);
    }
    put(m, "image_url", s->image_url);
    put(m, "thumb_url", s->thumb_url);
    JSON_PUT(m->w, str, "footer", expand(m, s->footer));
    put(m, "color", s->color);
    json_key(m->w, STR("mrkdwn_in"));
    json_begin_array(m->w);
    for (uint32_t i = 0; i < s->mrkdwn_in.count; i++)
        json_str(m->w, s->mrkdwn_in.items[i]);
    json_end_array(m->w);
    json_end_object(m->w);
}

status slack_content(const notification *n, buf *out, error *err)
{
    const slack_settings *s = n->integration->slack;
    json_writer w = json_write(out);
    message m = { n, &w, STATUS_OK, err };
    json_begin_object(&w);
    put(&m, "channel", s->channel);
    put(&m, "username", s->username);
    put(&m, "icon_emoji", s->icon_emoji);
    put(&m, "icon_url", s->icon_url);
    if (s->link_names)
        JSON_PUT(&w, bool, "link_names", true);
    json_key(&w, STR("attachments"));
    json_begin_array(&w);
    put_attachment(&m, s);
    json_end_array(&w);
    json_end_object(&w);
    return m.st;
}

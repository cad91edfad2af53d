// SPDX-License-Identifier: Apache-2.0
/* A configuration as it may be shown: YAML from the tree, secrets left out. A secret is the
 * value of an option that the tables call one; also where the option stands elsewhere by mistake,
 * and every header's value. */
#include "rules/notify/config.h"

/* Options whose values, or all texts below, are never shown. */
static bool is_secret(str name)
{
    static const char *const names[] = {
        "smtp_auth_password", "smtp_auth_secret",
        "auth_password",      "auth_secret",
        "slack_api_url",      "api_url",
        "password",           "credentials",
        "bearer_token",       "key",
        "http_headers",       "oauth2",
        "proxy_url",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

enum { SECRET = 1, WEBHOOK = 2 /* below webhook_configs: url is a secret, too */ };

static unsigned below(const void *user, unsigned state, str key)
{
    (void)user;
    if (is_secret(key) || (state & WEBHOOK && str_is(key, "url")))
        state |= SECRET;
    return str_is(key, "webhook_configs") ? state | WEBHOOK : state;
}

/* A webhook's URL stays one for amtool, which reads the configuration again. */
static str cover(const void *user, unsigned state, const yaml_node *n)
{
    (void)user;
    if (!(state & SECRET))
        return STR_EMPTY;
    return state & WEBHOOK && str_starts(n->text, STR("http")) ? STR("http://<secret>")
                                                               : STR("<secret>");
}

void notify_config_show(buf *out, const yaml_node *root)
{
    static const yaml_cover secrets = { .below = below, .hidden = cover };
    yaml_show(out, root, &secrets);
}

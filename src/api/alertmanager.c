// SPDX-License-Identifier: Apache-2.0
/* Alertmanager's API (v2): alerts, groups, silences, receivers, status. Errors are a text in JSON,
 * as Alertmanager's OpenAPI has them. */
#include "api/request.h"
#include "rules/notify/notify.h"

enum { FILTERS_MAX = 64 };

static void alertmanager_error(api_request *r, status code, const char *message)
{
    static const struct {
        status code;
        int http;
    } codes[] = { { STATUS_INVALID, 400 }, { STATUS_NOT_FOUND, 404 },   { STATUS_LIMIT, 429 },
                  { STATUS_BUSY, 503 },    { STATUS_UNSUPPORTED, 404 }, { STATUS_FULL, 507 } };
    int http = 500;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i].code == code)
            http = codes[i].http;
    http_set_status(r->x, http);
    request_json(r);
    json_str(&r->json, str_c(message));
}

static alertmanager *wanted(api_request *r)
{
    if (!r->api->options.alertmanager)
        request_fail(r, STATUS_NOT_FOUND, "this server has no alertmanager");
    return r->api->options.alertmanager;
}

/* ---- parameters ---- */

static bool flag_param(api_request *r, const char *name, bool *ret)
{
    bool found;
    str text = http_param(r->x, name, 0, &found);
    *ret = true;
    if (!found || str_is(text, "true") || str_is(text, "1"))
        return true;
    *ret = false;
    if (str_is(text, "false") || str_is(text, "0"))
        return true;
    request_fail(r, STATUS_INVALID, "parameter \"%s\": \"%.*s\" is neither true nor false", name,
                 STR_ARG(str_slice(text, 0, 80)));
    return false;
}

static bool filter_params(api_request *r, alertmanager_filter *ret)
{
    str *filters = ARENA_ARRAY(r->arena, str, FILTERS_MAX);
    bool found = filters != NULL;
    *ret = (alertmanager_filter){ .filters = filters, .receiver = request_param(r, "receiver") };
    while (found) {
        str text = http_param(r->x, "filter", ret->filter_count, &found);
        if (found && ret->filter_count == FILTERS_MAX) {
            request_fail(r, STATUS_LIMIT, "more than %d filters", FILTERS_MAX);
            return false;
        }
        if (found)
            filters[ret->filter_count++] = text;
    }
    return flag_param(r, "active", &ret->active) && flag_param(r, "silenced", &ret->silenced) &&
           flag_param(r, "inhibited", &ret->inhibited) && flag_param(r, "muted", &ret->muted) &&
           flag_param(r, "unprocessed", &ret->unprocessed);
}

/* ---- handlers ---- */

typedef status list_writer(alertmanager *am, const alertmanager_filter *f, json_writer *w,
                           error *err);

static void answer_list(api_request *r, list_writer *write)
{
    alertmanager_filter filter;
    alertmanager *am = wanted(r);
    if (!am || !filter_params(r, &filter))
        return;
    request_json(r);
    status st = write(am, &filter, &r->json, &r->err);
    if (st != STATUS_OK)
        request_fail_status(r, st);
}

static void get_alerts(api_request *r)
{
    answer_list(r, alertmanager_write_alerts);
}

static void get_groups(api_request *r)
{
    answer_list(r, alertmanager_write_groups);
}

static void get_silences(api_request *r)
{
    answer_list(r, alertmanager_write_silences);
}

static void post_alerts(api_request *r)
{
    alertmanager *am = wanted(r);
    if (!am)
        return;
    status st = alertmanager_post_alerts(am, http_body(r->x), r->arena, &r->err);
    if (st != STATUS_OK)
        request_fail_status(r, st);
}

static void post_silence(api_request *r)
{
    str id;
    alertmanager *am = wanted(r);
    if (!am)
        return;
    status st = alertmanager_post_silence(am, http_body(r->x), r->arena, &id, &r->err);
    if (st != STATUS_OK) {
        request_fail_status(r, st);
        return;
    }
    request_json(r);
    json_begin_object(&r->json);
    JSON_PUT(&r->json, str, "silenceID", id);
    json_end_object(&r->json);
}

static void get_silence(api_request *r)
{
    alertmanager *am = wanted(r);
    if (!am)
        return;
    request_json(r);
    status st =
        alertmanager_write_silence(am, http_path_param(r->x, "silenceID"), &r->json, &r->err);
    if (st != STATUS_OK)
        request_fail_status(r, st);
}

static void delete_silence(api_request *r)
{
    alertmanager *am = wanted(r);
    if (!am)
        return;
    status st = alertmanager_expire_silence(am, http_path_param(r->x, "silenceID"), &r->err);
    if (st != STATUS_OK)
        request_fail_status(r, st);
}

static void get_receivers(api_request *r)
{
    alertmanager *am = wanted(r);
    if (!am)
        return;
    request_json(r);
    alertmanager_write_receivers(am, &r->json);
}

static void get_status(api_request *r)
{
    alertmanager *am = wanted(r);
    if (!am)
        return;
    request_json(r);
    alertmanager_write_status(am, &r->json);
}

static const api_row rows[] = {
    { "GET", "/api/v2/alerts", get_alerts,
      "Alerts: filter, receiver, active, silenced, inhibited." },
    { "POST", "/api/v2/alerts", post_alerts, "Takes alerts." },
    { "GET", "/api/v2/alerts/groups", get_groups, "Alerts in their groups: as alerts." },
    { "GET", "/api/v2/silences", get_silences, "Silences: filter." },
    { "POST", "/api/v2/silences", post_silence, "Makes or changes a silence." },
    { "GET", "/api/v2/silence/{silenceID}", get_silence, "One silence." },
    { "DELETE", "/api/v2/silence/{silenceID}", delete_silence, "Ends a silence." },
    { "GET", "/api/v2/receivers", get_receivers, "Names of the receivers." },
    { "GET", "/api/v2/status", get_status, "Version, start time, configuration without secrets." },
};

const api_table alertmanager_api = { rows, ARRAY_LEN(rows), alertmanager_error };

// SPDX-License-Identifier: Apache-2.0
/* The templates that are there without any file. Their names are Alertmanager's, so that files
 * written for it can call and replace them; the texts are sonde's own. */
#include "rules/notify/config.h"

static const char texts[] =
    "{{ define \"__alertmanager\" }}sonde{{ end }}\n"
    "{{ define \"__alertmanagerURL\" }}{{ .ExternalURL }}/#/alerts{{ end }}\n"
    "{{ define \"__subject\" }}[{{ .Status | toUpper }}"
    "{{ if eq .Status \"firing\" }}:{{ .Alerts.Firing | len }}{{ end }}] "
    "{{ .GroupLabels.SortedPairs.Values | join \" \" }}"
    "{{ with .CommonLabels.Remove .GroupLabels.Names }}"
    "{{ if .SortedPairs }} ({{ .SortedPairs.Values | join \" \" }}){{ end }}{{ end }}{{ end }}\n"
    "{{ define \"__description\" }}{{ end }}\n"
    "{{ define \"__text_alert_list\" }}{{ range . }}"
    "{{ range .Labels.SortedPairs }}{{ .Name }}: {{ .Value }}\n{{ end }}"
    "{{ range .Annotations.SortedPairs }}{{ .Name }}: {{ .Value }}\n{{ end }}"
    "since: {{ .StartsAt.UTC.Format \"2006-01-02 15:04:05 UTC\" }}\n"
    "{{ if .GeneratorURL }}expression: {{ .GeneratorURL }}\n{{ end }}\n{{ end }}{{ end }}\n"
    "{{ define \"__text_alert_list_markdown\" }}{{ template \"__text_alert_list\" . }}{{ end }}\n"
    /* Slack */
    "{{ define \"slack.default.title\" }}{{ template \"__subject\" . }}{{ end }}\n"
    "{{ define \"slack.default.username\" }}{{ template \"__alertmanager\" . }}{{ end }}\n"
    "{{ define \"slack.default.fallback\" }}{{ template \"slack.default.title\" . }} | "
    "{{ template \"slack.default.titlelink\" . }}{{ end }}\n"
    "{{ define \"slack.default.callbackid\" }}{{ end }}\n"
    "{{ define \"slack.default.pretext\" }}{{ end }}\n"
    "{{ define \"slack.default.titlelink\" }}{{ template \"__alertmanagerURL\" . }}{{ end }}\n"
    "{{ define \"slack.default.iconemoji\" }}{{ end }}\n"
    "{{ define \"slack.default.iconurl\" }}{{ end }}\n"
    "{{ define \"slack.default.text\" }}{{ end }}\n"
    "{{ define \"slack.default.footer\" }}{{ end }}\n"
    /* mail */
    "{{ define \"email.default.subject\" }}{{ template \"__subject\" . }}{{ end }}\n"
    "{{ define \"email.default.text\" }}{{ template \"__subject\" . }}\n\n"
    "{{ if .Alerts.Firing }}Firing:\n\n{{ template \"__text_alert_list\" .Alerts.Firing }}{{ end }}"
    "{{ if .Alerts.Resolved }}Resolved:\n\n"
    "{{ template \"__text_alert_list\" .Alerts.Resolved }}{{ end }}"
    "{{ if gt .TruncatedAlerts 0 }}and {{ .TruncatedAlerts }} more\n{{ end }}"
    "{{ template \"__alertmanagerURL\" . }}\n{{ end }}\n"
    "{{ define \"__email_alert\" }}<table style=\"border-collapse:collapse;margin:0 0 16px\">"
    "{{ range .Labels.SortedPairs }}<tr><td style=\"padding:2px 12px 2px 0;color:#667085\">"
    "{{ .Name }}</td><td style=\"padding:2px 0\">{{ .Value }}</td></tr>{{ end }}"
    "{{ range .Annotations.SortedPairs }}<tr><td style=\"padding:2px 12px 2px 0;color:#667085\">"
    "{{ .Name }}</td><td style=\"padding:2px 0\"><b>{{ .Value }}</b></td></tr>{{ end }}"
    "<tr><td style=\"padding:2px 12px 2px 0;color:#667085\">since</td><td>"
    "{{ .StartsAt.UTC.Format \"2006-01-02 15:04:05 UTC\" }}</td></tr></table>"
    "{{ if .GeneratorURL }}<p><a href=\"{{ .GeneratorURL }}\">expression</a></p>{{ end }}"
    "{{ end }}\n"
    "{{ define \"email.default.html\" }}<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\">"
    "<title>{{ template \"__subject\" . }}</title></head>"
    "<body style=\"font:14px/1.4 sans-serif;color:#1d2433;max-width:640px;margin:16px auto\">"
    "<h2>{{ template \"__subject\" . }}</h2>"
    "{{ if .Alerts.Firing }}<h3 style=\"color:#b42318\">{{ .Alerts.Firing | len }} firing</h3>"
    "{{ range .Alerts.Firing }}{{ template \"__email_alert\" . }}{{ end }}{{ end }}"
    "{{ if .Alerts.Resolved }}<h3 style=\"color:#067647\">{{ .Alerts.Resolved | len }} "
    "resolved</h3>"
    "{{ range .Alerts.Resolved }}{{ template \"__email_alert\" . }}{{ end }}{{ end }}"
    "{{ if gt .TruncatedAlerts 0 }}<p>and {{ .TruncatedAlerts }} more</p>{{ end }}"
    "<p><a href=\"{{ template \"__alertmanagerURL\" . }}\">all alerts</a></p>"
    "</body></html>\n{{ end }}\n";

str notify_default_templates(void)
{
    return str_c(texts);
}

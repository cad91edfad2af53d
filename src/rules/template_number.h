// SPDX-License-Identifier: Apache-2.0
/* Numbers as the functions of templates take them. */
#ifndef SONDE_RULES_TEMPLATE_NUMBER_H
#define SONDE_RULES_TEMPLATE_NUMBER_H

#include "rules/template_internal.h"

#include "base/clock.h"

/* A number, a text that is one, or a duration in seconds. */
MUST_USE status template_to_float(template_call *call, const template_value *v, double *ret);

status template_run_humanize_duration(template_call *call);

#endif

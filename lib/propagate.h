// SPDX-License-Identifier: Apache-2.0
/* Which propagators are on (OTEL_PROPAGATORS); see sonde/propagate.h. */
#ifndef SONDE_LIB_PROPAGATE_H
#define SONDE_LIB_PROPAGATE_H

#include "lib/env.h"
#include "sonde/propagate.h"

/* Called by sonde_start; both are on before. */
void propagate_configure(uint32_t propagators); /* bits: 1 << propagator_kind (lib/env.h) */

#endif

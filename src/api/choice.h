/* api/choice.h - which transports a session uses, of what it was told to prefer. */
#pragma once

#include "api/engine.h"

enum preference { PREFERENCE_NONE, PREFERENCE_REQUIRE, PREFERENCE_PREFER, PREFERENCE_AVOID, PREFERENCE_PROHIBIT };

/* preferences: of each enum transport. hasty: what comes need not wait for what came before. False: none is left. */
bool choose_transports(const uint8_t preferences[TRANSPORT_COUNT], bool hasty, bool listens,
                       struct engine_transports *ret);

/* What time it is. Any thread. */
#ifndef EVENTHUB_BASE_CLOCK_H
#define EVENTHUB_BASE_CLOCK_H

#include <stdint.h>

/* Since some moment in the past; never goes back. For deadlines and durations. */
uint64_t clock_monotonic_ns(void);
uint64_t clock_monotonic_ms(void);

/* Since 1970-01-01 UTC; jumps when the machine's clock is set. For message ids and expiry. */
uint64_t clock_wall_ms(void);

/* Tests only: clock_wall_ms answers what `now_ms` says; NULL brings the real clock back. */
void clock_set_wall_for_test(uint64_t (*now_ms)(void));

#endif

/* What a run found, as one line for a person or one JSON object for a program, to stdout. */
#ifndef EVENTHUB_BENCH_LOAD_REPORT_H
#define EVENTHUB_BENCH_LOAD_REPORT_H

#include "load_crowd.h"
#include "load_work.h"

void load_report_line(const struct load_crowd *crowd, const struct load_result *result);
void load_report_json(const struct load_crowd *crowd, const struct load_result *result);

#endif

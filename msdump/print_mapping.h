/* print_mapping.h - what only calls of the mapping layer have, in each format. */
#ifndef MSDUMP_PRINT_MAPPING_H
#define MSDUMP_PRINT_MAPPING_H

#include "mstrace.h"
#include "out.h"

/* The members of a JSON object behind those that every event has: begins with a comma. */
void print_mapping_json(
	struct ms_out *o, const struct mst_reader *r, const struct mst_event *ev, const struct mst_map_call *call);

/* The call as in C, with its result: "mmap(8192, rw-, private|anonymous) = 0x7f0000001000". */
void print_mapping_text(
	struct ms_out *o, const struct mst_reader *r, const struct mst_event *ev, const struct mst_map_call *call);

/* The CSV fields, each with a comma before it; call may be NULL: then all are empty. */
#define MAPPING_CSV_FIELDS ",old_size,prot,flags,fd,offset,file,begun"
void print_mapping_csv(
	struct ms_out *o, const struct mst_reader *r, const struct mst_event *ev, const struct mst_map_call *call);

#endif

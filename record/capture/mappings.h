/* mappings.h - the mapping layer's hooks: what others must tell them. */
#ifndef MS_MAPPINGS_H
#define MS_MAPPINGS_H

/* The program is about to confine itself to certain system calls: from now on none is made for it. Any thread. */
void ms_mappings_confine(void);

#endif

/* /dev/pmsg0, for a kernel that has ramoops but not this front of it: what is written there is kept by the
 * ramoops that this is built together with, whose calls of pstore come through here (the .kbuild files). */
#include <linux/fs.h>
#include "fs/pstore/internal.h"

int front_register(struct pstore_info *info);
void front_unregister(struct pstore_info *info);

/* pmsg.c asks for these two, and the kernel keeps its own to itself. */
struct pstore_info *psinfo;

void pstore_record_init(struct pstore_record *record, struct pstore_info *info)
{
	*record = (struct pstore_record){ .psi = info };
}

int front_register(struct pstore_info *info)
{
	int error = pstore_register(info);

	if (!error && info->flags & PSTORE_FLAGS_PMSG) {
		psinfo = info;
		pstore_register_pmsg();
	}
	return error;
}

void front_unregister(struct pstore_info *info)
{
	if (psinfo)
		pstore_unregister_pmsg();
	psinfo = NULL;
	pstore_unregister(info);
}

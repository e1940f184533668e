/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading of shared libraries. */
#include "os/library.h"

#include <dlfcn.h>

int
os_library_load(const char *const *sonames, const struct os_symbol *symbols, size_t n, struct err *err)
{
	void *lib = NULL;
	const char *why = NULL;

	for (size_t i = 0; sonames[i] != NULL && lib == NULL; i++) {
		lib = dlopen(sonames[i], RTLD_NOW | RTLD_LOCAL);
		if (lib == NULL && why == NULL)
			why = dlerror();
	}
	if (lib == NULL)
		return (err_set(err, ERR_TEMP, "4.3.5", "cannot load a library: %s", why == NULL ? sonames[0] : why));
	for (size_t i = 0; i < n; i++) {
		*symbols[i].at = dlsym(lib, symbols[i].name);
		if (*symbols[i].at == NULL) {
			(void)dlclose(lib);
			return (err_set(err, ERR_TEMP, "4.3.5", "%s has no %s", sonames[0], symbols[i].name));
		}
	}
	return (0);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz target over the files and directories named on the command line,
 * each input in a heap block of exactly its size; used where libFuzzer is not.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long ninputs;

static int
run_file(const char *path, off_t size)
{
	uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL || data == NULL) {
		perror(path);
		return (-1);
	}
	n = fread(data, 1, (size_t)size, f);
	(void)fclose(f);
	/* An exact block, so that reading past the end is seen. */
	uint8_t *exact = realloc(data, n > 0 ? n : 1);
	(void)LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	ninputs++;
	return (0);
}

static int
run_path(const char *path)
{
	struct stat st;
	struct dirent **names;
	int n, rc = 0;

	if (stat(path, &st) == -1) {
		perror(path);
		return (-1);
	}
	if (!S_ISDIR(st.st_mode))
		return (run_file(path, st.st_size));
	n = scandir(path, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char sub[4096];

		if (names[i]->d_name[0] != '.') {
			(void)snprintf(sub, sizeof(sub), "%s/%s", path, names[i]->d_name);
			if (run_path(sub) == -1)
				rc = -1;
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return (rc);
}

int
main(int argc, char **argv)
{
	int rc = 0;

	for (int i = 1; i < argc; i++)
		if (run_path(argv[i]) == -1)
			rc = 1;
	printf("%lu inputs\n", ninputs);
	return (ninputs == 0 ? 1 : rc);
}

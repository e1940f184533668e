/* SPDX-License-Identifier: BSD-2-Clause */
/* A look is as fresh as stat(2) for whoever says when it must be, in whatever way the file changed. */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/watch.h"

static char dir[64], path[128], other[128];
static struct os_watch *w;
static unsigned stats;

/* How often the system was asked. */
int
stat(const char *p, struct stat *st)
{
	stats++;
	return (fstatat(AT_FDCWD, p, st, 0));
}

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test-watch.XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/aliases", dir);
	(void)snprintf(other, sizeof(other), "%s/aliases.new", dir);
	w = os_watch_open(dir);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	os_watch_close(&w);
	(void)unlink(path);
	(void)unlink(other);
	return (rmdir(dir));
}

static void
put(const char *p, const char *text)
{
	int fd = open(p, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
}

static off_t
look(void)
{
	struct stat st;

	os_watch_expire(w);
	return (os_watch_stat(w, path, &st) == -1 ? -errno : st.st_size);
}

static void
each_change(void **state)
{
	int fd;

	(void)state;
	for (int i = 0; i < 50; i++) {
		assert_int_equal(look(), -ENOENT);
		assert_int_equal(look(), -ENOENT);
		put(path, "one");
		assert_int_equal(look(), 3);
		assert_int_equal(look(), 3);
		put(other, "four");
		assert_int_equal(rename(other, path), 0);
		assert_int_equal(look(), 4);
		fd = open(path, O_WRONLY | O_APPEND);
		assert_int_equal(write(fd, "56", 2), 2);
		assert_int_equal(look(), 6);
		assert_int_equal(ftruncate(fd, 1), 0);
		(void)close(fd);
		assert_int_equal(look(), 1);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(look(), -ENOENT);
	}
}

/* What did not change is not looked at, whoever else's file there did. */
static void
not_looked_at(void **state)
{
	(void)state;
	put(path, "one");
	assert_int_equal(look(), 3);
	stats = 0;
	for (int i = 0; i < 100; i++)
		assert_int_equal(look(), 3);
	put(other, "x");
	assert_int_equal(look(), 3);
	assert_true(stats <= 2);	/* a second may have passed */
}

/* A change by a name that is not in the directory is seen all the same. */
static void
links(void **state)
{
	char target[128];

	(void)state;
	(void)snprintf(target, sizeof(target), "%s.target", dir);
	put(target, "one");
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(look(), 3);
	put(target, "three");
	assert_int_equal(look(), 5);
	assert_int_equal(unlink(target), 0);
	assert_int_equal(look(), -ENOENT);
	put(target, "back");
	assert_int_equal(look(), 4);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(link(target, path), 0);
	assert_int_equal(look(), 4);
	put(target, "longer");
	assert_int_equal(look(), 6);
	(void)unlink(target);
}

/* The directory itself is moved away and another takes its place. */
static void
moved(void **state)
{
	char away[128], old[160];

	(void)state;
	put(path, "one");
	assert_int_equal(look(), 3);
	(void)snprintf(away, sizeof(away), "%s.away", dir);
	assert_int_equal(rename(dir, away), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	put(path, "other");
	assert_int_equal(look(), 5);
	put(path, "third!");
	assert_int_equal(look(), 6);
	(void)snprintf(old, sizeof(old), "%s/aliases", away);
	(void)unlink(old);
	(void)rmdir(away);
}

/* ---- directories below ---- */

static char home[96], file[128];

static int
setup_below(void **state)
{
	(void)setup(state);
	(void)snprintf(home, sizeof(home), "%s/ann", dir);
	(void)snprintf(file, sizeof(file), "%s/.forward", home);
	assert_int_equal(mkdir(home, 0755), 0);
	os_watch_close(&w);
	w = os_watch_open("/nonexistent");
	os_watch_below(w, dir);
	return (0);
}

static int
teardown_below(void **state)
{
	(void)unlink(file);
	(void)rmdir(home);
	(void)unlink(home);
	return (teardown(state));
}

static off_t
look_below(void)
{
	struct stat st;

	os_watch_expire(w);
	return (os_watch_stat(w, file, &st) == -1 ? -errno : st.st_size);
}

static mode_t
mode_of_home(void)
{
	struct stat st;

	os_watch_expire(w);
	return (os_watch_stat(w, home, &st) == -1 ? 0 : st.st_mode & 0777);
}

static void
below(void **state)
{
	struct stat before, after;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(look_below(), -ENOENT);
		put(file, "one");
		assert_int_equal(look_below(), 3);
		assert_int_equal(chmod(home, 0750), 0);
		assert_int_equal(mode_of_home(), 0750);
		assert_int_equal(chmod(home, 0755), 0);
		assert_int_equal(mode_of_home(), 0755);
		assert_int_equal(unlink(file), 0);
		assert_int_equal(look_below(), -ENOENT);
	}
	/* A change in it is one of the directory. */
	os_watch_expire(w);
	assert_int_equal(os_watch_stat(w, home, &before), 0);
	put(file, "one");
	os_watch_expire(w);
	assert_int_equal(os_watch_stat(w, home, &after), 0);
	assert_true(after.st_mtim.tv_nsec != before.st_mtim.tv_nsec || after.st_mtim.tv_sec != before.st_mtim.tv_sec);
	assert_int_equal(look_below(), 3);
	stats = 0;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(look_below(), 3);
		assert_int_equal(mode_of_home(), 0755);
	}
	assert_true(stats <= 4);	/* a second may have passed */
}

/* It goes, comes back, is another, is a link. */
static void
below_replaced(void **state)
{
	char away[128], old[160];

	(void)state;
	(void)snprintf(away, sizeof(away), "%s.away", dir);
	(void)snprintf(old, sizeof(old), "%s/.forward", away);
	put(file, "one");
	assert_int_equal(look_below(), 3);
	assert_int_equal(mode_of_home(), 0755);
	assert_int_equal(rename(home, away), 0);
	assert_int_equal(look_below(), -ENOENT);
	assert_int_equal(mode_of_home(), 0);
	assert_int_equal(mkdir(home, 0700), 0);
	assert_int_equal(mode_of_home(), 0700);
	put(file, "five!");
	assert_int_equal(look_below(), 5);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(home), 0);
	assert_int_equal(symlink(away, home), 0);
	assert_int_equal(look_below(), 3);
	assert_int_equal(unlink(old), 0);
	assert_int_equal(look_below(), -ENOENT);
	assert_int_equal(rmdir(away), 0);
	assert_int_equal(mode_of_home(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_change, setup, teardown),
		cmocka_unit_test_setup_teardown(not_looked_at, setup, teardown),
		cmocka_unit_test_setup_teardown(links, setup, teardown),
		cmocka_unit_test_setup_teardown(moved, setup, teardown),
		cmocka_unit_test_setup_teardown(below, setup_below, teardown_below),
		cmocka_unit_test_setup_teardown(below_replaced, setup_below, teardown_below),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}

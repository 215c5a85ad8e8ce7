/*
 * Slurm's own hostlists, timed as bench/src/main.rs times the others.
 *
 * libslurm PATH WHO: PATH is Slurm's library (libslurmfull.so, or libslurm.so of libslurm-dev), opened at run time, so
 * that one driver does for every release. The texts are the files of $TEXTS. Slurm wants a slurm.conf: $SLURM_CONF.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 3 };

typedef void *hostlist_t;

static hostlist_t (*create)(const char *);
static void (*destroy)(hostlist_t);
static int (*count)(hostlist_t);
static void *(*iterator_create)(hostlist_t);
static void (*iterator_destroy)(void *);
static char *(*next)(void *);
static void (*uniq)(hostlist_t);
static char *(*ranged_string)(hostlist_t);
static int (*delete_hosts)(hostlist_t, const char *);
static const char *who;

static void *symbol(void *library, const char *name)
{
	void *found = dlsym(library, name);
	if (!found) {
		fprintf(stderr, "libslurm: %s\n", dlerror());
		exit(1);
	}
	return found;
}

static char *text(const char *name)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", getenv("TEXTS"), name);
	FILE *file = fopen(path, "r");
	if (!file) {
		perror(path);
		exit(1);
	}
	fseek(file, 0, SEEK_END);
	size_t size = ftell(file);
	rewind(file);
	char *all = calloc(size + 1, 1);
	if (fread(all, 1, size, file) != size)
		exit(1);
	fclose(file);
	return all;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static long sum_of(hostlist_t list)
{
	long sum = 0;
	void *names = iterator_create(list);
	for (char *name; (name = next(names)); free(name))
		sum += strlen(name);
	iterator_destroy(names);
	return sum;
}

static long fragments(void)
{
	static char *one;
	if (!one)
		one = text("fragments");
	hostlist_t list = create(one);
	long sum = sum_of(list);
	destroy(list);
	return sum;
}

static long suffix(void)
{
	hostlist_t list = create("n[1-65536]-ib");
	if (!list)
		return -1;
	long sum = sum_of(list);
	destroy(list);
	return sum;
}

static hostlist_t million;

static long stream(void)
{
	return sum_of(million);
}

static long fold(void)
{
	static char *one;
	if (!one)
		one = text("fold-100k");
	hostlist_t list = create(one);
	uniq(list);
	/* Freed by nobody: how differs from release to release. */
	char *folded = ranged_string(list);
	long names = folded ? count(list) : -1;
	destroy(list);
	return names;
}

static long difference(void)
{
	static char *low, *high;
	if (!low) {
		low = text("low");
		high = text("high");
	}
	hostlist_t list = create(low);
	delete_hosts(list, high);
	long names = count(list);
	destroy(list);
	return names;
}

static void run(const char *name, double per, long (*work)(void))
{
	double least = 1e18;
	long answer = 0;
	for (int i = 0; i < ROUNDS; i++) {
		double start = now();
		answer = work();
		double took = now() - start;
		if (took < least)
			least = took;
	}
	/* It does not read such a text. */
	if (answer >= 0)
		printf("%s\t%s\t%.3f\t%ld\n", name, who, least / per, answer);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc != 3 || !getenv("TEXTS")) {
		fprintf(stderr, "usage: TEXTS=FOLDER SLURM_CONF=FILE libslurm PATH WHO\n");
		return 2;
	}
	void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
	if (!library) {
		fprintf(stderr, "libslurm: %s\n", dlerror());
		return 1;
	}
	who = argv[2];
	create = symbol(library, "slurm_hostlist_create");
	destroy = symbol(library, "slurm_hostlist_destroy");
	count = symbol(library, "slurm_hostlist_count");
	iterator_create = symbol(library, "slurm_hostlist_iterator_create");
	iterator_destroy = symbol(library, "slurm_hostlist_iterator_destroy");
	next = symbol(library, "slurm_hostlist_next");
	uniq = symbol(library, "slurm_hostlist_uniq");
	ranged_string = symbol(library, "slurm_hostlist_ranged_string_xmalloc");
	delete_hosts = symbol(library, "slurm_hostlist_delete");
	million = create(text("million"));
	run("stream-1M", 1e6, stream);
	run("fragments-10k", 1e4, fragments);
	run("suffix-65536", 65536, suffix);
	run("fold-100k", 1e5, fold);
	run("difference-contiguous-100k", 1, difference);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * confine - see confine.h.
 *
 * landlock is asked for every file right that this kernel's ABI knows; what is not granted
 * by a rule is then denied, new files and folders included.
 */
#include "config.h"

#include "base/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Who to be where the configured user does not exist (the default one, before a package made it).
 */
#define CONFINE_FALLBACK "nobody"

/* Rights by ABI; headers older than the kernel lack the newer names. */
#define FS_ABI1 ((1ULL << 13) - 1)
#define FS_ABI2 (1ULL << 13) /* refer */
#define FS_ABI3 (1ULL << 14) /* truncate */

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_FILE                                                         \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
	 LANDLOCK_ACCESS_FS_EXECUTE | FS_ABI3)
#define FS_WRITE                                                                    \
	(FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |                \
	 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK | FS_ABI3)

int confine_find_user(const char *user, uid_t *uid_out, gid_t *gid_out)
{
	struct passwd *pw;

	*uid_out = 0;
	*gid_out = 0;
	if (!user || !user[0] || geteuid() != 0)
		return 0;
	errno = 0;
	pw = getpwnam(user);
	if (!pw)
		pw = getpwnam(CONFINE_FALLBACK);
	if (!pw)
		return ERR_NOT_FOUND;
	*uid_out = pw->pw_uid;
	*gid_out = pw->pw_gid;
	return 0;
}

static int confine_user(const char *user, struct err_msg *msg)
{
	uid_t uid;
	gid_t gid;

	if (confine_find_user(user, &uid, &gid))
		return err_msg_set(msg, ERR_NOT_FOUND, "user %s does not exist", user);
	if (uid == 0)
		return 0;
	if (setgroups(0, NULL) == -1 || setresgid(gid, gid, gid) == -1 ||
	    setresuid(uid, uid, uid) == -1)
		return err_msg_set(msg, ERR_IO, "cannot become user %s: %s", user, strerror(errno));
	if (setuid(0) != -1)
		return err_msg_set(msg, ERR_IO, "user %s could become root again", user);
	return 0;
}

static int landlock_allow(int ruleset, const char *path, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = rights };
	struct stat st;
	int rc = 0;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd == -1)
		return 0;
	if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed_access &= FS_FILE;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == -1)
		rc = ERR_IO;
	close(rule.parent_fd);
	return rc;
}

static int confine_files(const struct confine *c, bool *landlock_out, struct err_msg *msg)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = FS_ABI1 };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	uint64_t exec = c->executes ? LANDLOCK_ACCESS_FS_EXECUTE : 0;
	int ruleset, rc = 0;
	size_t i;

	if (abi < 1)
		return 0; /* no landlock in this kernel */
	if (abi >= 2)
		attr.handled_access_fs |= FS_ABI2;
	if (abi >= 3)
		attr.handled_access_fs |= FS_ABI3;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset == -1)
		return err_msg_set(msg, ERR_IO, "landlock: %s", strerror(errno));
	for (i = 0; !rc && c->read_paths && c->read_paths[i]; i++)
		rc = landlock_allow(ruleset, c->read_paths[i],
				    (FS_READ | exec) & attr.handled_access_fs);
	for (i = 0; !rc && c->write_paths && c->write_paths[i]; i++)
		rc = landlock_allow(ruleset, c->write_paths[i], FS_WRITE & attr.handled_access_fs);
	if (!rc && syscall(SYS_landlock_restrict_self, ruleset, 0) == -1)
		rc = ERR_IO;
	if (rc)
		err_msg_set(msg, rc, "landlock: %s", strerror(errno));
	else if (landlock_out)
		*landlock_out = true;
	close(ruleset);
	return rc;
}

int confine_apply(const struct confine *c, bool *landlock_out, struct err_msg *msg)
{
	int rc;

	if (landlock_out)
		*landlock_out = false;
	rc = confine_user(c->user, msg);
	if (rc)
		return rc;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		return err_msg_set(msg, ERR_IO, "prctl: %s", strerror(errno));
	return confine_files(c, landlock_out, msg);
}

/* Whole CPUs of "150000 100000"; 0: "max 100000", or no such file. */
static unsigned quota_read(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned long long quota, period;
	unsigned cpus = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%llu %llu", &quota, &period) == 2 && period)
		cpus = (unsigned)((quota + period - 1) / period);
	fclose(f);
	return cpus;
}

/* Appends this process's cgroup of version 2 ("0::/system.slice/inset.service") to path. */
static void group_append(const char *self, char *path, size_t size)
{
	FILE *f = fopen(self, "re");
	size_t len = strlen(path);
	char line[PATH_MAX];

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::/", 4) == 0)
			snprintf(path + len, size - len, "%s", line + 3);
	}
	fclose(f);
}

unsigned confine_quota(const char *self, const char *groups)
{
	char path[2 * PATH_MAX];
	size_t root = strlen(groups), len;
	unsigned least = 0;

	snprintf(path, sizeof(path), "%s", groups);
	group_append(self, path, PATH_MAX);
	for (len = strlen(path); len >= root; len--) {
		unsigned cpus;

		if (path[len] != '/' && path[len] != '\0')
			continue;
		snprintf(path + len, sizeof(path) - len, "/cpu.max");
		cpus = quota_read(path);
		if (cpus && (!least || cpus < least))
			least = cpus;
	}
	return least;
}

unsigned confine_cpus(void)
{
	unsigned quota = confine_quota("/proc/self/cgroup", "/sys/fs/cgroup");
	unsigned cpus = 1;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		cpus = MAX_OF((unsigned)CPU_COUNT(&set), 1u);
	return quota ? MIN_OF(cpus, quota) : cpus;
}

/* SPDX-License-Identifier: MIT */
/*
 * statedir - see statedir.h.
 */
#include "config.h"

#include "master/statedir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/confine.h"
#include "conf/secret.h"

static int make_folder(const char *path, mode_t mode, struct err_msg *msg)
{
	if (mkdir(path, mode) == 0 || errno == EEXIST)
		return 0;
	return err_msg_set(msg, ERR_IO, "cannot make the folder \"%.200s\": %s", path,
			   strerror(errno));
}

static int make_box_folder(const struct conf *conf, struct err_msg *msg)
{
	char path[256];
	uid_t uid;
	gid_t gid;
	int rc;

	snprintf(path, sizeof(path), "%s/box", conf->state_dir);
	rc = make_folder(path, 0700, msg);
	if (rc)
		return rc;
	if (confine_find_user(conf->box_user, &uid, &gid) == 0 && uid &&
	    chown(path, uid, gid) == -1)
		return err_msg_set(msg, ERR_IO, "cannot give the folder \"%.200s\" to %s: %s", path,
				   conf->box_user, strerror(errno));
	return 0;
}

int statedir_prepare(struct conf *conf, struct err_msg *msg)
{
	char path[256];
	int rc;

	if (!conf->upload.public_url[0])
		return 0;
	if (conf->upload.key && !conf->upload.bind.n)
		return 0;
	rc = make_folder(conf->state_dir, 0755, msg);
	if (!rc && conf->upload.bind.n)
		rc = make_box_folder(conf, msg);
	if (rc || conf->upload.key)
		return rc;
	snprintf(path, sizeof(path), "%s/upload.key", conf->state_dir);
	return secret_make(path, &conf->upload.key, msg);
}

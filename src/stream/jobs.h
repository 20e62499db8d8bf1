/* SPDX-License-Identifier: MIT */
/*
 * jobs - the way to the media process and back.
 *
 * Sends the jobs of waiting units and finds the unit again when its result comes. A job is
 * known by a number that no other job of this process has had. Media away or busy: no job,
 * the unit goes on as it came.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>

#include "base/job.h"
#include "stream/fifo.h"

struct jobs;

/* A result, for an entry that still waits; it is forgotten already. */
typedef void (*jobs_result_fn)(struct fifo_entry *e, const struct job_result *r);
/* No answer will come for this entry: the channel is gone. */
typedef void (*jobs_lost_fn)(struct fifo_entry *e);

struct jobs *jobs_new(struct event_base *base, jobs_result_fn on_result,
		      jobs_lost_fn on_lost) MUSTCHECK;
void jobs_free(struct jobs **j);

/* Takes the channel to a media process; what the one before had not answered is lost. */
void jobs_set_channel(struct jobs *j, int fd);

/* Sends the job, under an id of its own; false: it could not be sent. */
bool jobs_start(struct jobs *j, struct fifo_entry *e, const struct job *job) MUSTCHECK;
/* Data to be kept; lost when the media process is away or busy. */
void jobs_keep(struct jobs *j, const struct job_keep *k);
/* Users were sent to this upload service (fetch.from); told again to each media process to come. */
void jobs_list(struct jobs *j, const char *origin);
/* The entry waits no more. Nothing happens if it has no job. */
void jobs_forget(struct jobs *j, struct fifo_entry *e);

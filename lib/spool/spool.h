/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The spool as a whole: its headers, and the states that a message passes through with
 * what a crash in each leaves.  "Crash" is a power cut: what was not synced is gone, all
 * of it or any part.  The death of processes alone loses nothing that was written.
 *
 *	state			what is on disk			a crash here leaves
 *	-----			---------------			-------------------
 *  1	segment being made	a temporary file, perhaps	nothing; temporary files of dead pids are removed
 *  2	segment named		an empty segment		an empty segment without a writer: removed
 *  3	record written		nothing certain			the client has no answer; the record, if it is whole, is
 *								delivered (at most once), else it ends the journal
 *  4	record synced		the message			the message, unanswered or answered: delivered
 *  5	sync failed		nothing behind the durable	the client got 4xx; the segment was cut to its durable
 *				offset				offset and gets no more records
 *  6	declared to vqueued	as 4				as 4; vqueued finds it again by itself
 *  7	in the store's index	message, delivery id, record	the store repairs the body from the segment, which is
 *				of the index			kept until 9; sent again it is known by its id
 *  8	barrier done		the body too			as 7
 *  9	done-entry (local)	perhaps the entry		without it: sent again, known by its id, not stored twice
 * 10	intent written		perhaps the entry		sent again; the log tells that it may arrive twice
 * 11	final dot answered	perhaps the done-entry		without it: sent again (RFC 5321 6.1); its sync is under
 *								way from the moment of the answer
 * 12	queue file written	a temporary file, perhaps	the segment's copy counts
 * 13	queue file named	queue file and segment		the queue file counts (its directory is synced before
 *								anything relies on it)
 * 14	copied entry synced	as 13				as 13; from here the queue file may be finished and
 *								removed without the segment's copy coming back
 * 15	report in queue/	report and original		the report names message and recipients: they count as
 *								reported
 * 16	failure noted, synced	as 15				the report is sent; the original does not fail again
 * 17	message finished	queue file removed, perhaps	a queue file that came back is delivered again: its local
 *								deliveries are known by id until 18
 * 18	removal synced		nothing				its delivery ids are dropped only now
 * 19	segment done with	segment and done-log		read again: every message is settled or known
 * 20	segment removed, synced	perhaps the done-log		a done-log without segment is removed
 * 21	done-log removed	nothing				its delivery ids are dropped, but for messages in queue/
 *
 * Damage.  Each record names the durable offset at its writing, and a finished segment is cut at its durable end: so what is
 * unreadable below that is known for lost, and what is unreadable above it for a record that was never whole.  Behind damage
 * reading goes on at the next header that bears the segment's nonce, and the segment is kept as NAME.damaged when
 * all else in it is done with.
 */
#ifndef VPOST_SPOOL_SPOOL_H
#define VPOST_SPOOL_SPOOL_H

#include "spool/client.h"
#include "spool/done.h"
#include "spool/envelope.h"
#include "spool/queuefile.h"
#include "spool/reader.h"
#include "spool/writer.h"

#endif

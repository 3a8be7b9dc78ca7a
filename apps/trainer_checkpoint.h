/* Checkpoints: all that a training is between two epochs, in one file, so that a training that was ended goes on to the
 * bytes that it would have come to. Internal.
 *
 * A checkpoint is a safetensors file: the network's parameters and buffers; "momentum.NAME" for each parameter that has
 * taken a step; and as metadata what tells this training from others (program, versions, precision, options, data),
 * where it is (run, epoch, step, the draws of random layers), what its epochs measured, and the checksum, without which
 * no checkpoint is read. */
#ifndef WEFT_TRAINER_CHECKPOINT_H
#define WEFT_TRAINER_CHECKPOINT_H

#include "apps/trainer_run.h"

/* Before the first run: finds out what tells this training from others and, with --resume, reads the checkpoint. Sets
 * session->past, and session->first_run to the run that is to go on. False with an error that names the difference if
 * the checkpoint is of another training, or if there is a file where a new one is to be that is not the checkpoint of a
 * training that is done. Nothing without --checkpoint. */
bool trainer_checkpoint_open(TrainerSession *session) WEFT_CHECKED;
/* Brings the first run, just opened, to where the checkpoint has it; nothing where there is nothing to resume. */
bool trainer_checkpoint_restore(TrainerRun *run, TrainerSession *session) WEFT_CHECKED;
/* After an epoch: a new version of the file, or an error and the earlier one. Nothing without --checkpoint. */
bool trainer_checkpoint_write(const TrainerRun *run, const TrainerSession *session) WEFT_CHECKED;
/* After nn_load failed: if the file is a checkpoint, the error becomes what it is for. */
void trainer_checkpoint_explain(const char *path);
void trainer_checkpoint_close(TrainerSession *session);

#endif

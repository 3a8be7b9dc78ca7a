/* --profile: what the time of a pass went into. Internal. */
#ifndef WEFT_TRAINER_PROFILE_H
#define WEFT_TRAINER_PROFILE_H

#include <stdio.h>

#include "autograd/observe.h"
#include "nn/nn.h"

/* An op of one layer, or something else that takes time. */
typedef struct ProfileRow {
    char name[96];                        /* "conv2d conv1" */
    int64_t calls;
    double forward, backward, neither;    /* seconds */
    double forward_flops, backward_flops; /* done in these */
} ProfileRow;

/* Zero-initialised it is empty. */
typedef struct Profile {
    OpObserver base;
    OpObserver *before;      /* who watched until the pass began */
    NamedTensors parameters; /* of the module that runs */
    ProfileRow *rows;
    int64_t count, capacity;
    double started, last;    /* when the pass began, and when its latest event was */
    double seconds;          /* of all passes, measured around them */
} Profile;

/* Begins and ends a pass of the module. All time between the two belongs to a row: each op's call, and each mark, has
 * what passed since the event before. Several passes add up. False with an error when memory is short. */
bool trainer_profile_start(Profile *profile, const Module *module) WEFT_CHECKED;
void trainer_profile_stop(Profile *profile);
/* The rows, those that took most first, and their sum. A name that makes a line longer than `columns` loses its
 * middle. Says so if nothing ran. */
void trainer_profile_print(Profile *profile, FILE *file, int columns);
/* Frees the rows; the profile is empty and usable again. */
void trainer_profile_free(Profile *profile);

#endif

/* --predict: what digits pictures show. Internal. */
#ifndef WEFT_TRAINER_PREDICT_H
#define WEFT_TRAINER_PREDICT_H

#include "apps/trainer_run.h"

/* Reads the pictures of the options and prints, on a terminal, what the network was shown and how likely each class is;
 * elsewhere a line of the likeliest class, the probability of each class, and the file's name, with tabs between. A
 * picture that cannot be read is reported on standard error, one line each, and the others still are predicted. False
 * if there was one, which the session then knows was reported, or with an error if the network could not be made. */
bool trainer_predict(TrainerSession *session) WEFT_CHECKED;

#endif

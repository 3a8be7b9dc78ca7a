/* What a training shows while it runs: a bar on a terminal, and a line for each epoch. Internal. */
#ifndef WEFT_TRAINER_PROGRESS_H
#define WEFT_TRAINER_PROGRESS_H

#include "apps/trainer.h"
#include "nn/commas.h"

/* Whoever trains sets the first part before each pass. */
typedef struct TrainerDisplay {
    int64_t run, runs, epoch, epochs; /* from 1 */
    bool testing;
    bool held_out; /* tests are on held-out training images */
    bool quiet;    /* show neither bar nor lines */
    /* What trainer_display_start found out about standard output. */
    bool terminal; /* a person reads it */
    bool redraws;  /* a terminal that can draw over what it shows */
    bool utf8, colour;
    /* For the time left: what a pass took in the latest epoch that had one. */
    double train_seconds, test_seconds;
    double drawn;  /* when the bar was drawn last; 0: none is to be seen */
    bool headed;   /* the names of the columns are out */
} TrainerDisplay;

/* Looks at standard output and the environment. */
void trainer_display_start(TrainerDisplay *display);
/* The width of the terminal at this moment: what the terminal says, else the environment's COLUMNS, else 80. */
int trainer_display_columns(void);
/* Redraws the bar, in one write, if that was not done in the last tenth of a second. */
void trainer_display_step(TrainerDisplay *display, const PassMetrics *so_far, int64_t step, int64_t steps);
/* Takes the bar away: before anything else is printed. */
void trainer_display_clear(TrainerDisplay *display);
/* The line of an epoch, as many of its columns as fit a terminal; of several runs each has one line in all, which is
 * not printed here. */
void trainer_display_epoch(TrainerDisplay *display, const EpochMetrics *epoch);
/* "12,345": the images a second of a pass; "0" where the clock has not moved. Returns text. */
char *trainer_rate_text(const PassMetrics *pass, char text[COMMAS_TEXT]);

#endif

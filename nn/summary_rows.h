/* The summary's rows, for who shows them in another way. Internal. */
#ifndef WEFT_SUMMARY_ROWS_H
#define WEFT_SUMMARY_ROWS_H

#include "nn/nn.h"

enum { SUMMARY_NAME = 80 };

/* A layer that was called. */
typedef struct SummaryRow {
    char name[SUMMARY_NAME];                /* "Conv2d-1" */
    char shape[SHAPE_TEXT];                 /* of its result, "[-1, 8, 26, 26]" */
    int64_t outputs, parameters, mult_adds; /* of one sample */
} SummaryRow;

typedef struct SummaryRows {
    SummaryRow *items;
    int64_t count, capacity;
} SummaryRows;

/* Runs the module as nn_summary does and adds its rows to the list, which is empty at first. Free the items with
 * weft_free, even if it failed: false with an error. */
bool nn_summary_rows(SummaryRows *rows, Module *module, Shape input) WEFT_CHECKED;

#endif

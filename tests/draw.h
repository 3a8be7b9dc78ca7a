/* Digits drawn with strokes, no font: examples for --predict, and its tests. */
#ifndef WEFT_TEST_DRAW_H
#define WEFT_TEST_DRAW_H

#include <stdbool.h>
#include <stdint.h>

enum { DRAW_WHITE = 255 };

typedef struct Drawing {
    int64_t height, width; /* of the picture, pixels */
    double left, top;      /* where the digit's box begins */
    double size;           /* the height of its box; the width is at most 0.7 of it */
    double thickness;      /* of the strokes, pixels */
    bool light;            /* light on dark */
    double shade, noise;   /* of a photo: how much darker it is on the right, and the deviation of pixels; of 1 */
} Drawing;

/* Draws the digit, 0 to 9, into pixels [height][width], 0 black to DRAW_WHITE white. */
void draw_digit(uint8_t *pixels, int digit, const Drawing *drawing);

#endif

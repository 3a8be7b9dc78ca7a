/* PNG images inside a page. Internal. */
#ifndef WEFT_REPORT_PNG_H
#define WEFT_REPORT_PNG_H

#include <stdint.h>
#include <stdio.h>

/* Writes "data:image/png;base64,..." of pixels [height][width][channels]; 1 channel: grey, 4: red, green, blue, alpha.
 * Nothing is compressed. PNG: W3C, third edition; its data: RFC 1950 and 1951; base64: RFC 4648. */
void report_png(FILE *file, const uint8_t *pixels, int64_t width, int64_t height, int channels);

#endif

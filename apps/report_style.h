/* The look of the report. Internal. */
#ifndef WEFT_REPORT_STYLE_H
#define WEFT_REPORT_STYLE_H

#include <stdio.h>

/* Writes the style sheets: of whatever has colours and of charts, which a page and an svg share; and of the page. */
void report_style_svg(FILE *file);
void report_style_page(FILE *file);
/* Begins an svg file of this size, with its style and its ground; ends with </svg>. */
void report_svg_begin(FILE *file, int width, int height);

#endif

/* Text of the report: what comes from outside goes through here on its way into the page. Internal. */
#ifndef WEFT_REPORT_TEXT_H
#define WEFT_REPORT_TEXT_H

#include <stdio.h>

/* Writes the text as HTML and XML show it: < > & " are escaped, and what no page may hold (control characters, bytes
 * that are not UTF-8) becomes U+FFFD. */
void report_escape(FILE *file, const char *text);
/* Writes a command line, escaped, as a shell takes it: quoted where that is needed. */
void report_command(FILE *file, int argc, char **argv);

#endif

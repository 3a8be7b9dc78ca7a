/* Draws ten digits, 0.pgm to 9.pgm, into a folder: of many sizes, dark on light and light on dark, bytes and text.
 *
 *     build/tests/digits FOLDER */
#include <stdio.h>
#include <stdlib.h>

#include "tests/draw.h"

enum { DIGITS = 10, SMALLEST = 48, STEP = 40 };

static bool write_pgm(const char *path, const uint8_t *pixels, const Drawing *drawing, bool plain)
{
    FILE *file = fopen(path, "wb");
    if (!file) return false;
    fprintf(file, "P%d\n# drawn by tests/digits.c\n%lld %lld\n%d\n", plain ? 2 : 5, (long long)drawing->width,
            (long long)drawing->height, DRAW_WHITE);
    for (int64_t i = 0; i < drawing->width * drawing->height; i++) {
        if (plain) fprintf(file, "%d%c", pixels[i], (i + 1) % drawing->width == 0 ? '\n' : ' ');
        else putc(pixels[i], file);
    }
    const bool ok = !ferror(file);
    return fclose(file) == 0 && ok;
}

/* Digit d is larger than the last, stands somewhere else, is light on dark if odd, and like a photo if below 5. */
static bool draw(const char *folder, int digit)
{
    const double size = SMALLEST + STEP * digit;
    const Drawing drawing = {.height = (int64_t)(size * 1.6), .width = (int64_t)(size * (1.2 + 0.1 * digit)),
                             .left = size * 0.05 * (2 + digit), .top = size * 0.05 * (12 - digit), .size = size,
                             .thickness = size * (digit % 3 == 0 ? 0.08 : 0.11), .light = digit % 2 == 1,
                             .shade = digit < DIGITS / 2 ? 0.2 : 0, .noise = digit < DIGITS / 2 ? 0.03 : 0};
    char path[4096];
    snprintf(path, sizeof path, "%s/%d.pgm", folder, digit);
    uint8_t *pixels = malloc((size_t)(drawing.width * drawing.height));
    if (!pixels) return false;
    draw_digit(pixels, digit, &drawing);
    const bool ok = write_pgm(path, pixels, &drawing, digit % 4 == 2);
    free(pixels);
    if (!ok) perror(path);
    return ok;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    for (int digit = 0; digit < DIGITS; digit++) {
        if (!draw(argv[1], digit)) return 1;
    }
    return 0;
}

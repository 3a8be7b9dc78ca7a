/* Printing as NumPy does: two walks over the cells find the form and the width that they share, a third prints them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/tensor.h"

/* NumPy's defaults. */
enum {
    FULL_PRINT = 1000, /* elements that are printed without leaving any out */
    EDGE = 3,          /* elements at each end of a dimension otherwise */
    DECIMALS = 8,      /* at most, in a cell */
    LINE = 75,         /* columns */
    DIGITS = 17,       /* that tell any double from its neighbours */
    TEXT = 64,         /* bytes that hold a number in any of these forms */
};
static const double LARGE = 1e8, LARGE_SCALAR = 1e16, SMALL = 1e-4, RATIO = 1000;

typedef struct Printer {
    FILE *file; /* NULL in the walks that print nothing */
    const Tensor *tensor;
    Shape shape;
    bool shorten;
    Real least, greatest; /* finite magnitudes beside 0; both 0 while there is none */
    bool exponent;        /* all cells as 1.5e+00 */
    int left, decimals, exponent_digits; /* the most of any cell; left of the point a sign counts */
    int special;                         /* the longest of nan, inf and -inf that occurs */
    int column, spaces; /* where the line is, and how many spaces of it are held back: a line does not end in any */
} Printer;

static Real read_back(const char *text)
{
    return sizeof(Real) == sizeof(float) ? (Real)strtof(text, NULL) : (Real)strtod(text, NULL);
}

/* Writes 1.25e+00 with that many decimals; true if this reads back as the value. Beside a power of two, where numbers
 * above lie further apart than below, the nearest text may not while the next above does. */
static bool write_exponent(Real value, int decimals, char text[TEXT])
{
    snprintf(text, TEXT, "%.*e", decimals, (double)value);
    char *last = strchr(text, 'e') - 1;
    if (read_back(text) != value && *last != '9') {
        ++*last;
        if (read_back(text) != value) --*last;
    }
    return read_back(text) == value;
}

/* Writes that with the fewest decimals that identify the value, or the most allowed without the zeros at their end.
 * Returns how many there are. */
static int write_shortest(Real value, int most, char text[TEXT])
{
    int decimals = 0;
    while (!write_exponent(value, decimals, text) && decimals < most) decimals++;
    while (decimals > 0 && *(strchr(text, 'e') - 1) == '0') write_exponent(value, --decimals, text);
    return decimals;
}

/* The same without an exponent, and always with a point: 12.5 or 12. (but nan, inf and -inf). A cell has the exact
 * digits before the point and at most DECIMALS behind it. Returns how many there are. */
static int write_positional(Real value, bool cell, char text[TEXT])
{
    if (!isfinite(value)) {
        snprintf(text, TEXT, "%g", isnan(value) ? (double)NAN : (double)value); /* no -nan */
        return 0;
    }
    int decimals = write_shortest(value, DIGITS - 1, text);
    decimals -= atoi(strchr(text, 'e') + 1);
    bool exact = cell && (decimals <= 0 || decimals > DECIMALS);
    if (exact && decimals > 0) decimals = DECIMALS;
    snprintf(text, TEXT, "%#.*f", decimals > 0 ? decimals : 0, exact ? (double)value : strtod(text, NULL));
    for (size_t end = strlen(text); text[end - 1] == '0'; end--) text[end - 1] = '\0';
    return (int)strlen(strchr(text, '.') + 1);
}

/* A tensor of rank 0 is as precise as it needs to be, and 1e8 is not too large to be written out. */
static void print_scalar(FILE *file, Real value)
{
    char text[TEXT];
    double magnitude = fabs((double)value);
    bool exponent = magnitude > 0 && (magnitude < SMALL || magnitude >= LARGE_SCALAR);
    if (exponent && isfinite(value)) write_shortest(value, DIGITS - 1, text);
    else write_positional(value, false, text);
    fprintf(file, "%s%s", text, text[strlen(text) - 1] == '.' ? "0" : "");
}

static void put(const Printer *p, int spaces, const char *text)
{
    if (p->file) fprintf(p->file, "%*s%s", spaces, "", text);
}

/* Prints a word with spaces before and after, on a new line if it would not fit on this one. */
static void put_word(Printer *p, int before, const char *word, int after)
{
    int rank = p->shape.rank, width = before + (int)strlen(word) + after;
    if (p->column > rank && p->column + width > LINE - rank) {
        put(p, 0, "\n");
        p->column = p->spaces = rank;
    }
    put(p, p->spaces + before, word);
    p->column += width;
    p->spaces = after;
}

/* What follows an element of that dimension: a space, or line breaks and the indentation of the next. */
static void put_separator(Printer *p, int dimension)
{
    int breaks = p->shape.rank - 1 - dimension;
    for (int k = 0; k < breaks; k++) put(p, 0, "\n");
    if (breaks > 0) p->column = p->spaces = dimension;
    p->column++;
    p->spaces++;
}

/* Calls visit for every element that is not left out, with brackets and separators around. */
static void walk(Printer *p, Shape index, int dimension, void (*visit)(Printer *, Real))
{
    if (dimension == p->shape.rank) {
        visit(p, (Real)tensor_get(p->tensor, index));
        return;
    }
    int64_t size = p->shape.size[dimension];
    put_word(p, 0, "[", 0);
    for (int64_t i = 0; i < size; i++) {
        if (i > 0) put_separator(p, dimension);
        if (i == EDGE && p->shorten && size > 2 * EDGE) {
            put_word(p, 0, "...", 0);
            put_separator(p, dimension);
            i = size - EDGE;
        }
        index.size[dimension] = i;
        walk(p, index, dimension + 1, visit);
    }
    put(p, p->spaces, "]");
    p->spaces = 0;
}

static void note_range(Printer *p, Real value)
{
    Real magnitude = value < 0 ? -value : value;
    if (!isfinite(value) || magnitude == 0) return;
    if (p->greatest == 0 || magnitude < p->least) p->least = magnitude;
    if (magnitude > p->greatest) p->greatest = magnitude;
}

static void grow(int *most, int length)
{
    if (length > *most) *most = length;
}

static void note_width(Printer *p, Real value)
{
    char text[TEXT];
    bool exponent = p->exponent && isfinite(value);
    grow(&p->decimals, exponent ? write_shortest(value, DECIMALS, text) : write_positional(value, true, text));
    grow(isfinite(value) ? &p->left : &p->special, (int)strcspn(text, ".e"));
    if (exponent) grow(&p->exponent_digits, (int)strlen(strchr(text, 'e') + strlen("e+")));
}

/* Points stand below each other; what has no point ends where the widest number ends. */
static void print_cell(Printer *p, Real value)
{
    char text[TEXT], cell[2 * TEXT];
    int right = 1 + p->decimals + (p->exponent ? (int)strlen("e+") + p->exponent_digits : 0);
    int width = p->left + right > p->special ? p->left + right : p->special;
    if (p->exponent && isfinite(value)) {
        write_exponent(value, p->decimals, text);
        int mantissa = (int)strcspn(text, "e");
        snprintf(cell, sizeof cell, "%.*s%se%+0*d", mantissa, text, p->decimals ? "" : ".", 1 + p->exponent_digits,
                 atoi(text + mantissa + 1));
    } else {
        write_positional(value, true, cell);
    }
    int before = width - (int)strcspn(cell, ".") - (isfinite(value) ? right : 0);
    put_word(p, before, cell, width - before - (int)strlen(cell));
}

bool tensor_print(FILE *file, const Tensor *t)
{
    if (!t) return false;
    if (!file) return weft_fail("tensor_print: no file");
    if (t == TENSOR_NONE) return weft_fail("tensor_print: no tensor");
    Printer p = {.tensor = t, .shape = tensor_shape(t), .shorten = tensor_count(t) > FULL_PRINT};
    Shape index = {.rank = p.shape.rank};
    if (index.rank == 0) {
        print_scalar(file, (Real)tensor_item(t));
    } else {
        walk(&p, index, 0, note_range);
        p.exponent = p.greatest >= LARGE || (p.greatest > 0 && (p.least < SMALL || p.greatest / p.least > RATIO));
        walk(&p, index, 0, note_width);
        p.file = file;
        p.column = 0;
        walk(&p, index, 0, print_cell);
    }
    fputc('\n', file);
    if (fflush(file) || ferror(file)) return weft_fail("tensor_print: the file cannot be written");
    return true;
}

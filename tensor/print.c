/* Printing as NumPy does. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/tensor.h"

enum {
    FULL_PRINT = 1000, /* elements that are printed without leaving any out */
    EDGE = 3,          /* elements at each end of a dimension otherwise */
    DECIMALS = 4,
    CELL = 40,
};

typedef struct Printer {
    FILE *file;
    const Tensor *tensor;
    Shape shape;
    bool shorten, exponent;
    int width;
} Printer;

static void cell_text(const Printer *p, double value, char text[CELL])
{
    if (isnan(value)) snprintf(text, CELL, "nan");
    else if (isinf(value)) snprintf(text, CELL, value < 0 ? "-inf" : "inf");
    else snprintf(text, CELL, p->exponent ? "%.*e" : "%.*f", DECIMALS, value);
}

/* Whether an index is left out, where a dimension is shortened to its ends. */
static bool is_left_out(const Printer *p, int64_t i, int64_t size)
{
    return p->shorten && size > 2 * EDGE && i >= EDGE && i < size - EDGE;
}

/* Calls visit for every element that is printed. */
static void each_cell(Printer *p, Shape index, int dimension, void (*visit)(Printer *, double))
{
    if (dimension == p->shape.rank) {
        visit(p, tensor_get(p->tensor, index));
        return;
    }
    for (int64_t i = 0; i < p->shape.size[dimension]; i++) {
        if (is_left_out(p, i, p->shape.size[dimension])) continue;
        index.size[dimension] = i;
        each_cell(p, index, dimension + 1, visit);
    }
}

/* Numbers too large or too small for a fixed number of decimals ask for exponents in all cells, as in NumPy. */
static void note_exponent(Printer *p, double value)
{
    double magnitude = fabs(value);
    if (isfinite(value) && (magnitude >= 1e8 || (magnitude > 0 && magnitude < 1e-4))) p->exponent = true;
}

static void note_width(Printer *p, double value)
{
    char text[CELL];
    cell_text(p, value, text);
    if ((int)strlen(text) > p->width) p->width = (int)strlen(text);
}

static void print_dimension(const Printer *p, Shape index, int dimension)
{
    if (dimension == p->shape.rank) {
        char text[CELL];
        cell_text(p, tensor_get(p->tensor, index), text);
        fprintf(p->file, "%*s", p->width, text);
        return;
    }
    bool last = dimension == p->shape.rank - 1;
    fputc('[', p->file);
    for (int64_t i = 0; i < p->shape.size[dimension]; i++) {
        bool left_out = is_left_out(p, i, p->shape.size[dimension]);
        if (left_out && i > EDGE) continue;
        if (i > 0 && last) fputc(' ', p->file);
        if (i > 0 && !last) {
            for (int k = dimension + 1; k < p->shape.rank; k++) fputc('\n', p->file);
            for (int k = 0; k <= dimension; k++) fputc(' ', p->file);
        }
        index.size[dimension] = i;
        if (left_out) fputs("...", p->file);
        else print_dimension(p, index, dimension + 1);
    }
    fputc(']', p->file);
}

bool tensor_print(FILE *file, const Tensor *t)
{
    if (!t || !file) return false;
    if (t == TENSOR_NONE) return weft_fail("tensor_print: no tensor");
    Printer p = {.file = file, .tensor = t, .shape = tensor_shape(t), .shorten = tensor_count(t) > FULL_PRINT};
    Shape index = {.rank = p.shape.rank};
    each_cell(&p, index, 0, note_exponent);
    each_cell(&p, index, 0, note_width);
    print_dimension(&p, index, 0);
    fputc('\n', file);
    if (ferror(file)) return weft_fail("tensor_print: the file cannot be written");
    return true;
}

#include "nn/summary.h"

#include <string.h>

#include "nn/commas.h"
#include "nn/modes.h"
#include "nn/observe.h"
#include "nn/summary_rows.h"
#include "tensor/memory.h"

/* Narrowest columns: with the spaces between them they fill a terminal of 80 characters. */
enum { NAME_WIDTH = 18, SHAPE_WIDTH = 22, COUNT_WIDTH = 12, SHARE_WIDTH = 8, MULT_ADDS_WIDTH = 14, SPACES = 5 };
static const double MEGABYTE = 1024 * 1024;

/* Collects rows while the module runs. */
typedef struct Summary {
    Observer observer;
    SummaryRows *rows;
    bool failed;
} Summary;

/* ---- Collecting ---- */

/* The number of elements in dimensions `first` and up. */
static int64_t elements_from(Shape shape, int first)
{
    int64_t count = 1;
    for (int i = first; i < shape.rank; i++) count *= shape.size[i];
    return count;
}

/* torchinfo's convention, which knows convolutions by their class name, counts every parameter called weight or bias
 * once a sample otherwise, and those of recurrent layers ("weight_ih_l0") once a time step.
 *
 * It takes dimension 0 for the batch. Given an input without one, [1, 28, 28], it takes channels for samples: so one
 * README comes to print 727.92 M for mnist_cnn, which has 37.35 M. */
static int64_t count_mult_adds(const Module *module, Shape output)
{
    bool convolution = strstr(module->type, "Conv") != NULL;
    int64_t total = 0;
    for (int64_t i = 0; i < module->parameters.count; i++) {
        const NamedTensor *named = &module->parameters.items[i];
        int64_t values = tensor_count(named->tensor);
        if (strcmp(named->name, "weight") == 0 || strcmp(named->name, "bias") == 0)
            total += values * (convolution ? elements_from(output, 2) : 1);
        else if (strstr(named->name, "weight") || strstr(named->name, "bias"))
            total += values * (output.rank > 1 ? output.size[1] : 1);
    }
    return total;
}

/* "[-1, 32, 26, 26]" */
static void batch_shape_text(Shape shape, char text[SHAPE_TEXT])
{
    if (shape.rank > 0) shape.size[0] = -1;
    shape_text(shape, text);
}

static void add_row(Observer *observer, const Module *module, const Tensor *x, const Tensor *y)
{
    (void)x;
    Summary *summary = (Summary *)observer;
    SummaryRows *rows = summary->rows;
    if (!weft_grow(&rows->items, &rows->capacity, rows->count + 1, sizeof *rows->items)) {
        summary->failed = true;
        return;
    }
    SummaryRow *row = &rows->items[rows->count++];
    Shape output = tensor_shape(y);
    snprintf(row->name, sizeof row->name, "%s-%lld", module->type, (long long)rows->count);
    batch_shape_text(output, row->shape);
    row->outputs = elements_from(output, 1);
    row->parameters = nn_parameter_count(module);
    row->mult_adds = count_mult_adds(module, output);
}

bool nn_summary_rows(SummaryRows *rows, Module *module, Shape input)
{
    Summary summary = {.observer = {add_row}, .rows = rows};
    Modes modes = {0};
    if (!nn_evaluation_begin(&modes, module, false)) return false;
    Observer *before = nn_observe(&summary.observer);
    Scope scope = scope_open();
    bool ok = nn_forward(module, tensor_zeros(input)) && !summary.failed;
    scope_close(scope);
    nn_observe(before);
    nn_evaluation_end(&modes, module);
    return ok;
}

/* ---- Printing ---- */

/* The page: where, and how wide its first columns are. */
typedef struct Table {
    FILE *file;
    int name_width, shape_width;
    int64_t parameters; /* of the whole module: what shares are of */
} Table;

static void print_rule(const Table *table, char c)
{
    int width = table->name_width + table->shape_width + COUNT_WIDTH + SHARE_WIDTH + MULT_ADDS_WIDTH + SPACES - 1;
    for (int i = 0; i < width; i++) fputc(c, table->file);
    fputc('\n', table->file);
}

static void print_cells(const Table *table, const char *name, const char *shape, const char *count, const char *share,
                        const char *mult_adds)
{
    fprintf(table->file, "%*s %*s %*s %*s %*s\n", table->name_width, name, table->shape_width, shape, COUNT_WIDTH,
            count, SHARE_WIDTH, share, MULT_ADDS_WIDTH, mult_adds);
}

static void print_row(const Table *table, const SummaryRow *row)
{
    char count[COMMAS_TEXT], mult_adds[COMMAS_TEXT], share[COMMAS_TEXT] = "--";
    if (row->parameters)
        snprintf(share, sizeof share, "%.2f%%", 100 * (double)row->parameters / (double)table->parameters);
    print_cells(table, row->name, row->shape, commas(row->parameters, count), share,
                row->mult_adds ? commas(row->mult_adds, mult_adds) : "--");
}

/* torchinfo's units: "Total mult-adds (M): 37.35". */
static void print_mult_adds(FILE *file, int64_t total)
{
    static const char *const units[] = {"", " (k)", " (M)", " (G)", " (T)"};
    double number = (double)total;
    int unit = 0;
    for (; number >= 1000 && unit < 4; unit++) number /= 1000;
    fprintf(file, unit ? "Total mult-adds%s: %.2f\n" : "Total mult-adds%s: %.0f\n", units[unit], number);
}

static int64_t count_trainable(const Module *module)
{
    int64_t count = 0;
    for (int64_t i = 0; i < module->parameters.count; i++) {
        const Tensor *t = module->parameters.items[i].tensor;
        if (tensor_requires_grad(t)) count += tensor_count(t);
    }
    for (int64_t i = 0; i < module->child_count; i++) count += count_trainable(module->children[i].module);
    return count;
}

/* Sizes in MB: the results count twice, with their gradients. */
static void print_sizes(FILE *file, int64_t inputs, int64_t outputs, int64_t parameters)
{
    double input = (double)inputs * sizeof(Real) / MEGABYTE, pass = 2 * (double)outputs * sizeof(Real) / MEGABYTE;
    double weights = (double)parameters * sizeof(Real) / MEGABYTE;
    fprintf(file, "Input size (MB): %.2f\n", input);
    fprintf(file, "Forward/backward pass size (MB): %.2f\n", pass);
    fprintf(file, "Params size (MB): %.2f\n", weights);
    fprintf(file, "Estimated Total Size (MB): %.2f\n", input + pass + weights);
}

static void print(FILE *file, const SummaryRows *rows, const Module *module, Shape input)
{
    char text[COMMAS_TEXT];
    int64_t outputs = 0, mult_adds = 0, parameters = nn_parameter_count(module), trainable = count_trainable(module);
    Table table = {file, NAME_WIDTH, SHAPE_WIDTH, parameters};
    for (int64_t i = 0; i < rows->count; i++) {
        const SummaryRow *row = &rows->items[i];
        if ((int)strlen(row->name) > table.name_width) table.name_width = (int)strlen(row->name);
        if ((int)strlen(row->shape) > table.shape_width) table.shape_width = (int)strlen(row->shape);
        outputs += row->outputs;
        mult_adds += row->mult_adds;
    }
    print_rule(&table, '-');
    print_cells(&table, "Layer (type)", "Output Shape", "Param #", "Param %", "Mult-adds");
    print_rule(&table, '=');
    for (int64_t i = 0; i < rows->count; i++) print_row(&table, &rows->items[i]);
    print_rule(&table, '=');
    fprintf(file, "Total params: %s\n", commas(parameters, text));
    fprintf(file, "Trainable params: %s\n", commas(trainable, text));
    fprintf(file, "Non-trainable params: %s\n", commas(parameters - trainable, text));
    print_mult_adds(file, mult_adds);
    print_rule(&table, '-');
    print_sizes(file, elements_from(input, 1), outputs, parameters);
    print_rule(&table, '-');
}

bool nn_summary(Module *module, Shape input, FILE *file)
{
    if (!module) return weft_fail("nn_summary: the module is NULL");
    if (!file) return weft_fail("nn_summary: the file is NULL");
    SummaryRows rows = {0};
    bool ok = nn_summary_rows(&rows, module, input);
    if (ok) {
        print(file, &rows, module, input);
        ok = fflush(file) == 0 && !ferror(file);
        if (!ok) weft_fail("nn_summary: cannot write the table");
    }
    weft_free(rows.items);
    return ok;
}

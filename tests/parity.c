/* What Weft computes, for tests/parity.py to compare with PyTorch:
 *
 *     parity ops                          of each case on standard input (a line in the notation of tests/cases.h) the
 *                                         result, batch norm's running statistics, and the gradients that are wanted
 *     parity train NETWORK STEPS BATCH    the loss of each step of SGD with momentum, weight decay and one cycle
 *
 * On standard output, a tensor is the number of its values and the values, row-major, as 64-bit integer and doubles. */
#include <stdio.h>

#include "autograd/ops.h"
#include "optim/optim.h"
#include "tests/cases.h"
#include "tests/networks.h"
#include "tests/test.h"

enum { LINE_BYTES = 1024, BATCHES = 5, IMAGE_STREAM = 300, LABEL_STREAM = 400 };
static const double peak_lr = 0.02, first_momentum = 0.9, weight_decay = 1e-4;

static bool write_values(const Real *values, int64_t count)
{
    bool ok = fwrite(&count, sizeof count, 1, stdout) == 1;
    for (int64_t i = 0; ok && i < count; i++) ok = fwrite(&(double){(double)values[i]}, sizeof(double), 1, stdout) == 1;
    return ok || weft_fail("parity: cannot write");
}

static bool write_tensor(const Tensor *t)
{
    int64_t count = tensor_count(t);
    Real *values = count ? malloc((size_t)count * sizeof *values) : NULL;
    bool ok = values && tensor_read(t, values, count) && write_values(values, count);
    free(values);
    return ok || weft_fail("parity: no tensor");
}

/* ---- One op ---- */

static bool run_case(const char *text)
{
    Case c;
    if (!case_parse(&c, text, 0)) return weft_fail("malformed case");
    Tensor *inputs[CASE_INPUTS];
    for (int i = 0; i < c.input_count; i++) inputs[i] = case_input(&c, i);
    Tensor *y = case_run(&c, inputs);
    bool ok = write_tensor(y);
    if (strcmp(c.op, "batch_norm2d") == 0 && inputs[3] != TENSOR_NONE)
        ok = ok && write_tensor(inputs[3]) && write_tensor(inputs[4]);
    if (!ok || !tensor_requires_grad(y)) return ok;
    ok = backward(y, .grad = case_output_grad(tensor_shape(y)));
    for (int i = 0; ok && i < c.input_count; i++)
        if (inputs[i] != TENSOR_NONE && tensor_requires_grad(inputs[i])) ok = write_tensor(tensor_grad(inputs[i]));
    return ok;
}

static bool run_cases(void)
{
    char line[LINE_BYTES];
    bool ok = true;
    while (ok && fgets(line, sizeof line, stdin)) {
        Scope scope = scope_open();
        ok = run_case(line);
        scope_close(scope);
        if (!ok) fprintf(stderr, "parity: %s", line);
    }
    return ok && fflush(stdout) == 0;
}

/* ---- A training ---- */

static bool train_steps(Module *model, Optimizer *sgd, double *losses, int64_t steps, int64_t batch)
{
    const Schedule schedule = {.kind = SCHEDULE_ONE_CYCLE, .lr = peak_lr, .total_steps = steps, .cycle_momentum = true};
    bool ok = true;
    for (int64_t step = 0; ok && step < steps; step++) {
        Scope scope = scope_open();
        const uint32_t turn = (uint32_t)(step % BATCHES);
        Tensor *loss = network_loss(model, batch, IMAGE_STREAM + turn, LABEL_STREAM + turn);
        ok = schedule_apply(&schedule, sgd, step) && backward(loss) && optimizer_step(sgd);
        losses[step] = tensor_item(loss);
        scope_close(scope);
    }
    return ok;
}

static bool run_training(Module *model, int64_t steps, int64_t batch)
{
    TensorList list = {0};
    bool ok = network_set_weights(model) && nn_parameters(model, &list);
    Optimizer *sgd = optimizer_sgd(&list, peak_lr, .momentum = first_momentum, .weight_decay = weight_decay);
    double *losses = malloc((size_t)steps * sizeof *losses);
    ok = ok && losses && train_steps(model, sgd, losses, steps, batch);
    ok = ok && fwrite(&steps, sizeof steps, 1, stdout) == 1 &&
         fwrite(losses, sizeof *losses, (size_t)steps, stdout) == (size_t)steps && fflush(stdout) == 0;
    free(losses);
    optimizer_free(sgd);
    tensor_list_free(&list);
    return ok;
}

int main(int argc, char **argv)
{
    bool ok = false;
    Scope scope = scope_open();
    if (argc == 2 && strcmp(argv[1], "ops") == 0) {
        ok = run_cases();
    } else if (argc == 5 && strcmp(argv[1], "train") == 0 && atoi(argv[3]) > 0) {
        Module *model = strcmp(argv[2], "cnn") == 0 ? network_cnn(0) : network_tiny(0);
        ok = run_training(model, atoi(argv[3]), atoi(argv[4]));
        nn_free(model);
    } else {
        weft_fail("usage: parity ops, or parity train cnn|tiny STEPS BATCH");
    }
    scope_close(scope);
    if (!ok) fprintf(stderr, "parity: %s\n", weft_error() ? weft_error() : "failed");
    return ok ? 0 : 1;
}

#include "nn/layers.h"

typedef struct BatchNorm2d {
    Module base;
    double momentum, eps;
    Tensor *weight, *bias, *running_mean, *running_var, *num_batches_tracked;
    int64_t batches; /* what num_batches_tracked was rounded from */
} BatchNorm2d;

static const double MOST_BATCHES = 0x1p62;

/* Adding 1 to a float stops at 2^24. So the module counts by itself, and goes on from any other count that was written
 * into the buffer. */
static void count_batch(BatchNorm2d *norm)
{
    double shown = tensor_item(norm->num_batches_tracked);
    if (shown != (double)(Real)norm->batches) norm->batches = shown >= 0 && shown < MOST_BATCHES ? (int64_t)shown : 0;
    norm->batches++;
    tensor_set(norm->num_batches_tracked, SCALAR, (double)norm->batches);
}

Tensor *nn_batch_norm2d_run(Module *self, Tensor *x, Module *dropout)
{
    BatchNorm2d *norm = (BatchNorm2d *)self;
    RandomKey key = {0};
    double p = dropout ? nn_dropout_next(dropout, &key) : 0;
    Tensor *y = op_batch_norm2d(x, norm->weight, norm->bias, norm->running_mean, norm->running_var,
                                .training = self->training, .momentum = norm->momentum, .eps = norm->eps,
                                .dropout = p, .key = key);
    if (!y) return NULL;
    if (self->training) count_batch(norm);
    if (p > 0) nn_dropout_happened(dropout);
    return y;
}

static Tensor *batch_norm2d_forward(Module *self, Tensor *x)
{
    return nn_batch_norm2d_run(self, x, NULL);
}

bool nn_is_batch_norm2d(const Module *module)
{
    return module->forward == batch_norm2d_forward;
}

Module *nn_batch_norm2d_with(BatchNorm2dLayer options)
{
    if (options.channels < 1)
        return weft_fail("nn_batch_norm2d: %lld channels: at least 1", (long long)options.channels);
    if (!(options.momentum >= 0 && options.momentum <= 1) || !(options.eps >= 0))
        return weft_fail("nn_batch_norm2d: momentum %g is from 0 to 1, eps %g at least 0", options.momentum,
                         options.eps);
    BatchNorm2d *norm = nn_module(BatchNorm2d, batch_norm2d_forward);
    if (!norm) return NULL;
    Module *base = &norm->base;
    Shape shape = SHAPE(options.channels);
    norm->momentum = options.momentum;
    norm->eps = options.eps;
    norm->weight = options.no_affine ? TENSOR_NONE : nn_add_parameter(base, "weight", shape);
    norm->bias = options.no_affine ? TENSOR_NONE : nn_add_parameter(base, "bias", shape);
    norm->running_mean = nn_add_buffer(base, "running_mean", shape);
    norm->running_var = nn_add_buffer(base, "running_var", shape);
    norm->num_batches_tracked = nn_add_counter(base, "num_batches_tracked");
    if (!options.no_affine && !nn_fill(norm->weight, 1)) base->failed = true;
    if (!nn_fill(norm->running_var, 1)) base->failed = true;
    return nn_ready(norm);
}

#include <math.h>

#include "autograd/node.h"
#include "autograd/onnx.h"
#include "autograd/ops.h"
#include "tensor/kernels/kernels.h"

/* Inputs of the losses over classes; of mse_loss, x and its target. */
enum { SCORES, LABELS, INPUTS };

typedef struct LossAttributes {
    double label_smoothing;
} LossAttributes;

/* ---- What all have in common ---- */

static LossShape shape_of(const Tensor *x)
{
    return (LossShape){layout_samples(x), layout_elements(x)};
}

/* Room for the samples' losses. */
static Tensor *new_losses(const Tensor *x)
{
    return layout_new(SHAPE(layout_samples(x)), LAYOUT_PLAIN);
}

/* The sum of the samples' losses divided by count, a scalar. */
static Tensor *mean_of(const Tensor *losses, int64_t count)
{
    Real sum;
    weft_kernels()->batch_sum(&sum, losses->storage->data, layout_samples(losses));
    return tensor_full(SCALAR, (double)(sum / (Real)count));
}

/* The gradient of one of `count` terms of a mean. */
static Real share_of(const Tensor *grad, int64_t count)
{
    return (Real)(tensor_item(grad) / (double)count);
}

/* ---- Losses over classes ---- */

static bool check_labels(const char *op, const Tensor *scores, const Tensor *labels)
{
    char a[SHAPE_TEXT], b[SHAPE_TEXT];
    if (scores->shape.rank != 2 || labels->shape.rank != 1 || labels->shape.size[0] != scores->shape.size[0])
        return weft_fail("%s: scores %s and labels %s are not [N, C] and [N]", op, shape_text(scores->shape, a),
                         shape_text(labels->shape, b));
    if (tensor_requires_grad(labels)) return weft_fail("%s: labels have no gradient", op);
    const int64_t classes = scores->shape.size[1];
    for (int64_t n = 0; n < labels->shape.size[0]; n++) {
        const double label = (double)labels->storage->data[n];
        if (!(label >= 0 && label < (double)classes && label == floor(label)))
            return weft_fail("%s: label %g of sample %lld is not a class from 0 to %lld", op, label, (long long)n,
                             (long long)(classes - 1));
    }
    return true;
}

static bool nll_loss_backward(const Node *node, Tensor *grad)
{
    Tensor *scores_grad = node_new_grad(node_input(node, SCORES));
    if (!scores_grad) return false;
    const LossShape shape = shape_of(scores_grad);
    weft_kernels()->nll_loss_grad(scores_grad->storage->data, node_input(node, LABELS)->storage->data,
                                  share_of(grad, shape.samples), &shape);
    return node_add_grad(node, SCORES, scores_grad);
}

static const Op nll_loss = {.name = "nll_loss", .backward = nll_loss_backward, .reads_inputs = 1u << LABELS};

Tensor *op_nll_loss(Tensor *log_probabilities, Tensor *labels)
{
    if (!log_probabilities || !labels || !check_labels("nll_loss", log_probabilities, labels)) return NULL;
    Tensor *scores = op_to_lanes(log_probabilities), *losses = scores ? new_losses(scores) : NULL;
    if (!losses) return NULL;
    const LossShape shape = shape_of(scores);
    weft_kernels()->nll_loss(losses->storage->data, scores->storage->data, labels->storage->data, &shape);
    Tensor *const inputs[INPUTS] = {[SCORES] = scores, [LABELS] = labels};
    return op_record(&nll_loss, mean_of(losses, shape.samples), inputs, INPUTS, NULL, 0);
}

static bool cross_entropy_backward(const Node *node, Tensor *grad)
{
    const LossAttributes *attributes = node_attributes(node);
    const Tensor *scores = node_input(node, SCORES);
    Tensor *scores_grad = node_new_grad(scores);
    if (!scores_grad) return false;
    const LossShape shape = shape_of(scores);
    weft_kernels()->cross_entropy_grad(scores_grad->storage->data, scores->storage->data,
                                       node_input(node, LABELS)->storage->data, (Real)attributes->label_smoothing,
                                       share_of(grad, shape.samples), &shape);
    return node_add_grad(node, SCORES, scores_grad);
}

static int cross_entropy_describe(const Node *node, Attribute *attributes)
{
    const LossAttributes *loss = node_attributes(node);
    attributes[0] = (Attribute){.name = "label_smoothing", .number = loss->label_smoothing};
    return 1;
}

static const Op cross_entropy = {.name = "cross_entropy",
                                 .backward = cross_entropy_backward,
                                 .describe = cross_entropy_describe,
                                 .reads_inputs = 1u << SCORES | 1u << LABELS};

Tensor *op_cross_entropy_with(CrossEntropyOptions o)
{
    if (!o.logits || !o.labels || !check_labels("cross_entropy", o.logits, o.labels)) return NULL;
    if (!(o.label_smoothing >= 0 && o.label_smoothing <= 1))
        return weft_fail("cross_entropy: label smoothing %g is not from 0 to 1", o.label_smoothing);
    Tensor *scores = op_to_lanes(o.logits), *losses = scores ? new_losses(scores) : NULL;
    if (!losses) return NULL;
    const LossShape shape = shape_of(scores);
    weft_kernels()->cross_entropy(losses->storage->data, scores->storage->data, o.labels->storage->data,
                                  (Real)o.label_smoothing, &shape);
    const LossAttributes attributes = {o.label_smoothing};
    Tensor *const inputs[INPUTS] = {[SCORES] = scores, [LABELS] = o.labels};
    return op_record(&cross_entropy, mean_of(losses, shape.samples), inputs, INPUTS, &attributes, sizeof attributes);
}

/* ---- Squared differences ---- */

static bool add_mse_grad(const Node *node, int i, double factor)
{
    if (!node_needs_grad(node, i)) return true;
    const Tensor *x = node_input(node, i), *other = node_input(node, 1 - i);
    Tensor *x_grad = node_new_grad(x);
    if (!x_grad) return false;
    const LossShape shape = shape_of(x);
    weft_kernels()->mse_loss_grad(x_grad->storage->data, x->storage->data, other->storage->data, (Real)factor, &shape);
    return node_add_grad(node, i, x_grad);
}

static bool mse_loss_backward(const Node *node, Tensor *grad)
{
    const double factor = 2 * tensor_item(grad) / (double)tensor_count(node_input(node, 0));
    return add_mse_grad(node, 0, factor) && add_mse_grad(node, 1, factor);
}

static OnnxValue *mse_loss_onnx(const OnnxCall *call)
{
    OnnxValue *difference = onnx_op_same(call, "Sub");
    OnnxValue *mean = onnx_op(call, "ReduceMean", onnx_op(call, "Mul", difference, difference)); /* over all axes */
    onnx_set_integer(mean, "keepdims", 0);
    return mean;
}

static const Op mse_loss = {
    .name = "mse_loss", .backward = mse_loss_backward, .onnx = mse_loss_onnx, .reads_inputs = 3};

Tensor *op_mse_loss(Tensor *x, Tensor *target)
{
    char a[SHAPE_TEXT], b[SHAPE_TEXT];
    if (!x || !target) return NULL;
    if (x == TENSOR_NONE || !shape_equal(x->shape, target->shape))
        return weft_fail("mse_loss: %s and %s differ", shape_text(x->shape, a), shape_text(target->shape, b));
    x = op_to_lanes(x);
    target = op_to_lanes(target);
    Tensor *losses = x && target ? new_losses(x) : NULL;
    if (!losses) return NULL;
    const LossShape shape = shape_of(x);
    weft_kernels()->mse_loss(losses->storage->data, x->storage->data, target->storage->data, &shape);
    return op_record(&mse_loss, mean_of(losses, tensor_count(x)), (Tensor *[]){x, target}, 2, NULL, 0);
}

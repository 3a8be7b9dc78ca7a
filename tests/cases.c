#include "tests/cases.h"

#include <stdio.h>

#include "autograd/ops.h"
#include "tests/test.h"

/* ---- Ops by name ---- */

static int64_t whole(const Case *c, const char *option)
{
    return (int64_t)case_number(c, option, 0);
}

static bool read_shape(Shape *shape, const char **text, int64_t n)
{
    *shape = SCALAR;
    if (strncmp(*text, "scalar", strlen("scalar")) == 0) {
        *text += strlen("scalar");
        return true;
    }
    for (;; (*text)++) {
        char *end = (char *)*text + 1;
        int64_t size = **text == 'N' ? n : strtoll(*text, &end, 10);
        if (end == *text || shape->rank == TENSOR_MAX_RANK) return false;
        shape->size[shape->rank++] = size;
        *text = end;
        if (*end != 'x') return true;
    }
}

static Tensor *run_add_scalar(const Case *c, Tensor *const *in)
{
    return op_add_scalar(in[0], case_number(c, "s", 0));
}

static Tensor *run_sub_scalar(const Case *c, Tensor *const *in)
{
    return op_sub_scalar(in[0], case_number(c, "s", 0));
}

static Tensor *run_mul_scalar(const Case *c, Tensor *const *in)
{
    return op_mul_scalar(in[0], case_number(c, "s", 0));
}

static Tensor *run_div_scalar(const Case *c, Tensor *const *in)
{
    return op_div_scalar(in[0], case_number(c, "s", 0));
}

static Tensor *run_leaky_relu(const Case *c, Tensor *const *in)
{
    return op_leaky_relu(in[0], case_number(c, "slope", 0));
}

/* dims=0,2 names dimensions 0 and 2. */
static ReduceOptions reduce_options(const Case *c, Tensor *x)
{
    ReduceOptions options = {.x = x, .keep = whole(c, "keep") != 0};
    for (const char *digit = case_option(c, "dims"); digit && *digit; digit++)
        if (*digit != ',') options.dims |= DIM(*digit - '0');
    return options;
}

static Tensor *run_sum(const Case *c, Tensor *const *in)
{
    return op_sum_with(reduce_options(c, in[0]));
}

static Tensor *run_mean(const Case *c, Tensor *const *in)
{
    return op_mean_with(reduce_options(c, in[0]));
}

static Tensor *run_reshape(const Case *c, Tensor *const *in)
{
    Shape shape;
    const char *to = case_option(c, "to");
    int64_t n = tensor_size(in[0], 0);
    return to && read_shape(&shape, &to, n) ? op_reshape(in[0], shape) : weft_fail("case: reshape needs to=SHAPE");
}

static Tensor *run_transpose(const Case *c, Tensor *const *in)
{
    return op_transpose(in[0], (int)whole(c, "a"), (int)whole(c, "b"));
}

static Tensor *run_concat(const Case *c, Tensor *const *in)
{
    return op_concat(in, c->input_count, (int)whole(c, "dim"));
}

static Tensor *run_narrow(const Case *c, Tensor *const *in)
{
    return op_narrow(in[0], (int)whole(c, "dim"), whole(c, "start"), whole(c, "length"));
}

static Tensor *run_linear(const Case *c, Tensor *const *in)
{
    return op_linear(in[0], in[1], in[2], .relu = whole(c, "relu") != 0);
}

static Tensor *run_conv2d(const Case *c, Tensor *const *in)
{
    return op_conv2d(in[0], in[1], in[2], .stride = whole(c, "stride"), .padding = whole(c, "padding"),
                     .dilation = whole(c, "dilation"), .groups = whole(c, "groups"), .relu = whole(c, "relu") != 0,
                     .statistics = whole(c, "statistics") != 0, .max_pool = whole(c, "max_pool"));
}

static Tensor *run_max_pool2d(const Case *c, Tensor *const *in)
{
    return op_max_pool2d(in[0], whole(c, "kernel"), whole(c, "stride"), whole(c, "padding"));
}

static Tensor *run_avg_pool2d(const Case *c, Tensor *const *in)
{
    return op_avg_pool2d(in[0], whole(c, "kernel"), whole(c, "stride"), whole(c, "padding"));
}

static RandomKey fixed_key(const Case *c)
{
    return (RandomKey){.seed = (uint64_t)case_number(c, "seed", 1), .stream = 7};
}

static Tensor *run_batch_norm2d(const Case *c, Tensor *const *in)
{
    return op_batch_norm2d(in[0], in[1], in[2], in[3], in[4], .training = whole(c, "training") != 0,
                           .momentum = case_number(c, "momentum", 0), .eps = case_number(c, "eps", 0),
                           .dropout = case_number(c, "dropout", 0), .key = fixed_key(c));
}

static Tensor *run_dropout(const Case *c, Tensor *const *in)
{
    return op_dropout(in[0], case_number(c, "p", 0), fixed_key(c));
}

static Tensor *run_softmax(const Case *c, Tensor *const *in)
{
    return op_softmax(in[0], (int)whole(c, "dim"));
}

static Tensor *run_log_softmax(const Case *c, Tensor *const *in)
{
    return op_log_softmax(in[0], (int)whole(c, "dim"));
}

static Tensor *run_cross_entropy(const Case *c, Tensor *const *in)
{
    return op_cross_entropy(in[0], in[1], .label_smoothing = case_number(c, "label_smoothing", 0));
}

static Tensor *run_argmax(const Case *c, Tensor *const *in)
{
    return op_argmax(in[0], (int)whole(c, "dim"));
}

typedef struct CaseOp {
    const char *name;
    Tensor *(*one)(Tensor *);
    Tensor *(*two)(Tensor *, Tensor *);
    Tensor *(*any)(const Case *, Tensor *const *);
} CaseOp;

static const CaseOp ops[] = {
    {"add", .two = op_add},
    {"sub", .two = op_sub},
    {"mul", .two = op_mul},
    {"div", .two = op_div},
    {"add_scalar", .any = run_add_scalar},
    {"sub_scalar", .any = run_sub_scalar},
    {"mul_scalar", .any = run_mul_scalar},
    {"div_scalar", .any = run_div_scalar},
    {"neg", .one = op_neg},
    {"exp", .one = op_exp},
    {"log", .one = op_log},
    {"sqrt", .one = op_sqrt},
    {"square", .one = op_square},
    {"abs", .one = op_abs},
    {"tanh", .one = op_tanh},
    {"sigmoid", .one = op_sigmoid},
    {"relu", .one = op_relu},
    {"leaky_relu", .any = run_leaky_relu},
    {"sum", .any = run_sum},
    {"mean", .any = run_mean},
    {"reshape", .any = run_reshape},
    {"flatten", .one = op_flatten},
    {"transpose", .any = run_transpose},
    {"concat", .any = run_concat},
    {"narrow", .any = run_narrow},
    {"matmul", .two = op_matmul},
    {"linear", .any = run_linear},
    {"conv2d", .any = run_conv2d},
    {"max_pool2d", .any = run_max_pool2d},
    {"avg_pool2d", .any = run_avg_pool2d},
    {"global_avg_pool2d", .one = op_global_avg_pool2d},
    {"batch_norm2d", .any = run_batch_norm2d},
    {"dropout", .any = run_dropout},
    {"softmax", .any = run_softmax},
    {"log_softmax", .any = run_log_softmax},
    {"nll_loss", .two = op_nll_loss},
    {"cross_entropy", .any = run_cross_entropy},
    {"mse_loss", .two = op_mse_loss},
    {"argmax", .any = run_argmax},
};

static const CaseOp *find_op(const char *name)
{
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(ops[i].name, name) == 0) return &ops[i];
    return NULL;
}

Tensor *case_run(const Case *c, Tensor *const *inputs)
{
    const CaseOp *op = find_op(c->op);
    if (op->one) return op->one(inputs[0]);
    if (op->two) return op->two(inputs[0], inputs[1]);
    return op->any(c, inputs);
}

/* ---- The notation ---- */

const char *case_option(const Case *c, const char *option)
{
    for (int i = 0; i < c->option_count; i++)
        if (strcmp(c->options[i].name, option) == 0) return c->options[i].value;
    return NULL;
}

double case_number(const Case *c, const char *option, double otherwise)
{
    const char *value = case_option(c, option);
    return value ? strtod(value, NULL) : otherwise;
}

static bool read_input(CaseInput *input, const char *text, int64_t n)
{
    *input = (CaseInput){.scale = 1, .wants_grad = true};
    if (strcmp(text, "none") == 0) return input->none = true;
    if (strncmp(text, "labels:", strlen("labels:")) == 0) {
        text += strlen("labels:");
        input->wants_grad = false;
        if (!read_shape(&input->shape, &text, n) || *text != '/') return false;
        input->classes = strtoll(text + 1, NULL, 10);
        return input->classes > 0;
    }
    if (*text == '~') input->wants_grad = false, text++;
    if (!read_shape(&input->shape, &text, n)) return false;
    char *end = (char *)text;
    if (*end == '*') input->scale = strtod(end + 1, &end);
    if (*end == '+' || *end == '-') input->offset = strtod(end, &end);
    return *end == '\0';
}

bool case_has_batch(const char *text)
{
    return strchr(text, 'N') != NULL;
}

bool case_parse(Case *result, const char *text, int64_t n)
{
    *result = (Case){0};
    bool colon = false;
    char word[2 * CASE_TEXT];
    int length = 0;
    for (; sscanf(text, " %95s%n", word, &length) == 1; text += length) {
        char *equals = strchr(word, '=');
        if (strcmp(word, ":") == 0) {
            colon = true;
        } else if (colon) {
            if (result->input_count == CASE_INPUTS) return false;
            if (!read_input(&result->inputs[result->input_count++], word, n)) return false;
        } else if (equals) {
            if (result->option_count == CASE_OPTIONS) return false;
            int i = result->option_count++;
            *equals = '\0';
            snprintf(result->options[i].name, CASE_TEXT, "%.47s", word);
            snprintf(result->options[i].value, CASE_TEXT, "%.47s", equals + 1);
        } else {
            snprintf(result->op, CASE_TEXT, "%.47s", word);
        }
    }
    return result->input_count > 0 && find_op(result->op);
}

/* Whole numbers below `classes`, rounded down from the hash. */
static Tensor *labels_tensor(const CaseInput *input, uint32_t stream)
{
    Tensor *t = tensor_zeros(input->shape);
    for (int64_t k = 0; k < tensor_count(t); k++)
        tensor_set(t, AT(k), floor((test_number(stream, k) + 1) / 2 * (double)input->classes));
    return t;
}

Tensor *case_input(const Case *c, int i)
{
    const CaseInput *input = &c->inputs[i];
    if (input->none) return TENSOR_NONE;
    if (input->classes) return labels_tensor(input, (uint32_t)i);
    Tensor *t = test_tensor_near(input->shape, (uint32_t)i, input->scale, input->offset);
    tensor_set_requires_grad(t, input->wants_grad);
    return t;
}

unsigned case_lanes(const Case *c)
{
    unsigned mask = 0;
    for (int i = 0; i < c->input_count; i++)
        if (c->inputs[i].shape.rank >= 2) mask |= 1U << i;
    return mask;
}

Tensor *case_output_grad(Shape shape)
{
    return test_tensor(shape, CASE_OUTPUT_STREAM, 1);
}

// Weft from C++: the functions behind the macros. A convolution, batch norm, dropout and a linear layer learn to tell
// bright left halves from bright right ones.
#include <weft/weft.h>

namespace {

Module *convolution(int64_t in, int64_t out, int64_t kernel)
{
    Conv2dLayer options = {};
    options.in_channels = in;
    options.out_channels = out;
    options.kernel = kernel;
    options.relu = true;
    return nn_conv2d_with(options);
}

Module *network()
{
    BatchNorm2dLayer norm = {};
    norm.channels = 4;
    LinearLayer linear = {};
    linear.in_features = 4 * 3 * 3;
    linear.out_features = 2;
    Pool2dLayer pool = {};
    pool.kernel = 2;
    const SequentialChild children[] = {
        {"conv", convolution(1, 4, 3)}, {"norm", nn_batch_norm2d_with(norm)}, {"pool", nn_max_pool2d_with(pool)},
        {"drop", nn_dropout(0.1)},      {"flat", nn_flatten()},               {"fc", nn_linear_with(linear)},
        {"scores", nn_log_softmax(1)}};
    return nn_sequential_of_named(children, sizeof children / sizeof *children);
}

const int64_t count = 64, side = 8;

Tensor *pictures()
{
    const RandomKey key = {1, 0, 0};
    const Shape shape = {4, {count, 1, side, side}};
    Tensor *images = tensor_uniform(shape, 0, 0.5, key);
    for (int64_t n = 0; n < count; n++) {
        for (int64_t y = 0; y < side; y++) {
            const Shape pixel = {4, {n, 0, y, n % 2 ? y % 4 : 4 + y % 4}};
            tensor_set(images, pixel, 1);
        }
    }
    return images;
}

double train(Module *net, Optimizer *sgd, int steps)
{
    double last = 1e9;
    for (int step = 0; step < steps; step++) {
        const Scope scope = scope_open();
        const Shape shape = {1, {count}};
        Tensor *labels = tensor_zeros(shape);
        for (int64_t n = 1; n < count; n += 2) {
            const Shape index = {1, {n}};
            tensor_set(labels, index, 1);
        }
        BackwardOptions options = {};
        options.root = op_nll_loss(nn_forward(net, pictures()), labels);
        last = tensor_item(options.root);
        const bool ok = backward_with(options) && optimizer_step(sgd);
        scope_close(scope);
        if (!ok) return 1e9;
    }
    return last;
}

} // namespace

int main()
{
    Module *net = network();
    TensorList parameters = {};
    SgdOptions options = {};
    options.parameters = &parameters;
    options.lr = 0.05;
    options.momentum = 0.9;
    Optimizer *sgd = nn_parameters(net, &parameters) ? optimizer_sgd_with(options) : nullptr;
    const double first = train(net, sgd, 1), last = train(net, sgd, 40);
    optimizer_free(sgd);
    tensor_list_free(&parameters);
    nn_free(net);
    if (weft_error()) fprintf(stderr, "plain: %s\n", weft_error());
    printf("%s: loss %.3f, then %.3f; %d tensors left\n", weft_isa(), first, last, (int)weft_counters().tensors);
    return !weft_error() && last < 0.2 * first && weft_counters().tensors == 0 ? 0 : 1;
}

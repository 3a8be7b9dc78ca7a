/* A residual network for MNIST (He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016): each
 * block adds what it computes to what it was given, so that gradients have a short way back. */
#include <weft/weft.h>

/* relu(bn2(conv2(relu(bn1(conv1(x))))) + x). Where the shape changes, x goes through a convolution of 1 x 1 instead. */
typedef struct Block {
    Module base;
    Module *conv1, *bn1, *conv2, *bn2;
    Module *shortcut; /* NULL: x itself */
} Block;

static Tensor *block_forward(Module *self, Tensor *x)
{
    Block *block = (Block *)self;
    Tensor *y = op_relu(nn_forward(block->bn1, nn_forward(block->conv1, x)));
    y = nn_forward(block->bn2, nn_forward(block->conv2, y));
    return op_relu(op_add(y, block->shortcut ? nn_forward(block->shortcut, x) : x));
}

static Module *block_new(int64_t in, int64_t out, int64_t stride)
{
    Block *block = nn_module(Block, block_forward);
    nn_child(block, conv1, nn_conv2d(in, out, 3, .stride = stride, .padding = 1, .no_bias = true));
    nn_child(block, bn1, nn_batch_norm2d(out));
    nn_child(block, conv2, nn_conv2d(out, out, 3, .padding = 1, .no_bias = true));
    nn_child(block, bn2, nn_batch_norm2d(out));
    if (in != out || stride != 1)
        nn_child(block, shortcut, nn_sequential(nn_conv2d(in, out, 1, .stride = stride, .no_bias = true),
                                                nn_batch_norm2d(out)));
    return nn_ready(block);
}

typedef struct ResNet {
    Module base;
    Module *stem, *blocks, *fc;
} ResNet;

static Tensor *resnet_forward(Module *self, Tensor *x)
{
    ResNet *net = (ResNet *)self;
    x = nn_forward(net->blocks, nn_forward(net->stem, x));
    return op_log_softmax(nn_forward(net->fc, op_flatten(op_global_avg_pool2d(x))), 1);
}

/* This network has no dropout. */
static Module *resnet_new(double dropout)
{
    (void)dropout;
    ResNet *net = nn_module(ResNet, resnet_forward);
    nn_child(net, stem, nn_sequential(nn_conv2d(1, 16, 3, .padding = 1, .relu = true), nn_batch_norm2d(16),
                                      nn_max_pool2d(2)));                       /* 16 x 14 x 14 */
    nn_child(net, blocks, nn_sequential(block_new(16, 16, 1), block_new(16, 32, 2), /* 32 x 7 x 7 */
                                        block_new(32, 64, 2)));                 /* 64 x 4 x 4 */
    nn_child(net, fc, nn_linear(64, 10));
    return nn_ready(net);
}

int main(int argc, char **argv)
{
    return trainer_main(argc, argv,
                        &(TrainerApp){.name = "resnet",
                                      .about = "trains a residual network to read digits",
                                      .model = resnet_new,
                                      .epochs = 5,
                                      .batch_size = 128,
                                      .schedule = SCHEDULE_ONE_CYCLE,
                                      .lr = 0.1,
                                      .momentum = 0.9,
                                      .weight_decay = 1e-4,
                                      .augmentation = {.rotation = 10}});
}

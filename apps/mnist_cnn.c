/* A network of 593,200 parameters that reads handwritten digits: four convolutions and two linear layers. */
#include "apps/trainer.h"

typedef struct Net {
    Module base;
    Module *conv1, *conv2, *conv3, *conv4, *fc1, *fc2;
} Net;

static Tensor *net_forward(Module *self, Tensor *x)
{
    Net *net = (Net *)self;
    x = nn_forward(net->conv1, x);               /*  32 x 26 x 26 */
    x = nn_forward_max_pool2d(net->conv2, x, 2); /*  64 x 12 x 12 */
    x = nn_forward(net->conv3, x);               /* 128 x 10 x 10 */
    x = nn_forward_max_pool2d(net->conv4, x, 2); /* 256 x  4 x  4 */
    x = nn_forward(net->fc1, op_flatten(x));
    return op_log_softmax(nn_forward(net->fc2, x), 1);
}

/* This network has no dropout. */
static Module *net_new(double dropout)
{
    (void)dropout;
    Net *net = nn_module(Net, net_forward);
    nn_child(net, conv1, nn_conv2d(1, 32, 3, .relu = true));
    nn_child(net, conv2, nn_conv2d(32, 64, 3, .relu = true));
    nn_child(net, conv3, nn_conv2d(64, 128, 3, .relu = true));
    nn_child(net, conv4, nn_conv2d(128, 256, 3, .relu = true));
    nn_child(net, fc1, nn_linear(256 * 4 * 4, 50, .relu = true));
    nn_child(net, fc2, nn_linear(50, 10));
    return nn_ready(net);
}

int main(int argc, char **argv)
{
    return trainer_main(argc, argv,
                        &(TrainerApp){.name = "mnist_cnn",
                                      .about = "trains a network of 593,200 parameters to read digits",
                                      .model = net_new,
                                      .epochs = 16,
                                      .batch_size = 128,
                                      .schedule = SCHEDULE_ONE_CYCLE,
                                      .lr = 0.05,
                                      .momentum = 0.9,
                                      .cycle_momentum = true,
                                      .weight_decay = 1e-4,
                                      .augmentation = {.rotation = 10,
                                                       .translation = 2,
                                                       .scale = 0.1,
                                                       .shear = 10}});
}

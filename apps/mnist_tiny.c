/* A network of 10,474 parameters that reads handwritten digits: nine convolutions, all but the last followed by relu,
 * batch norm and dropout. */
#include "apps/trainer.h"

/* What Sequential does, and on top of it: [N, 10, 1, 1] becomes [N, 10], scores become log-probabilities. */
static Tensor *tiny_forward(Module *self, Tensor *x)
{
    x = nn_forward_children(self, x);
    return op_log_softmax(op_flatten(x), 1);
}

static Module *tiny_new(double dropout)
{
    Module *net = nn_sequential_named(                                       /* channels x height x width */
        {"conv1", nn_conv2d(1, 8, 3, .relu = true)},                         /*  8 x 26 x 26 */
        {"bn1", nn_batch_norm2d(8)}, {"drop1", nn_dropout(dropout)},
        {"conv2", nn_conv2d(8, 12, 3, .relu = true)},                        /* 12 x 24 x 24 */
        {"bn2", nn_batch_norm2d(12)}, {"drop2", nn_dropout(dropout)},
        {"conv3", nn_conv2d(12, 16, 3, .relu = true)},                       /* 16 x 22 x 22 */
        {"bn3", nn_batch_norm2d(16)}, {"drop3", nn_dropout(dropout)},
        {"pool1", nn_max_pool2d(2)},                                         /* 16 x 11 x 11 */
        {"conv4", nn_conv2d(16, 8, 1, .relu = true)},                        /*  8 x 11 x 11 */
        {"bn4", nn_batch_norm2d(8)}, {"drop4", nn_dropout(dropout)},
        {"conv5", nn_conv2d(8, 12, 3, .relu = true)},                        /* 12 x  9 x  9 */
        {"bn5", nn_batch_norm2d(12)}, {"drop5", nn_dropout(dropout)},
        {"conv6", nn_conv2d(12, 16, 3, .relu = true)},                       /* 16 x  7 x  7 */
        {"bn6", nn_batch_norm2d(16)}, {"drop6", nn_dropout(dropout)},
        {"conv7", nn_conv2d(16, 16, 3, .relu = true)},                       /* 16 x  5 x  5 */
        {"bn7", nn_batch_norm2d(16)}, {"drop7", nn_dropout(dropout)},
        {"conv8", nn_conv2d(16, 16, 3, .relu = true)},                       /* 16 x  3 x  3 */
        {"bn8", nn_batch_norm2d(16)}, {"drop8", nn_dropout(dropout)},
        {"conv9", nn_conv2d(16, 10, 1)},                                     /* 10 x  3 x  3 */
        {"pool2", nn_avg_pool2d(3)});                                        /* 10 x  1 x  1 */
    if (net) net->forward = tiny_forward;
    return net;
}

int main(int argc, char **argv)
{
    return trainer_main(argc, argv,
                        &(TrainerApp){.name = "mnist_tiny",
                                      .about = "trains a network of 10,474 parameters to read digits",
                                      .model = tiny_new,
                                      .epochs = 20,
                                      .batch_size = 64,
                                      .schedule = SCHEDULE_ONE_CYCLE,
                                      .lr = 0.05,
                                      .momentum = 0.9,
                                      .cycle_momentum = true,
                                      .weight_decay = 1e-4,
                                      .augmentation = {.rotation = 10, .translation = 1}});
}

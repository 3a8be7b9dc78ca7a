/* The network of apps/mnist_tiny.c on Fashion-MNIST (Xiao, Rasul and Vollgraf 2017), 28 x 28 pictures of shirts, shoes
 * and bags in files like MNIST's, which `make fashion` fetches. Its nine convolutions are written as a table here. */
#include <weft/weft.h>

static const struct Layer {
    int64_t in, out, kernel;
} LAYERS[] = {
    {1, 8, 3}, {8, 12, 3}, {12, 16, 3}, /* 16 x 22 x 22, and after the pool 16 x 11 x 11 */
    {16, 8, 1}, {8, 12, 3}, {12, 16, 3}, {16, 16, 3}, {16, 16, 3}, /* 16 x 3 x 3 */
};
enum { LAYER_COUNT = sizeof LAYERS / sizeof *LAYERS, POOL_AFTER = 3, CLASSES = 10 };

/* Appends a layer under the next number: a sequential module calls its children in order. */
static void append(Module *net, Module *layer)
{
    char name[16];
    snprintf(name, sizeof name, "%d", net ? (int)net->child_count : 0);
    nn_add_child(net, name, layer);
}

/* [N, 1, 28, 28] to log-probabilities [N, 10]. */
static Module *fashion_new(double dropout)
{
    Module *net = nn_module_new("Fashion", sizeof(Module), nn_forward_children);
    for (int i = 0; i < LAYER_COUNT; i++) {
        append(net, nn_conv2d(LAYERS[i].in, LAYERS[i].out, LAYERS[i].kernel, .relu = true));
        append(net, nn_batch_norm2d(LAYERS[i].out));
        append(net, nn_dropout(dropout));
        if (i + 1 == POOL_AFTER) append(net, nn_max_pool2d(2));
    }
    append(net, nn_conv2d(LAYERS[LAYER_COUNT - 1].out, CLASSES, 1));
    append(net, nn_avg_pool2d(3));
    append(net, nn_flatten());
    append(net, nn_log_softmax(1));
    return nn_ready(net);
}

int main(int argc, char **argv)
{
    return trainer_main(argc, argv,
                        &(TrainerApp){.name = "fashion",
                                      .about = "trains a network of 10,474 parameters to tell clothes apart",
                                      .data = "data/fashion",
                                      .model = fashion_new,
                                      .epochs = 20,
                                      .batch_size = 64,
                                      .schedule = SCHEDULE_ONE_CYCLE,
                                      .lr = 0.05,
                                      .momentum = 0.9,
                                      .cycle_momentum = true,
                                      .weight_decay = 1e-4,
                                      .augmentation = {.translation = 1}});
}

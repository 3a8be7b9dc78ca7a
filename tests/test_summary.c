/* The summary: the two networks' tables as published, and any other module's. */
#include <stdio.h>

#include "nn/observe.h"
#include "nn/summary.h"
#include "tests/test.h"

enum { TEXT = 8192 };

/* Prints the summary into the text, with runs of spaces made one, so that columns may be as wide as they like. */
static bool summarise(Module *net, Shape input, char text[TEXT])
{
    FILE *file = fopen(test_path("summary"), "w+");
    bool ok = file && nn_summary(net, input, file);
    size_t used = 0;
    text[used++] = '\n';
    if (file) {
        rewind(file);
        for (int c = fgetc(file); c != EOF && used < TEXT - 2; c = fgetc(file)) {
            bool again = c == ' ' && (text[used - 1] == ' ' || text[used - 1] == '\n');
            if (!again) text[used++] = (char)c;
        }
        fclose(file);
    }
    text[used] = '\0';
    return ok;
}

/* All of them are there, each the beginning of a line, in this order. */
static void check_lines(const char *text, const char *const *lines, int count)
{
    for (int i = 0; i < count; i++) {
        char wanted[200];
        snprintf(wanted, sizeof wanted, "\n%s", lines[i]);
        const char *at = strstr(text, wanted);
        if (!at) printf("line missing: %s\n", lines[i]);
        CHECK(at);
        text = at + 1;
    }
}

/* mnist_cnn, its relus as options, its pooling as functions. */
typedef struct Cnn {
    Module base;
    Module *conv1, *conv2, *conv3, *conv4, *fc1, *fc2;
} Cnn;

static Tensor *cnn_forward(Module *self, Tensor *x)
{
    Cnn *net = (Cnn *)self;
    x = nn_forward(net->conv2, nn_forward(net->conv1, x));
    x = nn_forward(net->conv4, nn_forward(net->conv3, op_max_pool2d(x, 2)));
    x = nn_forward(net->fc1, op_flatten(op_max_pool2d(x, 2)));
    return op_log_softmax(nn_forward(net->fc2, x), 1);
}

static Module *cnn_new(void)
{
    Cnn *net = nn_module(Cnn, cnn_forward);
    nn_child(net, conv1, nn_conv2d(1, 32, 3, .relu = true));
    nn_child(net, conv2, nn_conv2d(32, 64, 3, .relu = true));
    nn_child(net, conv3, nn_conv2d(64, 128, 3, .relu = true));
    nn_child(net, conv4, nn_conv2d(128, 256, 3, .relu = true));
    nn_child(net, fc1, nn_linear(4096, 50, .relu = true));
    nn_child(net, fc2, nn_linear(50, 10));
    return nn_ready(net);
}

TEST(summary_of_mnist_cnn)
{
    static const char *const lines[] = {
        "Layer (type) Output Shape Param # ",
        "Conv2d-1 [-1, 32, 26, 26] 320 0.05% 216,320\n",
        "Conv2d-2 [-1, 64, 24, 24] 18,496 3.12% 10,653,696\n",
        "Conv2d-3 [-1, 128, 10, 10] 73,856 12.45% 7,385,600\n",
        "Conv2d-4 [-1, 256, 8, 8] 295,168 49.76% 18,890,752\n",
        "Linear-5 [-1, 50] 204,850 34.53% 204,850\n",
        "Linear-6 [-1, 10] 510 0.09% 510\n",
        "Total params: 593,200\n",
        "Trainable params: 593,200\n",
        "Non-trainable params: 0\n",
        "Total mult-adds (M): 37.35\n",
#ifndef WEFT_DOUBLE
        "Input size (MB): 0.00\n",
        "Forward/backward pass size (MB): 0.67\n",
        "Params size (MB): 2.26\n",
        "Estimated Total Size (MB): 2.94\n",
#endif
    };
    char text[TEXT], batch[TEXT];
    Module *net = cnn_new();
    CHECK(summarise(net, SHAPE(1, 1, 28, 28), text));
    check_lines(text, lines, (int)(sizeof lines / sizeof *lines));
    CHECK(!strstr(text, "-7 "));
    CHECK(summarise(net, SHAPE(3, 1, 28, 28), batch));
    CHECK_TEXT(text, batch);
    nn_free(net);
}

static Module *tiny_new(void)
{
    return nn_sequential(
        nn_conv2d(1, 8, 3, .relu = true), nn_batch_norm2d(8), nn_dropout(0.03),
        nn_conv2d(8, 12, 3, .relu = true), nn_batch_norm2d(12), nn_dropout(0.03),
        nn_conv2d(12, 16, 3, .relu = true), nn_batch_norm2d(16), nn_dropout(0.03), nn_max_pool2d(2),
        nn_conv2d(16, 8, 1, .relu = true), nn_batch_norm2d(8), nn_dropout(0.03),
        nn_conv2d(8, 12, 3, .relu = true), nn_batch_norm2d(12), nn_dropout(0.03),
        nn_conv2d(12, 16, 3, .relu = true), nn_batch_norm2d(16), nn_dropout(0.03),
        nn_conv2d(16, 16, 3, .relu = true), nn_batch_norm2d(16), nn_dropout(0.03),
        nn_conv2d(16, 16, 3, .relu = true), nn_batch_norm2d(16), nn_dropout(0.03), nn_conv2d(16, 10, 1),
        nn_avg_pool2d(3));
}

TEST(summary_of_mnist_tiny)
{
    static const char *const lines[] = {
        "Conv2d-1 [-1, 8, 26, 26] 80 ", "BatchNorm2d-2 [-1, 8, 26, 26] 16 ", "Dropout-3 [-1, 8, 26, 26] 0 ",
        "Conv2d-4 [-1, 12, 24, 24] 876 ", "BatchNorm2d-5 [-1, 12, 24, 24] 24 ", "Dropout-6 [-1, 12, 24, 24] 0 ",
        "Conv2d-7 [-1, 16, 22, 22] 1,744 ", "BatchNorm2d-8 [-1, 16, 22, 22] 32 ", "Dropout-9 [-1, 16, 22, 22] 0 ",
        "MaxPool2d-10 [-1, 16, 11, 11] 0 ", "Conv2d-11 [-1, 8, 11, 11] 136 ", "BatchNorm2d-12 [-1, 8, 11, 11] 16 ",
        "Dropout-13 [-1, 8, 11, 11] 0 ", "Conv2d-14 [-1, 12, 9, 9] 876 ", "BatchNorm2d-15 [-1, 12, 9, 9] 24 ",
        "Dropout-16 [-1, 12, 9, 9] 0 ", "Conv2d-17 [-1, 16, 7, 7] 1,744 ", "BatchNorm2d-18 [-1, 16, 7, 7] 32 ",
        "Dropout-19 [-1, 16, 7, 7] 0 ", "Conv2d-20 [-1, 16, 5, 5] 2,320 ", "BatchNorm2d-21 [-1, 16, 5, 5] 32 ",
        "Dropout-22 [-1, 16, 5, 5] 0 ", "Conv2d-23 [-1, 16, 3, 3] 2,320 ", "BatchNorm2d-24 [-1, 16, 3, 3] 32 ",
        "Dropout-25 [-1, 16, 3, 3] 0 ", "Conv2d-26 [-1, 10, 3, 3] 170 ", "AvgPool2d-27 [-1, 10, 1, 1] 0 ",
        "Total params: 10,474\n", "Trainable params: 10,474\n", "Non-trainable params: 0\n",
#ifndef WEFT_DOUBLE
        "Input size (MB): 0.00\n", "Forward/backward pass size (MB): 0.55\n", "Params size (MB): 0.04\n",
        "Estimated Total Size (MB): 0.59\n",
#endif
    };
    char text[TEXT];
    Module *net = tiny_new();
    CHECK(summarise(net, SHAPE(1, 1, 28, 28), text));
    check_lines(text, lines, (int)(sizeof lines / sizeof *lines));
    nn_free(net);
}

/* Calls its children in another order than they were added, one of them twice and one not at all. */
typedef struct Odd {
    Module base;
    Module *last, *first, *unused;
} Odd;

static Tensor *odd_forward(Module *self, Tensor *x)
{
    Odd *net = (Odd *)self;
    return nn_forward(net->last, nn_forward(net->first, nn_forward(net->first, x)));
}

TEST(summary_follows_the_calls)
{
    static const char *const lines[] = {
        "Linear-1 [-1, 3] 12 46.15% 12\n", "ReLU-2 [-1, 3] 0 -- --\n", "Linear-3 [-1, 3] 12 46.15% 12\n",
        "ReLU-4 [-1, 3] 0 -- --\n", "Linear-5 [-1, 2] 6 23.08% 6\n", "Total params: 26\n", "Trainable params: 20\n",
        "Non-trainable params: 6\n", "Total mult-adds: 30\n",
    };
    Odd *net = nn_module(Odd, odd_forward);
    nn_child(net, last, nn_linear(3, 2, .no_bias = true));
    nn_child(net, first, nn_sequential(nn_linear(3, 3), nn_relu()));
    nn_child(net, unused, nn_linear(2, 4, .no_bias = true));
    CHECK(nn_ready(net));
    tensor_set_requires_grad(net->last->parameters.items[0].tensor, false);
    char text[TEXT];
    CHECK(summarise(&net->base, SHAPE(2, 3), text));
    check_lines(text, lines, (int)(sizeof lines / sizeof *lines));
    CHECK(!strstr(text, "Sequential") && !strstr(text, "Odd"));
    nn_free(&net->base);
}

/* Layers that compute nothing, with parameters of any name. */
static Tensor *image_forward(Module *self, Tensor *x)
{
    (void)self;
    return tensor_zeros(SHAPE(tensor_size(x, 0), 1, 1000, 1001));
}

static Tensor *steps_forward(Module *self, Tensor *x)
{
    (void)self;
    return tensor_zeros(SHAPE(tensor_size(x, 0), 7, 3));
}

static Module *layer_new(const char *type, Tensor *(*forward)(Module *self, Tensor *x), const char *name)
{
    Module *module = nn_module_new(type, sizeof(Module), forward);
    nn_add_parameter(module, name, SHAPE(1000));
    return nn_ready(module);
}

TEST(summary_counts_in_torchinfos_units)
{
    static const char *const thousands[] = {"Steps-1 [-1, 7, 3] 1,000 100.00% 7,000\n", "Total mult-adds (k): 7.00\n",
#ifndef WEFT_DOUBLE
                                            "Input size (MB): 3.00\n", "Estimated Total Size (MB): 3.00\n",
#endif
    };
    static const char *const billions[] = {"MyConv-1 [-1, 1, 1000, 1001] 1,000 100.00% 1,001,000,000\n",
                                           "Total mult-adds (G): 1.00\n"};
    char text[TEXT];
    Module *steps = layer_new("Steps", steps_forward, "weight_ih_l0");
    Module *conv = layer_new("MyConv", image_forward, "bias");
    CHECK(summarise(steps, SHAPE(2, 3, 512, 512), text));
    check_lines(text, thousands, (int)(sizeof thousands / sizeof *thousands));
    CHECK(summarise(conv, SHAPE(2, 3), text));
    check_lines(text, billions, 2);
    nn_free(steps);
    nn_free(conv);
}

TEST(summary_leaves_everything_as_it_was)
{
    nn_seed(1);
    Module *seen = nn_sequential(nn_conv2d(1, 2, 3), nn_batch_norm2d(2), nn_dropout(0.5));
    nn_seed(1);
    Module *unseen = nn_sequential(nn_conv2d(1, 2, 3), nn_batch_norm2d(2), nn_dropout(0.5));
    seen->children[0].module->training = false;
    Tensor *x = test_tensor(SHAPE(3, 1, 5, 5), 1, 1);
    CHECK(nn_forward(seen, x) && nn_forward(unseen, x));
    char text[TEXT];
    Observer observer = {0};
    nn_observe(&observer);
    CHECK(summarise(seen, SHAPE(4, 1, 5, 5), text));
    CHECK(nn_observe(NULL) == &observer);
    CHECK(autograd_is_recording());
    CHECK(seen->training && !seen->children[0].module->training && seen->children[1].module->training);
    Real *a = test_values(nn_forward(seen, x)), *b = test_values(nn_forward(unseen, x));
    CHECK_EQUAL_BITS(a, b, 3 * 2 * 3 * 3);
    NamedTensors buffers[] = {nn_named_buffers(seen), nn_named_buffers(unseen)};
    for (int64_t i = 0; i < 3; i++) {
        Real *p = test_values(buffers[0].items[i].tensor), *q = test_values(buffers[1].items[i].tensor);
        CHECK_EQUAL_BITS(p, q, tensor_count(buffers[0].items[i].tensor));
        free(p);
        free(q);
    }
    nn_named_free(&buffers[0]);
    nn_named_free(&buffers[1]);
    free(a);
    free(b);
    nn_free(seen);
    nn_free(unseen);
}

TEST(summary_errors)
{
    char text[TEXT];
    Module *net = cnn_new();
    CHECK(!summarise(net, SHAPE(1, 3, 28, 28), text));
    CHECK_ERROR("conv2d");
    CHECK(net->training && autograd_is_recording());
    CHECK(!summarise(net, SHAPE(1, 0), text));
    CHECK(weft_error());
    weft_error_clear();
    CHECK(!summarise(NULL, SHAPE(1, 1, 28, 28), text));
    CHECK_ERROR("nn_summary: the module is NULL");
    Module *fine = nn_linear(2, 2);
    CHECK(!nn_summary(fine, SHAPE(1, 2), NULL));
    CHECK_ERROR("nn_summary: the file is NULL");
    nn_free(fine);
    FILE *file = fopen("/dev/full", "w");
    if (file) {
        CHECK(!nn_summary(net, SHAPE(1, 1, 28, 28), file));
        CHECK_ERROR("cannot write the table");
        fclose(file);
    }
    nn_free(net);
}
